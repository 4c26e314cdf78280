"""A few keep the previous version for months after a rollout is done, and are compared with everybody else."""

from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.flags.bucketing import compute_bucket
from core.flags.placement import Placement, UncountedReason, place_observation
from core.flags.snapshot import SurfaceFlags, Variant
from core.judging.model.comparison import HoldoutComparison
from core.rollout import commands as c
from core.rollout.command_events import decide_events
from core.rollout.context import ENGINE
from core.rollout.plans.plan import Approvals, Holdout, NoticePlan, Stage, StageKind
from core.rollout.serving.exposure import build_snapshot
from core.rollout.state import events as e
from core.rollout.state.model import RolloutState
from core.rollout.state.surface import LiveMoved, SurfaceFreed
from core.rollout.state.world import World, fold_events
from tests.rollout.conftest import ANA, MONDAY, plan_of, surface_of
from tests.served import evaluate

SURFACE = "support-assistant"
DAYS = 90
HELD = Holdout(percent=10, lasts=timedelta(days=DAYS))
UNITS = tuple(f"user-{number}" for number in range(300))
LAST = {unit for unit in UNITS if compute_bucket("expose", "R-1", unit) >= 900_000}
"""Those who would come last."""


def flags_of(story: Any) -> SurfaceFlags:
    world = World(rollouts={"R-1": story.now}, surfaces={SURFACE: story.surface})
    return build_snapshot(world).surfaces[SURFACE]


def versions(story: Any) -> dict[str, str]:
    world = World(rollouts={"R-1": story.now}, surfaces={SURFACE: story.surface})
    snapshot = build_snapshot(world)
    return {unit: evaluate(snapshot, SURFACE, unit, {}).version.name for unit in UNITS}


def list_old(story: Any) -> set[str]:
    return {unit for unit, version in versions(story).items() if version == "v42"}


def finish(story: Any) -> Any:
    for index, stage in enumerate(story.now.plan.stages[1:], start=1):
        story.happen(e.StageEntered(index=index, name=stage.name, percent=stage.percent))
    return story.happen(e.Completed(version="v43", retired="v42"))


def test_those_held_back_never_get_it_and_keep_the_old_version_after_the_end(running: Callable[..., Any]) -> None:
    story = running(holdout=HELD)
    for index, stage in enumerate(story.now.plan.stages):
        story.happen(e.StageEntered(index=index, name=stage.name, percent=stage.percent))
        assert list_old(story) >= LAST, stage.name
    assert list_old(story) == LAST

    story.happen(e.Completed(version="v43", retired="v42"))

    assert (story.now.state, story.surface.live) == (RolloutState.DONE, "v43")
    assert list_old(story) == LAST


def test_without_a_holdout_everybody_has_it(running: Callable[..., Any]) -> None:
    assert list_old(finish(running())) == set()


def test_both_sides_are_counted_after_the_end_and_nowhere_else_in_the_stage_of_everybody(
    running: Callable[..., Any],
) -> None:
    story = running(holdout=HELD)
    held = min(LAST)
    other = min(set(UNITS) - LAST)
    story.happen(e.StageEntered(index=2, name="ramp 100%", percent=100))
    flags = flags_of(story)
    at = story.at + timedelta(hours=13)
    assert evaluate(_snapshot(story), SURFACE, held, {}).variant is Variant.STABLE
    told = place_observation(flags, unit=held, at=at, version="v42")
    assert told is UncountedReason.NOT_COMPARED

    story = finish(story)
    flags, at = flags_of(story), story.at + timedelta(days=40)
    for unit, arm in ((held, "control"), (other, "canary")):
        answer = evaluate(_snapshot(story), SURFACE, unit, {})
        assert (answer.variant, answer.stage, answer.exposure) == (arm, "holdout", f"R-1.4.{arm}")
        for said in ({"exposure": answer.exposure}, {"version": answer.version.name}, {"variant": arm}):
            place = place_observation(flags, unit=unit, at=at, **said)
            assert isinstance(place, Placement)
            assert (place.stage, place.arm) == (4, arm)


def _snapshot(story: Any) -> Any:
    return build_snapshot(World(rollouts={"R-1": story.now}, surfaces={SURFACE: story.surface}))


def test_it_ends_by_time(running: Callable[..., Any]) -> None:
    story = finish(running(holdout=HELD)).later(days=DAYS, seconds=-1)
    story.when(c.EndDueHoldout(), by=ENGINE).then()
    story.later(seconds=1).when(c.EndDueHoldout(), by=ENGINE).then(e.HoldoutEnded)
    assert story.now.holdout_ended.cause == "time"
    assert list_old(story) == set()
    story.when(c.EndDueHoldout(), by=ENGINE).then()


def test_it_ends_by_a_person_and_twice_is_no_error(running: Callable[..., Any]) -> None:
    story = finish(running(holdout=HELD)).later(days=3)
    story.when(c.EndHoldout(reason="support wants one version")).then(e.HoldoutEnded)
    assert (story.now.holdout_ended.cause, list_old(story)) == ("person", set())
    story.when(c.EndHoldout()).then()


def test_who_asks_to_end_what_is_not_there_is_told(running: Callable[..., Any]) -> None:
    running().refuses(c.EndHoldout(), "R-1 holds nobody back")
    running(holdout=HELD).refuses(c.EndHoldout(), "R-1 is not done yet, so nobody is held back")


def test_it_ends_at_once_where_the_old_version_can_no_longer_be_called(running: Callable[..., Any]) -> None:
    story = finish(running(holdout=HELD, rollback_until="2026-12-01")).later(days=6)
    story.when(c.EndDueHoldout(), by=ENGINE).then()
    story.later(days=3).when(c.EndDueHoldout(), by=ENGINE).then(e.HoldoutEnded)
    assert story.now.holdout_ended.cause == "version"


def test_a_rollback_gives_everybody_the_old_version_and_ends_it(running: Callable[..., Any]) -> None:
    story = finish(running(holdout=HELD)).later(days=3).when(c.RollBack(reason="they complain"))
    story.then(e.RolledBack, e.ReviewRequested)
    assert list_old(story) == set(UNITS)
    story.when(c.EndDueHoldout(), by=ENGINE).then()
    assert flags_of(story).tracked[0].spans[-1].until == story.at


def test_its_comparison_is_recorded_once_and_moves_nobody(running: Callable[..., Any], words: Any) -> None:
    story = finish(running(holdout=HELD))
    found = HoldoutComparison(
        since=story.at,
        until=story.at + timedelta(days=DAYS),
        advice="go back",
        measures=(words.measure("refusal_rate", "Worse"),),
        new_requests=900,
        held_requests=100,
        new_units=90,
        held_units=10,
    )
    story.when(c.RecordHoldout(found=found), by=ENGINE).then()
    story.later(days=DAYS).when(c.EndDueHoldout(), by=ENGINE)
    story.when(c.RecordHoldout(found=found), by=ENGINE).then(e.HoldoutCompared)
    assert (story.now.state, story.surface.live) == (RolloutState.DONE, "v43")
    story.when(c.RecordHoldout(found=found), by=ENGINE).then()


def test_the_start_of_another_rollout_ends_it() -> None:
    world = World(surfaces={SURFACE: surface_of()})
    notices = (NoticePlan(channel="#ai", audience="engineering"),)
    stages = (Stage(kind=StageKind.CANARY, name="canary", percent=5),)
    plan = plan_of(stages=stages, approvals=Approvals(), notices=notices, holdout=HELD)
    world = carry_out(carry_out(world, c.PlanRollout(plan=plan)), c.Start(), "R-1")
    for stream, event in (
        ("rollout:R-1", e.Completed(version="v43", retired="v42")),
        *(
            (f"surface:{SURFACE}", consequence)
            for consequence in (
                LiveMoved(version="v43", rollout="R-1", at=MONDAY),
                SurfaceFreed(rollout="R-1"),
            )
        ),
    ):
        world = fold_events(world, ((stream, event, MONDAY, world.position + 1),))
    old = {u for u in UNITS if evaluate(build_snapshot(world), SURFACE, u, {}).version.name == "v42"}
    assert old == LAST

    following = replace(
        plan, name="next", from_version="v43", to_version="v44", change={"prompt": "newer.md"}, holdout=None
    )
    world = carry_out(carry_out(world, c.PlanRollout(plan=following)), c.Start(), "R-2")

    ended = world.rollouts["R-1"].holdout_ended
    assert ended is not None
    assert (ended.cause, ended.reason) == ("rollout", "R-2")
    assert {evaluate(build_snapshot(world), SURFACE, u, {}).version.name for u in UNITS} == {"v43", "v44"}


def carry_out(world: World, command: c.Command, rollout: str = "") -> World:
    entries = decide_events(world, command, rollout=rollout, by=ANA, at=MONDAY)
    numbered = enumerate(entries, world.position + 1)
    return fold_events(world, ((x.stream, x.event, MONDAY, position) for position, x in numbered))


@given(
    percents=st.lists(st.sampled_from([1.0, 5.0, 25.0, 50.0, 90.0, 95.0, 99.0, 100.0]), min_size=1, max_size=5),
    held=st.floats(0.1, 20),
    matched=st.booleans(),
)
def test_who_is_held_back_is_so_at_every_percentage_and_nobody_else_ever_loses_it(
    percents: list[float], held: float, matched: bool
) -> None:
    from tests.flags.conftest import world_in

    first = round(1_000_000 - held * 10_000)
    stages = tuple(Stage(kind=StageKind.RAMP, name=f"{n}", percent=p) for n, p in enumerate(sorted(percents)))
    had: set[str] = set()
    for index in range(len(stages)):
        world = world_in(index, stages=stages, control="matched" if matched else "concurrent")
        rollout = world.rollouts["R-1"]
        holdout = Holdout(percent=held, lasts=timedelta(days=1))
        world = replace(world, rollouts={"R-1": replace(rollout, plan=replace(rollout.plan, holdout=holdout))})
        snapshot = build_snapshot(world)
        new = {u for u in UNITS if evaluate(snapshot, "support", u, {}).version.name == "v43"}
        assert had <= new
        assert all(compute_bucket("expose", "R-1", u) < first for u in new)
        had = new


@pytest.mark.parametrize("percent", [2, 20])
def test_a_share_is_a_share(running: Callable[..., Any], percent: int) -> None:
    story = finish(running(holdout=replace(HELD, percent=percent)))

    snapshot = _snapshot(story)
    old = sum(evaluate(snapshot, SURFACE, f"user-{number}", {}).version.name == "v42" for number in range(5000))

    assert old == pytest.approx(50 * percent, abs=100)
