"""A deadline for the head of a request: who connects and sends none, or half of one, is hung up on."""

import asyncio
from typing import Any

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

WITHIN = 30.0  # seconds for a whole head


class Impatient(HttpToolsProtocol):
    """Waits for a head from when somebody connects, or begins another request, until it is complete."""

    within = WITHIN
    _patience: asyncio.TimerHandle | None = None
    _is_in_head = False

    def connection_made(self, transport: Any) -> None:
        super().connection_made(transport)
        self._wait()

    def connection_lost(self, exc: Exception | None) -> None:
        self._stop_waiting()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        super().data_received(data)
        # Only now, as nearly every head comes in one piece and needs no timer.
        if self._is_in_head and self._patience is None:
            self._wait()

    def on_message_begin(self) -> None:
        self._is_in_head = True
        super().on_message_begin()

    def on_headers_complete(self) -> None:
        self._is_in_head = False
        if self._patience is not None:
            self._stop_waiting()
        super().on_headers_complete()

    def _wait(self) -> None:
        self._patience = self.loop.call_later(self.within, self._hang_up)

    def _stop_waiting(self) -> None:
        if self._patience is not None:
            self._patience.cancel()
            self._patience = None

    def _hang_up(self) -> None:
        self._patience = None
        if not self.transport.is_closing():
            self.transport.close()
