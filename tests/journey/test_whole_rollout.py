"""The main job from end to end, over both transports and on both databases: harm is taken back, health ships."""

from collections.abc import Callable

import pytest

from core.rollout.state.model import RolloutState
from tests.journey.crowd import Crowd, versions
from tests.journey.house import POLICY, House

BY_TIME = f"{POLICY}risk: {{standard: {{approvals: 1, may_skip: [cohort], grow_on: time}}}}\n"


@pytest.fixture(params=["http", "socket"])
def house(request: pytest.FixtureRequest, database_url: str, open_house: Callable[..., House]) -> House:
    """Every combination of transport and database."""
    return open_house(database_url, transport=request.param)


@pytest.mark.shows("E54", "E55", "E72")
def test_harm_is_told_approved_started_and_taken_back(house: House) -> None:
    approval = house.plan()
    assert house.text(house.card).startswith("Planned: R-1 fix-first, v42 -> v43. Needs 1 more approval.")
    notice = house.said("#support", "What customers may notice")
    assert "Answers start with the fix" in house.text(notice)
    assert "Do not announce it yet." in house.text(house.said("#marketing", "Answers start with the fix"))

    house.person("sam").click(notice, "Got it")
    house.said("#support", "@sam pressed Got it")

    house.person("dana").click(approval, "Approve")
    house.whispered("dana", "your own change, so someone else must approve it")
    assert not house.rollout.approvals

    house.person("lee").click(approval, "Approve")
    house.whispered("lee", "Approved by @lee")
    decided = house.said("#ai-rollouts", "Approved by @lee: start R-1")
    assert decided.ts == approval.ts, "the request itself is edited"
    assert "[ Approve ]" not in house.text(approval)

    early = house.person("ana").type_command("/rollout start R-1")
    assert "needs 1 min notice" in early.text
    assert house.rollout.state is RolloutState.PLANNED
    assert versions(house.url, 200) == {"v42"}
    house.person("ana").click(house.whispered("ana", "Earliest start"), "Start then")
    house.whispered("ana", "Scheduled by @ana")

    house.clock.go()
    with Crowd(house.url, house.clock, "refusals", seed=1) as crowd, crowd.all_the_while(house.clock, a_minute=600):
        house.until(lambda: house.rollout.state is RolloutState.RUNNING, "R-1 begins by itself")
        house.until(lambda: versions(house.url, 200) == {"v42", "v43"}, "some are served the new version")
        house.until(lambda: house.rollout.state is RolloutState.ROLLED_BACK, "the harm is noticed")
        assert versions(house.url, 1000) == {"v42"}

    alert = house.said("#ai-rollouts", "Rolled back: R-1 fix-first. Everyone got the old version again; it took")
    flip = house.rollout.flip
    assert flip is not None
    took = f"{flip.seconds:.2f}" if flip.seconds >= 0.01 else "under 0.01"
    assert f"it took {took} s" in house.text(alert), "the seconds are those that were observed"
    assert "Limit broken" in house.text(alert)
    assert "Declined to answer" in house.text(alert)
    assert "verdict after" in house.text(alert)
    assert "confirmed on 1 process" in house.text(alert)
    house.said("#ai-rollouts", "Rolled back: R-1 fix-first. Everyone got v42 again")
    assert house.text(house.card).startswith("Rolled back: R-1 fix-first.")
    house.said("#support", "Switched back")
    house.said("#marketing", "Switched back")
    assert house.program.service.load_world().surfaces["support-assistant"].live == "v42"
    assert house.sandbox.violations == []
    assert house.problems_of_the_log() == ()


def test_a_healthy_change_is_done_without_a_human_after_its_approval(house: House) -> None:
    """Growth by the clock here, as a minute's traffic is too little for sight: that has its tests in tests/rollout."""
    house.apply(BY_TIME)
    house.schedule()

    house.clock.go()
    with Crowd(house.url, house.clock, "healthy", seed=2) as crowd, crowd.all_the_while(house.clock, a_minute=600):
        house.until(
            lambda: house.rollout.state in {RolloutState.DONE, RolloutState.ROLLED_BACK, RolloutState.ON_HOLD},
            "R-1 ends",
        )
    assert house.rollout.state is RolloutState.DONE
    assert house.program.service.load_world().surfaces["support-assistant"].live == "v43"
    assert versions(house.url, 1000) == {"v43"}
    house.said("#ai-rollouts", "Needs review: R-1 fix-first. v43 is live.")
    house.said("#support", "everyone")
    house.said("#ai-rollouts", "log witness")
    assert house.sandbox.violations == []
    assert house.problems_of_the_log() == ()
