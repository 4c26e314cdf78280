"""Everything the log says, as of one position: rollouts, surfaces and the policy."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Protocol

from core.metrics.own_metrics import OwnMetrics
from core.rollout.plans.policy import DEFAULT_POLICY, Policy
from core.rollout.refusal import NotFound
from core.rollout.state import surface as surfaces
from core.rollout.state.events import Event, Planned, PolicyApplied, WordsErased, WorldCheckpointed
from core.rollout.state.evolve import evolve
from core.rollout.state.model import TERMINAL_STATES, Rollout
from core.rollout.state.surface import APPLY_FIRST, Surface, SurfaceEvent
from core.rollout.workspace import freezes, subscriptions
from core.rollout.workspace.subscriptions import Subscribers, SubscriptionEvent

SEE_LIST = "See /rollout list."
ENDED_KEPT_FOR = timedelta(days=7)
"""How long an ended rollout stays in memory."""
ENDED_KEPT_PER_SURFACE = 8
"""How many of the rollouts that ended last stay in memory per surface; they still accept late observations."""


class Archive(Protocol):
    """Ended rollouts that are no longer kept in memory, read from the log."""

    def find_rollout(self, rollout_id: str, position: int) -> Rollout | None:
        """The rollout as of the event at `position`; None if there is no rollout with this id."""

    def find_named(self, name: str, position: int) -> Rollout | None:
        """The newest rollout with this name as of the event at `position`; None if there is none."""


@dataclass(frozen=True, slots=True, kw_only=True)
class World:
    """All rollouts, surfaces and the policy at one position of the log.

    `rollouts` holds those that are open or ended recently, oldest first. `archived` counts the others, which
    `find_rollout` reads from the `archive`.
    """

    position: int = 0
    rollouts: Mapping[str, Rollout] = field(default_factory=dict)
    archived: int = 0
    surfaces: Mapping[str, Surface] = field(default_factory=dict)
    policy: Policy = DEFAULT_POLICY
    policy_fingerprint: str = ""
    subscribers: Subscribers = field(default_factory=Subscribers)
    declared_freezes: freezes.Freezes = field(default_factory=dict)  # by surface; empty for all of them
    archive: Archive | None = field(default=None, compare=False, repr=False)

    def find_rollout(self, rollout_id: str) -> Rollout | None:
        """The rollout with this id, in memory or archived; None if there is none."""
        found = self.rollouts.get(rollout_id)
        if found is None and self.archived and self.archive is not None:
            return self.archive.find_rollout(rollout_id, self.position)
        return found

    def get_rollout(self, rollout_id: str) -> Rollout:
        """The rollout with this id. KeyError if there is none."""
        found = self.find_rollout(rollout_id)
        if found is None:
            raise KeyError(rollout_id)
        return found

    def require_rollout(self, rollout_id: str, hint: str = SEE_LIST) -> Rollout:
        """The rollout with this id. NotFound if there is none; `hint` says what to do then."""
        found = self.find_rollout(rollout_id)
        if found is None:
            raise self.build_unknown_rollout(rollout_id, hint)
        return found

    def build_unknown_rollout(self, rollout_id: str, hint: str = SEE_LIST) -> NotFound:
        """The error that says that there is no rollout with this id, and which are open."""
        running = ", ".join(f"{r.id} {r.plan.name}" for r in self.open_rollouts) or "none"
        return NotFound(f"There is no {rollout_id[:80] or 'rollout without an id'}. Open now: {running}.", hint=hint)

    def require_surface(self, name: str, hint: str = APPLY_FIRST) -> Surface:
        """The surface with this name. NotFound if there is none; `hint` says what to do then."""
        return surfaces.require_surface(name, self.surfaces, hint)

    def find_named(self, name: str) -> Rollout | None:
        """The newest rollout with this name; None if there is none."""
        found = [r for r in self.rollouts.values() if r.plan.name == name]
        if self.archived and self.archive is not None and (old := self.archive.find_named(name, self.position)):
            found.append(old)
        return max(found, key=lambda r: _rollout_number(r.id), default=None)

    def policy_for(self, surface: str) -> Policy:
        """The policy with the freezes that were declared for this surface."""
        return freezes.extend_policy(self.policy, self.declared_freezes, surface)

    @property
    def own_metrics(self) -> OwnMetrics:
        """The metrics that teams define themselves, as their files say today."""
        return OwnMetrics(
            everywhere=self.policy.metrics or (),
            by_surface={name: surface.metrics for name, surface in self.surfaces.items() if surface.metrics},
        )

    @property
    def own_metric_names(self) -> frozenset[str]:
        """Every name that a file defines, or that the plan of a rollout in memory has."""
        defined = (self.policy.metrics, *(surface.metrics for surface in self.surfaces.values()))
        planned = (rollout.plan.metrics for rollout in self.rollouts.values())
        return frozenset(metric.key for found in (*defined, *planned) for metric in found or ())

    @property
    def open_rollouts(self) -> tuple[Rollout, ...]:
        """Rollouts that are planned or under way, oldest first."""
        return tuple(r for r in self.rollouts.values() if r.state not in TERMINAL_STATES)

    @property
    def next_id(self) -> str:
        """The id of the next rollout that is planned."""
        return f"R-{self.archived + len(self.rollouts) + 1}"

    def without_ended(self, at: datetime) -> "World":
        """This world without the rollouts that ended long before `at`; they are counted as archived."""
        kept = set(_ids_kept_in_memory(self, at))
        ended = {name: rollout.planners for name, rollout in self.rollouts.items() if name not in kept}
        if not ended:
            return self
        return replace(
            self,
            rollouts={name: rollout for name, rollout in self.rollouts.items() if name in kept},
            archived=self.archived + len(ended),
            surfaces={name: surfaces.without_rollouts(one, ended) for name, one in self.surfaces.items()},
        )


def _rollout_number(rollout_id: str) -> int:
    """The number in a rollout id; ids are numbered in the order of planning."""
    return int("".join(filter(str.isdecimal, rollout_id)) or 0)


def _ids_kept_in_memory(world: World, at: datetime) -> Iterator[str]:
    """Ids of the rollouts to keep in memory.

    These are the open ones, those that ended recently, those that made a live version, the last few of each surface,
    and the last one that drove each flag.
    """
    yield from (surface.live_by for surface in world.surfaces.values())
    newest_driving: dict[tuple[str, ...], Rollout] = {}
    of_surface: dict[str, list[Rollout]] = {}
    for rollout in world.rollouts.values():
        if rollout.ended_at is None or at - rollout.ended_at < ENDED_KEPT_FOR or rollout.state not in TERMINAL_STATES:
            yield rollout.id
            continue
        of_surface.setdefault(rollout.plan.surface, []).append(rollout)
        for driven in rollout.plan.driven:
            known = newest_driving.get(driven.place)
            if known is None or known.ended_at is None or known.ended_at <= rollout.ended_at:
                newest_driving[driven.place] = rollout
    yield from (rollout.id for rollout in newest_driving.values())
    for ended in of_surface.values():
        started = sorted((r for r in ended if r.spans), key=lambda r: r.spans[-1].since)
        yield from (rollout.id for rollout in started[-ENDED_KEPT_PER_SURFACE:])


def fold_events(world: World, steps: Iterable[tuple[str, Event, datetime, int]]) -> World:
    """The world after applying events of the log (stream, event, time, position), in order."""
    rollouts, changed_surfaces, position = dict(world.rollouts), dict(world.surfaces), world.position
    policy, fingerprint, archived = world.policy, world.policy_fingerprint, world.archived
    subscribers, declared = world.subscribers, world.declared_freezes
    for stream, event, at, place in steps:
        kind, _, name = stream.partition(":")
        position = place
        if isinstance(event, PolicyApplied):
            policy, fingerprint = event.policy, event.fingerprint
        elif isinstance(event, freezes.FreezeEvent):
            declared = freezes.evolve(declared, event)
        elif isinstance(event, SubscriptionEvent):
            subscribers = subscriptions.evolve(subscribers, event)
        elif isinstance(event, WordsErased | WorldCheckpointed):
            continue
        elif isinstance(event, SurfaceEvent):
            changed_surfaces[name] = surfaces.evolve(changed_surfaces.get(name), event, at)
        else:
            assert kind == "rollout"
            before = rollouts.get(name)
            if before is None and archived and world.archive is not None and not isinstance(event, Planned):
                before = world.archive.find_rollout(name, place - 1)
                archived -= 1
                rollouts[name] = evolve(before, event, at)
                rollouts = dict(sorted(rollouts.items(), key=lambda item: _rollout_number(item[0])))
                continue
            rollouts[name] = evolve(before, event, at)
    return World(
        position=position,
        rollouts=rollouts,
        archived=archived,
        surfaces=changed_surfaces,
        policy=policy,
        policy_fingerprint=fingerprint,
        subscribers=subscribers,
        declared_freezes=declared,
        archive=world.archive,
    )
