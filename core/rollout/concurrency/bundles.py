"""A bundle: rollouts on several AI features that a file moves as one. What it is follows from the events of each."""

from dataclasses import dataclass

from core.rollout.plans.bundle_order import BundleOrder
from core.rollout.state.model import UNDER_WAY_STATES, Rollout, RolloutState
from core.rollout.state.world import World


@dataclass(frozen=True, slots=True, kw_only=True)
class Bundle:
    """The rollouts of a bundle, in the order of its file."""

    name: str
    order: BundleOrder
    members: tuple[Rollout, ...]

    @property
    def ids(self) -> tuple[str, ...]:
        """The ids of its rollouts, in its order."""
        return tuple(one.id for one in self.members)

    def list_before(self, rollout: Rollout) -> tuple[Rollout, ...]:
        """Those that come before this one."""
        return self.members[: self._find_index(rollout)]

    def list_after(self, rollout: Rollout) -> tuple[Rollout, ...]:
        """Those that come after this one."""
        return self.members[self._find_index(rollout) + 1 :]

    def list_others(self, rollout: Rollout) -> tuple[Rollout, ...]:
        """All of them but this one."""
        return tuple(one for one in self.members if one.id != rollout.id)

    def _find_index(self, rollout: Rollout) -> int:
        return next(index for index, one in enumerate(self.members) if one.id == rollout.id)


def find_bundle(world: World, name: str) -> Bundle | None:
    """The bundle of this name whose rollouts are in memory; None if there is none.

    Of several one after the other: what is under way, else planned, else done; of these the newest.
    """
    named = [one for one in world.rollouts.values() if one.bundle is not None and one.bundle.bundle == name]
    found = [bundle for one in named if (bundle := find_bundle_of(world, one)) is not None]
    return max(reversed(found), key=_rank, default=None)  # the first of equals


def _rank(bundle: Bundle) -> tuple[bool, int]:
    """How likely it is meant by its name. One that a member has left for a later one is meant last."""
    agreed = all(one.bundle is not None and one.bundle.members == bundle.ids for one in bundle.members)
    states = {one.state for one in bundle.members}
    ranked = (UNDER_WAY_STATES, {RolloutState.PLANNED}, {RolloutState.DONE})
    return agreed, next((len(ranked) - place for place, some in enumerate(ranked) if states & some), 0)


def find_bundle_of(world: World, rollout: Rollout) -> Bundle | None:
    """The bundle that a rollout belongs to; None if it is in none."""
    bundled = rollout.bundle
    if bundled is None:
        return None
    members = tuple(one for name in bundled.members if (one := world.find_rollout(name)) is not None)
    return Bundle(name=bundled.bundle, order=bundled.order, members=members)


def list_bundles(world: World) -> tuple[Bundle, ...]:
    """Every bundle of which a rollout is planned or under way, in the order of planning."""
    names = dict.fromkeys(r.bundle.bundle for r in world.open_rollouts if r.bundle is not None)
    return tuple(found for name in names if (found := find_bundle(world, name)) is not None)
