"""Receives observations: batches are checked concurrently, then written in one transaction and answered."""

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

from bot.http.middleware.auth import Door, Role
from bot.http.middleware.problems import problem
from bot.http.observations import read_batch
from bot.http.observations.read_batch import Checked, Rejected
from core.flags.placement import Uncounted
from core.flags.snapshot import Snapshot
from core.store.database.connections import Database
from core.store.errors import Conflict, StoreError
from core.store.observations import complaints, deduplication, windows
from core.store.observations.segment_names import Vocabulary
from core.store.observations.unit_caps import Allowances

WAITING = 128  # batches; beyond that, senders are asked to retry
LARGE = 128 * 1024  # bytes; larger batches have a checking thread of their own, so that others need not wait
TOGETHER = 5000  # observations per transaction, approximately
LONGEST_KEY = 200
_log = logging.getLogger(__name__)


class Full(Exception):
    """Too many batches are waiting to be written."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Batch:
    """The batch of one request. `key` is empty if the sender gave no Idempotency-Key."""

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
    """Accepts batches from any thread, checks them in two threads and writes them in one; `close` stops all three.

    The snapshot at the time of writing decides what an observation counts as: a batch that was checked with another one
    is checked again. An observation without a time gets that of its check.
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
        """A future of the answer, done after the commit. Raises TooManyBatches if too many batches are waiting."""
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
        """Write the waiting batches, then stop."""
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
                found = read_batch.items(batch.body, batch.content_type)
                now, snapshot = self._now(), self._snapshot()
                checked = read_batch.check(found, snapshot, now)
            except Exception as error:  # noqa: BLE001 - the sender waits for an answer
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
            # About 200 bytes per observation: a rough bound on the transaction's size.
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
        """Write the batches together; if that fails, write each alone so that only the bad one fails."""
        # Skip batches whose sender has gone.
        waiting = [one for one in ready if one.batch.answered.set_running_or_notify_cancel()]
        try:
            now, snapshot = self._now(), self._snapshot()
            checked = [
                (one.batch, one.checked if one.holds(snapshot) else read_batch.check(one.items, snapshot, now))
                for one in waiting
            ]
        except Exception as error:  # noqa: BLE001 - else this thread would end and senders wait for ever
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
        """Write the batches in one transaction, then answer each after the commit."""
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
                answer = read_batch.answer(fresh.count, refused)
                if batch.key:
                    deduplication.answer_batch(connection, token=batch.token, key=batch.key, answer=answer.decode())
                results.append((batch, answer))
            if placed:
                counted = complaints.once_an_hour(connection, placed, now)
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
    """The items of a batch that were not counted before: their number, and the events to record."""

    count: int
    placed: Sequence[windows.Placed]


def _known(connection: Connection, batch: Batch, now: datetime) -> bytes | None:
    """The stored answer if this Idempotency-Key was used before; raises Conflict if with another body."""
    if not batch.key:
        return None
    fingerprint = sha256(batch.body).hexdigest()
    answer = deduplication.open_batch(connection, token=batch.token, key=batch.key, fingerprint=fingerprint, at=now)
    return answer.encode() if answer is not None else None


def keep_fresh(connection: Connection, found: Checked, now: datetime) -> tuple[Fresh, list[Rejected]]:
    """(items not counted before, rejections); an id counted before, or repeated in the batch, is a duplicate."""
    ids = {(g.surface, g.id) for g in found.good if g.id is not None}
    unseen = set(deduplication.fresh_items(connection, ids, now)) if ids else set()
    refused = list(found.rejected)
    placed: list[windows.Placed] = []
    count = 0
    for good in found.good:
        if good.id is not None:
            if (good.surface, good.id) not in unseen:
                message = f'"{good.id}" was counted already; ids are unique for 24 hours on a surface'
                refused.append(Rejected(index=good.index, code="duplicate", message=message))
                if good.placed is not None:
                    placed.append(read_batch.repeated(good.placed))
                continue
            unseen.remove((good.surface, good.id))
        count += 1
        refused += good.parts
        if good.placed is not None:
            placed.append(good.placed)
    return Fresh(count=count, placed=placed), refused


class Observations:
    """The endpoint `POST /api/v1/observations`."""

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
        except read_batch.Malformed as malformed:
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
