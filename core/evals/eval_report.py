"""What a run of an eval suite says: the values that are recorded with its result and shown to people.

They are stored within `EvalRecorded`: fields are only ever added, with a default. Lists of cases hold the first
`MAX_LISTED`; the counts beside them are complete.
"""

from dataclasses import dataclass

from core.evals.repeats import FlakyCase

MAX_LISTED = 50


@dataclass(frozen=True, slots=True, kw_only=True)
class CaseList:
    """How many cases there are of something, and the first of their ids."""

    count: int
    cases: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class PassRate:
    """The rate of a version with its 95 % interval, as fractions. Flaky cases count by the majority of their runs."""

    passed: int
    total: int
    low: float
    high: float
    needed: float | None = None  # the gate's threshold
    by_lower_bound: bool = False  # whether `low` has to reach the threshold, not the rate


@dataclass(frozen=True, slots=True, kw_only=True)
class PairedOutcome:
    """Both versions on the cases that they share.

    `p_value` is that of McNemar's exact test: how likely so uneven a split of `broke` and `mended` would be if both
    versions were equally good.
    """

    shared: int
    passed: int
    current_passed: int
    broke: CaseList  # passed under the current version, and no longer
    mended: CaseList
    p_value: float


@dataclass(frozen=True, slots=True, kw_only=True)
class CategoryFailures:
    """The failures of one category that the current version did not have."""

    category: str
    failures: CaseList


@dataclass(frozen=True, slots=True, kw_only=True)
class SuiteChange:
    """How the suite differs from the one that the current version ran. Rewritten cases have another input."""

    added: CaseList
    removed: CaseList
    rewritten: CaseList


@dataclass(frozen=True, slots=True, kw_only=True)
class ReplayLevel:
    """A mean or quantile with its 95 % interval; an end is None if there are too few cases to bound it."""

    value: float
    low: float | None = None
    high: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ReplayChange:
    """A measure (`cost`, `latency_p50`, `latency_p95`) of both versions over the cases that they share.

    In US dollars or milliseconds per case. `rise` is relative to the current version, as are the ends of its 95 %
    interval, where there is one; None if the current version's level is 0. `allowed` is the gate's limit.
    """

    measure: str
    cases: int
    current: ReplayLevel
    new: ReplayLevel
    rise: float | None = None
    rise_low: float | None = None
    rise_high: float | None = None
    allowed: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class EvalReport:
    """Everything that a run says of the new version, alone and beside the current one.

    `dataset` identifies the cases with their inputs and categories. `covers` are the categories and the labels
    (`language=tr`) of the suite.
    """

    tool: str
    dataset: str
    pass_rate: PassRate
    judges: tuple[str, ...] = ()
    models: tuple[str, ...] = ()
    runs: int = 0  # runs of cases; more than cases if some were repeated
    flaky_count: int = 0
    flaky: tuple[FlakyCase, ...] = ()
    errors: CaseList = CaseList(count=0, cases=())
    paired: PairedOutcome | None = None
    new_failures: tuple[CategoryFailures, ...] = ()
    suite_change: SuiteChange | None = None
    replay: tuple[ReplayChange, ...] = ()
    covers: tuple[str, ...] = ()
