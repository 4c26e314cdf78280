"""Surfaces that share users: who belongs to which of them, and that it stays so while a rollout runs."""

from dataclasses import replace
from datetime import timedelta
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from core.flags.bucketing import compute_bucket
from core.flags.snapshot import Variant
from core.rollout import commands as c
from core.rollout.command_events import decide_events
from core.rollout.context import ENGINE, Context
from core.rollout.decisions import stage_changes
from core.rollout.plans.layers import Ranges, allocate_slots, divide_equally
from core.rollout.plans.plan import Approvals, DrivenFlag, Holdout, NoticePlan, Stage, StageKind
from core.rollout.plans.policy import DEFAULT_POLICY, BreakGlass, Policy
from core.rollout.refusal import Refused
from core.rollout.serving import layering
from core.rollout.serving.exposure import build_snapshot
from core.rollout.state import events as e
from core.rollout.state.surface import LiveMoved, SurfaceFreed
from core.rollout.state.world import World, fold_events
from tests.rollout.conftest import ANA, MONDAY, plan_of, surface_of
from tests.served import evaluate

SURFACES = ("answers", "drafts", "search", "titles")
STAGES = (
    Stage(kind=StageKind.CANARY, name="canary", percent=20),
    Stage(kind=StageKind.RAMP, name="ramp 100%", percent=100),
    Stage(kind=StageKind.BAKE, name="bake", percent=100, min_hold=timedelta(hours=1)),
)
NOTICES = (NoticePlan(channel="#ai", audience="engineering"),)
UNITS = tuple(f"user-{number}" for number in range(400))
MANY = tuple(f"user-{number}" for number in range(8000))


def layered(**shares: int | None) -> Policy:
    """The policy with one layer; shares are percentages, None for an equal part."""
    written = [(name, None if share is None else share * 10_000) for name, share in shares.items()]
    return replace(DEFAULT_POLICY, layers=(divide_equally("chat", written),))


def world_with(policy: Policy) -> World:
    return World(surfaces={name: surface_of(name=name) for name in SURFACES}, policy=policy)


def context_of(policy: Policy) -> Context:
    return Context(at=MONDAY, by=ENGINE, policy=policy, surface=None)


def carry_out(world: World, command: c.Command, rollout: str = "", by: Any = ANA) -> World:
    entries = decide_events(world, command, rollout=rollout, by=by, at=MONDAY)
    numbered = enumerate(entries, world.position + 1)
    return fold_events(world, ((x.stream, x.event, MONDAY, position) for position, x in numbered))


def plan(world: World, surface: str, **changes: Any) -> World:
    planned = plan_of(
        name=f"change-{surface}", surface=surface, stages=STAGES, approvals=Approvals(), notices=NOTICES, **changes
    )
    return carry_out(world, c.PlanRollout(plan=planned))


def start(world: World, surface: str, **changes: Any) -> World:
    """The world after a rollout on the surface has started."""
    world = plan(world, surface, **changes)
    return carry_out(world, c.Start(), world.find_named(f"change-{surface}").id)  # type: ignore[union-attr]


def find_touched(world: World, surface: str) -> dict[str, Variant]:
    """The units that are in an arm of the surface's rollout, or have its new version."""
    snapshot = build_snapshot(world)
    found = {unit: evaluate(snapshot, surface, unit, {}) for unit in UNITS}
    return {
        u: one.variant for u, one in found.items() if one.variant is not Variant.STABLE or one.version.name != "v42"
    }


def are_apart(held: dict[str, Ranges]) -> bool:
    flat = sorted(one for ranges in held.values() for one in ranges)
    inside = not flat or (flat[0][0] >= 0 and flat[-1][1] <= 1_000_000)
    return inside and all(first[1] <= second[0] for first, second in pairwise(flat))


def test_no_unit_is_in_two_rollouts_of_a_layer_and_each_has_its_share() -> None:
    world = world_with(layered(answers=50, drafts=None, search=None))
    for surface in ("answers", "drafts", "search"):
        world = start(world, surface)

    groups = [set(find_touched(world, surface)) for surface in ("answers", "drafts", "search")]

    assert sum(len(group) for group in groups) == len(set().union(*groups)) == len(UNITS)
    assert [len(group) for group in groups] == pytest.approx([200, 100, 100], rel=0.2)


def test_without_a_layer_units_are_in_several_rollouts() -> None:
    world = start(start(world_with(DEFAULT_POLICY), "answers"), "search")

    assert set(find_touched(world, "answers")) & set(find_touched(world, "search"))


def test_nobody_moves_when_another_surface_joins_the_layer_while_a_rollout_runs() -> None:
    world = start(world_with(layered(answers=40, search=40)), "search")
    before = find_touched(world, "search")

    world = replace(world, policy=layered(answers=30, drafts=20, search=40))
    world = start(start(world, "answers"), "drafts")

    assert find_touched(world, "search") == before
    assert not set(find_touched(world, "drafts")) & (set(before) | set(find_touched(world, "answers")))


def test_a_surface_that_joins_waits_until_enough_slots_are_free() -> None:
    world = start(world_with(layered(answers=None)), "answers")
    world = replace(world, policy=layered(answers=None, search=None))

    with pytest.raises(Refused, match="search needs 50 % of the users in the layer chat, and 0 % are free: R-1 holds"):
        start(world, "search")

    assert find_touched(start(carry_out(world, c.RollBack(reason="enough"), "R-1"), "search"), "search")


def test_a_rollout_that_began_before_its_surface_joined_holds_the_whole_layer() -> None:
    world = start(world_with(DEFAULT_POLICY), "answers")

    with pytest.raises(Refused, match="0 % are free: R-1 holds the others until it ends"):
        start(replace(world, policy=layered(answers=50, search=50)), "search")


def test_a_scheduled_start_waits_for_its_slots_and_then_comes_by_itself() -> None:
    world = replace(start(world_with(layered(answers=None)), "answers"), policy=layered(answers=None, search=None))
    world = carry_out(plan(world, "search"), c.Start(then=MONDAY), "R-2")

    assert carry_out(world, c.Tick(look=None), "R-2", ENGINE).rollouts["R-2"].started_at is None
    world = carry_out(world, c.RollBack(reason="enough"), "R-1")
    assert carry_out(world, c.Tick(look=None), "R-2", ENGINE).rollouts["R-2"].layer is not None


def test_the_others_get_it_only_once_it_is_done() -> None:
    world = start(world_with(layered(answers=50, search=50)), "answers")
    for event in (e.StageEntered(index=2, name="bake", percent=100), e.Completed(version="v43", retired="v42")):
        assert len(find_touched(world, "answers")) < len(UNITS)
        world = fold_events(world, (("rollout:R-1", event, MONDAY, world.position + 1),))
    surface = world.surfaces["answers"]
    live = replace(surface, live="v43", versions={**surface.versions, "v43": {"prompt": "new.md"}}, running=())
    world = replace(world, surfaces={**world.surfaces, "answers": live})

    assert set(find_touched(world, "answers")) == set(UNITS)


@pytest.mark.parametrize(
    ("share", "factor", "asks"), [(50, 2.5, False), (40, 2.5, False), (39, 2.5, True), (39, None, False)]
)
def test_before_a_last_step_that_is_too_large_a_person_is_asked(share: int, factor: float | None, asks: bool) -> None:
    world = start(world_with(replace(layered(answers=share), max_step=factor)), "answers")
    world = fold_events(
        world, (("rollout:R-1", e.StageEntered(index=2, name="bake", percent=100), MONDAY, world.position + 1),)
    )
    rollout, context = world.rollouts["R-1"], context_of(policy=world.policy)
    ends = stage_changes.leave_stage(rollout, context)
    assert [type(one) for one in ends] == [e.Held if asks else e.Completed]
    if asks:
        assert "with the 39 % of everyone that the layer chat gives to answers" in ends[0].text  # type: ignore[union-attr]
        resumed = e.Resumed(by="U2", reason="support is ready", overrides=layering.LAST_STEP)
        for event in (ends[0], resumed):
            world = fold_events(world, (("rollout:R-1", event, MONDAY, world.position + 1),))
        assert [type(one) for one in stage_changes.leave_stage(world.rollouts["R-1"], context)] == [e.Completed]


def test_a_holdout_takes_no_slots_and_the_next_rollout_of_the_layer_meets_both_of_its_sides_alike() -> None:
    held = Holdout(percent=20, lasts=timedelta(days=90))
    world = start(world_with(layered(answers=50, search=50)), "answers", holdout=held)
    for stream, event in (
        ("rollout:R-1", e.StageEntered(index=2, name="bake", percent=100)),
        ("rollout:R-1", e.Completed(version="v43", retired="v42")),
        ("surface:answers", LiveMoved(version="v43", rollout="R-1", at=MONDAY)),
        ("surface:answers", SurfaceFreed(rollout="R-1")),
    ):
        world = fold_events(world, ((stream, event, MONDAY, world.position + 1),))
    snapshot = build_snapshot(world)
    kept = {u for u in MANY if evaluate(snapshot, "answers", u, {}).version.name == "v42"}
    assert len(kept) == pytest.approx(len(MANY) / 5, rel=0.1)

    world = start(world, "search")

    assert layering.list_taken("answers", world.rollouts.values(), world.policy).keys() == {"R-2"}
    snapshot = build_snapshot(world)
    arms = {u: evaluate(snapshot, "search", u, {}).variant for u in MANY}
    for variant in (Variant.CANARY, Variant.CONTROL):
        served = {u for u, arm in arms.items() if arm is variant}
        assert len(kept & served) / len(served) == pytest.approx(0.2, abs=0.03)


def test_a_driven_flag_cannot_keep_to_a_share() -> None:
    flag = DrivenFlag(
        url="https://x.example", project="p", environment="e", feature="f", strategy="s", system="unleash"
    )

    with pytest.raises(Refused, match="would give the new version to users of its other surfaces"):
        start(world_with(layered(answers=50, search=50)), "answers", drives=flag)


def break_glass(world: World, surface: str, **changes: Any) -> World:
    """The world after a person has started a rollout without what it still waited for."""
    world = replace(world, policy=replace(world.policy, break_glass=BreakGlass(groups=("@ai-eng",))))
    world = plan(world, surface, **changes)
    glass = c.ForceForward(action="start", reason="checkout is down and this is the fix")
    return carry_out(world, glass, world.find_named(f"change-{surface}").id)  # type: ignore[union-attr]


def test_whoever_breaks_the_glass_puts_nobody_into_two_changes() -> None:
    world = start(world_with(layered(answers=60)), "answers")
    with pytest.raises(Refused, match=r"40 % are free: R-1 holds the others until it ends\. This is never passed over"):
        break_glass(replace(world, policy=layered(answers=60, search=50)), "search")

    world = break_glass(replace(world, policy=layered(answers=60, search=40)), "search")
    assert find_touched(world, "search")
    assert not set(find_touched(world, "search")) & set(find_touched(world, "answers"))


def test_whoever_breaks_the_glass_starts_no_second_rollout_on_a_flag() -> None:
    flag = DrivenFlag(
        url="https://x.example", project="p", environment="e", feature="f", strategy="s", system="unleash"
    )
    world = start(world_with(DEFAULT_POLICY), "answers", drives=flag)
    with pytest.raises(Refused, match="is already driven by R-1"):
        break_glass(world, "search", drives=flag)


@settings(deadline=None)
@given(
    written=st.lists(st.one_of(st.none(), st.integers(1, 25)), min_size=4, max_size=4), order=st.permutations(SURFACES)
)
def test_shares_are_whole_and_apart_in_whatever_order_rollouts_start(
    written: list[int | None], order: list[str]
) -> None:
    layer = divide_equally("chat", [(n, s and s * 10_000) for n, s in zip(SURFACES, written, strict=True)])
    held: dict[str, Ranges] = {}
    for surface in order:
        slots = allocate_slots(layer, surface, held.values())
        assert slots is not None, "the shares fit"
        assert sum(below - start for start, below in slots.ranges) == layer.share_of(surface)
        held[surface] = slots.ranges
    assert are_apart(held)


@settings(deadline=None)
@given(
    shares=st.lists(st.integers(1, 50), min_size=2, max_size=4),
    churn=st.lists(st.tuples(st.integers(0, 3), st.booleans()), max_size=12),
)
def test_slots_stay_apart_while_rollouts_come_and_go_and_shares_change(
    shares: list[int], churn: list[tuple[int, bool]]
) -> None:
    held: dict[str, Ranges] = {}
    for number, (which, ends) in enumerate(churn):
        turned = shares[number % len(shares) :] + shares[: number % len(shares)]
        layer = divide_equally("chat", [(SURFACES[i], share * 10_000) for i, share in enumerate(turned)])
        surface = SURFACES[which % len(shares)]
        if ends or surface in held:
            held.pop(surface, None)
        elif (slots := allocate_slots(layer, surface, held.values())) is not None:
            held[surface] = slots.ranges
        assert are_apart(held)


@settings(deadline=None)
@given(percents=st.lists(st.integers(1, 100), min_size=2, max_size=4), share=st.integers(1, 100))
def test_who_has_the_new_version_in_a_layer_keeps_it_while_it_grows(percents: list[int], share: int) -> None:
    world = start(world_with(layered(answers=share)), "answers")
    rollout = world.rollouts["R-1"]
    had: set[str] = set()
    for percent in sorted(percents):
        stage = replace(rollout.plan.stages[0], percent=percent)
        grown = replace(rollout, plan=replace(rollout.plan, stages=(stage,)))
        now = find_touched(replace(world, rollouts={"R-1": grown}), "answers")
        new = {unit for unit, variant in now.items() if variant is Variant.CANARY}
        assert had <= new
        assert all(compute_bucket("layer", "chat", unit) < share * 10_000 for unit in now)
        had = new
