"""Everything the log says, folded: all rollouts, all surfaces and the policy, at one position of the log."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime

from core.rollout import surface as surfaces
from core.rollout.events import Event, PolicyApplied, WordsErased
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


def fold(world: World, steps: Iterable[tuple[str, Event, datetime, int]]) -> World:
    """The world after events of the log (stream, event, when, position), in order."""
    rollouts, changed_surfaces, position = dict(world.rollouts), dict(world.surfaces), world.position
    policy, fingerprint = world.policy, world.policy_fingerprint
    for stream, event, at, place in steps:
        kind, _, name = stream.partition(":")
        position = place
        if isinstance(event, PolicyApplied):
            policy, fingerprint = event.policy, event.fingerprint
        elif isinstance(event, WordsErased):
            continue
        elif isinstance(event, SurfaceEvent):
            changed_surfaces[name] = surfaces.evolve(changed_surfaces.get(name), event)
        else:
            assert kind == "rollout"
            rollouts[name] = evolve(rollouts.get(name), event, at)
    return World(
        position=position,
        rollouts=rollouts,
        surfaces=changed_surfaces,
        policy=policy,
        policy_fingerprint=fingerprint,
    )
