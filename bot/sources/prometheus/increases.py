"""How much each counter grew between its raw samples, with restarts found by their traces: never extrapolated."""

from bisect import bisect_right
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

Labels = tuple[tuple[str, str], ...]
Target = tuple[str, str]
"""(job, instance): one process, as Prometheus scrapes it."""

NEW_TARGET = 600.0
"""Seconds before the first sample of a series in which its target must have been scraped, for it to begin at zero."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Series:
    """The raw samples of one series, by time: (seconds since 1970, value)."""

    labels: Labels
    samples: Sequence[tuple[float, float]]

    @property
    def target(self) -> Target:
        """The process that it is of."""
        found = dict(self.labels)
        return found.get("job", ""), found.get("instance", "")


@dataclass(frozen=True, slots=True, kw_only=True)
class Increase:
    """`amount` more of a series in (`since`, `at`], in seconds since 1970."""

    labels: Labels
    target: Target
    since: float
    at: float
    amount: float


@dataclass(frozen=True, slots=True, kw_only=True)
class TargetHistory:
    """What is known of the processes: when each was scraped, and when it said that it had started, sample by sample."""

    scraped: Mapping[Target, Sequence[float]] = field(default_factory=dict)
    started: Mapping[Target, Sequence[tuple[float, float]]] = field(default_factory=dict)

    def last_scrape_before(self, target: Target, at: float) -> float | None:
        """The scrape before one at `at`; None if none is known within `NEW_TARGET`."""
        times = self.scraped.get(target, ())
        place = bisect_right(times, at - 1e-3)
        return times[place - 1] if place and at - times[place - 1] <= NEW_TARGET else None

    def started_at(self, target: Target, at: float) -> float | None:
        """When the process that was scraped at `at` had started, as it said then; None if it does not say."""
        said = self.started.get(target, ())
        place = bisect_right(said, (at, float("inf")))
        return said[place - 1][1] if place and at - said[place - 1][0] <= NEW_TARGET else None


@dataclass(frozen=True, slots=True, kw_only=True)
class Growth:
    """What was found in some samples. `unsure` is how many steps of processes are not counted: they may hide a
    restart."""

    increases: tuple[Increase, ...] = ()
    unsure: int = 0
    last: Mapping[Labels, tuple[float, float]] = field(default_factory=dict)


def find_increases(
    found: Sequence[Series],
    last: Mapping[Labels, tuple[float, float]],
    history: TargetHistory,
    *,
    counts_from_zero: bool,
) -> Growth:
    """The increases between samples that follow `last`, the newest sample of each series so far.

    A counter that fell has restarted at zero, and so has each counter of a process that started anew, even if it is
    higher again. Where a process does not say when it started, and one of its counters fell while another did not, none
    of them is counted over that step. The first sample of a series counts as a whole only if the series began at zero
    since the scrape before or with its process, or if `counts_from_zero`: nothing of such a series is older.
    """
    steps: list[tuple[Series, tuple[float, float] | None, tuple[float, float]]] = []
    newest = dict(last)
    for series in found:
        before = newest.get(series.labels)
        for sample in series.samples:
            if before is not None and sample[0] <= before[0]:
                continue
            steps.append((series, before, sample))
            before = sample
        if before is not None:
            newest[series.labels] = before
    in_doubt = _find_doubtful_steps(steps, history)
    increases: list[Increase] = []
    for series, before, (at, value) in steps:
        target = series.target
        if (target, at) in in_doubt:
            continue
        if before is None:
            beginning = _find_beginning(target, at, history)
            if beginning is None and not counts_from_zero:
                continue
            since, amount = at if beginning is None else beginning, value
        else:
            since = before[0]
            restarted = value < before[1] or _has_restarted(target, since, at, history)
            amount = value if restarted else value - before[1]
        if amount > 0:
            increases.append(Increase(labels=series.labels, target=target, since=since, at=at, amount=amount))
    return Growth(increases=tuple(increases), unsure=len(in_doubt), last=newest)


def _has_restarted(target: Target, since: float, at: float, history: TargetHistory) -> bool | None:
    """Whether a process started anew between two samples of it; None if it does not say when it started."""
    now, earlier = history.started_at(target, at), history.started_at(target, since)
    if now is None:
        return None
    return now != earlier if earlier is not None else now > since


def _find_doubtful_steps(
    steps: Iterable[tuple[Series, tuple[float, float] | None, tuple[float, float]]], history: TargetHistory
) -> frozenset[tuple[Target, float]]:
    """Steps of processes of which one counter fell and another one, not at zero before, did not, with no word of when
    they started: whether the other one has restarted too cannot be told."""
    fell: set[tuple[Target, float]] = set()
    stood: set[tuple[Target, float]] = set()
    for series, before, (at, value) in steps:
        if before is None or before[1] == 0 or _has_restarted(series.target, before[0], at, history) is not None:
            continue
        (fell if value < before[1] else stood).add((series.target, at))
    return frozenset(fell & stood)


def _find_beginning(target: Target, at: float, history: TargetHistory) -> float | None:
    """From when on a series counts that was first seen at `at`: the scrape that did not have it yet, or the start of
    its process. None if it may be older."""
    scrape = history.last_scrape_before(target, at)
    if scrape is not None:
        return scrape
    return history.started_at(target, at)
