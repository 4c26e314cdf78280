"""Two processes at one instant on one database: going back wins, and no rollout of a bundle is left behind."""

from collections.abc import Iterator
from itertools import count
from typing import Any

import pytest

from core.rollout import commands as c
from core.rollout.context import ENGINE, Actor
from core.rollout.plans.plan import content_hash
from core.rollout.state import events as e
from core.rollout.state.model import RolloutState
from core.service.service import CommandRequest
from core.store.database.connections import Database
from tests.rollout.conftest import look_of
from tests.service import racers
from tests.service.conftest import DANA, LEE, ROLLOUT, SURFACE, Desk
from tests.service.racers import Racers

ROUNDS = 4
MIRA = Actor(id="slack:T1/U4", handle="@mira")
GONE = (RolloutState.ROLLED_BACK, RolloutState.ABANDONED)


class Race:
    """A desk with two processes beside it; every round is a bundle of its own on the same two AI features."""

    def __init__(self, desk: Desk, beside: Racers) -> None:
        self.desk, self.beside, self.numbers = desk, beside, count(1)
        for surface in ("support-assistant", "sales-assistant"):
            desk.apply(SURFACE.replace("support-assistant", surface))

    def plan(self, order: str) -> tuple[str, str, str]:
        """(the bundle, its first, its second rollout), approved, with its notices out."""
        number, desk = next(self.numbers), self.desk
        one = ROLLOUT.replace("support-tone", f"support-{number}")
        other = ROLLOUT.replace("support-tone", f"sales-{number}").replace("support-assistant", "sales-assistant")
        head = f"version: 1\nbundle: bundle-{number}\n{order}: [support-{number}, sales-{number}]\n"
        applied = desk.apply("---\n".join([head, one, other]))
        for rollout in applied.rollouts:
            fingerprint = desk.service.load_world().rollouts[rollout].fingerprint
            posted = c.RecordPosted(key=f"notice:{fingerprint}:support:#support", channel="C2", ts="1.0")
            desk.say(posted, rollout=rollout, by=ENGINE)
            desk.say(c.Approve(), rollout=rollout)
        desk.later(minutes=2)
        first, second = applied.rollouts
        return applied.id, first, second

    def run(self, *asked: tuple[c.Command, str, Actor]) -> list[Any]:
        return self.beside.race(
            [
                CommandRequest(
                    command=command, command_id=f"race-{next(self.numbers)}", by=by, at=self.desk.at, rollout=rollout
                )
                for command, rollout, by in asked
            ]
        )

    def states(self, *rollouts: str) -> list[RolloutState]:
        world = self.desk.service.load_world()
        return [world.rollouts[one].state for one in rollouts]

    def kinds(self, rollout: str) -> list[type]:
        return [type(one.event) for one in self.desk.service.load_history(rollout)]


@pytest.fixture
def race(desk: Desk, database: Database) -> Iterator[Race]:
    with racers.started(database.engine.url.render_as_string(hide_password=False)) as beside:
        yield Race(desk, beside)


def test_two_people_who_go_back_at_once_take_each_rollout_back_once(race: Race):
    for _ in range(ROUNDS):
        bundle, first, second = race.plan("together")
        race.desk.say(c.Start(), rollout=bundle)
        race.run((c.RollBack(reason="worse"), first, LEE), (c.RollBack(reason="slow"), second, MIRA))
        assert race.states(first, second) == [RolloutState.ROLLED_BACK] * 2
        for rollout in (first, second):
            assert race.kinds(rollout).count(e.RolledBack) == 1


@pytest.mark.parametrize("back", ["engine", "person"])
def test_a_rollback_of_one_and_a_step_of_the_other_end_rolled_back(race: Race, back: str):
    for _ in range(ROUNDS):
        bundle, first, second = race.plan("together")
        race.desk.say(c.Start(), rollout=bundle)
        race.desk.later(minutes=3)
        step = (c.Tick(look=look_of()), second, ENGINE) if back == "person" else (c.Advance(reason="now"), second, DANA)
        race.run((c.RollBack(reason="worse"), first, MIRA), step)
        assert race.states(first, second) == [RolloutState.ROLLED_BACK] * 2
        happened = race.kinds(second)
        assert e.StageEntered not in happened[happened.index(e.RolledBack) :]


def test_a_hold_of_one_and_a_step_of_the_other_end_on_hold(race: Race):
    for _ in range(ROUNDS):
        bundle, first, second = race.plan("together")
        race.desk.say(c.Start(), rollout=bundle)
        race.desk.later(minutes=3)
        race.run((c.Pause(), first, MIRA), (c.Advance(reason="now"), second, DANA))
        assert race.states(first, second) == [RolloutState.PAUSED, RolloutState.ON_HOLD]
        race.desk.say(c.RollBack(), rollout=bundle)
        assert race.states(first, second) == [RolloutState.ROLLED_BACK] * 2


@pytest.mark.parametrize("order", ["together", "in_order"])
def test_a_start_and_a_rollback_of_the_bundle_leave_nothing_running(race: Race, order: str):
    for _ in range(ROUNDS):
        bundle, first, second = race.plan(order)
        race.run((c.RollBack(reason="not now"), bundle, MIRA), (c.Start(), bundle, DANA))
        assert all(state in GONE for state in race.states(first, second))
        race.desk.later(minutes=1).say(c.Tick(), rollout=second, by=ENGINE)
        assert all(state in GONE for state in race.states(first, second))


def test_in_order_the_next_one_does_not_start_beside_the_rollback_of_the_one_before(race: Race):
    for _ in range(ROUNDS):
        bundle, first, second = race.plan("in_order")
        race.desk.say(c.Start(), rollout=bundle)
        for _ in range(4):
            race.desk.later(minutes=3).say(c.Tick(look=look_of()), rollout=first, by=ENGINE)
        assert race.states(first, second) == [RolloutState.DONE, RolloutState.PLANNED]
        race.desk.later(minutes=1)
        race.run((c.RollBack(reason="worse"), first, MIRA), (c.Tick(), second, ENGINE))
        assert race.states(first)[0] is RolloutState.ROLLED_BACK
        assert race.states(second)[0] in (RolloutState.ROLLED_BACK, RolloutState.PLANNED)
        race.desk.later(minutes=1).say(c.Tick(), rollout=second, by=ENGINE)
        assert race.states(second)[0] in (RolloutState.ROLLED_BACK, RolloutState.PLANNED)
        race.desk.say(c.RollBack(), rollout=bundle)
        surfaces = race.desk.service.load_world().surfaces.values()
        assert {content_hash(one.live_content) for one in surfaces} == {
            content_hash(one.versions["v42"]) for one in surfaces
        }
