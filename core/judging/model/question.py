"""What is asked of the evidence: the limits agreed on, what else is watched, and the stages entered so far."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from core.judging.model.default_limits import Expected
from core.judging.model.evidence import capped
from core.judging.model.limits import Limit, Role


@dataclass(frozen=True, slots=True, kw_only=True)
class StageDesign:
    """One stage that was entered. `canary_share` is the canary's share, 0 to 1, of the units in both arms; None or 0
    where nobody is served the new version. `control_left` is false once everybody is. `chosen`: only some people are in
    it. `ends` is when it has to be decided at the latest."""

    index: int
    name: str
    compared: bool
    canary_share: float | None
    control_left: bool
    chosen: bool = False
    ends: datetime | None = None

    @property
    def exposes(self) -> bool:
        """Whether somebody is served the new version."""
        return self.compared or bool(self.canary_share)


@dataclass(frozen=True, slots=True, kw_only=True)
class Question:
    """`limits` (the file's) and `implied` stay in their order for the whole rollout: the record refers to them by
    position, the file's first. `cuts` are the dimensions of segments that are judged, `caps` the values above which
    a mean's readings count as the cap."""

    limits: tuple[Limit, ...]
    implied: tuple[Limit, ...] = ()
    expectations: tuple[Expected, ...] = ()
    cuts: tuple[str, ...] = ()
    caps: Mapping[str, float] = field(default_factory=dict)
    stages: tuple[StageDesign, ...]
    current: int
    alpha: float = 0.05
    no_data_after: timedelta = timedelta(minutes=15)
    segments_every: timedelta = timedelta(seconds=50)
    splits_set_aside: int = 0  # so many findings of a wrong split have people set aside

    def __post_init__(self) -> None:
        if not 0 < self.alpha < 1:
            raise ValueError(f"alpha must lie strictly between 0 and 1, not {self.alpha}")
        if all(stage.index != self.current for stage in self.stages):
            raise ValueError(f"the current stage {self.current} is not among the stages entered")

    @property
    def criteria(self) -> tuple[Limit, ...]:
        """Everything that is tested, by position."""
        return self.limits + self.implied

    def is_implied(self, position: int) -> bool:
        """Whether no file agreed on this criterion."""
        return position >= len(self.limits)

    def is_divided(self, position: int) -> bool:
        """Whether a criterion is judged in segments as well: what is only told is not."""
        limit = self.criteria[position]
        return not limit.per_category and (not self.is_implied(position) or limit.role is Role.HOLD)

    def cell(self, metric: str) -> str:
        """The cell that a metric is compared by: capped where its cap is known."""
        cap = self.caps.get(metric)
        return metric if cap is None else capped(metric, cap)

    @property
    def stage(self) -> StageDesign:
        """The stage under way."""
        return next(stage for stage in self.stages if stage.index == self.current)

    @property
    def compared(self) -> tuple[int, ...]:
        """Stages in which canary and control live side by side, in order."""
        return tuple(stage.index for stage in self.stages if stage.compared and stage.control_left)

    @property
    def alone(self) -> tuple[int, ...]:
        """Stages in which no control is left and that are held against its past, in order. Chosen people have none:
        they come before everybody, and the past of others says nothing about them."""
        return tuple(
            stage.index for stage in self.stages if stage.exposes and not stage.control_left and not stage.chosen
        )

    @property
    def exposed(self) -> tuple[int, ...]:
        """Stages in which somebody is served the new version, in order."""
        return tuple(stage.index for stage in self.stages if stage.exposes)

    @property
    def latest(self) -> tuple[int, ...]:
        """The exposed stage under way and the one before it: where segments may still have something new."""
        return self.exposed[-2:]

    @property
    def epochs(self) -> tuple[int, ...]:
        """The stages since which segments are compared: the first with a control, and the one under way."""
        compared = self.compared
        here = (self.current,) if self.current in compared[1:] else ()
        return (*compared[:1], *here)

    def acting(self, role: Role) -> tuple[int, ...]:
        """Positions of the file's limits that share the alpha of a role."""
        return tuple(i for i, limit in enumerate(self.limits) if limit.acts and limit.role is role)
