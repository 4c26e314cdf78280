"""Open event streams, and what is written to all of them when the snapshot changes.

A stream only says that something has changed; whoever listens fetches it. So nothing is lost if events are merged.
"""

import asyncio
import time
from collections.abc import Callable
from contextlib import suppress

from bot.http.middleware.bodies import Send

MAX_STREAMS = 10_000  # of one process
KEEP_ALIVE_SECONDS = 15.0
_KEEP_ALIVE = b":\n\n"
_BATCH = 100  # streams written to before other requests get their turn


class OpenStream:
    """One stream. `expires_at` is in seconds since 1970; None: it never ends by itself."""

    def __init__(self, send: Send, expires_at: float | None) -> None:
        self.expires_at = expires_at
        self._send = send
        self._sending: asyncio.Task[None] | None = None
        self._unsent = b""
        self._is_closed = False

    def write(self, event: bytes) -> None:
        """Send `event`. While the reader does not read, only the newest change is kept for it."""
        if self._sending is None or self._sending.done():
            self._sending = asyncio.create_task(self._send_body(event, more=True))
        elif event != _KEEP_ALIVE:
            self._unsent = event

    def close(self) -> None:
        """End the response; the reader connects again."""
        if not self._is_closed:
            self._is_closed = True
            self._closing = asyncio.create_task(self._send_body(b"", more=False))

    async def _send_body(self, body: bytes, *, more: bool) -> None:
        while not (self._is_closed and more):
            await self._send({"type": "http.response.body", "body": body, "more_body": more})
            body, self._unsent = self._unsent, b""
            if not body:
                return


class ChangeStreams:
    """All open streams of this process. Used from the event loop, except for `notify`."""

    def __init__(self, get_etag: Callable[[], str], now: Callable[[], float] = time.time) -> None:
        """`get_etag` returns the ETag of the current snapshot document."""
        self.get_etag, self._now = get_etag, now
        self._streams: set[OpenStream] = set()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._changed = asyncio.Event()
        self._broadcast: asyncio.Task[None] | None = None
        self._is_closed = False
        self.opened_count = 0

    @property
    def open_count(self) -> int:
        """How many streams are open now."""
        return len(self._streams)

    @property
    def is_full(self) -> bool:
        """Whether no more streams may be opened."""
        return self._is_closed or len(self._streams) >= MAX_STREAMS

    def notify(self) -> None:
        """What is served may have changed; from any thread."""
        if self._loop is not None:
            with suppress(RuntimeError):  # the loop has ended, and the streams with it
                self._loop.call_soon_threadsafe(self._changed.set)

    def open(self, send: Send, seen: str, expires_at: float | None) -> OpenStream:
        """Add a stream, whose response has begun. `seen` is the ETag of what its reader knows; if that is not current,
        the reader is told at once."""
        stream = OpenStream(send, expires_at)
        self._streams.add(stream)
        self.opened_count += 1
        etag = self.get_etag()
        # Not all at the same moment after a restart: between 1 and 3 seconds.
        retry = b"retry: %d\n" % (1_000 + self.opened_count % 21 * 100)
        stream.write(retry + (f"id: {etag}\n\n".encode() if seen == etag else format_change(etag, self._now())))
        if self._broadcast is None or self._broadcast.done():
            self._loop = asyncio.get_running_loop()
            self._broadcast = asyncio.create_task(self._tell_changes(etag))
        return stream

    def remove(self, stream: OpenStream) -> None:
        """Forget a stream whose reader has gone."""
        self._streams.discard(stream)

    def close_all(self) -> None:
        """End all streams; no more are opened."""
        self._is_closed = True
        for stream in tuple(self._streams):
            stream.close()

    async def _tell_changes(self, etag: str) -> None:
        """Write every change to every stream, and something every `KEEP_ALIVE_SECONDS`, while there are any."""
        loop = asyncio.get_running_loop()
        keep_alive_at = loop.time() + KEEP_ALIVE_SECONDS
        while self._streams:
            with suppress(TimeoutError):
                async with asyncio.timeout_at(keep_alive_at):
                    await self._changed.wait()
            self._changed.clear()
            before, etag = etag, self.get_etag()
            if etag != before:
                await self._write_to_all(format_change(etag, self._now()))
            elif loop.time() < keep_alive_at:
                continue
            else:
                self._close_expired()
                await self._write_to_all(_KEEP_ALIVE)
            keep_alive_at = loop.time() + KEEP_ALIVE_SECONDS

    async def _write_to_all(self, event: bytes) -> None:
        for number, stream in enumerate(tuple(self._streams), 1):
            stream.write(event)
            if number % _BATCH == 0:
                await asyncio.sleep(0)

    def _close_expired(self) -> None:
        now = self._now()
        for stream in tuple(self._streams):
            if stream.expires_at is not None and stream.expires_at <= now:
                stream.close()


def format_change(etag: str, at: float) -> bytes:
    """The event that asks providers to fetch all evaluations again (OFREP, ADR 8)."""
    data = f'{{"type":"refetchEvaluation","etag":"\\"{etag}\\"","lastModified":{int(at)}}}'
    return f"id: {etag}\nevent: message\ndata: {data}\n\n".encode()
