"""A Bolt app whose command handler only acknowledges, mounted and sized as our own is."""

import sys
from concurrent.futures import ThreadPoolExecutor

import uvicorn
from fastapi import FastAPI, Request
from slack_bolt import Ack, App
from slack_bolt.adapter.starlette.handler import to_bolt_request, to_starlette_response
from slack_bolt.authorization import AuthorizeResult
from starlette.concurrency import run_in_threadpool
from starlette.responses import Response

from bot.sandbox.workspace.people import BOT_TOKEN, SIGNING_SECRET
from bot.slack.listeners import LISTENER_THREADS


def authorize(enterprise_id: str | None, team_id: str | None) -> AuthorizeResult:
    """Anybody, without asking Slack."""
    return AuthorizeResult(enterprise_id=enterprise_id, team_id=team_id, bot_token=BOT_TOKEN)


def build() -> FastAPI:
    """The whole peer."""
    bolt = App(
        signing_secret=SIGNING_SECRET,
        authorize=authorize,
        token_verification_enabled=False,
        listener_executor=ThreadPoolExecutor(LISTENER_THREADS),
    )

    def acknowledge(ack: Ack) -> None:
        ack()

    bolt.command("/rollout")(acknowledge)
    api = FastAPI()

    @api.post("/slack/events")
    async def events(request: Request) -> Response:
        asked = to_bolt_request(request, await request.body())
        return to_starlette_response(await run_in_threadpool(bolt.dispatch, asked))

    return api


if __name__ == "__main__":
    uvicorn.run(
        build(),
        port=int(sys.argv[1]),
        loop="uvloop",
        http="httptools",
        log_level="warning",
        access_log=False,
        server_header=False,
    )
