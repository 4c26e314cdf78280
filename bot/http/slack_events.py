"""The door for Slack: signed requests go to Bolt in a thread, so that nothing else waits for it."""

from typing import TYPE_CHECKING

from fastapi import APIRouter
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import Response

if TYPE_CHECKING:
    from slack_bolt import App as Bolt


def router(bolt: "Bolt") -> APIRouter:
    """`POST /slack/events`: commands, buttons, modals and events. Bolt checks the signature."""
    from slack_bolt.adapter.starlette.handler import to_bolt_request, to_starlette_response

    slack = APIRouter(include_in_schema=False)

    @slack.post("/slack/events")
    async def events(request: Request) -> Response:
        asked = to_bolt_request(request, await request.body())
        return to_starlette_response(await run_in_threadpool(bolt.dispatch, asked))

    return slack
