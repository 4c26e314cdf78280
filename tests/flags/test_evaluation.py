"""Who gets what in every stage: the table that the rest of the program relies on."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from core.flags.bucketing import MILLION, compute_bucket
from core.flags.evaluation import evaluate_bucket
from core.rollout.serving.exposure import build_snapshot
from core.rollout.state.model import RolloutState
from core.rollout.state.world import World
from tests.served import evaluate

EVAL, COHORT, CANARY, AB, RAMP, BAKE = range(6)
INSIDE = {"email": "ana@example.com"}
OUTSIDE = {"email": "ana@elsewhere.com"}
Make = Callable[..., World]


def unit_at(place: int) -> str:
    """A unit within 1,000 ppm above `place`."""
    return next(
        u for u in (f"u{i}" for i in range(50_000)) if place <= compute_bucket("expose", "R-1", u) < place + 1000
    )


def answered(world: World, place: int, context: dict[str, Any]) -> tuple[str, str, str]:
    found = evaluate(build_snapshot(world), "support", unit_at(place), context)
    return found.variant.value, found.version.name, found.reason.value


@pytest.mark.shows("E29", "E34", "E38")
@pytest.mark.parametrize(
    ("stage", "place", "context", "expected"),
    [
        (None, 10_000, INSIDE, ("stable", "v42", "DEFAULT")),
        (EVAL, 10_000, INSIDE, ("stable", "v42", "DEFAULT")),
        (COHORT, 10_000, INSIDE, ("canary", "v43", "TARGETING_MATCH")),
        (COHORT, 498_000, INSIDE, ("canary", "v43", "TARGETING_MATCH")),
        (COHORT, 501_000, INSIDE, ("control", "v42", "TARGETING_MATCH")),
        (COHORT, 10_000, OUTSIDE, ("stable", "v42", "DEFAULT")),
        (COHORT, 10_000, {}, ("stable", "v42", "DEFAULT")),
        (CANARY, 10_000, OUTSIDE, ("canary", "v43", "SPLIT")),
        (CANARY, 48_000, OUTSIDE, ("canary", "v43", "SPLIT")),
        (CANARY, 51_000, OUTSIDE, ("control", "v42", "SPLIT")),
        (CANARY, 10_000, INSIDE, ("stable", "v43", "TARGETING_MATCH")),
        (CANARY, 400_000, INSIDE, ("stable", "v43", "TARGETING_MATCH")),
        (CANARY, 600_000, INSIDE, ("stable", "v42", "TARGETING_MATCH")),
        (AB, 498_000, OUTSIDE, ("canary", "v43", "SPLIT")),
        (AB, 501_000, OUTSIDE, ("control", "v42", "SPLIT")),
        (RAMP, 740_000, INSIDE, ("stable", "v43", "TARGETING_MATCH")),
        (RAMP, 751_000, INSIDE, ("stable", "v42", "TARGETING_MATCH")),
        (BAKE, 998_000, INSIDE, ("stable", "v43", "TARGETING_MATCH")),
        (BAKE, 10_000, OUTSIDE, ("canary", "v43", "SPLIT")),
        (BAKE, 998_000, OUTSIDE, ("canary", "v43", "SPLIT")),
    ],
)
def test_a_concurrent_control_is_everybody_else(
    world: Make, stage: int | None, place: int, context: dict[str, Any], expected: tuple[str, str, str]
) -> None:
    assert answered(world(stage), place, context) == expected


@pytest.mark.shows("E29")
@pytest.mark.parametrize(
    ("stage", "place", "variant"),
    [
        (CANARY, 10_000, "canary"),
        (CANARY, 51_000, "stable"),
        (CANARY, 948_000, "stable"),
        (CANARY, 951_000, "control"),
        (AB, 498_000, "canary"),
        (AB, 501_000, "control"),
        (RAMP, 748_000, "canary"),
        (RAMP, 751_000, "control"),
    ],
)
def test_a_matched_control_is_as_large_as_the_canary(world: Make, stage: int, place: int, variant: str) -> None:
    assert answered(world(stage, control="matched"), place, OUTSIDE)[0] == variant


@pytest.mark.parametrize("state", [RolloutState.WAITING, RolloutState.ON_HOLD, RolloutState.PAUSED])
def test_what_waits_stays_as_it_is(world: Make, state: RolloutState) -> None:
    assert answered(world(CANARY, state=state), 10_000, OUTSIDE) == ("canary", "v43", "SPLIT")


@pytest.mark.shows("E55")
def test_after_a_rollback_everybody_gets_the_old_version(world: Make) -> None:
    ended = world(CANARY, state=RolloutState.ROLLED_BACK)
    for place in (10_000, 400_000, 998_000):
        assert answered(ended, place, INSIDE) == ("stable", "v42", "DEFAULT")


def test_when_done_everybody_gets_what_is_live(world: Make) -> None:
    assert answered(world(BAKE, state=RolloutState.DONE, live="v43"), 10_000, {}) == ("stable", "v43", "DEFAULT")


@pytest.mark.parametrize("unit", [None, "", "\ud800", "a\x00", "x" * 513])
@pytest.mark.parametrize("stage", [COHORT, CANARY, BAKE])
def test_without_a_usable_unit_the_live_version_is_answered(world: Make, stage: int, unit: str | None) -> None:
    shot = build_snapshot(world(stage))
    found = evaluate(shot, "support", unit, INSIDE)
    assert (found.version.name, found.variant, found.reason) == ("v42", "stable", "DEFAULT")
    assert evaluate_bucket(shot.surfaces["support"], unit) is None


def test_an_evaluation_tells_how_it_came_about(world: Make) -> None:
    shot = build_snapshot(world(COHORT))
    found = evaluate(shot, "support", "u1", INSIDE)
    assert (found.rollout, found.cohort, found.stage) == ("R-1", "internal", "internal")
    assert evaluate_bucket(shot.surfaces["support"], "u1") == compute_bucket("expose", "R-1", "u1")
    assert found.version.content in ({"prompt": "old"}, {"prompt": "new"})


@pytest.mark.shows("E10")
def test_growth_never_takes_the_new_version_from_anybody(world: Make) -> None:
    shots = [build_snapshot(world(stage)) for stage in (COHORT, CANARY, AB, RAMP, BAKE)]
    for i in range(2000):
        for context in (INSIDE, OUTSIDE):
            served = [evaluate(s, "support", f"u{i}", context).version.name for s in shots]
            assert served == sorted(served)  # v42 … v42 v43 … v43


@pytest.mark.shows("E10")
@pytest.mark.parametrize("control", ["concurrent", "matched"])
def test_the_shares_are_those_of_the_plan(world: Make, control: str) -> None:
    shot = build_snapshot(world(CANARY, control=control))
    found = [evaluate(shot, "support", f"u{i}", {}).variant.value for i in range(40_000)]
    assert abs(found.count("canary") - 2000) < 175  # four standard errors
    expected = 38_000 if control == "concurrent" else 2000
    assert abs(found.count("control") - expected) < 175


def test_a_version_is_ready_as_bytes(world: Make) -> None:
    base = world(CANARY)
    surface = replace(base.surfaces["support"], versions={"v42": {"prompt": "Grüße ☃", "tools": ("a", "b")}})
    shot = build_snapshot(replace(base, surfaces={"support": surface}))
    assert shot.surfaces["support"].live.version.json == '{"prompt":"Grüße ☃","tools":["a","b"]}'.encode()
    assert shot.position == 7
    assert MILLION == 1_000_000
