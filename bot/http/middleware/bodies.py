"""Reads request bodies within limits of size, time and total memory, and only from authorized senders."""

import asyncio
from collections.abc import Awaitable, Callable, Collection, Coroutine, Generator, Mapping, MutableMapping
from contextlib import suppress
from types import CoroutineType, coroutine
from typing import Any, TypeAlias, assert_never

from starlette.responses import JSONResponse

from bot.http.middleware.auth import AccessDenied
from bot.http.middleware.problems import build_denial, build_problem

AsgiMessage: TypeAlias = MutableMapping[str, Any]
Scope: TypeAlias = MutableMapping[str, Any]
Receive: TypeAlias = Callable[[], Awaitable[AsgiMessage]]
Send: TypeAlias = Callable[[AsgiMessage], Awaitable[None]]
AsgiApp: TypeAlias = Callable[[Scope, Receive, Send], Awaitable[None]]

BODY_LIMIT = 1024 * 1024
BODY_TIMEOUT = 30.0  # seconds for a whole body
IDLE = 10.0  # seconds in which something of it has to come
MAX_BYTES_AT_ONCE = 64 * BODY_LIMIT
"""Bytes of request bodies in memory at a time, over all requests."""
DRAIN_LIMIT = 32 * BODY_LIMIT
"""An oversized body is read and discarded up to here, as a sender that is cut off would not see the answer."""


class BodyTooLarge(Exception):
    """The body is over the limit."""

    def __init__(self, limit: int) -> None:
        super().__init__(f"The body is over the limit of {limit:,} bytes.")
        self.limit = limit
        self.hint = "Send smaller batches: a few hundred observations each go through fastest."


class BodyTooSlow(Exception):
    """The body did not arrive in time, or nothing more of it came."""

    def __init__(self, seconds: float, *, idle: bool = False) -> None:
        said = f"Nothing of the body arrived for {seconds:g} s." if idle else ""
        super().__init__(said or f"The body did not arrive within {seconds:g} s.")
        self.hint = "Send it again in one go."


class BodyEncoded(Exception):
    """The body is compressed."""

    def __init__(self, encoding: str) -> None:
        super().__init__(f"The body has Content-Encoding: {encoding}, which is not supported here.")
        self.hint = "Send it uncompressed, without Content-Encoding."


class TooManyBodies(Exception):
    """The bodies in progress use up the memory allotted to them."""

    def __init__(self) -> None:
        super().__init__("Too many large requests are in progress, so this one was not read.")
        self.hint = "Send it again in a second."


class SenderDisconnected(Exception):
    """The sender disconnected before its body was complete."""


async def read_body(
    scope: Scope,
    receive: Receive,
    limit: int = BODY_LIMIT,
    seconds: float = BODY_TIMEOUT,
    *,
    takes_gzip: bool = False,
) -> bytes:
    """The whole body. Raises BodyTooLarge beyond `limit` bytes, BodyTooSlow after `seconds` seconds or `IDLE` seconds
    without a byte, BodyEncoded if it is compressed (unless by gzip, where `takes_gzip`), and SenderDisconnected."""
    encoding = _find_encoding(scope)
    is_refused = bool(encoding) and not (takes_gzip and encoding.strip().lower() == "gzip")
    # Nearly every body came together with its head: taken as it is, without timers that cost more than all the rest.
    begun = receive()
    if isinstance(begun, CoroutineType):
        try:
            waits_for = begun.send(None)
        except StopIteration as finished:
            if _is_whole_body(finished.value) and not is_refused:
                return _check_size(finished.value, limit)
            begun = _return_message(finished.value)
        else:
            begun = _continue_coroutine(begun, waits_for)
    receive = _receive_begun(begun, receive)
    now = asyncio.get_running_loop().time
    ends = now() + seconds
    try:
        async with asyncio.timeout(min(IDLE, seconds)) as patience:

            async def heard() -> AsgiMessage:
                message = await receive()
                patience.reschedule(min(ends, now() + IDLE))
                return message

            if is_refused:
                await _drain_body(heard)
                raise BodyEncoded(encoding)
            return await _read_whole_body(scope, heard, limit)
    except TimeoutError:
        raise (BodyTooSlow(seconds) if now() >= ends else BodyTooSlow(IDLE, idle=True)) from None


async def _read_whole_body(scope: Scope, receive: Receive, limit: int) -> bytes:
    message = await receive()
    if _is_whole_body(message):
        return _check_size(message, limit)
    if parse_content_length(scope) > DRAIN_LIMIT:
        raise BodyTooLarge(limit)
    chunks: list[bytes] = []
    size = 0
    while True:
        if message["type"] == "http.disconnect":
            raise SenderDisconnected
        size += len(message.get("body", b""))
        if size <= limit:
            chunks.append(message.get("body", b""))
        else:
            chunks.clear()
        if not message.get("more_body", False) or size > DRAIN_LIMIT:
            break
        message = await receive()
    if size > limit:
        raise BodyTooLarge(limit)
    return b"".join(chunks)


def _is_whole_body(message: AsgiMessage) -> bool:
    return message["type"] == "http.request" and not message.get("more_body", False)


def _check_size(message: AsgiMessage, limit: int) -> bytes:
    body: bytes = message.get("body", b"")
    if len(body) > limit:
        raise BodyTooLarge(limit)
    return body


def _receive_begun(begun: Awaitable[AsgiMessage], receive: Receive) -> Receive:
    """A `receive` whose first message is one that was asked for already."""
    first: list[Awaitable[AsgiMessage]] = [begun]

    def receive_next() -> Awaitable[AsgiMessage]:
        return first.pop() if first else receive()

    return receive_next


async def _return_message(message: AsgiMessage) -> AsgiMessage:
    return message


@coroutine
def _continue_coroutine(begun: Coroutine[Any, Any, AsgiMessage], waits_for: Any) -> Generator[Any, Any, AsgiMessage]:
    """Wait for a coroutine that was begun by hand and waits for `waits_for` now."""
    while True:
        try:
            try:
                sent = yield waits_for
            except BaseException as thrown:  # noqa: BLE001 - such as a cancellation: the coroutine answers it
                waits_for = begun.throw(thrown)
            else:
                waits_for = begun.send(sent)
        except StopIteration as finished:
            message: AsgiMessage = finished.value
            return message


async def _drain_body(receive: Receive) -> None:
    """Read and discard the body, so that the sender gets to see the answer."""
    size, more = 0, True
    while more and size <= DRAIN_LIMIT:
        message = await receive()
        size += len(message.get("body", b""))
        more = message.get("more_body", False) and message["type"] != "http.disconnect"


def _find_encoding(scope: Scope) -> str:
    """The body's Content-Encoding; empty if it is not encoded."""
    for name, value in scope["headers"]:
        if name == b"content-encoding" and value.strip().lower() not in (b"", b"identity"):
            return str(value.decode("latin-1")[:40])
    return ""


def parse_content_length(scope: Scope) -> int:
    """The declared Content-Length in bytes; 0 without a valid one."""
    for name, value in scope["headers"]:
        if name == b"content-length":
            return int(value) if value.isdigit() else 0
    return 0


def replay_body(body: bytes, receive: Receive) -> Receive:
    """A `receive` that first returns the body read already, then continues with the original `receive`."""
    given = False

    async def receive_again() -> AsgiMessage:
        nonlocal given
        if given:
            return await receive()
        given = True
        return {"type": "http.request", "body": body, "more_body": False}

    return receive_again


class BodyLimiter:
    """ASGI middleware that reads the whole body before it calls `inner`.

    `authorize` runs first and may raise `AccessDenied`, so that nothing is kept of an unauthorized body. Answers 413
    over the limit (`larger_limits` has others by path), 408 if the body is too slow, 415 if it is compressed (except by
    gzip at `gzip_paths`, which inflate it themselves), and 503 while `max_bytes` of bodies are in progress.
    """

    def __init__(
        self,
        inner: AsgiApp,
        authorize: Callable[[Scope], None],
        larger_limits: Mapping[str, int],
        max_bytes: int = MAX_BYTES_AT_ONCE,
        gzip_paths: Collection[str] = (),
    ) -> None:
        self._inner, self._authorize, self._larger_limits, self._max_bytes = inner, authorize, larger_limits, max_bytes
        self._gzip_paths = gzip_paths
        self._reserved_bytes = 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or scope["method"] in ("GET", "HEAD", "OPTIONS"):
            await self._inner(scope, receive, send)
            return
        limit = self._larger_limits.get(scope["path"], BODY_LIMIT)
        size = min(parse_content_length(scope), limit) if _has_content_length(scope) else limit
        try:
            self._authorize(scope)
            self._reserve_bytes(size)
            try:
                body = await read_body(scope, receive, limit, takes_gzip=scope["path"] in self._gzip_paths)
                await self._inner(scope, replay_body(body, receive), send)
            finally:
                self._reserved_bytes -= size
        except SenderDisconnected:
            return
        except (AccessDenied, BodyTooLarge, BodyTooSlow, TooManyBodies, BodyEncoded) as error:
            if isinstance(error, AccessDenied | TooManyBodies):
                await _drain_body_within(receive, BODY_TIMEOUT)
            await _build_error_response(error)(scope, receive, send)

    def _reserve_bytes(self, size: int) -> None:
        if self._reserved_bytes + size > self._max_bytes:
            raise TooManyBodies
        self._reserved_bytes += size


async def _drain_body_within(receive: Receive, seconds: float) -> None:
    with suppress(TimeoutError):
        async with asyncio.timeout(seconds):
            await _drain_body(receive)


def _has_content_length(scope: Scope) -> bool:
    return any(name == b"content-length" for name, _ in scope["headers"])


def _build_error_response(
    error: AccessDenied | BodyTooLarge | BodyTooSlow | TooManyBodies | BodyEncoded,
) -> JSONResponse:
    match error:
        case AccessDenied():
            return build_denial(error)
        case BodyTooLarge():
            return build_problem(413, "too_large", str(error), error.hint)
        case BodyTooSlow():
            return build_problem(408, "too_slow", str(error), error.hint, headers={"connection": "close"})
        case TooManyBodies():
            return build_problem(503, "unavailable", str(error), error.hint, headers={"Retry-After": "1"})
        case BodyEncoded():
            return build_problem(415, "encoded", str(error), error.hint, headers={"Accept-Encoding": "identity"})
        case _:
            assert_never(error)
