"""Refuses counters that would be counted wrongly: there several times, missing, or with a label that tells no arm."""

from collections.abc import Iterable, Mapping

from bot.sources.errors import SourceFailure
from bot.sources.prometheus.counter_plan import CounterPlan
from bot.sources.prometheus.queries import build_selector, list_bounds, parse_number
from bot.sources.prometheus.series import Labels, Series
from bot.sources.web_client import WebClient
from core.flags.snapshot import TrackedRollout
from core.rollout.state.sources import PrometheusCounters

_REPLICAS = frozenset({"prometheus_replica", "receive_replica", "__replica__", "thanos_replica"})
"""Labels by which several servers tell the same samples apart."""


def refuse_replicas(found: Iterable[Series]) -> None:
    """SourceFailure if several servers tell the same samples, which would count as often."""
    for one in found:
        for name, _ in one.labels:
            if name in _REPLICAS:
                raise SourceFailure(
                    f"its series have the label {name}, so each may be there several times: choose one by match",
                    is_lasting=True,
                )


def refuse_untold_arms(counters: PrometheusCounters, tracked: TrackedRollout) -> None:
    """SourceFailure if the label cannot tell who is compared in this rollout."""
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
            bounds.setdefault(name, set()).add(parse_number(named["le"]))
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
