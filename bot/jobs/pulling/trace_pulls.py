"""Counts traces that were pulled as observations: placed by the same code as those that are sent, and each once."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime

from sqlalchemy import Connection

from bot.http.observations import read_batch
from bot.http.observations.writer import select_served
from bot.sources.stage_range import StageRange
from bot.sources.traces.build_item import build_item, list_metrics
from bot.sources.traces.trace import SourcedTrace
from core.flags.snapshot import Snapshot, SurfaceFlags, TrackedRollout
from core.judging.model.evidence import metric_of_cell
from core.metrics.catalogue import counts_as_request
from core.rollout.state.sources import SourceTerms, TraceRows
from core.store.observations import deduplication, observation_sums
from core.store.observations.observation_batch import PlacedObservation
from core.store.observations.unit_caps import UnitCaps
from core.store.units import served_units

REQUEST = "request"


@dataclass(frozen=True, slots=True, kw_only=True)
class PlacedTrace:
    """A trace with all that it says, at its place; `placed` is None if no comparison counts it, or if it is refused.

    `flaws` are the events that record why it was refused, in whole or in part. `id` is that of the request, if the
    source names it.
    """

    trace: SourcedTrace
    placed: PlacedObservation | None
    flaws: Sequence[PlacedObservation] = ()
    id: str = ""


@dataclass(slots=True)
class PulledTraces:
    """Places the traces of a source for one rollout, and counts what was not counted before.

    `claims` says what of a trace was counted: the request, and each of its metrics, as some come later.
    """

    terms: SourceTerms
    flags: SurfaceFlags
    window: StageRange
    now: datetime
    keeps_units: bool = False
    caps: UnitCaps = field(default_factory=UnitCaps)

    @property
    def tracked(self) -> TrackedRollout:
        """The rollout that they are counted for."""
        return self.window.tracked

    @property
    def rows(self) -> TraceRows:
        """What the source says of its traces."""
        assert self.terms.traces is not None
        return self.terms.traces

    def place(self, traces: Sequence[SourcedTrace]) -> Sequence[PlacedTrace]:
        """Each trace with its place, as an observation that says the same would be placed."""
        snapshot = self._build_snapshot()
        return [self._place(trace, snapshot) for trace in traces]

    def count(self, connection: Connection, found: Sequence[PlacedTrace]) -> None:
        """Count what was not counted before, in a writing transaction."""
        wanted = {claim for one in found for claim in self._list_claims(one)}
        fresh = set(deduplication.claim_fresh_items(connection, wanted, self.now))
        sent = self._find_sent(connection, [one for one in found if self._claim(one, REQUEST) in fresh])
        counted: list[PlacedObservation] = []
        for one in found:
            if self._claim(one, "flaw") in fresh:
                counted += one.flaws
            if one.placed is None:
                continue
            if one.trace.id in sent:
                if self._claim(one, REQUEST) in fresh:
                    counted.append(read_batch.build_duplicate_event(one.placed))
                    fresh.remove(self._claim(one, REQUEST))
                continue
            new = [metric for metric in one.placed.observation.readings if self._claim(one, metric) in fresh]
            is_request = self._claim(one, REQUEST) in fresh
            fresh -= {self._claim(one, name) for name in (REQUEST, *new)}  # it may be on two pages
            if new or is_request:
                counted.append(_select(one.placed, new, is_request=is_request))
        if counted:
            observation_sums.add_observations(connection, counted, unit_caps=self.caps)
            if self.keeps_units:
                served_units.record(connection, select_served(counted, self._build_snapshot()))

    def _place(self, trace: SourcedTrace, snapshot: Snapshot) -> PlacedTrace:
        metrics = list_metrics(self.rows, trace)
        if not metrics:
            return PlacedTrace(trace=trace, placed=None)  # what it says comes later
        item = build_item(self.rows, self.flags.name, trace, metrics)
        # As if it had been sent when it happened: how late it may come is for the source to say, by its open stages.
        checked = read_batch.check_items([item], snapshot, trace.at)
        placed = next((good.placed for good in checked.accepted), None)
        if placed is not None and placed.stage not in self.window.stages:
            placed = None
        identity = str(trace.facts.get(self.rows.columns.id, "")) if self.rows.columns.id else ""
        if placed is not None and not self.terms.counts_requests:
            placed = replace(placed, observation=replace(placed.observation, is_request=False))
        flaws = [one for one in checked.flaw_events if one.stage in self.window.stages]
        return PlacedTrace(trace=trace, placed=placed, flaws=flaws, id=identity)

    def _build_snapshot(self) -> Snapshot:
        """The surface with this rollout alone, in which this source counts what nothing else may."""
        others = {metric: source for metric, source in self.tracked.pulled.items() if source != self.terms.name}
        flags = replace(self.flags, tracked=(replace(self.tracked, pulled=others),))
        return Snapshot(surfaces={flags.name: flags})

    def _list_claims(self, one: PlacedTrace) -> Iterator[tuple[str, str]]:
        if one.flaws:
            yield self._claim(one, "flaw")
        if one.placed is None:
            return
        yield from (self._claim(one, metric) for metric in one.placed.observation.readings)
        if one.placed.observation.is_request and counts_as_request(one.placed.observation.readings):
            yield self._claim(one, REQUEST)

    def _claim(self, one: PlacedTrace, name: str) -> tuple[str, str]:
        return self.flags.name, f"{self.terms.name}/{self.tracked.rollout}/{one.trace.id}/{name}"

    def _find_sent(self, connection: Connection, new: Sequence[PlacedTrace]) -> frozenset[str]:
        """The traces, of these new ones, whose request was sent as an observation: it counts as that."""
        named = {one.trace.id: (self.flags.name, one.id) for one in new if one.id and one.placed is not None}
        fresh = deduplication.claim_fresh_items(connection, set(named.values()), self.now)
        return frozenset(trace for trace, item in named.items() if item not in fresh)


def _select(placed: PlacedObservation, metrics: Sequence[str], *, is_request: bool) -> PlacedObservation:
    """Of an observation what is new: these metrics, with the counters that follow from them."""
    seen = placed.observation
    readings: Mapping[str, float] = {metric: seen.readings[metric] for metric in metrics}
    counters = {name: value for name, value in placed.counters.items() if metric_of_cell(name) in readings}
    return replace(placed, observation=replace(seen, readings=readings, is_request=is_request), counters=counters)
