"""One pull of counters: what they grew by since the last one, in clusters of a minute of one process."""

import json
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from hashlib import sha256
from math import isfinite
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bot.sources.errors import SourceFailure
from bot.sources.prometheus.increases import (
    NEW_TARGET,
    Increase,
    Labels,
    Series,
    Target,
    TargetHistory,
    find_increases,
)
from bot.sources.stage_range import StageRange
from bot.sources.web_client import WebClient
from core.flags.placement import MisplacedObservation, Placement, place_observation
from core.flags.snapshot import SurfaceFlags, TrackedRollout
from core.judging.model.evidence import BUCKETS, EVERYONE, REQUESTS, CellKey, exceedance_cell
from core.metrics.catalogue import CATALOGUE, FEEDS, Metric, MetricKind
from core.rollout.state.sources import CountedMetric, PrometheusCounters, SourceTerms

CLUSTER = 60.0
"""Seconds. What one process counts in them stands together: it is one cluster, whoever caused it."""
CHUNK = 900.0
"""Seconds of samples that are asked for at once."""
LEFT_FOR_STORING = 0.25
"""The share of a pull's time that is left when it begins no further chunk: what it has is stored, the rest comes."""
MAX_SERIES = 20_000
_NO_PROMETHEUS = "it does not answer like a Prometheus: does its address end before /api/v1?"
_REPLICAS = frozenset({"prometheus_replica", "receive_replica", "__replica__", "thanos_replica"})
"""Labels by which several servers tell the same samples apart."""


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


@dataclass(frozen=True, slots=True, kw_only=True)
class CounterRole:
    """What a counter is for: a cell, whether it is the weight or the value there, and what it is multiplied by."""

    metric: str
    is_weight: bool
    factor: float = 1.0


@dataclass(slots=True)
class CounterPlan:
    """Which counters a source is asked for, and what each of them is for.

    `thresholds` are, by metric, the values above which requests are counted: each has to be a bound of the histogram.
    """

    terms: PrometheusCounters
    thresholds: Mapping[str, Sequence[float]]
    own: Mapping[str, Metric]
    roles: dict[str, list[CounterRole]] = field(default_factory=dict, init=False)
    bounds: dict[str, dict[float, list[CounterRole]]] = field(default_factory=dict, init=False)

    def __post_init__(self) -> None:
        if self.terms.requests:
            self._add(self.terms.requests, CounterRole(metric=REQUESTS, is_weight=True))
            self._add(self.terms.requests, CounterRole(metric=REQUESTS, is_weight=False))
        for key, counted in self.terms.metrics.items():
            for metric in FEEDS.get(key, (key,)):
                self._add_metric(metric, counted)

    def _add_metric(self, metric: str, counted: CountedMetric) -> None:
        number, total = counted.of, counted.counter
        if counted.histogram:
            number, total = f"{counted.histogram}_count", f"{counted.histogram}_sum"
        self._add(number, CounterRole(metric=metric, is_weight=True))
        self._add(total, CounterRole(metric=metric, is_weight=False, factor=counted.scale))
        entry = self.own.get(metric) or CATALOGUE[metric]
        if entry.kind is not MetricKind.QUANTILE:
            return
        for threshold in self.thresholds.get(metric, ()):
            cell = exceedance_cell(metric, threshold)
            self._add(number, CounterRole(metric=cell, is_weight=True))
            self._add(number, CounterRole(metric=cell, is_weight=False))
            below = CounterRole(metric=cell, is_weight=False, factor=-1.0)
            by_bound = self.bounds.setdefault(f"{counted.histogram}_bucket", {})
            by_bound.setdefault(threshold / counted.scale, []).append(below)

    def _add(self, counter: str, role: CounterRole) -> None:
        self.roles.setdefault(counter, []).append(role)

    def list_selectors(self) -> Iterator[str]:
        """A selector for each counter."""
        for counter in self.roles:
            yield build_selector(counter, self.terms.match)
        for counter, by_bound in self.bounds.items():
            texts = {text for bound in by_bound for text in (f"{bound:g}", repr(bound))}
            spelled = "|".join(re.escape(text) for text in sorted(texts))
            yield build_selector(counter, self.terms.match, spelled)

    def roles_of(self, labels: Mapping[str, str]) -> Sequence[CounterRole]:
        """What a series is for."""
        name = labels.get("__name__", "")
        if "le" in labels and name in self.bounds:
            return self.bounds[name].get(_to_number(labels["le"]), ())
        return self.roles.get(name, ())


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
    _refuse_untold_arms(counters, tracked)
    plan = CounterPlan(counters, tracked.thresholds, tracked.metrics)
    sums = _CounterSums(plan=plan, flags=replace(flags, tracked=(tracked,)), tracked=tracked)
    begin, end = (upto or window.since).timestamp(), window.upto.timestamp()
    newest = {_parse_labels(text): sample for text, sample in last.items()}
    while begin < end:
        until = min(begin + CHUNK, end)
        found = read_series(client, plan.list_selectors(), begin - NEW_TARGET, until)
        refuse_replicas(found)
        history = read_history(client, found, begin - NEW_TARGET, until)
        growth = find_increases(found, newest, history, counts_from_zero=counters.side == "exposure")
        refuse_missing(client, plan, growth.last, until)
        sums.add(growth.increases)
        sums.samples += sum(len(one.samples) for one in found)
        sums.unsure += growth.unsure
        newest, begin = dict(growth.last), until
        if client.left < LEFT_FOR_STORING:
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


def build_selector(counter: str, match: Mapping[str, str], bounds: str = "") -> str:
    """The selector of a counter with these labels."""
    asked = [f"{name}={json.dumps(value, ensure_ascii=False)}" for name, value in sorted(match.items())]
    asked += [f"le=~{json.dumps(bounds)}"] if bounds else []
    return f"{counter}{{{','.join(asked)}}}"


def read_series(client: WebClient, selectors: Iterable[str], since: float, until: float) -> tuple[Series, ...]:
    """The raw samples of these selectors in [since, until], as they were scraped."""
    found = [one for selector in selectors for one in _read_range(client, selector, since, until)]
    if len(found) > MAX_SERIES:
        raise SourceFailure(f"it has more than {MAX_SERIES:,} series: choose fewer by match", is_lasting=True)
    return tuple(found)


def read_history(client: WebClient, found: Sequence[Series], since: float, until: float) -> TargetHistory:
    """When the processes of these series were scraped, and when they said that they had started."""
    jobs = sorted({one.target[0] for one in found} - {""})
    if not jobs:
        return TargetHistory()
    of = f"{{job=~{json.dumps('|'.join(re.escape(job) for job in jobs))}}}"
    scraped: dict[Target, list[float]] = {}
    for one in _read_range(client, f"up{of}", since, until):
        scraped.setdefault(one.target, []).extend(at for at, value in one.samples if value == 1)
    started = {one.target: one.samples for one in _read_range(client, f"process_start_time_seconds{of}", since, until)}
    return TargetHistory(scraped={target: sorted(times) for target, times in scraped.items()}, started=started)


def refuse_replicas(found: Iterable[Series]) -> None:
    """SourceFailure if several servers tell the same samples, which would count as often."""
    for one in found:
        for name, _ in one.labels:
            if name in _REPLICAS:
                raise SourceFailure(
                    f"its series have the label {name}, so each may be there several times: choose one by match",
                    is_lasting=True,
                )


def _refuse_untold_arms(counters: PrometheusCounters, tracked: TrackedRollout) -> None:
    if counters.side == "exposure":
        return
    has_cohort = any(span.cohort for span in tracked.spans) or tracked.cohort_back_at is not None
    others = "a layer" if tracked.layer is not None else ""
    others = others or ("conversations that finish on their version" if tracked.conversations_finish else "")
    if has_cohort or (counters.side == "version" and others):
        of = "cohorts" if has_cohort else others
        raise SourceFailure(
            f"with {of}, the {counters.side} does not tell who is compared: label the counters with the exposure",
            is_lasting=True,
        )


def refuse_missing(client: WebClient, plan: CounterPlan, last: Mapping[Labels, tuple[float, float]], at: float) -> None:
    """SourceFailure if a counter is not there while what it is counted of is: none is not the same as unknown."""
    label = plan.terms.label
    sides: dict[str, set[str]] = {}
    bounds: dict[str, set[float]] = {}
    for labels in last:
        named = dict(labels)
        name = named.get("__name__", "")
        sides.setdefault(name, set()).add(named.get(label, ""))
        if "le" in named:
            bounds.setdefault(name, set()).add(_to_number(named["le"]))
    for counter in plan.roles:
        if counter not in sides:
            selector = build_selector(counter, plan.terms.match)
            raise SourceFailure(f"it has no series {selector}: is the name right, and is it scraped?")
    for counted in plan.terms.metrics.values():
        if counted.counter and (without := sorted(sides[counted.of] - sides[counted.counter] - {""})):
            raise SourceFailure(
                f'{counted.counter} has no series with {label}="{without[0]}", and {counted.of} has one: add 0 to it '
                "where nothing happened, so that none is not the same as unknown"
            )
    for name, asked in plan.bounds.items():
        if missing := sorted(asked.keys() - bounds.get(name, set())):
            there = list_bounds(client, build_selector(name, plan.terms.match), at)
            raise SourceFailure(
                f"{name} has no bound at {missing[0]:g}, so nobody knows how many are above it: set the limit to one "
                f"of its bounds ({', '.join(f'{one:g}' for one in there) or 'there are none'})",
                is_lasting=True,
            )


def list_bounds(client: WebClient, selector: str, at: float) -> Sequence[float]:
    """The bounds of a histogram's buckets, in order."""
    found = _query(client, f"group by (le) ({selector})", at)
    return sorted(_to_number(str(one["metric"].get("le", ""))) for one in found)


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


def _read_range(client: WebClient, selector: str, since: float, until: float) -> Iterator[Series]:
    for one in _query(client, f"{selector}[{max(int(until - since), 1)}s]", until):
        if "histograms" in one:
            raise SourceFailure(f"{selector} is a native histogram: name one with buckets", is_lasting=True)
        try:
            labels = tuple(sorted((str(name), str(value)) for name, value in one["metric"].items()))
            said = [(float(at), _to_number(value)) for at, value in one["values"]]
        except (AttributeError, KeyError, TypeError, ValueError):
            raise SourceFailure(_NO_PROMETHEUS) from None
        yield Series(labels=labels, samples=[(at, value) for at, value in said if isfinite(value) and value >= 0])


def _query(client: WebClient, query: str, at: float) -> Sequence[Mapping[str, Any]]:
    answer = client.post_form("/api/v1/query", [("query", query), ("time", f"{at:.3f}")])
    data = answer.get("data") if isinstance(answer, dict) else None
    found = data.get("result") if isinstance(data, dict) else None
    if not isinstance(found, list) or not all(isinstance(one, dict) for one in found):
        raise SourceFailure(_NO_PROMETHEUS)
    return found


def _to_number(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        return float("nan")


def _parse_labels(text: str) -> Labels:
    return tuple((name, value) for name, value in json.loads(text))
