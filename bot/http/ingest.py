"""The door for observations: each batch is checked on its own, those that are ready are written in one transaction."""

import asyncio
import logging
import queue
import threading
from collections import Counter
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field
from datetime import datetime
from hashlib import sha256
from typing import Any

from sqlalchemy import Connection
from sqlalchemy.exc import SQLAlchemyError
from starlette.requests import Request
from starlette.responses import Response

from bot.http import observations
from bot.http.auth import Door, Role
from bot.http.observations import Checked, Rejected
from bot.http.problems import problem
from core.flags.placement import Uncounted
from core.flags.snapshot import Snapshot
from core.store import intake, reports, windows
from core.store.allowance import Allowances
from core.store.database import Database
from core.store.errors import Conflict, StoreError
from core.store.segments import Vocabulary

WAITING = 128  # batches; beyond that senders are asked to come again
LARGE = 128 * 1024  # bytes; batches beyond it are checked by a thread of their own, so that others need not wait
TOGETHER = 5000  # observations per transaction, about
LONGEST_KEY = 200
_log = logging.getLogger(__name__)


class Full(Exception):
    """More batches are waiting than can be written soon."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Batch:
    """One request. `key` is empty where the sender gave no Idempotency-Key."""

    body: bytes
    content_type: str
    token: str
    key: str
    answered: "Future[bytes]" = field(default_factory=Future)


@dataclass(frozen=True, slots=True, kw_only=True)
class Ready:
    """A batch whose items were checked against a snapshot."""

    batch: Batch
    items: Sequence[Any]
    snapshot: Snapshot
    checked: Checked

    def holds(self, snapshot: Snapshot) -> bool:
        """Whether what was found is what would be found by this one."""
        return self.snapshot is snapshot or self.snapshot.surfaces == snapshot.surfaces


class Intake:
    """Takes batches from any thread, checks them with two and writes them with one thread of its own. Close it to stop
    them.

    What an observation counts as is decided by the snapshot that holds when it is written: where another one holds by
    then than when it was checked, it is checked again. Its time, where it names none, is that of the check.
    """

    def __init__(self, database: Database, snapshot: Callable[[], Snapshot], now: Callable[[], datetime]) -> None:
        self._database = database
        self._snapshot = snapshot
        self._now = now
        self._small: queue.SimpleQueue[Batch | None] = queue.SimpleQueue()
        self._large: queue.SimpleQueue[Batch | None] = queue.SimpleQueue()
        self._ready: queue.SimpleQueue[Ready | None] = queue.SimpleQueue()
        self._room = threading.BoundedSemaphore(WAITING)
        self._starting = threading.Lock()
        self._checkers: Sequence[threading.Thread] = ()
        self._writer: threading.Thread | None = None
        self._segments = Vocabulary()
        self._allowances = Allowances()
        self.accepted = 0
        self.rejected = 0
        self.uncounted: Counter[Uncounted] = Counter()

    def submit(self, batch: Batch) -> "Future[bytes]":
        """The answer's future: done after the commit. Full when too many wait already."""
        with self._starting:
            if self._writer is None:
                self._writer = threading.Thread(target=self._write_ready, name="intake", daemon=True)
                self._checkers = [
                    threading.Thread(target=self._check_waiting, args=(lane,), name=f"check {name}", daemon=True)
                    for name, lane in (("small", self._small), ("large", self._large))
                ]
                for thread in (self._writer, *self._checkers):
                    thread.start()
        if not self._room.acquire(blocking=False):
            raise Full
        (self._large if len(batch.body) > LARGE else self._small).put(batch)
        return batch.answered

    def close(self) -> None:
        """Write what is waiting, then stop."""
        with self._starting:
            writer, self._writer = self._writer, None
            checkers, self._checkers = self._checkers, ()
        if writer is not None:
            for lane in (self._small, self._large):
                lane.put(None)
            for checker in checkers:
                checker.join()
            self._ready.put(None)
            writer.join()

    def _check_waiting(self, lane: "queue.SimpleQueue[Batch | None]") -> None:
        while (batch := lane.get()) is not None:
            try:
                found = observations.items(batch.body, batch.content_type)
                now, snapshot = self._now(), self._snapshot()
                checked = observations.check(found, snapshot, now)
            except Exception as error:  # noqa: BLE001 - whatever it is, the sender waits for an answer
                self._room.release()
                if batch.answered.set_running_or_notify_cancel():
                    batch.answered.set_exception(error)
            else:
                self._ready.put(Ready(batch=batch, items=found, snapshot=snapshot, checked=checked))

    def _write_ready(self) -> None:
        while (first := self._ready.get()) is not None:
            ready = [first]
            last = False
            size = len(first.batch.body)
            # About 200 bytes an observation: a bound on the transaction, not a promise.
            while size < TOGETHER * 200:
                try:
                    following = self._ready.get_nowait()
                except queue.Empty:
                    break
                if following is None:
                    last = True
                    break
                ready.append(following)
                size += len(following.batch.body)
            self._room.release(len(ready))
            self._take(ready)
            if last:
                return

    def _take(self, ready: Sequence[Ready]) -> None:
        # Whose sender has left is told nothing.
        waiting = [one for one in ready if one.batch.answered.set_running_or_notify_cancel()]
        try:
            now, snapshot = self._now(), self._snapshot()
            checked = [
                (one.batch, one.checked if one.holds(snapshot) else observations.check(one.items, snapshot, now))
                for one in waiting
            ]
        except Exception as error:  # noqa: BLE001 - or this thread would end, and every sender wait for ever
            for one in waiting:
                one.batch.answered.set_exception(error)
            return
        if not checked:
            return
        try:
            self._write(checked, now)
        except Exception as error:  # noqa: BLE001 - told to the sender below
            if len(checked) == 1:
                checked[0][0].answered.set_exception(error)
                return
            for batch, found in checked:  # one bad batch must not fail those that came with it
                try:
                    self._write([(batch, found)], now)
                except Exception as its_own:  # noqa: BLE001 - told to the sender
                    batch.answered.set_exception(its_own)

    def _write(self, checked: Sequence[tuple[Batch, Checked]], now: datetime) -> None:
        results: list[tuple[Batch, bytes | Conflict]] = []
        placed: list[windows.Placed] = []
        accepted = rejected = 0
        uncounted: Counter[Uncounted] = Counter()
        with self._database.plain_writing() as connection:
            for batch, found in checked:
                try:
                    known = _known(connection, batch, now)
                except Conflict as conflict:
                    results.append((batch, conflict))
                    continue
                if known is not None:
                    results.append((batch, known))
                    continue
                fresh, refused = keep_fresh(connection, found, now)
                placed += (*fresh.placed, *found.flawed)
                uncounted.update(good.uncounted for good in found.good if good.uncounted is not None)
                accepted += fresh.count
                rejected += len(refused)
                answer = observations.answer(fresh.count, refused)
                if batch.key:
                    intake.answer_batch(connection, token=batch.token, key=batch.key, answer=answer.decode())
                results.append((batch, answer))
            if placed:
                counted = reports.once_an_hour(connection, placed, now)
                windows.record(connection, counted, self._segments, self._allowances)
        self.accepted += accepted
        self.rejected += rejected
        self.uncounted += uncounted
        for batch, result in results:
            if isinstance(result, Conflict):
                batch.answered.set_exception(result)
            else:
                batch.answered.set_result(result)


@dataclass(frozen=True, slots=True, kw_only=True)
class Fresh:
    """What of a batch was not counted before: how many items, and those that are compared."""

    count: int
    placed: Sequence[windows.Placed]


def _known(connection: Connection, batch: Batch, now: datetime) -> bytes | None:
    if not batch.key:
        return None
    fingerprint = sha256(batch.body).hexdigest()
    answer = intake.open_batch(connection, token=batch.token, key=batch.key, fingerprint=fingerprint, at=now)
    return answer.encode() if answer is not None else None


def keep_fresh(connection: Connection, found: Checked, now: datetime) -> tuple[Fresh, list[Rejected]]:
    """What was not counted before; an id that was is named as a duplicate, and so is one repeated in the batch."""
    ids = {(g.surface, g.id) for g in found.good if g.id is not None}
    unseen = set(intake.fresh_items(connection, ids, now)) if ids else set()
    refused = list(found.rejected)
    placed: list[windows.Placed] = []
    count = 0
    for good in found.good:
        if good.id is not None:
            if (good.surface, good.id) not in unseen:
                message = f'"{good.id}" was counted already; ids are unique for 24 hours on a surface'
                refused.append(Rejected(index=good.index, code="duplicate", message=message))
                if good.placed is not None:
                    placed.append(observations.repeated(good.placed))
                continue
            unseen.remove((good.surface, good.id))
        count += 1
        refused += good.parts
        if good.placed is not None:
            placed.append(good.placed)
    return Fresh(count=count, placed=placed), refused


class Observations:
    """`POST /api/v1/observations`."""

    def __init__(self, intake_: Intake, door: Door, away: Callable[[Exception], object]) -> None:
        self._intake = intake_
        self._away = away
        self._door = door

    async def receive(self, request: Request) -> Response:
        """Answer after the commit: what was taken, and why the rest was not."""
        caller = self._door.admit_person(request.headers.raw, Role.INGEST)
        key = request.headers.get("idempotency-key", "")
        if len(key) > LONGEST_KEY:
            return problem(400, "bad_key", f"The Idempotency-Key has over {LONGEST_KEY} characters.", "Use a UUID.")
        batch = Batch(
            body=await request.body(),
            content_type=request.headers.get("content-type", ""),
            token=caller.key,
            key=key,
        )
        try:
            answer = await asyncio.wrap_future(self._intake.submit(batch))
        except Full:
            return _later("Too many batches are waiting to be written, so nothing of this one was counted.")
        except observations.Malformed as malformed:
            hint = 'A batch is {"observations": [{"surface", "unit", "variant", "metrics"}]}.'
            return problem(400, "malformed", f"{malformed}.", hint)
        except Conflict as conflict:
            return problem(409, "conflict", str(conflict), "Send a different batch under a new key.")
        except (StoreError, SQLAlchemyError) as error:
            if not self._away(error):
                _log.exception("A batch of observations could not be written")
            return _later("The database did not answer, so whether this batch was counted is not known.")
        return Response(answer, media_type="application/json")


def _later(why: str) -> Response:
    hint = "Send it again, with the same Idempotency-Key: then it counts once."
    return problem(503, "unavailable", why, hint, headers={"Retry-After": "1"})
