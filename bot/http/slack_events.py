"""Receives Slack's requests, verifies their signature, and passes them to Bolt in a thread."""

import hashlib
import hmac
import logging
import re
import time
from typing import TYPE_CHECKING

from fastapi import APIRouter
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import Response

if TYPE_CHECKING:
    from slack_bolt import App as Bolt

_TIMESTAMP = re.compile(r"[0-9]{1,12}")
_MAX_AGE = 300  # seconds
_SIGNATURE = re.compile(r"v0=[0-9a-f]{64}")
_log = logging.getLogger(__name__)


def build_router(bolt: "Bolt") -> APIRouter:
    """`POST /slack/events`: commands, buttons, modals and events."""
    from slack_bolt.adapter.starlette.handler import to_bolt_request, to_starlette_response

    slack = APIRouter(include_in_schema=False)
    secret = bolt._signing_secret.encode()

    @slack.post("/slack/events")
    async def receive_event(request: Request) -> Response:
        stamp = request.headers.get("x-slack-request-timestamp", "")
        signature = request.headers.get("x-slack-signature", "")
        if not _TIMESTAMP.fullmatch(stamp):
            return Response("This request has no timestamp, so it is not from Slack.", status_code=401)
        if not _SIGNATURE.fullmatch(signature):
            return Response("This request has no signature, so it is not from Slack.", status_code=401)
        body = await request.body()
        # Verified on the raw bytes, before anything is parsed.
        if abs(time.time() - int(stamp)) > _MAX_AGE or not hmac.compare_digest(
            _compute_signature(secret, stamp, body), signature
        ):
            return Response("The signature is not Slack's, or the request is older than 5 minutes.", status_code=401)
        try:
            asked = to_bolt_request(request, body)
            return to_starlette_response(await run_in_threadpool(bolt.dispatch, asked))
        except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
            _log.warning("This body is not from Slack: %s", type(error).__name__)
            return Response("This body is not one that Slack sends.", status_code=400)

    return slack


def _compute_signature(secret: bytes, stamp: str, body: bytes) -> str:
    return "v0=" + hmac.new(secret, b"v0:" + stamp.encode() + b":" + body, hashlib.sha256).hexdigest()
