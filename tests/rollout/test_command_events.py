"""Which streams the events of a command go to, decided on a world in memory."""

from dataclasses import replace
from datetime import timedelta

import pytest

from core.rollout import commands as c
from core.rollout.command_events import decide_events
from core.rollout.context import ENGINE, Actor
from core.rollout.refusal import NotFound
from core.rollout.state import events as e
from core.rollout.state.surface import VersionNamed
from core.rollout.state.world import World, fold_events
from core.rollout.workspace.freezes import ChangesFrozen
from tests.rollout.conftest import ANA, MONDAY, plan_of, surface_of

EMPTY = World(surfaces={"support-assistant": surface_of(), "search": replace(surface_of(), name="search")})


def carry_out(world: World, command: c.Command, by: Actor = ANA, rollout: str = "") -> tuple[World, list[e.NewEvent]]:
    entries = decide_events(world, command, rollout=rollout, by=by, at=MONDAY)
    numbered = enumerate(entries, world.position + 1)
    return fold_events(world, ((x.stream, x.event, MONDAY, position) for position, x in numbered)), entries


def test_a_plan_goes_to_its_rollout_and_names_its_version_on_the_surface():
    _, entries = carry_out(EMPTY, c.PlanRollout(plan=plan_of()))

    assert [(x.stream, type(x.event)) for x in entries] == [
        ("rollout:R-1", e.Planned),
        ("surface:support-assistant", VersionNamed),
        ("rollout:R-1", e.ApprovalRequested),
    ]


def test_a_plan_applied_again_goes_to_the_same_rollout():
    world, _ = carry_out(EMPTY, c.PlanRollout(plan=plan_of()))

    _, entries = carry_out(world, c.PlanRollout(plan=plan_of(owner_handle="@other")))

    assert {x.stream for x in entries} == {"rollout:R-1", "surface:support-assistant"}


@pytest.mark.parametrize(("frozen", "told"), [("support-assistant", ["R-1"]), ("search", []), ("", ["R-1"])])
def test_a_freeze_is_also_said_in_every_open_rollout_that_it_covers(frozen: str, told: list[str]):
    world, _ = carry_out(EMPTY, c.PlanRollout(plan=plan_of()))

    _, entries = carry_out(world, c.FreezeChanges(surface=frozen, until=MONDAY + timedelta(days=1), reason="incident"))

    assert (entries[0].stream, type(entries[0].event)) == ("freezes", ChangesFrozen)
    assert [(x.stream, type(x.event)) for x in entries[1:]] == [(f"rollout:{name}", e.GrowthFrozen) for name in told]


def test_a_command_for_a_rollout_that_does_not_exist_names_the_open_ones():
    world, _ = carry_out(EMPTY, c.PlanRollout(plan=plan_of()))

    with pytest.raises(NotFound, match=r"There is no R-7\. Open now: R-1 support-tone\."):
        decide_events(world, c.Pause(), rollout="R-7", by=ANA, at=MONDAY)


def test_a_model_that_answers_for_an_unknown_ai_feature_changes_nothing():
    other = c.ReportOtherModel(surface="unknown", version="v1", answered="other")

    assert decide_events(EMPTY, other, rollout="", by=ENGINE, at=MONDAY) == []
