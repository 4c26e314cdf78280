"""Request bodies, bounded: nothing is kept of those that are too large, not let in or too many at a time."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping, MutableMapping
from contextlib import suppress
from typing import Any, TypeAlias, assert_never

from starlette.responses import JSONResponse

from bot.http.auth import Denied
from bot.http.problems import denial, problem

Message: TypeAlias = MutableMapping[str, Any]
Scope: TypeAlias = MutableMapping[str, Any]
Receive: TypeAlias = Callable[[], Awaitable[Message]]
Send: TypeAlias = Callable[[Message], Awaitable[None]]
App: TypeAlias = Callable[[Scope, Receive, Send], Awaitable[None]]

LIMIT = 1024 * 1024
WITHIN = 30.0  # seconds for a whole body
IDLE = 10.0  # seconds in which something of it has to come
MOST = 64 * LIMIT
"""So many bytes of bodies are worked on at a time."""
DRAINED = 32 * LIMIT
"""A sender that is cut off in the middle sees a broken connection, not the answer; so up to here it may finish."""


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
    """The bodies that are being worked on take all the memory that is set aside for them."""

    def __init__(self) -> None:
        super().__init__("Too many large requests are being worked on, so nothing of this one was read.")
        self.hint = "Send it again in a second."


class Disconnected(Exception):
    """The other side left before its body was complete."""


async def read(scope: Scope, receive: Receive, limit: int = LIMIT, within: float = WITHIN, idle: float = IDLE) -> bytes:
    """The whole body: TooLarge beyond `limit` bytes, TooSlow after `within` seconds or `idle` ones without a byte,
    Encoded where it is compressed, Disconnected without a sender."""
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
    """Read and forget, so that the sender sees the answer."""
    size, more = 0, True
    while more and size <= DRAINED:
        message = await receive()
        size += len(message.get("body", b""))
        more = message.get("more_body", False) and message["type"] != "http.disconnect"


def _encoding(scope: Scope) -> str:
    """How the body is compressed; empty where it is not."""
    for name, value in scope["headers"]:
        if name == b"content-encoding" and value.strip().lower() not in (b"", b"identity"):
            return str(value.decode("latin-1")[:40])
    return ""


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


class Limited:
    """ASGI: `inner`, with every body read before it is called.

    `admit` is asked first and raises `Denied`: nothing is kept of a body whose sender is not let in. 413 over the limit
    (`larger`: other limits, by path), 408 if it takes too long, 415 if it is compressed, 503 while `most` bytes of
    bodies are being worked on.
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
