"""Reads request bodies within limits of size, time and total memory, and only from authorized senders."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping, MutableMapping
from contextlib import suppress
from typing import Any, TypeAlias, assert_never

from starlette.responses import JSONResponse

from bot.http.middleware.auth import Denied
from bot.http.middleware.problems import denial, problem

Message: TypeAlias = MutableMapping[str, Any]
Scope: TypeAlias = MutableMapping[str, Any]
Receive: TypeAlias = Callable[[], Awaitable[Message]]
Send: TypeAlias = Callable[[Message], Awaitable[None]]
App: TypeAlias = Callable[[Scope, Receive, Send], Awaitable[None]]

LIMIT = 1024 * 1024
WITHIN = 30.0  # seconds for a whole body
IDLE = 10.0  # seconds in which something of it has to come
MOST = 64 * LIMIT
"""Bytes of request bodies in memory at a time, over all requests."""
DRAINED = 32 * LIMIT
"""An oversized body is read and discarded up to here, as a sender that is cut off would not see the answer."""


class TooLarge(Exception):
    """The body is over the limit."""

    def __init__(self, limit: int) -> None:
        super().__init__(f"The body is over the limit of {limit:,} bytes.")
        self.limit = limit
        self.hint = "Send smaller batches: a few hundred observations each go through fastest."


class TooSlow(Exception):
    """The body did not arrive in time, or nothing more of it came."""

    def __init__(self, seconds: float, *, idle: bool = False) -> None:
        said = f"Nothing of the body arrived for {seconds:g} s." if idle else ""
        super().__init__(said or f"The body did not arrive within {seconds:g} s.")
        self.hint = "Send it again in one go."


class Encoded(Exception):
    """The body is compressed."""

    def __init__(self, encoding: str) -> None:
        super().__init__(f"The body has Content-Encoding: {encoding}, which is not read here.")
        self.hint = "Send it as it is, without Content-Encoding."


class TooMany(Exception):
    """The bodies in progress use up the memory allotted to them."""

    def __init__(self) -> None:
        super().__init__("Too many large requests are being worked on, so nothing of this one was read.")
        self.hint = "Send it again in a second."


class Disconnected(Exception):
    """The sender disconnected before its body was complete."""


async def read(scope: Scope, receive: Receive, limit: int = LIMIT, within: float = WITHIN, idle: float = IDLE) -> bytes:
    """The whole body. Raises BodyTooLarge beyond `limit` bytes, BodyTooSlow after `within` seconds or `idle` seconds
    without a byte, BodyEncoded if it is compressed, and SenderDisconnected."""
    now = asyncio.get_running_loop().time
    ends = now() + within
    try:
        async with asyncio.timeout(min(idle, within)) as patience:

            async def heard() -> Message:
                message = await receive()
                patience.reschedule(min(ends, now() + idle))
                return message

            if encoding := _encoding(scope):
                await _drain(heard)
                raise Encoded(encoding)
            return await _whole(scope, heard, limit)
    except TimeoutError:
        raise (TooSlow(within) if now() >= ends else TooSlow(idle, idle=True)) from None


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


async def _drain(receive: Receive) -> None:
    """Read and discard the body, so that the sender gets to see the answer."""
    size, more = 0, True
    while more and size <= DRAINED:
        message = await receive()
        size += len(message.get("body", b""))
        more = message.get("more_body", False) and message["type"] != "http.disconnect"


def _encoding(scope: Scope) -> str:
    """The body's Content-Encoding; empty if it is not encoded."""
    for name, value in scope["headers"]:
        if name == b"content-encoding" and value.strip().lower() not in (b"", b"identity"):
            return str(value.decode("latin-1")[:40])
    return ""


def declared(scope: Scope) -> int:
    """The declared Content-Length in bytes; 0 without a valid one."""
    for name, value in scope["headers"]:
        if name == b"content-length":
            return int(value) if value.isdigit() else 0
    return 0


def replayed(body: bytes, receive: Receive) -> Receive:
    """A `receive` that first returns the body read already, then continues with the original `receive`."""
    given = False

    async def again() -> Message:
        nonlocal given
        if given:
            return await receive()
        given = True
        return {"type": "http.request", "body": body, "more_body": False}

    return again


class Limited:
    """ASGI middleware that reads the whole body before it calls `inner`.

    `authorize` runs first and may raise `AccessDenied`, so that nothing is kept of an unauthorized body. Answers 413
    over the limit (`larger_limits` has others by path), 408 if the body is too slow, 415 if it is compressed, and 503
    while `max_bytes` of bodies are in progress.
    """

    def __init__(self, inner: App, admit: Callable[[Scope], None], larger: Mapping[str, int], most: int = MOST) -> None:
        self._inner, self._admit, self._larger, self._most = inner, admit, larger, most
        self._taken = 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or scope["method"] in ("GET", "HEAD", "OPTIONS"):
            await self._inner(scope, receive, send)
            return
        limit = self._larger.get(scope["path"], LIMIT)
        size = min(declared(scope), limit) if _is_declared(scope) else limit
        try:
            self._admit(scope)
            self._take(size)
            try:
                body = await read(scope, receive, limit)
                await self._inner(scope, replayed(body, receive), send)
            finally:
                self._taken -= size
        except Disconnected:
            return
        except (Denied, TooLarge, TooSlow, TooMany, Encoded) as error:
            if isinstance(error, Denied | TooMany):
                await _drain_for(receive, WITHIN)
            await _refused(error)(scope, receive, send)

    def _take(self, size: int) -> None:
        if self._taken + size > self._most:
            raise TooMany
        self._taken += size


async def _drain_for(receive: Receive, seconds: float) -> None:
    with suppress(TimeoutError):
        async with asyncio.timeout(seconds):
            await _drain(receive)


def _is_declared(scope: Scope) -> bool:
    return any(name == b"content-length" for name, _ in scope["headers"])


def _refused(error: Denied | TooLarge | TooSlow | TooMany | Encoded) -> JSONResponse:
    match error:
        case Denied():
            return denial(error)
        case TooLarge():
            return problem(413, "too_large", str(error), error.hint)
        case TooSlow():
            return problem(408, "too_slow", str(error), error.hint, headers={"connection": "close"})
        case TooMany():
            return problem(503, "unavailable", str(error), error.hint, headers={"Retry-After": "1"})
        case Encoded():
            return problem(415, "encoded", str(error), error.hint, headers={"Accept-Encoding": "identity"})
        case _:
            assert_never(error)
