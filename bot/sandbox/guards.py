"""Request guards: loopback only, own host name only, no foreign origin, a token for every change by the page."""

import ipaddress
import secrets
from urllib.parse import urlsplit

from starlette.responses import PlainTextResponse
from starlette.types import ASGIApp, Receive, Scope, Send

_POLICY = "; ".join(
    (
        "default-src 'none'",
        "script-src 'self'",
        "style-src 'self'",
        "connect-src 'self'",
        "img-src 'self' data: http://127.0.0.1:* http://localhost:*",
        "form-action 'none'",
        "base-uri 'none'",
        "frame-ancestors 'none'",
    )
)
_HEADERS = (
    (b"content-security-policy", _POLICY.encode()),
    (b"x-content-type-options", b"nosniff"),
    (b"referrer-policy", b"no-referrer"),
)


def refuse_beyond_loopback(host: str) -> None:
    """Raise ValueError for an address that other machines could reach."""
    if host != "localhost" and not ipaddress.ip_address(host).is_loopback:
        raise ValueError(f"the sandbox has no passwords, so it binds to loopback only, not to {host}; use 127.0.0.1")


class RequestGuard:
    """ASGI middleware that checks Host and Origin of every request, and the page's token on its POST requests."""

    def __init__(self, app: ASGIApp, token: str) -> None:
        self._app = app
        self._token = token

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on and add security headers to the response, or refuse it with 403."""
        if scope["type"] not in ("http", "websocket"):
            await self._app(scope, receive, send)
            return
        headers = {name.decode("latin-1"): value.decode("latin-1") for name, value in scope["headers"]}
        reason = self._find_objection(scope, headers)
        if reason and scope["type"] == "websocket":
            await send({"type": "websocket.close", "code": 1008})
        elif reason:
            await PlainTextResponse(reason, status_code=403)(scope, receive, send)
        else:
            await self._app(scope, receive, _add_security_headers(send))

    def _find_objection(self, scope: Scope, headers: dict[str, str]) -> str:
        host, origin = headers.get("host", ""), headers.get("origin")
        if not _is_loopback_name(urlsplit(f"//{host}").hostname):
            return "this host name does not belong to the sandbox"
        if origin is not None and origin != f"http://{host}":
            return "requests from other pages are refused"
        path = str(scope["path"])
        from_page = path.startswith("/sandbox/") and scope.get("method") == "POST"
        if from_page and not secrets.compare_digest(headers.get("x-sandbox-token", ""), self._token):
            return "the page's token is missing or old; reload the page"
        return ""


def _is_loopback_name(name: str | None) -> bool:
    if not name:
        return False
    try:
        refuse_beyond_loopback(name)
    except ValueError:
        return False
    return True


def _add_security_headers(send: Send) -> Send:
    async def send_with_headers(message: dict[str, object]) -> None:
        if message["type"] == "http.response.start":
            given = message.get("headers") or []
            message = {**message, "headers": [*given, *_HEADERS]}  # type: ignore[misc]
        await send(message)

    return send_with_headers  # type: ignore[return-value]
