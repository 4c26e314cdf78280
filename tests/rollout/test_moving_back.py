"""One customer gets the previous version again while the rollout goes on for everybody else."""

from collections.abc import Callable
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

import pytest

from core.flags.bucketing import compute_bucket
from core.flags.placement import Placement, UncountedReason, place_observation
from core.flags.snapshot import Snapshot
from core.rollout import commands as c
from core.rollout.plans.plan import DrivenFlag
from core.rollout.serving.exposure import build_snapshot
from core.rollout.state import events as e
from core.rollout.state.world import World
from tests.served import evaluate

SURFACE = "support-assistant"
IN_CANARY = next(u for u in map(str, range(1000)) if compute_bucket("expose", "R-1", u) < 50_000)
OTHER = next(u for u in map(str, range(int(IN_CANARY) + 1, 1000)) if compute_bucket("expose", "R-1", u) < 50_000)


def served(story: Any) -> Snapshot:
    return build_snapshot(World(rollouts={"R-1": story.now}, surfaces={SURFACE: story.surface}))


def test_who_is_moved_back_gets_the_previous_version_and_nobody_else_does(running: Callable[..., Any]) -> None:
    story = running().when(c.MoveBack(unit=IN_CANARY)).then(e.UnitMovedBack)
    snapshot = served(story)
    assert evaluate(snapshot, SURFACE, IN_CANARY, {}).version.name == "v42"
    assert evaluate(snapshot, SURFACE, OTHER, {}).version.name == "v43"


def test_the_log_does_not_name_the_customer(running: Callable[..., Any]) -> None:
    story = running().when(c.MoveBack(unit="cust_8841"))
    assert "cust_8841" not in repr(story.last)


def test_growth_does_not_take_them_back_in(running: Callable[..., Any]) -> None:
    story = running().when(c.MoveBack(unit=IN_CANARY))
    story.happen(e.StageEntered(index=2, name="ramp 100%", percent=100))
    assert evaluate(served(story), SURFACE, IN_CANARY, {}).version.name == "v42"


@pytest.mark.parametrize("claim", [{"variant": "canary"}, {"version": "v42"}, {"exposure": "R-1.0.canary"}])
def test_what_they_do_afterwards_is_not_compared(running: Callable[..., Any], claim: dict[str, str]) -> None:
    story = running().later(hours=1).when(c.MoveBack(unit=IN_CANARY)).later(hours=1)
    flags = served(story).surfaces[SURFACE]

    def place(unit: str, at: datetime) -> Placement | UncountedReason:
        return place_observation(flags, unit=unit, at=at, **claim)

    assert place(IN_CANARY, story.at) is UncountedReason.MOVED_BACK
    before = place(IN_CANARY, story.at - timedelta(hours=1, minutes=1))
    assert before is not UncountedReason.MOVED_BACK  # what happened before still counts
    assert place(OTHER, story.at) is not UncountedReason.MOVED_BACK


def test_twice_is_once(running: Callable[..., Any]) -> None:
    running().when(c.MoveBack(unit="cust_1")).when(c.MoveBack(unit="cust_1")).then()


def test_every_member_may(running: Callable[..., Any], cast: dict[str, Any]) -> None:
    running().when(c.MoveBack(unit="cust_1"), by=cast["mira"]).then(e.UnitMovedBack)
    running().refuses(c.MoveBack(unit="cust_1"), "Guests can't change traffic", by=cast["guest"])


def test_refusals_say_what_to_do_instead(running: Callable[..., Any], planned: Callable[..., Any]) -> None:
    running().refuses(c.MoveBack(), "Whom?")
    running().refuses(c.MoveBack(unit="\ud800"), "half of a character")
    planned().refuses(c.MoveBack(unit="cust_1"), "has not started")
    flag = DrivenFlag(url="https://f", project="p", environment="prod", feature="f", strategy="s", system="unleash")
    running(drives=flag).refuses(c.MoveBack(unit="cust_1"), "decides who gets which version")
    finished = running().happen(e.Completed(version="v43", retired="v42"))
    assert "rollback R-1" in finished.refuses(c.MoveBack(unit="cust_1"), "nobody can be moved back alone").hint


def test_a_thousand_moved_one_by_one_are_a_rollback(running: Callable[..., Any]) -> None:
    story = running()
    story.rollout = replace(story.now, moved_back={f"{i:016x}": story.at for i in range(1_000)})
    story.refuses(c.MoveBack(unit="cust_1"), "roll back")
