"""Which counters a source is asked for, and what each of them is for."""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from bot.sources.prometheus.queries import build_selector, parse_number
from core.judging.model.evidence import REQUESTS, exceedance_cell
from core.metrics.catalogue import CATALOGUE, FEEDS, Metric, MetricKind
from core.rollout.state.sources import CountedMetric, PrometheusCounters


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
            return self.bounds[name].get(parse_number(labels["le"]), ())
        return self.roles.get(name, ())
