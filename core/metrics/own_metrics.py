"""Metrics that teams define themselves: from what a file says to a metric, and which ones a surface has."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal, TypeAlias

from core.metrics.catalogue import (
    CATALOGUE,
    FEEDS,
    USER_VOTE,
    DefaultRole,
    DesiredDirection,
    MarginScale,
    Metric,
    MetricKind,
)

OwnKind: TypeAlias = Literal["rate", "mean", "quantile", "ratio"]
OwnDirection: TypeAlias = Literal["up", "down", "same"]

MOST = 50
"""Own metrics in one file at most. Each is judged, so each makes changes of the others harder to tell from chance."""
RESERVED = frozenset({"requests", "set_aside"})
"""Names under which something else is counted."""
JUDGED_PREFIX = "judge_"
"""How the metrics of a judge's criteria begin, and no others."""

_KINDS: Mapping[OwnKind, MetricKind] = {
    "rate": MetricKind.PROPORTION,
    "mean": MetricKind.MEAN,
    "quantile": MetricKind.QUANTILE,
    "ratio": MetricKind.RATIO,
}
_DIRECTIONS: Mapping[OwnDirection, DesiredDirection] = {
    "up": DesiredDirection.UP,
    "down": DesiredDirection.DOWN,
    "same": DesiredDirection.UNCHANGED,
}
RATE_UNIT = "%"
_RATE_MARGIN, _RELATIVE_MARGIN = 0.02, 0.1


@dataclass(frozen=True, slots=True, kw_only=True)
class OwnMetrics:
    """Own metrics by where they are defined: for `everywhere` in the policy, or for single surfaces in their files."""

    everywhere: tuple[Metric, ...] = ()
    by_surface: Mapping[str, tuple[Metric, ...]] = field(default_factory=dict)

    def of_surface(self, surface: str) -> Mapping[str, Metric]:
        """The own metrics of one surface by name; its own definition comes before the policy's."""
        return {metric.key: metric for metric in (*self.everywhere, *self.by_surface.get(surface, ()))}

    def find_owners(self, metric: str) -> tuple[str, ...]:
        """The surfaces that define a metric of this name."""
        return tuple(name for name, own in self.by_surface.items() if any(one.key == metric for one in own))


def define_metric(
    name: str,
    kind: OwnKind,
    direction: OwnDirection,
    *,
    title: str = "",
    unit: str = "",
    probability: float | None = None,
    is_signal: bool = False,
) -> Metric:
    """The metric that a definition describes. A limit that a file does not set is assumed at 2 points of a rate, and at
    10 % of anything else."""
    rate = kind == "rate"
    return Metric(
        key=name,
        title=title or name.replace("_", " ").capitalize(),
        kind=_KINDS[kind],
        good=_DIRECTIONS[direction],
        unit=RATE_UNIT if rate else unit,
        default_margin=_RATE_MARGIN if rate else _RELATIVE_MARGIN,
        margin_scale=MarginScale.POINTS if rate else MarginScale.RELATIVE,
        role=DefaultRole.HOLD if is_signal else DefaultRole.ROLLBACK,
        probability=probability,
        signal=is_signal,
    )


def is_name_taken(name: str) -> bool:
    """Whether Rampart itself counts something under this name."""
    taken = name in CATALOGUE or name in FEEDS or name == USER_VOTE or name in RESERVED
    return taken or name.startswith(JUDGED_PREFIX)


def find_metric(name: str, own: tuple[Metric, ...] | None) -> Metric | None:
    """The metric of this name: one of `own`, else of the catalogue; None if there is none."""
    return next((metric for metric in own or () if metric.key == name), None) or CATALOGUE.get(name)


def describe_change(before: Metric, after: Metric) -> str:
    """What differs between two definitions so that readings of one do not fit the other; empty if nothing does.

    Title and usual level are for people and for planning, so they may change at any time.
    """
    changes = {
        "its kind": (before.kind, after.kind),
        "its direction": (before.good, after.good),
        "its unit": (before.unit, after.unit),
        "its quantile": (before.probability, after.probability),
        "its cap": (before.cap, after.cap),
        "its class": (before.signal, after.signal),
    }
    return " and ".join(name for name, (was, now) in changes.items() if was != now)
