"""Two processes and two people at one instant on one rollout: whoever goes back wins, in whatever order they come."""

from collections.abc import Iterator
from itertools import count
from typing import Any

import pytest

from core.rollout import commands as c
from core.rollout.context import ENGINE, Actor
from core.rollout.serving.exposure import build_snapshot
from core.rollout.state import events as e
from core.rollout.state.model import RolloutState
from core.service.service import CommandRequest
from core.store.audit.verify import verify
from core.store.database.connections import Database
from tests.rollout.conftest import look_of
from tests.service import racers
from tests.service.conftest import DANA, LEE, ROLLOUT, SURFACE, Desk
from tests.service.racers import Racers

ROUNDS = 5
MIRA = Actor(id="slack:T1/U4", handle="@mira")


class Race:
    """A desk with two processes beside it; every round is a rollout of its own, under way at 5 %."""

    def __init__(self, desk: Desk, beside: Racers) -> None:
        self.desk, self.beside, self.numbers, self.asked = desk, beside, count(1), count(1)
        desk.apply(SURFACE)

    def begin(self) -> str:
        """Its id; its canary has held as long as it must."""
        number, desk = next(self.numbers), self.desk
        changed = ROLLOUT.replace("support-tone", f"tone-{number}").replace("9f2c51e0", f"{number:08x}")
        rollout = desk.apply(changed).id
        fingerprint = desk.service.load_world().rollouts[rollout].fingerprint
        posted = c.RecordPosted(key=f"notice:{fingerprint}:support:#support", channel="C2", ts=f"{number}.0")
        desk.say(posted, rollout=rollout, by=ENGINE)
        desk.say(c.Approve(), rollout=rollout)
        desk.later(minutes=1).say(c.Start(), rollout=rollout)
        desk.later(minutes=3)
        return rollout

    def run(self, rollout: str, *asked: tuple[c.Command, Actor]) -> list[Any]:
        return self.beside.race(
            [
                CommandRequest(
                    command=command, command_id=f"race-{next(self.asked)}", by=by, at=self.desk.at, rollout=rollout
                )
                for command, by in asked
            ]
        )

    def assert_back(self, rollout: str) -> None:
        world = self.desk.service.load_world()
        assert world.rollouts[rollout].state is RolloutState.ROLLED_BACK
        assert world.rollouts[rollout].percent == 0
        flags = build_snapshot(world).surfaces["support-assistant"]
        assert (flags.exposure, flags.live.version.name) == (None, "v42")
        history = [one.event for one in self.desk.service.load_history(rollout)]
        back = next(number for number, event in enumerate(history) if isinstance(event, e.RolledBack))
        assert not [event for event in history[back:] if isinstance(event, e.StageEntered | e.Completed)]
        assert sum(isinstance(event, e.RolledBack) for event in history) == 1


@pytest.fixture
def race(desk: Desk, database: Database) -> Iterator[Race]:
    with racers.started(database.engine.url.render_as_string(hide_password=False)) as beside:
        yield Race(desk, beside)
    with database.reading() as connection:
        assert verify(connection).problems == ()


@pytest.mark.parametrize("swapped", [False, True])
def test_a_rollback_and_an_advance(race: Race, swapped: bool) -> None:
    for _ in range(ROUNDS):
        rollout = race.begin()
        both = [(c.RollBack(reason="wrong answers"), LEE), (c.Advance(reason="enough seen"), DANA)]
        race.run(rollout, *(both[::-1] if swapped else both))
        race.assert_back(rollout)


def test_a_rollback_and_a_look_that_grows(race: Race) -> None:
    for _ in range(ROUNDS):
        rollout = race.begin()
        race.run(rollout, (c.RollBack(reason="wrong answers"), LEE), (c.Tick(look=look_of()), ENGINE))
        race.assert_back(rollout)


def test_two_people_who_go_back(race: Race) -> None:
    rollout = race.begin()
    race.run(rollout, (c.RollBack(reason="wrong answers"), LEE), (c.RollBack(reason="too slow"), MIRA))
    race.assert_back(rollout)


def test_a_rollback_and_a_resume_of_a_hold(race: Race) -> None:
    for _ in range(ROUNDS):
        rollout = race.begin()
        race.desk.say(c.Pause(reason="looking"), rollout=rollout)
        race.run(rollout, (c.RollBack(reason="wrong answers"), LEE), (c.Resume(reason="it is fine"), MIRA))
        race.assert_back(rollout)
