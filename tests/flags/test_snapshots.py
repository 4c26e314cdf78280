"""A snapshot is computed from the one before it, and comes to the same as one that is computed anew."""

import pytest

from core.rollout import commands as c
from core.rollout.serving import exposure
from core.service.service import RolloutService
from core.store.database.connections import connect
from tests.service.conftest import DANA, Desk


@pytest.fixture
def desk(new_sqlite):
    with connect(new_sqlite()) as database:
        yield Desk(RolloutService(database)).start()


def answers(snapshot):
    """All that a surface says, without what is compared by identity."""
    return {
        name: (flags.live.version.name, flags.exposure and flags.exposure.canary_below, len(flags.tracked))
        for name, flags in snapshot.surfaces.items()
    }


def test_what_nothing_happened_to_is_taken_over(desk):
    before = exposure.build_cached_snapshot(world := desk.service.load_world())
    again = exposure.build_snapshot(world, before)
    assert all(again.surfaces[name] is flags for name, flags in before.snapshot.surfaces.items())


@pytest.mark.parametrize("command", [c.RollBack(reason="enough"), c.Pause(reason="a look")])
def test_what_changed_is_computed_anew(desk, command):
    before = exposure.build_cached_snapshot(desk.service.load_world())
    desk.later(seconds=9).say(command, by=DANA)
    world = desk.service.load_world()
    surface = world.rollouts["R-1"].plan.surface
    now = exposure.build_snapshot(world, before)
    assert now.surfaces[surface] is not before.snapshot.surfaces[surface]
    assert answers(now) == answers(exposure.build_snapshot(world))
    assert now.position == world.position


def test_a_rollout_that_has_begun_since_is_seen(desk):
    world = desk.service.load_world()
    planned = desk.service.load_world().rollouts["R-1"]
    unstarted = type(world)(position=1, rollouts={}, surfaces=world.surfaces)
    before = exposure.build_cached_snapshot(unstarted)
    assert exposure.build_snapshot(world, before).surfaces[planned.plan.surface].exposure is not None
