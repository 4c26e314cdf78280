"""One pull of counters: what they grew by since the last one, in clusters of a minute of one process."""

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from hashlib import sha256

import numpy as np
from numpy.typing import NDArray

from bot.sources.prometheus.counter_plan import CounterPlan
from bot.sources.prometheus.increases import Increase, find_increases
from bot.sources.prometheus.queries import read_history, read_series
from bot.sources.prometheus.refuse_counters import refuse_missing, refuse_replicas, refuse_untold_arms
from bot.sources.prometheus.series import NEW_TARGET, Target
from bot.sources.stage_range import StageRange
from bot.sources.web_client import WebClient
from core.flags.placement import MisplacedObservation, Placement, place_observation
from core.flags.snapshot import SurfaceFlags, TrackedRollout
from core.judging.model.evidence import BUCKETS, EVERYONE, CellKey
from core.rollout.state.sources import SourceTerms

CLUSTER = 60.0
"""Seconds. What one process counts in them stands together: it is one cluster, whoever caused it."""
CHUNK = 900.0
"""Seconds of samples that are asked for at once."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CounterPull:
    """What a pull found: cells to be added, of shape (2, BUCKETS), and the newest sample of each series."""

    cells: Mapping[CellKey, NDArray[np.float64]]
    last: Mapping[str, tuple[float, float]]
    upto: datetime
    samples: int = 0
    placed: int = 0
    unsure: int = 0
    newest: datetime | None = None


def pull_counters(
    client: WebClient,
    terms: SourceTerms,
    flags: SurfaceFlags,
    window: StageRange,
    last: Mapping[str, tuple[float, float]],
    upto: datetime | None,
) -> CounterPull:
    """What the counters grew by since `upto` (None before the first pull), for one rollout of the surface.

    A pull that runs out of time ends where it has come to; the next one goes on from there.
    """
    counters, tracked = terms.prometheus, window.tracked
    assert counters is not None
    refuse_untold_arms(counters, tracked)
    plan = CounterPlan(counters, tracked.thresholds, tracked.metrics)
    sums = _CounterSums(plan=plan, flags=replace(flags, tracked=(tracked,)), tracked=tracked)
    begin, end = (upto or window.since).timestamp(), window.upto.timestamp()
    newest = {tuple((name, value) for name, value in json.loads(text)): sample for text, sample in last.items()}
    while begin < end:
        until = min(begin + CHUNK, end)
        found = read_series(client, plan.list_selectors(), begin - NEW_TARGET, until)
        refuse_replicas(found)
        history = read_history(client, found, begin - NEW_TARGET, until)
        growth = find_increases(
            found, newest, history, counts_from_zero=counters.side == "exposure", side=counters.label
        )
        refuse_missing(client, plan, growth.last, until)
        sums.add(growth.increases)
        sums.samples += sum(len(one.samples) for one in found)
        sums.unsure += growth.unsure
        newest, begin = dict(growth.last), until
        if client.is_time_nearly_over:
            break
    times = [at for at, _ in newest.values()]
    return CounterPull(
        cells=sums.cells,
        last={json.dumps(labels): sample for labels, sample in newest.items()},
        upto=datetime.fromtimestamp(begin, UTC),
        samples=sums.samples,
        placed=sums.placed,
        unsure=sums.unsure,
        newest=datetime.fromtimestamp(max(times), UTC) if times else None,
    )


@dataclass(slots=True)
class _CounterSums:
    """The cells of a pull, filled from increases."""

    plan: CounterPlan
    flags: SurfaceFlags
    tracked: TrackedRollout
    cells: dict[CellKey, NDArray[np.float64]] = field(default_factory=dict, init=False)
    samples: int = field(default=0, init=False)
    placed: int = field(default=0, init=False)
    unsure: int = field(default=0, init=False)

    def add(self, increases: Iterable[Increase]) -> None:
        """Add these to the cells of their stage and arm; leave out those that belong to none."""
        for one in increases:
            labels = dict(one.labels)
            place = self._place(one, labels.get(self.plan.terms.label, ""))
            roles = self.plan.roles_of(labels)
            if place is None or not roles:
                continue
            self.placed += 1
            bucket = find_cluster_bucket(self.tracked.rollout, one.target, one.at)
            for role in roles:
                key = CellKey(stage=place.stage, arm=place.arm.value, segment=EVERYONE, metric=role.metric)
                cell = self.cells.get(key)
                if cell is None:
                    cell = self.cells[key] = np.zeros((2, BUCKETS))
                cell[0 if role.is_weight else 1, bucket] += role.factor * one.amount

    def _place(self, one: Increase, said: str) -> Placement | None:
        """Where an increase belongs. An exposure decides by itself; else the whole step lies in one settled stage."""
        if not said:
            return None
        if self.plan.terms.side == "exposure":
            return self._ask(one.at, exposure=said)
        if self.plan.terms.side == "version":
            # Everybody with the old version: who is neither in the canary nor in a control was drawn by the same lot.
            said = {self.tracked.to_version: "canary", self.tracked.from_version: "control"}.get(said, "stable")
        first, last = (self._ask(at, variant=said) for at in (one.since, one.at))
        if first is None or last is None or first.stage != last.stage:
            return None
        span = next(span for span in self.tracked.spans if span.index == last.stage)
        order = self.tracked.spans.index(span)
        begins_anew = order == 0 or not self.tracked.spans[order - 1].exposes
        return last if begins_anew or one.since >= span.settles_until.timestamp() else None

    def _ask(self, at: float, exposure: str | None = None, variant: str | None = None) -> Placement | None:
        moment = datetime.fromtimestamp(at, UTC)
        try:
            found = place_observation(self.flags, unit="", at=moment, exposure=exposure, variant=variant)
        except MisplacedObservation:
            return None
        return found if isinstance(found, Placement) else None


def find_cluster_bucket(rollout: str, target: Target, at: float) -> int:
    """The bucket of what a process counts in a minute: the same for both arms, as they share what happens in it."""
    named = "\x1f".join(("window", rollout, *target, str(int(at // CLUSTER))))
    return sha256(named.encode()).digest()[0]
