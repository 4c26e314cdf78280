"""The question put to the evidence: the agreed limits, the default limits, and the stages entered so far."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from core.judging.limits.default_limits import ExpectedChange
from core.judging.limits.limits import Limit, LimitRole
from core.judging.model.evidence import capped_cell
from core.metrics.catalogue import CATALOGUE, Metric

ALL_SEGMENTS = "*"
"""Among the dimensions of segments: every one that is reported."""
FALSE_ALARM_ALPHA = 0.05
"""Chance of a false alarm of the limits of one role, however often people look."""


@dataclass(frozen=True, slots=True, kw_only=True)
class StageDesign:
    """One stage that was entered.

    `canary_share` is the canary's share (0 to 1) of the units in both arms; None or 0 if nobody gets the new version.
    `control_left` is False once everybody gets it. `chosen` means that only a cohort takes part. `ends` is the deadline
    for a decision.
    """

    index: int
    name: str
    compared: bool
    canary_share: float | None
    control_left: bool
    chosen: bool = False
    ends: datetime | None = None

    @property
    def exposes(self) -> bool:
        """Whether anybody is served the new version."""
        return self.compared or bool(self.canary_share)

    @property
    def has_both_arms(self) -> bool:
        """Whether it has a canary and a control that are compared."""
        return self.compared and self.control_left

    @property
    def lacks_control(self) -> bool:
        """Whether the new version is served and nobody is left in control."""
        return self.exposes and not self.control_left


@dataclass(frozen=True, slots=True, kw_only=True)
class Question:
    """What one look has to answer.

    `limits` (from the file) and `implied` (the default limits) keep their order for the whole rollout: records refer to
    them by position, the file's limits first. `cuts` are the segment dimensions that are judged. `caps` are, by metric,
    the values at which a mean's readings are capped. `ALL_SEGMENTS` among the `cuts` stands for every dimension.
    `unknown_units` are the metrics of which nobody knows whose requests they count, and how many count as one.
    """

    limits: tuple[Limit, ...]
    implied: tuple[Limit, ...] = ()
    expectations: tuple[ExpectedChange, ...] = ()
    cuts: tuple[str, ...] = ()
    caps: Mapping[str, float] = field(default_factory=dict)
    stages: tuple[StageDesign, ...]
    current: int
    alpha: float = FALSE_ALARM_ALPHA
    no_data_after: timedelta = timedelta(minutes=15)
    segments_every: timedelta = timedelta(seconds=50)
    splits_set_aside: int = 0  # number of sample-ratio mismatch findings that people have set aside
    unknown_units: Mapping[str, float] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if not 0 < self.alpha < 1:
            raise ValueError(f"alpha must lie strictly between 0 and 1, not {self.alpha}")
        if all(stage.index != self.current for stage in self.stages):
            raise ValueError(f"the current stage {self.current} is not among the stages entered")

    @property
    def criteria(self) -> tuple[Limit, ...]:
        """All limits that are tested: the file's, then the default ones. Positions refer to this tuple."""
        return self.limits + self.implied

    def is_default_limit(self, position: int) -> bool:
        """Whether this criterion is a default limit, not one from the file."""
        return position >= len(self.limits)

    def is_judged_in_segments(self, position: int) -> bool:
        """Whether this criterion is also judged in segments. Default limits that are only reported are not."""
        limit = self.criteria[position]
        return not limit.is_per_category and (not self.is_default_limit(position) or limit.role is LimitRole.HOLD)

    def entry_of(self, metric: str) -> Metric:
        """The metric of this name that is judged: the surface's own, or the catalogue's."""
        limited = next((limit for limit in self.criteria if limit.metric == metric), None)
        return limited.entry if limited is not None else CATALOGUE[metric]

    def has_unknown_units(self, cell: str) -> bool:
        """Whether nobody knows whose requests a cell of a metric counts."""
        return re.split("[>~]", cell)[0] in self.unknown_units

    def requests_per_unit(self, cell: str) -> float:
        """How many requests count as one in a cell of a metric; 1 where units are known."""
        return self.unknown_units.get(re.split("[>~]", cell)[0], 1.0)

    def comparison_cell(self, metric: str) -> str:
        """Name of the cell by which a metric is compared: the capped one once its cap is known."""
        cap = self.caps.get(metric)
        return metric if cap is None else capped_cell(metric, cap)

    @property
    def current_stage(self) -> StageDesign:
        """The design of the current stage."""
        return next(stage for stage in self.stages if stage.index == self.current)

    @property
    def compared_stages(self) -> tuple[int, ...]:
        """Indices of the stages that have both a canary and a control, in order."""
        return tuple(stage.index for stage in self.stages if stage.has_both_arms)

    @property
    def stages_without_control(self) -> tuple[int, ...]:
        """Indices of the stages without a control, which are compared with control's past, in order.

        Cohort stages are excluded: other people's past says nothing about a cohort.
        """
        return tuple(stage.index for stage in self.stages if stage.lacks_control and not stage.chosen)

    @property
    def exposed_stages(self) -> tuple[int, ...]:
        """Indices of the stages in which anybody is served the new version, in order."""
        return tuple(stage.index for stage in self.stages if stage.exposes)

    @property
    def latest_stages(self) -> tuple[int, ...]:
        """The last two exposed stages: only there can segments still receive new counts."""
        return self.exposed_stages[-2:]

    @property
    def comparison_starts(self) -> tuple[int, ...]:
        """The stages at which comparisons of segments start: the first one with a control, and the current one."""
        compared = self.compared_stages
        here = (self.current,) if self.current in compared[1:] else ()
        return (*compared[:1], *here)

    def acting_positions(self, role: LimitRole) -> tuple[int, ...]:
        """Positions of the file's limits that can act in a role; they share its alpha."""
        return tuple(i for i, limit in enumerate(self.limits) if limit.can_act and limit.role is role)
