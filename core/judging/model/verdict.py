"""Verdicts of the engine and what they rest on. Every kind of missing knowledge is a verdict of its own."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Literal, TypeAlias

from core.metrics.catalogue import HarmDirection

MeasureLabel: TypeAlias = Literal[
    "Fine",
    "Better",
    "Slightly worse, within limit",
    "Worse",
    "Not enough data",
    "No data",
    "Changed unexpectedly",
]


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """One violated limit.

    `difference`, `low` and `high` are relative to control if `relative`, else in the metric's own unit; (low, high) is
    a 95 % confidence sequence. `log_e` is the limit's own log e-value, `threshold` the value it would need alone.
    `segment` is empty for the overall comparison.
    """

    metric: str
    kind: str
    limit_text: str
    canary: float | None
    control: float | None
    difference: float | None
    low: float | None
    high: float | None
    log_e: float
    threshold: float
    segment: str = ""
    note: str = ""
    title: str = ""
    unit: str = ""
    relative: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Continue:
    """No limit is violated so far."""

    name: Literal["continue"] = "continue"


@dataclass(frozen=True, slots=True, kw_only=True)
class TooEarly:
    """Nothing to compare yet: an arm of the current stage has had no request."""

    canary_requests: int
    control_requests: int
    name: Literal["too_early"] = "too_early"


@dataclass(frozen=True, slots=True, kw_only=True)
class NoData:
    """An arm receives no more requests. `since` is the time of its last request; None if it never had one."""

    since: datetime | None
    arm: str
    name: Literal["no_data"] = "no_data"


@dataclass(frozen=True, slots=True, kw_only=True)
class BrokenSource:
    """Requests continue, but the readings of a limit's metric have stopped. `since` is the time of the last one.

    If a source that is pulled cannot be read, `source` is its name and `why` says what is wrong; `since` is then the
    time of the last pull.
    """

    metric: str
    title: str
    arm: str
    since: datetime
    source: str | None = None
    why: str | None = None
    name: Literal["broken_source"] = "broken_source"


@dataclass(frozen=True, slots=True, kw_only=True)
class NoControl:
    """Everybody is served the new version: absolute limits still apply, the others compare with control's past."""

    name: Literal["no_control"] = "no_control"


@dataclass(frozen=True, slots=True, kw_only=True)
class Skewed:
    """Sample-ratio mismatch: units were not split as designed, so no comparison can be trusted.

    Shares are the canary's, 0 to 1. `number` counts the rollout's findings of this kind (None in records from before
    they were counted): setting one aside does not set the next one aside.
    """

    log_bayes_factor: float
    expected_share: float
    observed_share: float
    number: int | None = None
    name: Literal["skewed"] = "skewed"


@dataclass(frozen=True, slots=True, kw_only=True)
class Cleared:
    """Every limit that can act is shown to be kept. `watched` are metrics too rare to show that in the time given."""

    watched: tuple[str, ...] = ()
    name: Literal["cleared"] = "cleared"


@dataclass(frozen=True, slots=True, kw_only=True)
class Hold:
    """A hold limit is violated. The first finding carries the most evidence."""

    findings: tuple[Finding, ...]
    name: Literal["hold"] = "hold"


@dataclass(frozen=True, slots=True, kw_only=True)
class RollBack:
    """A rollback limit is violated. The first finding carries the most evidence. Later looks never undo it."""

    findings: tuple[Finding, ...]
    name: Literal["roll_back"] = "roll_back"


Verdict: TypeAlias = Continue | TooEarly | NoData | BrokenSource | NoControl | Skewed | Cleared | Hold | RollBack

AsExpected: TypeAlias = Literal["", "as expected", "not as expected", "not shown yet"]
"""Whether a metric changed as its owner expected; empty without an expectation."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Measure:
    """One row of a summary of the current stage. `difference`, `low` and `high` are as in `Finding`; None is unknown.

    `n_*` count the arm's requests that have a reading of this metric. `weaker` means compared with control's past, as
    no control is left. `amount` is the limit in the unit of `difference` (of `canary` if `absolute`); `error` is the
    standard error of a mean's difference in the metric's own unit. `log_e` is the log e-value of harm, `needed` the
    value it would need alone. `log_clear` is the log e-value that the limit is kept, None if that cannot be shown.
    `implied` marks a default limit; `limit_text` then describes that one. `expected` is empty without an expectation.
    `spread` is the standard deviation of the logarithm of the values near a quantile, None for other kinds and in what
    engines before 6 recorded.
    """

    metric: str
    title: str
    limit_text: str | None
    canary: float | None
    control: float | None
    difference: float | None
    low: float | None
    high: float | None
    log_e: float
    word: MeasureLabel
    n_canary: int
    n_control: int
    unit: str
    relative: bool
    weaker: bool
    note: str = ""
    segment: str = ""
    role: str = ""
    implied: bool = False
    harm: HarmDirection = "more"
    amount: float | None = None
    absolute: bool = False
    error: float | None = None
    design_effect: float = 1.0
    needed: float = 0.0
    log_clear: float | None = None
    cleared: bool = False
    expected: AsExpected = ""
    spread: float | None = None

    @property
    def is_judged(self) -> bool:
        """Whether there was enough to judge."""
        return self.word not in {"Not enough data", "No data"}

    @property
    def is_bad(self) -> bool:
        """Whether the new version is worse here, or different where nothing should change."""
        return self.word in {"Worse", "Changed unexpectedly"}

    @property
    def is_good(self) -> bool:
        """Whether the limit is kept so far."""
        return self.is_judged and not self.is_bad


def is_beyond_chance(seen: Measure | Finding) -> bool:
    """Whether the 95 % range of a difference leaves out that there is none."""
    return (seen.low is not None and seen.low > 0) or (seen.high is not None and seen.high < 0)


@dataclass(frozen=True, slots=True, kw_only=True)
class BlindSpot:
    """A rollback limit whose test could still have missed harm of twice the limit's amount.

    `missed` is that harm: a change in the unit of a measure's `difference`, or the level itself for a fixed limit.
    `unread` means that `arm` has had no reading at all. `readings` counts the canary's readings so far, `needed` how
    many it takes, `more` how long that takes at the current pace; None is unknown, or never.
    """

    metric: str
    kind: str
    title: str
    limit_text: str
    missed: float
    unit: str
    relative: bool
    harm: HarmDirection = "more"
    absolute: bool = False
    unread: bool = False
    arm: str = ""
    readings: int = 0
    needed: int | None = None
    more: timedelta | None = None

    @property
    def key(self) -> str:
        """Identifies the limit for acceptance by a person: `metric:kind`."""
        return f"{self.metric}:{self.kind}"
