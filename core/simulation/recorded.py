"""Simulated traffic from recorded observations: units are resampled with everything they did (cluster bootstrap)."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray

from core.files.foresight.known_traffic import KnownTraffic
from core.judging.limits.limits import NEW_CATEGORY_METRIC
from core.judging.model.evidence import BUCKETS, CANARY, CATEGORY_PREFIX, CONTROL, REQUESTS
from core.judging.model.question import ALL_SEGMENTS
from core.metrics.catalogue import CATALOGUE, Metric, MetricKind, counts_as_request, denominator_key
from core.metrics.observation import Observation
from core.rollout.plans.plan import Stage
from core.simulation.harm import SimulatedHarm
from core.simulation.population import COHORT_SHARE, Population
from core.simulation.tally import Tally
from core.simulation.traffic import MAX_DRAWN_REQUESTS, NEW_ERROR
from core.stats.input_checks import Array

DAY = 86_400.0
MAX_PROFILES = 60  # most frequent segment combinations that are distinguished


@dataclass(frozen=True, slots=True, kw_only=True)
class Recording:
    """Recorded observations as columns, with rows sorted by unit.

    `begins`, shape (units + 1,), holds the first row of each unit and the end. `columns` are readings by metric, NaN if
    a row has none; `metrics` are their definitions, of which the denominators of ratios have none. `request` marks rows
    that are requests. `category` is an index into `categories`, -1 without an error. `segments` are by row.
    `daily_requests` is None if all rows have the same time.
    """

    begins: NDArray[np.int64]
    columns: Mapping[str, Array]
    metrics: Mapping[str, Metric]
    request: NDArray[np.bool_]
    category: NDArray[np.int64]
    categories: tuple[str, ...]
    segments: tuple[Mapping[str, str], ...]
    daily_requests: float | None

    @property
    def units(self) -> int:
        """Number of distinct units."""
        return len(self.begins) - 1

    @property
    def rows(self) -> int:
        """Number of observations."""
        return int(self.begins[-1])


def build_recording(observations: Iterable[Observation], own: Iterable[Metric] = ()) -> Recording:
    """Build a recording from the observations of one surface, with its `own` metrics, whatever their arm.

    ValueError if there are too few.
    """
    rows = sorted(observations, key=lambda one: one.unit)
    requests = [counts_as_request(row.readings) or row.error_category is not None for row in rows]
    if sum(requests) < 2 or len({row.unit for row in rows}) < 2:
        raise ValueError("a recording needs requests of at least two units")
    read = {key for row in rows for key in row.readings}
    metrics = {key: one for key, one in {**CATALOGUE, **{one.key: one for one in own}}.items() if key in read}
    columns = [*metrics, *sorted(read - metrics.keys())]
    names = sorted({row.error_category for row in rows if row.error_category is not None})
    starts = [i for i, row in enumerate(rows) if i == 0 or row.unit != rows[i - 1].unit]
    return Recording(
        begins=np.array([*starts, len(rows)], dtype=np.int64),
        columns={key: np.array([row.readings.get(key, np.nan) for row in rows], dtype=np.float64) for key in columns},
        metrics=metrics,
        request=np.array(requests),
        category=np.array([names.index(row.error_category) if row.error_category else -1 for row in rows]),
        categories=tuple(names),
        segments=tuple(dict(row.segments) for row in rows),
        daily_requests=_requests_per_day([row.at for row in rows], sum(requests)),
    )


def known_from_recording(known: KnownTraffic, recording: Recording) -> KnownTraffic:
    """Known traffic with the levels and, if it has a time span, the pace of a recording."""
    found = {}
    for metric, entry in recording.metrics.items():
        column = recording.columns[metric]
        have = column[~np.isnan(column)]
        level = float(np.quantile(have, entry.quantile) if entry.quantile is not None else have.mean())
        if entry.kind is MetricKind.COUNT:
            level = float(have.sum()) / max(int(recording.request.sum()), 1)
        if entry.kind is MetricKind.RATIO:
            level = float(have.sum() / np.nansum(recording.columns[denominator_key(metric)]))
        if level > 0:
            found[metric] = replace(known.level_of(entry), level=level)
    known = replace(known, levels={**known.levels, **found}, measured="the recording", metrics=frozenset(found))
    pace = recording.daily_requests
    return known if pace is None else known.with_pace(pace, "the recording's own pace")


class RecordedTraffic:
    """Traffic of one simulated rollout from resampled units. Source: cluster bootstrap (Davison and Hinkley 1997,
    3.8)."""

    def __init__(
        self,
        recording: Recording,
        daily_requests: float,
        cuts: Sequence[str],
        harm: SimulatedHarm | None,
        chance: Generator,
    ) -> None:
        self.pace, self._harm, self._chance, self._recording = daily_requests, harm, chance, recording
        drawn = chance.integers(0, recording.units, recording.units)
        lengths = np.diff(recording.begins)[drawn]
        self._user = np.repeat(np.arange(recording.units), lengths)
        within = np.arange(len(self._user)) - np.repeat(np.cumsum(lengths) - lengths, lengths)
        self._row = recording.begins[drawn][self._user] + within
        names, profile = _group_profiles(recording, cuts)
        size = recording.units
        self.population = Population(
            position=chance.random(size),
            place=chance.integers(0, BUCKETS, size),
            member=chance.random(size) < COHORT_SHARE,
            activity=lengths / lengths.sum(),
            profiles=names,
            people=size,
        )
        self._place = profile[self._row] * BUCKETS + self.population.place[self._user]
        # The pace counts requests; rows that only report events come on top.
        self._rows_a_day = daily_requests * len(self._row) / max(int(recording.request[self._row].sum()), 1)
        self._arms: Mapping[str, NDArray[np.bool_]] = {}
        self._seen = np.zeros(size, dtype=bool)
        self._stage = -1
        self._after_cohort = False

    def enter_stage(self, index: int, stage: Stage, control: str) -> None:
        """Start a stage: assign the users to its arms. Nobody has been seen in it yet."""
        canary, rest = self.population.assign_arms(stage, control, after_cohort=self._after_cohort)
        self._after_cohort = self._after_cohort or stage.where is not None
        self._arms, self._stage = {CANARY: canary, CONTROL: rest}, index
        self._seen = np.zeros(self.population.size, dtype=bool)

    def add_arrivals(self, tally: Tally, days: float) -> None:
        """Draw random rows for this many days and count each in the arm of its unit."""
        expected = min(self._rows_a_day * days, 2.0 * MAX_DRAWN_REQUESTS)
        chosen = self._chance.integers(0, len(self._row), self._chance.poisson(expected))
        user = self._user[chosen]
        self._seen[user] = True
        for arm, members in self._arms.items():
            here = chosen[members[user]]
            self._count_rows(tally, arm, self._row[here], self._place[here])
        seen = {arm: int((self._seen & members).sum()) for arm, members in self._arms.items()}
        tally.set_exposures(self._stage, seen[CANARY], seen[CONTROL])

    def _count_rows(self, tally: Tally, arm: str, row: NDArray[np.int64], place: NDArray[np.int64]) -> None:
        recording, stage, places = self._recording, self._stage, tally.places
        request = recording.request[row]
        ones = np.bincount(place[request], minlength=places).astype(float)
        tally.add(stage, arm, REQUESTS, ones, ones)
        harm = self._harm if arm == CANARY else None
        for metric, column in recording.columns.items():
            values, at = column[row], place
            known = ~np.isnan(values)
            values, at = values[known], place[known]
            if harm is not None and harm.metric == metric:
                values, at = self._apply_harm(recording.metrics[metric], harm, values, at)
            entry = recording.metrics.get(metric)
            if entry is not None and entry.has_amounts and entry.kind is not MetricKind.RATIO:
                tally.add_values(stage, arm, entry, at, values)
            else:
                weight = np.bincount(at, minlength=places).astype(float)
                tally.add(stage, arm, metric, weight, np.bincount(at, values, places).astype(float))
        for number, name in enumerate(recording.categories):
            came = np.bincount(place[recording.category[row] == number], minlength=places).astype(float)
            tally.add(stage, arm, CATEGORY_PREFIX + name, came, came)
        if harm is not None and harm.metric == NEW_CATEGORY_METRIC:
            failed = self._chance.binomial(ones.astype(np.int64), min(harm.shift, 1.0)).astype(float)
            tally.add(stage, arm, CATEGORY_PREFIX + NEW_ERROR, failed, failed)

    def _apply_harm(
        self, entry: Metric, harm: SimulatedHarm, values: Array, place: NDArray[np.int64]
    ) -> tuple[Array, NDArray[np.int64]]:
        if entry.has_amounts:
            return values * harm.ratio, place
        if entry.kind is MetricKind.COUNT:
            times = self._chance.poisson(harm.ratio, len(values))
            return np.repeat(values, times), np.repeat(place, times)
        level = float(np.nanmean(self._recording.columns[entry.key]))
        goal = float(harm.apply_to_rates(np.array(level)))
        if goal >= level:
            return values + (1 - values) * (
                self._chance.random(len(values)) < (goal - level) / max(1 - level, 1e-12)
            ), place
        return values * (self._chance.random(len(values)) >= (level - goal) / level), place


def _group_profiles(
    recording: Recording, cuts: Sequence[str]
) -> tuple[tuple[Mapping[str, str], ...], NDArray[np.int64]]:
    """(most frequent segment combinations, index of each row's). Rare ones only count in the overall comparison."""
    if ALL_SEGMENTS in cuts:
        cuts = sorted({cut for row in recording.segments for cut in row})
    seen = [tuple((cut, row[cut]) for cut in cuts if cut in row) for row in recording.segments]
    counts: dict[tuple[tuple[str, str], ...], int] = {}
    for one in seen:
        counts[one] = counts.get(one, 0) + 1
    kept = [(), *(one for one in sorted(counts, key=lambda x: (-counts[x], x))[:MAX_PROFILES] if one)]
    numbers = {one: number for number, one in enumerate(kept)}
    return tuple(dict(one) for one in kept), np.array([numbers.get(one, 0) for one in seen], dtype=np.int64)


def _requests_per_day(moments: Sequence[datetime], requests: int) -> float | None:
    span = (max(moments) - min(moments)).total_seconds()
    return requests * DAY / span if span > 0 else None
