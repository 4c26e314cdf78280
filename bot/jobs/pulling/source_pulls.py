"""Pulls the metrics that a surface has in a source of its own, for every rollout that rows may still arrive for."""

import time
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from functools import partial

import structlog
from sqlalchemy import Connection

from bot.jobs.pulling.trace_pulls import PulledTraces
from bot.outbound.transport import ResolveHost, resolve_host
from bot.sources.errors import SourceFailure
from bot.sources.prometheus.pull import pull_counters
from bot.sources.sql.connection import SourceConnection, open_source
from bot.sources.sql.pull import pull_sums
from bot.sources.stage_range import StageRange, find_open_range, reach
from bot.sources.traces.read_traces import find_start, read_traces
from bot.sources.web_client import WebClient
from core.flags.snapshot import SurfaceFlags
from core.rollout.serving import exposure
from core.rollout.state.sources import SourceTerms, TraceRows
from core.service.service import RolloutService
from core.store.coordination import timers
from core.store.database.connections import Database
from core.store.observations import pulled_sums
from core.store.observations.pulled_sums import PullState, RowsChanged
from core.store.observations.unit_caps import UnitCaps

log = structlog.get_logger()

PULLS_AT_ONCE = 4
PATIENCE = 3
"""How many pulls in a row may fail, as when the network is down for a while, before looks hold because of it."""
_SPARE = timedelta(seconds=30)  # of a lease, beyond the time that a pull may take


@dataclass(frozen=True, slots=True, kw_only=True)
class DuePull:
    """A pull that is to be made now: these stages of a rollout, from a source of its surface."""

    terms: SourceTerms
    flags: SurfaceFlags
    window: StageRange
    due_at: datetime
    now: datetime

    @property
    def rollout(self) -> str:
        """The id of the rollout."""
        return self.window.tracked.rollout

    @property
    def timer(self) -> str:
        """Names what is due, so that one worker does it."""
        return f"pull:{self.rollout}:{self.terms.name}"


@dataclass(frozen=True, slots=True, kw_only=True)
class PullOutcome:
    """What a pull found: how things stand after it, and `save`, which writes it in the same transaction."""

    state: PullState
    save: Callable[[Connection], None]


@dataclass(slots=True)
class SourcePuller:
    """Pulls what is due; call `pull_due` often. `urls` are the addresses of the sources by the variable's name."""

    service: RolloutService
    urls: Mapping[str, str]
    private_hosts: frozenset[str] = frozenset()
    resolve: ResolveHost = resolve_host
    speed: Callable[[], float] = lambda: 1.0  # of the rollouts' clock, relative to real time
    wait: Callable[[float], None] = time.sleep  # before a source that is busy is asked again, in seconds
    _done: dict[str, datetime] = field(default_factory=dict, init=False)
    _caps: UnitCaps = field(default_factory=UnitCaps, init=False)

    def pull_due(self, now: datetime) -> int:
        """Make every pull that is due and that no other worker makes; how many were made."""
        due = [one for one in self._find_due(now) if self._done.get(one.timer) != one.due_at]
        if not due:
            return 0
        with ThreadPoolExecutor(PULLS_AT_ONCE, thread_name_prefix="pull") as pulls:
            return sum(pulls.map(partial(self._pull_if_free, now), due))

    def _find_due(self, now: datetime) -> Iterator[DuePull]:
        world = self.service.cached_world()
        for surface in world.surfaces.values():
            if not surface.sources:
                continue
            flags = exposure.build_surface_flags(world, surface.name)
            for terms in surface.sources:
                due_at = datetime.fromtimestamp(
                    now.timestamp() // terms.every.total_seconds() * terms.every.total_seconds(), UTC
                )
                for tracked in flags.tracked:
                    window = find_open_range(tracked, reach(terms, now), terms.late)
                    if window is not None:
                        rarely = now.replace(minute=0, second=0, microsecond=0)
                        when = rarely if window.is_long else due_at
                        yield DuePull(terms=terms, flags=flags, window=window, due_at=when, now=now)

    def _pull_if_free(self, now: datetime, due: DuePull) -> bool:
        lease = (due.terms.timeout + _SPARE) * self.speed()
        token = timers.claim(self.service.database, due.timer, due.due_at, now, lease)
        if token is None:
            self._done[due.timer] = due.due_at  # done, or another worker is at it
            return False
        with self.service.database.reading() as connection:
            before = pulled_sums.load_state(connection, due.rollout, due.terms.name)
        outcome: PullOutcome | None = None
        failure: SourceFailure | None = None
        try:
            outcome = self._ask(due, before)
        except SourceFailure as failed:
            failure = failed
        except Exception as error:  # a source that cannot be read holds, whatever the reason
            log.exception("a pull failed", source=due.terms.name, rollout=due.rollout)
            failure = SourceFailure(f"an error of Rampart ({type(error).__name__}), which its log describes")
        if not self._store(due, before, outcome, failure, now, token):
            return False
        self._done[due.timer] = due.due_at
        return True

    def _ask(self, due: DuePull, before: PullState) -> PullOutcome:
        address = self.urls.get(due.terms.url, "")
        if not address:
            raise SourceFailure(f"{due.terms.url} is not set where the worker runs", is_lasting=True)
        timeout = due.terms.timeout.total_seconds()
        if due.terms.prometheus is not None:
            return _pull_counters(WebClient(address, self.private_hosts, timeout, self.resolve, self.wait), due, before)
        if due.terms.traces is not None:
            client = WebClient(address, self.private_hosts, timeout, self.resolve, self.wait)
            return self._pull_traces(client, due.terms.traces, due, before)
        with open_source(address, self.private_hosts, timeout, self.resolve) as source:
            return _pull_sums(source, due, before)

    def _pull_traces(self, client: WebClient, rows: TraceRows, due: DuePull, before: PullState) -> PullOutcome:
        first, now = due.window.since, due.now
        since = find_start(first, before.upto, due.terms.late, now)
        found = read_traces(client, rows, since, due.window.upto, before.upto or first)
        counter = PulledTraces(
            terms=due.terms,
            flags=due.flags,
            window=due.window,
            now=now,
            keeps_units=self.service.cached_world().policy.customers is not None,
            caps=self._caps,
        )
        placed = counter.place(found.traces)

        def save(connection: Connection) -> None:
            counter.count(connection, placed)

        state = replace(
            before,
            upto=found.upto,
            newest_row=max((one.at for one in found.traces), default=before.newest_row),
            read_rows=len(placed),
            counted_rows=sum(one.placed is not None for one in placed),
        )
        return PullOutcome(state=state, save=save)

    def _store(
        self,
        due: DuePull,
        before: PullState,
        outcome: PullOutcome | None,
        failure: SourceFailure | None,
        now: datetime,
        token: str,
    ) -> bool:
        """Store what a pull found, or why it failed, and finish its timer. False if another worker has it by now."""
        if outcome is not None:
            state = replace(outcome.state, pulled_at=now, failing_since=None, holds_from=None, failure="")
            try:
                stored = _write(self.service.database, due, state, outcome, token)
            except RowsChanged as changed:
                failure = SourceFailure(str(changed), is_lasting=True)
            else:
                if stored and before.failing_since is not None:
                    log.info("a source can be read again", source=due.terms.name, rollout=due.rollout)
                return stored
        assert failure is not None
        state = note_failure(before, failure, due.terms, now)
        if before.failure != state.failure:
            log.warning("a source cannot be read", source=due.terms.name, rollout=due.rollout, why=state.failure)
        return _write(self.service.database, due, state, None, token)


def _pull_sums(source: SourceConnection, due: DuePull, before: PullState) -> PullOutcome:
    pulled = pull_sums(source, due.terms, due.window, before.memory, before.upto)

    def save(connection: Connection) -> None:
        pulled_sums.replace_stages(connection, due.rollout, due.terms.name, pulled.sums)

    state = replace(
        before,
        memory=pulled.memory,
        upto=due.window.upto,
        newest_row=pulled.census.newest,
        read_rows=pulled.census.rows,
        counted_rows=pulled.census.placed,
    )
    return PullOutcome(state=state, save=save)


def _pull_counters(client: WebClient, due: DuePull, before: PullState) -> PullOutcome:
    pulled = pull_counters(client, due.terms, due.flags, due.window, before.memory.counters, before.upto)

    def save(connection: Connection) -> None:
        pulled_sums.add_cells(connection, due.rollout, due.terms.name, pulled.cells)

    state = replace(
        before,
        memory=replace(before.memory, counters=pulled.last),
        upto=pulled.upto,
        newest_row=pulled.newest,
        read_rows=pulled.samples,
        counted_rows=pulled.placed,
    )
    return PullOutcome(state=state, save=save)


def note_failure(before: PullState, failure: SourceFailure, terms: SourceTerms, now: datetime) -> PullState:
    """The state after a pull that failed. What lasts holds at once, everything else after `PATIENCE` pulls."""
    since = before.failing_since or now
    holds_from = now if failure.is_lasting else since + PATIENCE * terms.every
    if before.holds_from is not None:
        holds_from = min(holds_from, before.holds_from)
    return replace(before, failing_since=since, holds_from=holds_from, failure=str(failure))


def _write(database: Database, due: DuePull, state: PullState, outcome: PullOutcome | None, token: str) -> bool:
    with database.writing_outside_log() as connection:
        if not timers.finish(connection, due.timer, due.due_at, token):
            return False
        if outcome is not None:
            outcome.save(connection)
        pulled_sums.save_state(connection, due.rollout, due.terms.name, due.terms.owned, state)
    return True
