"""`/api/v1/changes`: an event stream (SSE) that says when evaluations may have changed, as raw ASGI."""

from urllib.parse import parse_qs, urlencode

import orjson

from bot.http.clients.change_streams import ChangeStreams
from bot.http.middleware.auth import AccessDenied, HeaderItems, TokenAuth, TokenRole
from bot.http.middleware.bodies import AsgiApp, Receive, Scope, Send
from bot.http.middleware.problems import build_denial, build_problem
from bot.http.middleware.stream_tokens import StreamTokens

CHANGES_PATH = "/api/v1/changes"
INACTIVITY_SECONDS = 120
"""After this long in the background a page closes its stream; it fetches everything when it comes back."""
_ALLOW_ORIGIN = (b"access-control-allow-origin", b"*")
_STREAM_HEADERS = [
    (b"content-type", b"text/event-stream; charset=utf-8"),
    (b"cache-control", b"no-store"),
    (b"x-accel-buffering", b"no"),  # nginx would keep events back
    _ALLOW_ORIGIN,
]
_PREFLIGHT_HEADERS = [
    _ALLOW_ORIGIN,
    (b"access-control-allow-methods", b"GET, OPTIONS"),
    (b"access-control-allow-headers", b"authorization, baggage, last-event-id, traceparent, tracestate, x-api-key"),
    (b"access-control-max-age", b"86400"),
]


class StreamEndpoint:
    """ASGI application that answers `/api/v1/changes` and passes everything else to `inner`.

    It takes the token of an address that `describe_stream` gave, or a header with the role `flags` or `snapshot`.
    """

    def __init__(self, streams: ChangeStreams, auth: TokenAuth, tokens: StreamTokens, inner: AsgiApp) -> None:
        self._streams, self._auth, self._tokens, self._inner = streams, auth, tokens, inner

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or scope["path"] != CHANGES_PATH:
            await self._inner(scope, receive, send)
            return
        if scope["method"] == "OPTIONS":
            await send({"type": "http.response.start", "status": 204, "headers": _PREFLIGHT_HEADERS})
            await send({"type": "http.response.body", "body": b""})
            return
        try:
            if scope["method"] != "GET":
                headers = {"Allow": "GET, OPTIONS"}
                message = f"{scope['method']} is not possible at {CHANGES_PATH}."
                await build_problem(405, "method_not_allowed", message, "See /docs.", headers=headers)(
                    scope, receive, send
                )
                return
            query = parse_qs(scope["query_string"].decode("latin-1"))
            expires_at = self._authorize(scope["headers"], query.get("token", [""])[0])
            seen = _read_last_event_id(scope["headers"]) or query.get("since", [""])[0]
            await self._stream_changes(scope, receive, send, seen, expires_at)
        except AccessDenied as denied:
            await build_denial(denied, cross_origin=True)(scope, receive, send)

    async def _stream_changes(
        self, scope: Scope, receive: Receive, send: Send, seen: str, expires_at: float | None
    ) -> None:
        """Hold the stream open until its reader goes or it is closed here."""
        if self._streams.is_full:
            message = "This process has as many event streams as it can serve."
            headers = {"Retry-After": "5", "Access-Control-Allow-Origin": "*"}
            await build_problem(503, "unavailable", message, "Start more web processes.", headers=headers)(
                scope, receive, send
            )
            return
        await send({"type": "http.response.start", "status": 200, "headers": _STREAM_HEADERS})
        stream = self._streams.open(send, seen, expires_at)
        try:
            while (await receive())["type"] != "http.disconnect":
                pass
        finally:
            self._streams.remove(stream)

    def _authorize(self, headers: HeaderItems, token: str) -> float | None:
        """When the stream has to end, None if it need not; raises AccessDenied."""
        if not token:
            self._auth.authorize(headers, TokenRole.FLAGS, TokenRole.SNAPSHOT)
            return None
        expires_at = self._tokens.find_expiry(token)
        if expires_at is None and not self._tokens.is_open:
            raise AccessDenied(
                401, "unauthorized", "The address of this stream is not valid, or no longer.", "Evaluate again for one."
            )
        return expires_at

    def describe_stream(self, headers: HeaderItems) -> bytes:
        """The `eventStreams` of a bulk evaluation, as JSON, with an address for the sender of `headers`."""
        address = {"since": self._streams.get_etag(), "token": self._tokens.issue(headers)}
        query = urlencode({name: value for name, value in address.items() if value})
        stream = {
            "type": "sse",
            "endpoint": {"requestUri": f"{CHANGES_PATH}?{query}"},
            "inactivityDelaySec": INACTIVITY_SECONDS,
        }
        return orjson.dumps([stream])

    def count_renewals(self) -> int:
        """Another number whenever addresses that were given before should be replaced."""
        return self._tokens.count_renewals() if not self._tokens.is_open else 0


def _read_last_event_id(headers: HeaderItems) -> str:
    """What a reader that connects again has seen; empty on its first connection."""
    return next((value.decode("latin-1") for name, value in headers if name == b"last-event-id"), "")
