"""What became of a rollout that is done: whether its version is still live, and whether there is a way back (pure)."""

from dataclasses import dataclass
from datetime import date, datetime

from core.rollout.models import way_back
from core.rollout.state.model import Rollout, RolloutState
from core.rollout.state.world import World


@dataclass(frozen=True, slots=True, kw_only=True)
class AfterDone:
    """How things stand after the end. `last_day` is the last one on which the old version can be called, if known."""

    live: str  # the version that is live now
    is_last: bool  # nothing was made live since, by another rollout or by going back
    last_day: date | None
    is_closed: bool  # that day is over

    @property
    def can_go_back(self) -> bool:
        """Whether everybody can be moved back by this rollout."""
        return self.is_last and not self.is_closed


def find_after_done(world: World, rollout: Rollout, at: datetime) -> AfterDone | None:
    """How things stand at `at` with a rollout that is done; None of any other."""
    surface = world.surfaces.get(rollout.plan.surface)
    if rollout.state is not RolloutState.DONE or surface is None:
        return None
    last = way_back.find_last_day(rollout.plan, surface)
    return AfterDone(
        live=surface.live,
        is_last=surface.live == rollout.plan.to_version and surface.live_by == rollout.id,
        last_day=last.day if last is not None else None,
        is_closed=way_back.is_way_back_closed(rollout.plan, surface, world.policy, at),
    )
