"""Receives observations: batches are checked concurrently, then written in one transaction and answered."""

import asyncio
import logging
import queue
import threading
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field
from datetime import datetime
from hashlib import sha256
from typing import Any

from sqlalchemy import Connection
from sqlalchemy.exc import SQLAlchemyError
from starlette.requests import Request
from starlette.responses import Response

from bot.http.middleware.auth import TokenAuth, TokenRole
from bot.http.middleware.problems import advise_repeat, build_problem
from bot.http.observations import read_batch, split_body
from bot.http.observations.parse_fields import RejectedItem
from bot.http.observations.read_batch import CheckedBatch
from bot.http.observations.refusal_log import RefusalLog
from core.flags.placement import UncountedReason
from core.flags.snapshot import Snapshot, Variant
from core.store.database.connections import Database
from core.store.errors import IdempotencyConflict, StoreError
from core.store.observations import deduplication, observation_sums
from core.store.observations.observation_batch import PlacedObservation
from core.store.observations.segment_names import SegmentVocabulary
from core.store.observations.unit_caps import UnitCaps
from core.store.units import complaints, served_units

MAX_WAITING_BATCHES = 128  # batches; beyond that, senders are asked to retry
LARGE = 128 * 1024  # bytes; larger batches have a checking thread of their own, so that others need not wait
MAX_PER_TRANSACTION = 5000  # observations per transaction, approximately
MAX_KEY_LENGTH = 200
_log = logging.getLogger(__name__)


class TooManyBatches(Exception):
    """Too many batches are waiting to be written."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ObservationBatch:
    """The batch of one request. `key` is empty if the sender gave no Idempotency-Key."""

    body: bytes
    content_type: str
    token: str
    key: str
    answer: "Future[bytes]" = field(default_factory=Future)


@dataclass(frozen=True, slots=True, kw_only=True)
class TransactionWork:
    """Work of another source in the transactions of observations.

    `run` gets the connection, the snapshot and the time, and returns observations to count with the others; it runs
    again if the transaction fails. `size` is about how many bytes it writes.
    """

    run: Callable[[Connection, Snapshot, datetime], CheckedBatch]
    size: int
    answer: "Future[bytes]" = field(default_factory=Future)


@dataclass(frozen=True, slots=True, kw_only=True)
class Ready:
    """A batch whose items were checked against a snapshot."""

    batch: ObservationBatch
    items: Sequence[Any]
    snapshot: Snapshot
    checked: CheckedBatch

    def holds(self, snapshot: Snapshot) -> bool:
        """Whether what was found is what would be found by this one."""
        return self.snapshot is snapshot or self.snapshot.surfaces == snapshot.surfaces


class ObservationWriter:
    """Accepts batches from any thread, checks them in two threads and writes them in one; `close` stops all three.

    The snapshot at the time of writing decides what an observation counts as: a batch that was checked with another one
    is checked again. An observation without a time gets that of its check.
    """

    def __init__(
        self,
        database: Database,
        snapshot: Callable[[], Snapshot],
        now: Callable[[], datetime],
        report_other_model: Callable[[read_batch.OtherModel], None] = lambda _: None,
    ) -> None:
        """`report_other_model` gets each model that answered for a version which is configured to call another one."""
        self._report_other_model = report_other_model
        self._database = database
        self._snapshot = snapshot
        self._now = now
        self._small: queue.SimpleQueue[ObservationBatch | None] = queue.SimpleQueue()
        self._large: queue.SimpleQueue[ObservationBatch | None] = queue.SimpleQueue()
        self._ready: queue.SimpleQueue[Ready | TransactionWork | None] = queue.SimpleQueue()
        self._room = threading.BoundedSemaphore(MAX_WAITING_BATCHES)
        self._starting = threading.Lock()
        self._checkers: Sequence[threading.Thread] = ()
        self._thread: threading.Thread | None = None
        self._segments = SegmentVocabulary()
        self._allowances = UnitCaps()
        self.accepted = 0
        self.rejected = 0
        self._refusal_log = RefusalLog()
        self.uncounted: Counter[UncountedReason] = Counter()

    def submit(self, batch: ObservationBatch) -> "Future[bytes]":
        """A future of the answer, done after the commit. Raises TooManyBatches if too many batches are waiting."""
        self._start_threads()
        self._reserve_place()
        (self._large if len(batch.body) > LARGE else self._small).put(batch)
        return batch.answer

    def submit_work(self, work: TransactionWork) -> "Future[bytes]":
        """Like `submit`, for work of another source: the answer says what was counted of what it returned."""
        self._start_threads()
        self._reserve_place()
        self._ready.put(work)
        return work.answer

    def _start_threads(self) -> None:
        with self._starting:
            if self._thread is None:
                self._thread = threading.Thread(target=self._write_ready, name="intake", daemon=True)
                self._checkers = [
                    threading.Thread(target=self._check_waiting, args=(lane,), name=f"check {name}", daemon=True)
                    for name, lane in (("small", self._small), ("large", self._large))
                ]
                for thread in (self._thread, *self._checkers):
                    thread.start()

    def _reserve_place(self) -> None:
        if not self._room.acquire(blocking=False):
            raise TooManyBatches

    def close(self) -> None:
        """Write the waiting batches, then stop."""
        with self._starting:
            writer, self._thread = self._thread, None
            checkers, self._checkers = self._checkers, ()
        if writer is not None:
            for lane in (self._small, self._large):
                lane.put(None)
            for checker in checkers:
                checker.join()
            self._ready.put(None)
            writer.join()

    def _check_waiting(self, lane: "queue.SimpleQueue[ObservationBatch | None]") -> None:
        while (batch := lane.get()) is not None:
            try:
                found = split_body.parse_items(batch.body, batch.content_type)
                now, snapshot = self._now(), self._snapshot()
                checked = read_batch.check_items(found, snapshot, now)
            except Exception as error:  # noqa: BLE001 - the sender waits for an answer
                self._room.release()
                if batch.answer.set_running_or_notify_cancel():
                    batch.answer.set_exception(error)
            else:
                self._ready.put(Ready(batch=batch, items=found, snapshot=snapshot, checked=checked))

    def _write_ready(self) -> None:
        while (first := self._ready.get()) is not None:
            ready = [first]
            last = False
            size = _measure_size(first)
            # About 200 bytes per observation: a rough bound on the transaction's size.
            while size < MAX_PER_TRANSACTION * 200:
                try:
                    following = self._ready.get_nowait()
                except queue.Empty:
                    break
                if following is None:
                    last = True
                    break
                ready.append(following)
                size += _measure_size(following)
            self._room.release(len(ready))
            self._process_batches(ready)
            if last:
                return

    def _process_batches(self, ready: Sequence[Ready | TransactionWork]) -> None:
        """Write the batches together; if that fails, write each alone so that only the bad one fails."""
        # Skip batches whose sender has gone.
        waiting = [one for one in ready if _find_answer(one).set_running_or_notify_cancel()]
        try:
            now, snapshot = self._now(), self._snapshot()
            checked = [(one, _check_again(one, snapshot, now)) for one in waiting]
        except Exception as error:  # noqa: BLE001 - else this thread would end and senders wait for ever
            for one in waiting:
                _find_answer(one).set_exception(error)
            return
        if not checked:
            return
        try:
            self._write_batches(checked, snapshot, now)
        except Exception as error:  # noqa: BLE001 - told to the sender below
            if len(checked) == 1:
                _find_answer(checked[0][0]).set_exception(error)
                return
            for one, found in checked:  # one bad batch must not fail those that came with it
                try:
                    self._write_batches([(one, found)], snapshot, now)
                except Exception as its_own:  # noqa: BLE001 - told to the sender
                    _find_answer(one).set_exception(its_own)

    def _write_batches(
        self,
        batches: Sequence[tuple[Ready | TransactionWork, CheckedBatch | None]],
        snapshot: Snapshot,
        now: datetime,
    ) -> None:
        """Write the batches in one transaction, then answer each after the commit. Work of another source is checked
        in it."""
        results: list[tuple[Ready | TransactionWork, bytes | IdempotencyConflict]] = []
        placed: list[PlacedObservation] = []
        accepted = 0
        rejected: list[RejectedItem] = []
        uncounted: Counter[UncountedReason] = Counter()
        others: set[read_batch.OtherModel] = set()
        with self._database.writing_outside_log() as connection:
            for one, checked in batches:
                try:
                    known = _find_known_answer(connection, one, now)
                except IdempotencyConflict as conflict:
                    results.append((one, conflict))
                    continue
                if known is not None:
                    results.append((one, known))
                    continue
                found = checked
                if isinstance(one, TransactionWork):
                    found = one.run(connection, snapshot, now)
                assert found is not None
                fresh, refused = drop_duplicates(connection, found, now)
                placed += (*fresh.placed, *found.flaw_events)
                others.update(good.other_model for good in found.accepted if good.other_model is not None)
                uncounted.update(good.uncounted for good in found.accepted if good.uncounted is not None)
                accepted += fresh.count
                rejected += refused
                answer = read_batch.encode_answer(fresh.count, refused)
                if isinstance(one, Ready) and one.batch.key:
                    deduplication.answer_batch(
                        connection, token=one.batch.token, key=one.batch.key, answer=answer.decode()
                    )
                results.append((one, answer))
            if placed:
                counted = complaints.deduplicate_hourly(connection, placed, now)
                observation_sums.add_observations(connection, counted, self._segments, self._allowances)
                if snapshot.keeps_units:
                    served_units.record(connection, select_served(counted, snapshot))
        self.accepted += accepted
        self.rejected += len(rejected)
        self._refusal_log.note(rejected)
        self.uncounted += uncounted
        for other in others:
            self._report_other_model(other)
        for one, result in results:
            if isinstance(result, IdempotencyConflict):
                _find_answer(one).set_exception(result)
            else:
                _find_answer(one).set_result(result)


@dataclass(frozen=True, slots=True, kw_only=True)
class FreshItems:
    """The items of a batch that were not counted before: their number, and the events to record."""

    count: int
    placed: Sequence[PlacedObservation]


def select_served(observations: Iterable[PlacedObservation], snapshot: Snapshot) -> Iterator[PlacedObservation]:
    """Those that show a unit on the new version in a stage in which not everybody has it."""
    tracked = {one.rollout: one for flags in snapshot.surfaces.values() for one in flags.tracked}
    few = {
        (name, span.index)
        for name, one in tracked.items()
        for span in one.spans
        if not span.is_holdout and (span.cohort or span.control_left or one.layer is not None)
    }
    return (one for one in observations if one.arm == Variant.CANARY and (one.rollout, one.stage) in few)


def _find_answer(one: Ready | TransactionWork) -> "Future[bytes]":
    return one.batch.answer if isinstance(one, Ready) else one.answer


def _measure_size(one: Ready | TransactionWork) -> int:
    return len(one.batch.body) if isinstance(one, Ready) else one.size


def _check_again(one: Ready | TransactionWork, snapshot: Snapshot, now: datetime) -> CheckedBatch | None:
    """What was found in a batch, checked again if the snapshot has changed; None for work of another source."""
    if isinstance(one, TransactionWork):
        return None
    return one.checked if one.holds(snapshot) else read_batch.check_items(one.items, snapshot, now)


def _find_known_answer(connection: Connection, one: Ready | TransactionWork, now: datetime) -> bytes | None:
    """The stored answer if this Idempotency-Key was used before; raises Conflict if with another body."""
    if isinstance(one, TransactionWork) or not one.batch.key:
        return None
    batch = one.batch
    fingerprint = sha256(batch.body).hexdigest()
    answer = deduplication.open_batch(connection, token=batch.token, key=batch.key, fingerprint=fingerprint, at=now)
    return answer.encode() if answer is not None else None


def drop_duplicates(
    connection: Connection, found: CheckedBatch, now: datetime
) -> tuple[FreshItems, list[RejectedItem]]:
    """(items not counted before, rejections); an id counted before, or repeated in the batch, is a duplicate."""
    ids = {(g.surface, g.id) for g in found.accepted if g.id is not None}
    unseen = set(deduplication.claim_fresh_items(connection, ids, now)) if ids else set()
    refused = list(found.rejected)
    placed: list[PlacedObservation] = []
    count = 0
    for good in found.accepted:
        if good.id is not None:
            if (good.surface, good.id) not in unseen:
                message = f'"{good.id}" was counted already; ids are unique for 24 hours on a surface'
                refused.append(RejectedItem(index=good.index, code="duplicate", message=message))
                if good.placed is not None:
                    placed.append(read_batch.build_duplicate_event(good.placed))
                continue
            unseen.remove((good.surface, good.id))
        count += 1
        refused += good.rejected_parts
        if good.placed is not None:
            placed.append(good.placed)
    return FreshItems(count=count, placed=placed), refused


class ObservationsEndpoint:
    """The endpoint `POST /api/v1/observations`."""

    def __init__(
        self, writer: ObservationWriter, auth: TokenAuth, report_outage: Callable[[Exception], object]
    ) -> None:
        self._writer = writer
        self._report_outage = report_outage
        self._auth = auth

    async def receive(self, request: Request) -> Response:
        """Answer after the commit: what was taken, and why the rest was not."""
        caller = self._auth.authorize_person(request.headers.raw, TokenRole.INGEST)
        key = request.headers.get("idempotency-key", "")
        if len(key) > MAX_KEY_LENGTH:
            return build_problem(
                400, "bad_key", f"The Idempotency-Key has over {MAX_KEY_LENGTH} characters.", "Use a UUID."
            )
        batch = ObservationBatch(
            body=await request.body(),
            content_type=request.headers.get("content-type", ""),
            token=caller.key,
            key=key,
        )
        try:
            answer = await asyncio.wrap_future(self._writer.submit(batch))
        except TooManyBatches:
            why = "Too many batches are waiting to be written, so this one was not counted."
            return _build_unavailable(why, advise_repeat(key, was_written=False))
        except split_body.MalformedBatch as malformed:
            hint = 'A batch is {"observations": [{"surface", "unit", "variant", "metrics"}]}.'
            return build_problem(400, "malformed", f"{malformed}.", hint)
        except IdempotencyConflict as conflict:
            return build_problem(409, "conflict", str(conflict), "Send a different batch under a new key.")
        except (StoreError, SQLAlchemyError) as error:
            if not self._report_outage(error):
                _log.exception("A batch of observations could not be written")
            why = "The database did not answer, so it is not known whether this batch was counted."
            return _build_unavailable(why, advise_repeat(key, was_written=None))
        return Response(answer, media_type="application/json")


def _build_unavailable(why: str, hint: str) -> Response:
    return build_problem(503, "unavailable", why, hint, headers={"Retry-After": "1"})
