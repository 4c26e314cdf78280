"""The door for Slack: signed requests go to Bolt in a thread, so that nothing else waits for it."""

import logging
import re
from typing import TYPE_CHECKING

from fastapi import APIRouter
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import Response

if TYPE_CHECKING:
    from slack_bolt import App as Bolt

_TIME = re.compile(r"[0-9]{1,12}")
_SIGNATURE = re.compile(r"v0=[0-9a-f]{64}")
_log = logging.getLogger(__name__)


def router(bolt: "Bolt") -> APIRouter:
    """`POST /slack/events`: commands, buttons, modals and events. Bolt checks the signature."""
    from slack_bolt.adapter.starlette.handler import to_bolt_request, to_starlette_response

    slack = APIRouter(include_in_schema=False)

    @slack.post("/slack/events")
    async def events(request: Request) -> Response:
        # Bolt breaks on what has not even the form.
        if not _TIME.fullmatch(request.headers.get("x-slack-request-timestamp", "")):
            return Response("There is no time in this request, so it is not Slack's.", status_code=401)
        if not _SIGNATURE.fullmatch(request.headers.get("x-slack-signature", "")):
            return Response("There is no signature in this request, so it is not Slack's.", status_code=401)
        body = await request.body()
        try:
            asked = to_bolt_request(request, body)
            return to_starlette_response(await run_in_threadpool(bolt.dispatch, asked))
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            _log.warning("A body that is not Slack's", exc_info=error)
            return Response("This body is not one that Slack sends.", status_code=400)

    return slack
