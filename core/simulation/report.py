"""Summaries of many runs: how often harmless changes are stopped, and how soon harm is found."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from math import ceil

from core.simulation.harm import SimulatedHarm
from core.simulation.run import SimulatedRun, SimulatedStop

CONFIDENCE = 0.95


@dataclass(frozen=True, slots=True, kw_only=True)
class HarmlessSummary:
    """Summary of the runs without harm.

    `at_most` is the upper 95 % limit of the false-rollback rate, 0 to 1. `by` and `holds_by` count rollbacks and holds
    by metric; `undecided` counts, by stage, the runs that reached its longest hold.
    """

    runs: int
    rolled_back: int
    at_most: float
    by: tuple[tuple[str, int], ...]
    held: int
    holds_by: tuple[tuple[str, int], ...]
    undecided: tuple[tuple[str, int], ...]
    lasted: timedelta  # median over the runs that were not rolled back, or over all if every run was


@dataclass(frozen=True, slots=True, kw_only=True)
class HarmSummary:
    """Summary of the runs with one harm.

    `stopped` counts the runs that were stopped: by a rollback, or by a hold if only that is possible (`by_hold`). Times
    are those of the median and the 90th percentile (`slow`) of all runs, counts those of the median, None if too few
    runs found it. `right` counts the stops for the metric that was harmed, `held_first` the rollbacks after a hold.
    """

    harm: SimulatedHarm
    runs: int
    by_hold: bool
    stopped: int
    right: int
    held_first: int
    at_least: float  # lower 95 % limit of the share of runs that find it
    by: tuple[tuple[str, int], ...]
    median: timedelta | None
    slow: timedelta | None
    users: int | None
    requests: int | None
    stage: str  # stage in which most runs were stopped


def summarise_harmless(runs: Sequence[SimulatedRun]) -> HarmlessSummary:
    """Summarise runs in which nothing changed."""
    back = [run.rollback for run in runs if run.rollback is not None]
    holds = [run.held for run in runs if run.held is not None]
    through = sorted(run.lasted for run in runs if run.rollback is None) or sorted(run.lasted for run in runs)
    return HarmlessSummary(
        runs=len(runs),
        rolled_back=len(back),
        at_most=upper_rate_limit(len(back), len(runs)),
        by=_count_names([stop.metric for stop in back]),
        held=len(holds),
        holds_by=_count_names([stop.metric for stop in holds]),
        undecided=_count_names([stage for run in runs for stage in run.undecided]),
        lasted=through[len(through) // 2],
    )


def summarise_harm(harm: SimulatedHarm, runs: Sequence[SimulatedRun], *, by_hold: bool) -> HarmSummary:
    """Summarise runs with one harm. `by_hold`: no rollback limit covers the metric, so a hold counts as found."""
    stops = [run.rollback or (run.held if by_hold else None) for run in runs]
    stopped = [stop for stop in stops if stop is not None]
    median, slow = _stop_at_share(stopped, len(runs), 0.5), _stop_at_share(stopped, len(runs), 0.9)
    stages = Counter(stop.stage for stop in stopped).most_common(1)
    return HarmSummary(
        harm=harm,
        runs=len(runs),
        by_hold=by_hold,
        stopped=len(stopped),
        right=sum(_is_same_signal(stop.metric, harm.metric) for stop in stopped),
        held_first=sum(run.rollback is not None and run.held is not None for run in runs),
        at_least=1 - upper_rate_limit(len(runs) - len(stopped), len(runs)),
        by=_count_names([stop.metric for stop in stopped]),
        median=median.after if median else None,
        slow=slow.after if slow else None,
        users=median.users if median else None,
        requests=median.requests if median else None,
        stage=stages[0][0] if stages else "",
    )


def upper_rate_limit(events: int, runs: int) -> float:
    """One-sided upper confidence limit of a rate (Clopper and Pearson 1934); 1 if it happened in every run."""
    if not 0 <= events <= runs or runs == 0:
        raise ValueError(f"{events} of {runs} is not a count")
    if events == runs:
        return 1.0
    from scipy.special import betaincinv  # imported late to keep `--help` fast

    return float(betaincinv(events + 1, runs - events, CONFIDENCE))


def _stop_at_share(stopped: Sequence[SimulatedStop], runs: int, share: float) -> SimulatedStop | None:
    """The stop by which this share of all runs had been stopped, earliest first; None if fewer were."""
    ordered = sorted(stopped, key=lambda stop: (stop.after, stop.requests))
    needed = ceil(share * runs)
    return ordered[needed - 1] if 0 < needed <= len(ordered) else None


def _is_same_signal(one: str, other: str) -> bool:
    """Whether two metrics measure the same signal, such as two quantiles of the latency."""
    return one == other or (one.startswith("latency_") and other.startswith("latency_"))


def _count_names(names: Sequence[str]) -> tuple[tuple[str, int], ...]:
    return tuple(sorted(Counter(names).items(), key=lambda pair: (-pair[1], pair[0])))
