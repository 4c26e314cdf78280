"""Counts traces once they are complete: taken from the store, joined, and counted in one transaction."""

import logging
import threading
from collections import Counter
from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Any

import orjson
from sqlalchemy import Connection
from sqlalchemy.exc import SQLAlchemyError

from bot.http.observations import read_batch
from bot.http.observations.read_batch import CheckedBatch
from bot.http.observations.writer import ObservationWriter, TooManyBatches, TransactionWork
from bot.http.otlp.assemble_parts import decode_part
from core.flags.snapshot import Snapshot
from core.store.database.connections import Database
from core.store.errors import StoreError
from core.store.observations import trace_parts
from core.telemetry.count_trace import CountedTrace, TraceOutcome, count_trace
from core.telemetry.prices import PriceTable

TRACE_OUTCOMES = (
    "counted",
    "rejected",
    "repeated_spans",
    "late_spans",
    "no_model_call",
    "no_price",
    "no_surface",
    "no_unit",
    "several_surfaces",
    "several_variants",
    "several_requests",
    "unknown_cohort",
    "unknown_conversation",
    "unreadable",
)
"""What may become of a trace, a request or a span in it."""
EVERY = 1.0  # seconds between two looks at what is due
IDLE = 5.0  # seconds, while nothing waits
AT_ONCE = 2_000  # traces of one transaction
_log = logging.getLogger(__name__)


class TraceCounter:
    """A thread that counts what is due; `stop` ends it. What waits then is counted after the next start.

    `waiting` is how many parts waited when it looked last. `outcomes` counts traces, spans and requests by what became
    of them.
    """

    def __init__(
        self,
        database: Database,
        writer: ObservationWriter,
        prices: PriceTable,
        report_outage: Callable[[Exception], object],
    ) -> None:
        self._database, self._writer, self._prices = database, writer, prices
        self._report_outage = report_outage
        self._stopping = threading.Event()
        self._woken = threading.Event()
        self._thread: threading.Thread | None = None
        self.waiting = 0
        self.outcomes: Counter[str] = Counter()

    def start(self) -> None:
        """Start the thread."""
        self._thread = threading.Thread(target=self._run, name="count traces", daemon=True)
        self._thread.start()

    def wake(self, added: int) -> None:
        """Say that so many parts were added, so that they are looked after soon."""
        self.waiting += added
        self._woken.set()

    def stop(self) -> None:
        """End the thread."""
        self._stopping.set()
        self._woken.set()
        if self._thread is not None:
            self._thread.join()

    def count_due(self) -> int:
        """Count the traces that are due now; how many these were."""
        outcomes: list[TraceOutcome] = []
        rejected: list[int] = []

        def run(connection: Connection, snapshot: Snapshot, now: datetime) -> CheckedBatch:
            outcomes.clear()
            rejected.clear()
            checked = self._take_due(connection, snapshot, now, outcomes)
            rejected.append(len(checked.rejected))
            return checked

        self._writer.submit_work(TransactionWork(run=run, size=0)).result()
        self._count_outcomes(outcomes, sum(rejected))
        return len(outcomes)

    def _run(self) -> None:
        while not self._stopping.is_set():
            try:
                with self._database.reading() as connection:
                    self.waiting = trace_parts.count_parts(connection)
                if self.waiting:
                    while self.count_due() == AT_ONCE and not self._stopping.is_set():
                        pass
            except TooManyBatches:
                pass  # observations come first; tried again below
            except (StoreError, SQLAlchemyError) as error:
                if not self._report_outage(error):
                    _log.exception("Traces could not be counted; they are kept and tried again")
            except Exception:  # noqa: BLE001 - else this thread would end and traces wait for ever
                _log.exception("Traces could not be counted; they are kept and tried again")
            if self.waiting:
                self._stopping.wait(EVERY)
            else:
                self._woken.wait(IDLE)
                self._woken.clear()

    def _take_due(
        self, connection: Connection, snapshot: Snapshot, now: datetime, outcomes: list[TraceOutcome]
    ) -> CheckedBatch:
        """Take what is due out of the store, and check the observations that it makes."""
        taken = trace_parts.take_due(connection, now, AT_ONCE)
        known = trace_parts.load_counted(connection, taken)
        counted: dict[str, str] = {}
        for trace, texts in taken.items():
            outcome = self._count_one(trace, texts, known.get(trace), snapshot)
            outcomes.append(outcome)
            if outcome.counted is not None:
                counted[trace] = _encode_counted(outcome.counted)
        trace_parts.save_counted(connection, counted, now)
        checked = read_batch.check_items([item for outcome in outcomes for item in outcome.items], snapshot, now)
        late = [
            event
            for outcome in outcomes
            for item in outcome.late
            for event in read_batch.build_flaw_events(item, snapshot, now, "late_items")
        ]
        return CheckedBatch(
            accepted=checked.accepted, rejected=checked.rejected, flaw_events=[*checked.flaw_events, *late]
        )

    def _count_one(self, trace: str, texts: list[str], known: str | None, snapshot: Snapshot) -> TraceOutcome:
        try:
            parts = [decode_part(trace, text) for text in texts]
            return count_trace(parts, _decode_counted(known), snapshot.surfaces, self._prices)
        except Exception:  # noqa: BLE001 - one trace must not keep all others from being counted
            _log.exception("A trace could not be counted")
            return TraceOutcome(problems=("unreadable",))

    def _count_outcomes(self, outcomes: list[TraceOutcome], rejected: int) -> None:
        for outcome in outcomes:
            self.outcomes["counted"] += len(outcome.items)
            self.outcomes["repeated_spans"] += outcome.repeated
            self.outcomes["late_spans"] += outcome.late_spans
            self.outcomes.update(outcome.problems)
            self.outcomes["no_price"] += bool(outcome.unpriced)
            if not outcome.items and not outcome.problems and not outcome.late and not outcome.repeated:
                self.outcomes["no_model_call"] += 1
        self.outcomes["rejected"] += rejected
        self.outcomes["counted"] -= rejected


def _encode_counted(counted: CountedTrace) -> str:
    content = [list(counted.requests), sorted(counted.span_ids), sorted(counted.event_ids)]
    return orjson.dumps(content).decode()


def _decode_counted(text: str | None) -> CountedTrace | None:
    if text is None:
        return None
    content: tuple[list[Mapping[str, Any]], list[str], list[str]] = orjson.loads(text)
    requests, span_ids, event_ids = content
    return CountedTrace(requests=tuple(requests), span_ids=frozenset(span_ids), event_ids=frozenset(event_ids))
