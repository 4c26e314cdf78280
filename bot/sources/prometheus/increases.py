"""How much each counter grew between its raw samples, with restarts found by their traces: never extrapolated."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from bot.sources.prometheus.renamed_series import RenamedSeries
from bot.sources.prometheus.series import Labels, Series, Target, TargetHistory


@dataclass(frozen=True, slots=True, kw_only=True)
class Increase:
    """`amount` more of a series in (`since`, `at`], in seconds since 1970."""

    labels: Labels
    target: Target
    since: float
    at: float
    amount: float


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
    side: str = "",
) -> Growth:
    """The increases between samples that follow `last`, the newest sample of each series so far.

    A counter that fell has restarted at zero, and so has each counter of a process that started anew, even if it is
    higher again. Where a process does not say when it started, and one of its counters fell while another did not, none
    of them is counted over that step. The first sample of a series counts as a whole only if the series began at zero
    since the scrape before or with its process, or if `counts_from_zero`: nothing of such a series is older. A series
    that was there under other labels goes on from where it was; `side` is the label that tells the arm.
    """
    steps: list[tuple[Series, tuple[float, float] | None, tuple[float, float]]] = []
    newest = dict(last)
    renamed = RenamedSeries(found, last, history, side)
    for series in found:
        before = newest.get(series.labels)
        for sample in series.samples:
            if before is None:
                before = renamed.find_last_sample(series, sample)
            elif sample[0] <= before[0] or _is_out_of_order(series.target, before, sample, history):
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


def _is_out_of_order(
    target: Target, before: tuple[float, float], sample: tuple[float, float], history: TargetHistory
) -> bool:
    """Whether a sample is older than the one before it, as where a server that reloads scrapes twice at once.

    A counter that fell a little though its process went on was not cleared, or it would be near zero.
    """
    if not before[1] / 2 < sample[1] < before[1]:
        return False
    return _has_restarted(target, before[0], sample[0], history) is False


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
