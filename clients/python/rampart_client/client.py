"""The client: evaluates in process, and reports what happened. For threads and for asyncio."""

import asyncio
import atexit
import os
import re
import socket
import time
import weakref
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Any, Self
from uuid import uuid4

import httpx

from rampart_client.connection import Connection
from rampart_client.evaluation import Evaluation, NoSnapshot, UnknownSurface
from rampart_client.follower import SnapshotFollower
from rampart_client.freshness import elapsed_seconds
from rampart_client.observations import ObservationSender

START_TIMEOUT = 5.0
CLOSE_TIMEOUT = 2.0
_NO_CONTEXT: Mapping[str, Any] = {}


class RampartClient:
    """Evaluates by a snapshot that it keeps fresh from threads of its own. `evaluate` and `observe` never wait.

    While it is out of touch with Rampart for longer than fifteen seconds everybody gets the live version. Make one for
    a process, and close it: it then sends what waits and tells Rampart that it serves nobody any more.
    """

    def __init__(
        self,
        url: str,
        token: str = "",
        *,
        snapshot_file: str | os.PathLike[str] | None = None,
        listen: bool = True,
        transport: Callable[[], httpx.BaseTransport] | None = None,
        elapsed: Callable[[], float] = elapsed_seconds,
    ) -> None:
        """`token` needs the role `snapshot`, and `ingest` to observe. `snapshot_file` keeps the newest snapshot for a
        start without Rampart. Without `listen` changes are found by polls alone, within five seconds. `transport`
        makes the HTTP transport, as for a proxy of your own. `elapsed` is a monotonic clock, in seconds."""
        self._url, self._token, self._transport, self._elapsed = url, token, transport, elapsed
        self._path = Path(snapshot_file) if snapshot_file is not None else None
        self._listens = listen
        self._change_listeners: list[Callable[[], None]] = []
        self._stale_listeners: list[Callable[[], None]] = []
        self._is_started = self._is_closed = False
        self._build_parts()
        _CLIENTS.add(self)

    def start(self, timeout: float = START_TIMEOUT) -> bool:
        """Begin to follow Rampart; returns whether it has answered within `timeout` seconds. Calling it again does
        nothing. Without an answer the live versions of the kept snapshot are served, and it goes on trying."""
        if self._is_started:
            return self.is_in_touch
        self._is_started = True
        atexit.register(self.close)
        return self._follower.start(timeout)

    def evaluate(self, surface: str, unit: str | None, context: Mapping[str, Any] = _NO_CONTEXT) -> Evaluation:
        """Which version of `surface` this unit gets; `context` decides cohorts. Raises NoSnapshot, UnknownSurface."""
        follower = self._follower
        try:
            rule = follower.rules[surface]  # type: ignore[index]
        except (KeyError, TypeError):
            raise self._explain_missing(surface) from None
        if self._elapsed() > follower.fresh_until:
            return rule.live
        return rule.choose(unit, context)

    def observe(
        self,
        evaluation: Evaluation,
        unit: str,
        metrics: Mapping[str, float | bool | None] | None = None,
        *,
        segments: Mapping[str, str] | None = None,
        error_category: str | None = None,
        observation_id: str | None = None,
    ) -> None:
        """Report what a request showed; it is sent soon, with others. `metrics` are those of the catalogue.

        Once for each request, as every observation counts as one. The time is now.
        """
        self.send_observation(
            {
                "surface": evaluation.surface,
                "unit": unit,
                "variant": evaluation.variant,
                "exposure": evaluation.exposure or None,
                "metrics": dict(metrics or {}),
                "segments": dict(segments) if segments else None,
                "error_category": error_category,
                "id": observation_id,
            }
        )

    def send_observation(self, fields: Mapping[str, Any]) -> None:
        """Send an observation with these fields of `POST /api/v1/observations`; those that are None are left out."""
        self._sender.add({"at": time.time(), **{name: value for name, value in fields.items() if value is not None}})

    @property
    def is_in_touch(self) -> bool:
        """Whether new versions are served; otherwise everybody gets the live one."""
        return self._follower.rules is not None and self._elapsed() <= self._follower.fresh_until

    @property
    def position(self) -> int:
        """The position of Rampart's log that is served."""
        return self._follower.position

    @property
    def observations(self) -> ObservationSender:
        """What became of observations: `accepted`, `rejected` and `dropped`."""
        return self._sender

    def on_change(self, listener: Callable[[], None]) -> None:
        """Call `listener` from another thread after evaluations may have changed."""
        self._change_listeners.append(listener)

    def on_stale(self, listener: Callable[[], None]) -> None:
        """Call `listener` from another thread when everybody begins to get the live version for want of answers."""
        self._stale_listeners.append(listener)

    def flush(self, timeout: float = CLOSE_TIMEOUT) -> bool:
        """Send the observations that wait; returns whether all were sent within `timeout` seconds."""
        return self._sender.flush(timeout)

    def close(self, timeout: float = CLOSE_TIMEOUT) -> None:
        """Send what waits, for up to `timeout` seconds, and stop. Evaluations then get the live version."""
        if self._is_closed:
            return
        self._is_closed = True
        atexit.unregister(self.close)
        self._follower.stop()
        self._sender.stop(timeout)
        if self._is_started:
            # Without an answer a rollback waits until this client counts as silent.
            with suppress(httpx.HTTPError, RuntimeError):
                self._connection.say_goodbye()
        self._connection.close()

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    async def __aenter__(self) -> Self:
        await asyncio.to_thread(self.start)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await asyncio.to_thread(self.close)

    def _build_parts(self) -> None:
        self._connection = Connection(
            self._url, self._token, _make_client_id(), self._transport() if self._transport is not None else None
        )
        self._follower = SnapshotFollower(
            self._connection, path=self._path, listens=self._listens, elapsed=self._elapsed
        )
        self._follower.on_change(lambda: _call_each(self._change_listeners))
        self._follower.on_stale(lambda: _call_each(self._stale_listeners))
        self._sender = ObservationSender(self._connection)

    def _begin_again(self) -> None:
        """In a forked child, which has none of the threads and must not share connections: begin anew with the snapshot
        that is held."""
        if self._is_closed:
            return
        before = self._follower
        self._build_parts()
        self._follower.take_over(before)
        if self._is_started:
            self._follower.start(timeout=0.0)

    def _explain_missing(self, surface: str) -> LookupError:
        if self._follower.rules is None and (problem := self._follower.last_problem):
            return NoSnapshot(f"There is no snapshot of {self._url} yet (see the log): {problem}")
        if self._follower.rules is None:
            return NoSnapshot(
                f"There is no snapshot of {self._url} yet: call start() first, and see the log for why there is none."
            )
        return UnknownSurface(f'There is no surface "{surface}": apply its file first.')


def _make_client_id() -> str:
    host = re.sub(r"[^\w.-]", "-", socket.gethostname(), flags=re.ASCII)[:60]
    return f"{host}:{os.getpid()}:{uuid4().hex[:12]}"


def _call_each(listeners: list[Callable[[], None]]) -> None:
    for listener in tuple(listeners):
        listener()


def _begin_all_again() -> None:
    for client in tuple(_CLIENTS):
        client._begin_again()


_CLIENTS: weakref.WeakSet[RampartClient] = weakref.WeakSet()
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_begin_all_again)
