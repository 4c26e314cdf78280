"""Two AI features change at the same time: one goes back in two clicks, and the other goes on growing."""

import pytest

from core.rollout import commands as c
from core.rollout.state.model import RolloutState

SECOND = {"support-assistant": "search-assistant", "support-tone": "search-tone"}


def _plan_and_start_both(office):
    office.start()
    surface, rollout = office.surface_file, office.rollout_file
    for old, new in SECOND.items():
        surface, rollout = surface.replace(old, new), rollout.replace(old, new)
    office.apply(surface)
    office.apply(rollout)
    office.deliver()
    office.typed("lee", "approve R-2")
    office.later(minutes=10).typed("ana", "start R-2")
    office.deliver()
    return office


def _rollouts(office):
    return office.service.load_world().rollouts


@pytest.mark.shows("E57")
def test_going_back_takes_one_click_and_one_confirmation_and_no_words(office):
    office.start()
    modals = office.sandbox.top_modal("sam")
    reply = office.person("sam").click(office.card(), "Roll back")
    assert reply.acked
    assert office.sandbox.top_modal("sam") is modals is None, "nothing is asked but Slack's own Are you sure"
    assert office.rollout.state is RolloutState.ROLLED_BACK
    assert office.rollout.rollback.reason == ""


def test_a_confirmation_that_is_declined_changes_nothing(office):
    office.start()
    office.person("sam").click(office.card(), "Roll back", confirm=False)
    assert office.rollout.state is RolloutState.RUNNING


@pytest.mark.shows("E83")
def test_one_feature_goes_back_while_the_other_grows(office):
    _plan_and_start_both(office)
    assert {r.id: (r.plan.surface, r.percent) for r in _rollouts(office).values()} == {
        "R-1": ("support-assistant", 5),
        "R-2": ("search-assistant", 5),
    }
    office.person("sam").click(office.card(), "Roll back")
    office.say(c.Advance(reason="seen by all of us"), rollout="R-2")
    first, second = _rollouts(office)["R-1"], _rollouts(office)["R-2"]
    assert (first.state, first.percent) == (RolloutState.ROLLED_BACK, 0)
    assert (second.state, second.percent) == (RolloutState.RUNNING, 50)
    world = office.service.load_world()
    assert world.surfaces["support-assistant"].running == ()
    assert world.surfaces["search-assistant"].running == ("R-2",)
