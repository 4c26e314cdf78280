"""Tries counters before anything depends on them: how they grow, whose side they tell, restarts, bounds and time."""

import time
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from bot.sources.errors import SourceFailure
from bot.sources.prometheus.counter_plan import CounterPlan
from bot.sources.prometheus.increases import find_increases
from bot.sources.prometheus.queries import build_selector, list_bounds, read_history, read_series
from bot.sources.prometheus.refuse_counters import refuse_missing, refuse_replicas
from bot.sources.prometheus.series import NEW_TARGET
from bot.sources.source_trial import SourceTrial
from bot.sources.web_client import WebClient

MAX_LISTED = 8
READ_BACK = timedelta(minutes=15)
"""How far back counters are read at most: they are asked for in pieces of this length."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CounterReport:
    """What a try of one Prometheus found; `failure` is empty if everything could be asked. A pull took `seconds`.

    `grown` is by counter how much it grew, `sides` by label how much the first one did. `bounds` are by metric those
    of its histogram, in the metric's unit. `restarts` are processes that began anew, `unsure` steps not counted.
    """

    name: str
    failure: str = ""
    reach: timedelta = READ_BACK
    series: int = 0
    samples: int = 0
    scrape_seconds: float | None = None
    newest: datetime | None = None
    grown: Mapping[str, float] | None = None
    sides: tuple[tuple[str, float], ...] = ()
    bounds: Mapping[str, tuple[float, ...]] | None = None
    restarts: int = 0
    unsure: int = 0
    seconds: float = 0.0
    query: str = ""

    @property
    def has_problem(self) -> bool:
        """Whether it cannot be read, does not grow, or tells no side."""
        first = next(iter((self.grown or {}).values()), 0.0)
        return bool(self.failure) or first == 0 or not any(name for name, _ in self.sides) or self.unsure > 0


def check_counters(trial: SourceTrial) -> CounterReport:
    """Try the counters on the trial's time, at most the last `READ_BACK` of it."""
    try:
        return _try_counters(trial, trial.connect())
    except SourceFailure as failure:
        return CounterReport(name=trial.terms.name, failure=str(failure))


def _try_counters(trial: SourceTrial, client: WebClient) -> CounterReport:
    counters, upto = trial.terms.prometheus, trial.upto
    assert counters is not None
    since = max(trial.since, upto - READ_BACK)
    plan = CounterPlan(counters, {}, trial.own)
    began = time.monotonic()
    start, end = since.timestamp() - NEW_TARGET, upto.timestamp()
    found = read_series(client, plan.list_selectors(), start, end)
    refuse_replicas(found)
    history = read_history(client, found, start, end)
    growth = find_increases(found, {}, history, counts_from_zero=counters.side == "exposure", side=counters.label)
    seconds = time.monotonic() - began
    refuse_missing(client, plan, growth.last, end)
    recent = [one for one in growth.increases if one.at >= since.timestamp()]
    grown: Counter[str] = Counter()
    sides: Counter[str] = Counter()
    first = next(iter(plan.roles))
    for one in recent:
        labels = dict(one.labels)
        grown[labels["__name__"]] += one.amount  # type: ignore[assignment]
        if labels["__name__"] == first:
            sides[labels.get(counters.label, "")] += one.amount  # type: ignore[assignment]
    times = [at for one in found for at, _ in one.samples]
    gaps = sorted(b[0] - a[0] for one in found for a, b in zip(one.samples, one.samples[1:], strict=False))
    return CounterReport(
        name=trial.terms.name,
        reach=upto - since,
        series=len(found),
        samples=sum(at >= since.timestamp() for at in times),
        scrape_seconds=gaps[len(gaps) // 2] if gaps else None,
        newest=datetime.fromtimestamp(max(times), UTC) if times else None,
        grown={counter: float(grown[counter]) for counter in plan.roles},
        sides=tuple((name, float(number)) for name, number in sides.most_common(MAX_LISTED)),
        bounds={
            key: tuple(
                bound * counted.scale
                for bound in list_bounds(client, build_selector(f"{counted.histogram}_bucket", counters.match), end)
                if bound != float("inf")
            )
            for key, counted in counters.metrics.items()
            if counted.histogram
        },
        restarts=sum(len({value for _, value in said}) - 1 for said in history.started.values()),
        unsure=growth.unsure,
        seconds=seconds,
        query=" ".join(plan.list_selectors()),
    )
