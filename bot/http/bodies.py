"""Request bodies, bounded: what is too large is drained and refused, what takes too long is not waited for."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping, MutableMapping
from typing import Any, TypeAlias

from starlette.responses import JSONResponse

Message: TypeAlias = MutableMapping[str, Any]
Scope: TypeAlias = MutableMapping[str, Any]
Receive: TypeAlias = Callable[[], Awaitable[Message]]
Send: TypeAlias = Callable[[Message], Awaitable[None]]
App: TypeAlias = Callable[[Scope, Receive, Send], Awaitable[None]]

LIMIT = 1024 * 1024
WITHIN = 30.0  # seconds for a whole body
DRAINED = 32 * LIMIT
"""A sender that is cut off in the middle sees a broken connection, not the answer; so up to here it may finish."""


class TooLarge(Exception):
    """The body is over the limit."""

    def __init__(self, limit: int) -> None:
        super().__init__(f"The body is over the limit of {limit:,} bytes.")
        self.limit = limit
        self.hint = "Send smaller batches: a few hundred observations each go through fastest."


class TooSlow(Exception):
    """The body did not arrive in time."""

    def __init__(self, seconds: float) -> None:
        super().__init__(f"The body did not arrive within {seconds:g} s.")
        self.hint = "Send it again in one go."


class Disconnected(Exception):
    """The other side left before its body was complete."""


async def read(scope: Scope, receive: Receive, limit: int = LIMIT, within: float = WITHIN) -> bytes:
    """The whole body: TooLarge beyond `limit` bytes, TooSlow after `within` seconds, Disconnected without a sender."""
    try:
        async with asyncio.timeout(within):
            return await _whole(scope, receive, limit)
    except TimeoutError:
        raise TooSlow(within) from None


async def _whole(scope: Scope, receive: Receive, limit: int) -> bytes:
    message = await receive()
    if not message.get("more_body", False) and message["type"] == "http.request":
        body: bytes = message.get("body", b"")
        if len(body) > limit:
            raise TooLarge(limit)
        return body
    if declared(scope) > DRAINED:
        raise TooLarge(limit)
    chunks: list[bytes] = []
    size = 0
    while True:
        if message["type"] == "http.disconnect":
            raise Disconnected
        size += len(message.get("body", b""))
        if size <= limit:
            chunks.append(message.get("body", b""))
        else:
            chunks.clear()
        if not message.get("more_body", False) or size > DRAINED:
            break
        message = await receive()
    if size > limit:
        raise TooLarge(limit)
    return b"".join(chunks)


def declared(scope: Scope) -> int:
    """The content length the sender announced; 0 where it did not."""
    for name, value in scope["headers"]:
        if name == b"content-length":
            return int(value) if value.isdigit() else 0
    return 0


def replayed(body: bytes, receive: Receive) -> Receive:
    """A `receive` that gives a body that was read already, and then what `receive` gives."""
    given = False

    async def again() -> Message:
        nonlocal given
        if given:
            return await receive()
        given = True
        return {"type": "http.request", "body": body, "more_body": False}

    return again


def limited(inner: App, larger: Mapping[str, int]) -> App:
    """`inner`, with every body read before it is called: 413 over the limit (`larger`: other limits, by path), 408 if
    it takes too long."""

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or scope["method"] in ("GET", "HEAD", "OPTIONS"):
            await inner(scope, receive, send)
            return
        try:
            body = await read(scope, receive, larger.get(scope["path"], LIMIT))
        except (TooLarge, TooSlow) as error:
            status, code = (413, "too_large") if isinstance(error, TooLarge) else (408, "too_slow")
            refused = JSONResponse(
                {"code": code, "message": str(error), "hint": error.hint},
                status,
                {"connection": "close"} if status == 408 else None,
            )
            await refused(scope, receive, send)
            return
        except Disconnected:
            return
        await inner(scope, replayed(body, receive), send)

    return app
