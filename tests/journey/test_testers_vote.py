"""Power users are asked by the served program when the canary begins, answer with a click, and count by version."""

from collections.abc import Callable

import pytest

from bot.sandbox.workspace.workspace import SandboxMessage
from core.flags.bucketing import compute_bucket
from core.rollout.state.events import VoteCast
from core.rollout.state.model import RolloutState
from tests.journey.crowd import Crowd
from tests.journey.house import ROLLOUT, House


def find_unit(canary: bool) -> str:
    """A user who gets the new version of R-1 at 20 %, or the current one."""
    return next(f"user-{n}" for n in range(100) if (compute_bucket("expose", "R-1", f"user-{n}") < 200_000) is canary)


def asked(house: House, handle: str) -> SandboxMessage:
    """The question that this person got as a direct message, as soon as it is there."""
    person = house.sandbox.workspace.find_person(handle)

    def found() -> list[SandboxMessage]:
        direct = house.sandbox.workspace.visible_messages(f"D{person.id[1:]}", person.id)
        return [m for m in direct if "feel to you?" in house.text(m)]

    return house.sandbox.wait_for(found, 90)[0]


@pytest.mark.shows("E39")
def test_power_users_are_asked_and_their_votes_count_by_version(
    database_url: str, open_house: Callable[..., House]
) -> None:
    house = open_house(database_url)
    file = ROLLOUT.replace("min_hold: 1m", "min_hold: 2h")
    testers = f'  - {{person: "@mia", unit: {find_unit(True)}}}\n  - {{person: "@sam", unit: {find_unit(False)}}}\n'
    house.schedule(f"{file}testers:\n{testers}")
    house.clock.go()
    with Crowd(house.url, house.clock, "healthy", seed=3) as crowd, crowd.all_the_while(house.clock, a_minute=120):
        house.until(lambda: house.rollout.state is RolloutState.RUNNING, "R-1 begins by itself")
        house.person("mia").click(asked(house, "mia"), "Worse")
        house.whispered("mia", "Your vote on R-1: worse.")
        house.person("sam").click(asked(house, "sam"), "Good")
        house.until(lambda: len(house.rollout.votes.get(0, {})) == 2, "both votes are in the log")
        house.said("#ai-rollouts", "Testers say: new version 1 worse · old version 1 good")
    votes = [x.event for x in house.program.service.load_history("R-1") if isinstance(x.event, VoteCast)]
    assert [(vote.handle, vote.choice, vote.arm) for vote in votes] == [
        ("@mia", "worse", "canary"),
        ("@sam", "good", "control"),
    ]
    assert house.sandbox.violations == []
    assert house.problems_of_the_log() == ()
