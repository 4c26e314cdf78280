"""The two transports from Slack to an app: signed HTTP requests, and envelopes over Socket Mode."""

import hashlib
import hmac
import json
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Literal, Protocol, assert_never
from urllib.parse import urlencode

import httpx

from bot.sandbox.app_delivery.envelopes import OutgoingPayload
from bot.sandbox.app_delivery.socket_mode import ConnectionLostError, SocketConnections
from bot.sandbox.rules import limits

Json = dict[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class RetryInfo:
    """The number and reason of a retry; the first retry is number 1."""

    number: int
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class AppResponse:
    """The app's response; `status` is 0 without a response, and 200 for an acknowledged envelope."""

    status: int
    body: Json | str | None = None
    error: str | None = None

    @property
    def acked(self) -> bool:
        """Whether the app acknowledged successfully and in time."""
        return self.error is None and 200 <= self.status < 300


class Transport(Protocol):
    """Sends payloads to the app and returns its acknowledgement."""

    @property
    def name(self) -> Literal["http", "socket"]:
        """The transport's name."""
        ...

    def send(self, outgoing: OutgoingPayload, retry: RetryInfo | None) -> AppResponse:
        """Send and wait at most three seconds; failures are returned as an error, not raised."""
        ...


def sign_request(secret: str, timestamp: int, body: bytes) -> str:
    """The `x-slack-signature` of a body; https://docs.slack.dev/authentication/verifying-requests-from-slack."""
    digest = hmac.new(secret.encode(), b"v0:%d:%s" % (timestamp, body), hashlib.sha256).hexdigest()
    return f"v0={digest}"


@dataclass(slots=True, kw_only=True)
class HttpTransport:
    """Delivers by POST to the app's request URL, signed over the raw body."""

    signing_secret: str
    url: str | None = None
    client: httpx.Client = field(default_factory=lambda: httpx.Client(trust_env=False))

    @property
    def name(self) -> Literal["http", "socket"]:
        """Signed HTTP."""
        return "http"

    def send(self, outgoing: OutgoingPayload, retry: RetryInfo | None) -> AppResponse:
        """Send and wait at most three seconds; failures are returned as an error, not raised."""
        if self.url is None:
            return AppResponse(status=0, error="no_request_url")
        kind, body = encode_request(outgoing)
        timestamp = int(time.time())
        headers = {
            "content-type": kind,
            "user-agent": "Slackbot 1.0 (sandbox)",
            "x-slack-request-timestamp": str(timestamp),
            "x-slack-signature": sign_request(self.signing_secret, timestamp, body),
        }
        if retry is not None:
            headers |= {"x-slack-retry-num": str(retry.number), "x-slack-retry-reason": retry.reason}
        try:
            response = self.client.post(self.url, content=body, headers=headers, timeout=limits.value("ack.seconds"))
        except httpx.TimeoutException:
            return AppResponse(status=0, error="http_timeout")
        except httpx.TransportError:
            return AppResponse(status=0, error="connection_failed")
        if not response.is_success:
            return AppResponse(status=response.status_code, body=response.text, error="http_error")
        return AppResponse(status=response.status_code, body=_parse_body(response))


@dataclass(frozen=True, slots=True, kw_only=True)
class SocketTransport:
    """Delivers envelopes over the app's open Socket Mode connections."""

    connections: SocketConnections
    new_id: Callable[[], str]

    @property
    def name(self) -> Literal["http", "socket"]:
        """Socket Mode."""
        return "socket"

    def send(self, outgoing: OutgoingPayload, retry: RetryInfo | None) -> AppResponse:
        """Send and wait at most three seconds; failures are returned as an error, not raised."""
        envelope: Json = {
            "envelope_id": self.new_id(),
            "type": outgoing.envelope_type,
            "payload": outgoing.payload,
            "accepts_response_payload": outgoing.kind != "event",
        }
        if outgoing.kind == "event":
            envelope |= {"retry_attempt": retry.number if retry else 0, "retry_reason": retry.reason if retry else ""}
        try:
            acknowledged = self.connections.send(envelope, limits.value("ack.seconds"))
        except TimeoutError:
            return AppResponse(status=0, error="http_timeout")
        except ConnectionLostError:
            return AppResponse(status=0, error="connection_failed")
        return AppResponse(status=200, body=acknowledged.get("payload"))


def encode_request(outgoing: OutgoingPayload) -> tuple[str, bytes]:
    """(content type, raw body) of the HTTP request that delivers a payload."""
    match outgoing.kind:
        case "event":
            return "application/json", json.dumps(outgoing.payload).encode()
        case "command":
            return "application/x-www-form-urlencoded", urlencode(outgoing.payload).encode()
        case "message_action" | "block_actions" | "view_submission" | "view_closed":
            return "application/x-www-form-urlencoded", urlencode({"payload": json.dumps(outgoing.payload)}).encode()
        case _:
            assert_never(outgoing.kind)


def _parse_body(response: httpx.Response) -> Json | str | None:
    if response.headers.get("content-type", "").startswith("application/json") and response.content:
        body: Json = response.json()
        return body
    return response.text or None
