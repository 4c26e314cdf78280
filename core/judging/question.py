"""What is asked of the evidence: the limits agreed on, and the stages entered so far."""

from dataclasses import dataclass
from datetime import timedelta

from core.judging.limits import Limit, Role


@dataclass(frozen=True, slots=True, kw_only=True)
class StageDesign:
    """One stage that was entered. `canary_share` is the canary's share, 0 to 1, of the units in both arms; None or 0
    where nobody is served the new version. `control_left` is false once everybody is."""

    index: int
    name: str
    compared: bool
    canary_share: float | None
    control_left: bool

    @property
    def exposes(self) -> bool:
        """Whether somebody is served the new version."""
        return self.compared or bool(self.canary_share)


@dataclass(frozen=True, slots=True, kw_only=True)
class Question:
    """`limits` stay in their order for the whole rollout: the record refers to them by position."""

    limits: tuple[Limit, ...]
    watched: tuple[str, ...] = ()
    stages: tuple[StageDesign, ...]
    current: int
    alpha: float = 0.05
    no_data_after: timedelta = timedelta(minutes=15)

    def __post_init__(self) -> None:
        if not 0 < self.alpha < 1:
            raise ValueError(f"alpha must lie strictly between 0 and 1, not {self.alpha}")
        if all(stage.index != self.current for stage in self.stages):
            raise ValueError(f"the current stage {self.current} is not among the stages entered")

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
        """Stages in which no control is left, in order."""
        return tuple(stage.index for stage in self.stages if stage.exposes and not stage.control_left)

    @property
    def exposed(self) -> tuple[int, ...]:
        """Stages in which somebody is served the new version, in order."""
        return tuple(stage.index for stage in self.stages if stage.exposes)

    def acting(self, role: Role) -> tuple[int, ...]:
        """Positions of the limits that share the alpha of a role."""
        return tuple(i for i, limit in enumerate(self.limits) if limit.acts and limit.role is role)
