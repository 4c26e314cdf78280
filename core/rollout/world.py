"""Everything the log says, folded: all rollouts, all surfaces and the policy, at one position of the log."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime

from core.rollout import surface as surfaces
from core.rollout.events import Event, PolicyApplied
from core.rollout.evolve import evolve
from core.rollout.model import TERMINAL, Rollout
from core.rollout.policy import BUILT_IN, Policy
from core.rollout.surface import Surface, SurfaceEvent


@dataclass(frozen=True, slots=True, kw_only=True)
class World:
    position: int = 0
    rollouts: Mapping[str, Rollout] = field(default_factory=dict)
    surfaces: Mapping[str, Surface] = field(default_factory=dict)
    policy: Policy = BUILT_IN
    policy_fingerprint: str = ""

    def named(self, name: str) -> Rollout | None:
        """The newest rollout of this name."""
        return next((r for r in reversed(tuple(self.rollouts.values())) if r.plan.name == name), None)

    @property
    def open(self) -> tuple[Rollout, ...]:
        """Rollouts that are planned or under way, oldest first."""
        return tuple(r for r in self.rollouts.values() if r.state not in TERMINAL)

    @property
    def next_id(self) -> str:
        return f"R-{len(self.rollouts) + 1}"


def advance(world: World, stream: str, event: Event, *, at: datetime, position: int) -> World:
    """The world after one event of the log."""
    kind, _, name = stream.partition(":")
    if isinstance(event, PolicyApplied):
        return replace(world, position=position, policy=event.policy, policy_fingerprint=event.fingerprint)
    if isinstance(event, SurfaceEvent):
        changed = surfaces.evolve(world.surfaces.get(name), event)
        return replace(world, position=position, surfaces={**world.surfaces, name: changed})
    assert kind == "rollout"
    return replace(
        world, position=position, rollouts={**world.rollouts, name: evolve(world.rollouts.get(name), event, at)}
    )
