"""What the engine may conclude; every kind of not knowing is a value of its own."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Literal, TypeAlias

Word: TypeAlias = Literal[
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
    """One limit that speaks. `difference`, `low` and `high` are relative to control where `relative`, else in the
    metric's own unit; the range is always valid at 95 %. `log_e` is the limit's own evidence, `threshold` what it would
    need alone. `segment` is empty for everyone."""

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
    """Nothing speaks against the new version so far."""

    name: Literal["continue"] = "continue"


@dataclass(frozen=True, slots=True, kw_only=True)
class TooEarly:
    """There is nothing to compare yet: an arm of the stage under way has had no request."""

    canary_requests: int
    control_requests: int
    name: Literal["too_early"] = "too_early"


@dataclass(frozen=True, slots=True, kw_only=True)
class NoData:
    """An arm has fallen silent. `since` is its last request; None: it never had one."""

    since: datetime | None
    arm: str
    name: Literal["no_data"] = "no_data"


@dataclass(frozen=True, slots=True, kw_only=True)
class BrokenSource:
    """Requests go on, but a metric that a limit rests on has stopped arriving. `since` is its last reading."""

    metric: str
    title: str
    arm: str
    since: datetime
    name: Literal["broken_source"] = "broken_source"


@dataclass(frozen=True, slots=True, kw_only=True)
class NoControl:
    """Everybody is served the new version: absolute limits still speak, the others only against the past."""

    name: Literal["no_control"] = "no_control"


@dataclass(frozen=True, slots=True, kw_only=True)
class Skewed:
    """Units were not split as designed, so no comparison can be trusted. Shares are the canary's, 0 to 1. It is the
    `number`-th finding of the rollout (None: recorded before they were counted): who sets one aside has not set the
    next one aside."""

    log_bayes_factor: float
    expected_share: float
    observed_share: float
    number: int | None = None
    name: Literal["skewed"] = "skewed"


@dataclass(frozen=True, slots=True, kw_only=True)
class Cleared:
    """Shown to be within every rollback limit. `watched` are metrics too rare to be shown so in the time given."""

    watched: tuple[str, ...] = ()
    name: Literal["cleared"] = "cleared"


@dataclass(frozen=True, slots=True, kw_only=True)
class Hold:
    """A hold limit is broken; the first finding is what fired."""

    findings: tuple[Finding, ...]
    name: Literal["hold"] = "hold"


@dataclass(frozen=True, slots=True, kw_only=True)
class RollBack:
    """A rollback limit is broken; the first finding is what fired. Never undone by a later look."""

    findings: tuple[Finding, ...]
    name: Literal["roll_back"] = "roll_back"


Verdict: TypeAlias = Continue | TooEarly | NoData | BrokenSource | NoControl | Skewed | Cleared | Hold | RollBack

Harm: TypeAlias = Literal["more", "less", "either"]
"""Which way of a metric is harm."""

AsExpected: TypeAlias = Literal["", "as expected", "not as expected", "not shown yet"]
"""Whether a metric went where its owner expected it to go; empty without an expectation."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Measure:
    """One row of a summary, over the stage under way. `difference`, `low` and `high` as in `Finding`; None is unknown.

    `n_*` count the arm's requests with this metric; `weaker`: compared with the past, as no control is left.
    `amount` is the limit in the unit of `difference` (of `canary` where `absolute`); `error` the standard error of a
    mean's difference, in the metric's own unit. `log_e` is the evidence of harm, `needed` what it would need alone;
    `log_clear` the evidence that the limit is kept, None where that cannot be shown. `implied`: not agreed in the file,
    but watched as the catalogue or an expectation says; `limit_text` then says what is watched for. `expected` is empty
    without an expectation.
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
    word: Word
    n_canary: int
    n_control: int
    unit: str
    relative: bool
    weaker: bool
    note: str = ""
    segment: str = ""
    role: str = ""
    implied: bool = False
    harm: Harm = "more"
    amount: float | None = None
    absolute: bool = False
    error: float | None = None
    design_effect: float = 1.0
    needed: float = 0.0
    log_clear: float | None = None
    cleared: bool = False
    expected: AsExpected = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class BlindSpot:
    """A rollback limit of which harm of twice its amount could still have been missed. `missed` is that harm: a change
    in the unit of a measure's `difference`, with a fixed limit the level itself. `unread`: no reading ever arrived (of
    `arm`). `readings` are the canary's so far, `needed` how many it takes, `more` how long that lasts at this pace;
    None is unknown, or never."""

    metric: str
    kind: str
    title: str
    limit_text: str
    missed: float
    unit: str
    relative: bool
    harm: Harm = "more"
    absolute: bool = False
    unread: bool = False
    arm: str = ""
    readings: int = 0
    needed: int | None = None
    more: timedelta | None = None

    @property
    def key(self) -> str:
        """What a person accepts: this limit of this metric."""
        return f"{self.metric}:{self.kind}"
