"""Where an observation counts: by its time, and by what was served."""

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest

from core.flags.bucketing import ppm
from core.flags.placement import Misplaced, place
from core.rollout.exposure import ENDED_KEPT, SETTLES_WITHIN, snapshot
from core.rollout.model import State
from core.rollout.plan import UnleashStrategy
from core.rollout.world import World

EVAL, COHORT, CANARY, AB, RAMP, BAKE = range(6)
FLAG = UnleashStrategy(url="https://flags.example.com", project="p", environment="e", feature="f", strategy="s")
Make = Callable[..., World]
Hour = Callable[[float], Any]


def found(world: World, at: Any, variant: str | None = None, version: str | None = None, unit: str = "u") -> Any:
    where = place(snapshot(world).surfaces["support"], unit=unit, at=at, variant=variant, version=version)
    return (where.stage, where.arm.value) if where else None


def unit_at(low: int, high: int) -> str:
    return next(u for u in (f"u{i}" for i in range(10_000)) if low <= ppm("expose", "R-1", u) < high)


@pytest.mark.parametrize(
    ("hours", "variant", "expected"),
    [
        (-1, "canary", None),
        (0.5, "canary", None),  # a gate: nobody was exposed
        (1.5, "canary", (COHORT, "canary")),
        (2.0, "control", (CANARY, "control")),
        (2.999, "canary", (CANARY, "canary")),
        (3.0, "canary", (AB, "canary")),
        (3.5, "stable", None),
        (5.5, "canary", (BAKE, "canary")),
        (5.5, "control", None),  # no control is left
    ],
)
def test_the_time_tells_the_stage(world: Make, hour: Hour, hours: float, variant: str, expected: Any) -> None:
    assert found(world(BAKE), hour(hours), variant) == expected


def test_after_the_end_nothing_counts_but_what_is_late_does(world: Make, hour: Hour) -> None:
    ended = world(CANARY, state=State.ROLLED_BACK)
    assert found(ended, hour(2.9), "canary") == (CANARY, "canary")
    assert found(ended, hour(3.1), "canary") is None


@pytest.mark.parametrize(
    ("hours", "low", "version", "expected"),
    [
        (2.5, 0, "v43", (CANARY, "canary")),
        (2.5, 300_000, "v43", None),  # a member of the past cohort: not compared
        (2.5, 300_000, "v42", (CANARY, "control")),
        (2.5, 300_000, "v41", None),
        (1.5, 0, "v43", (COHORT, "canary")),
        (1.5, 700_000, "v42", None),  # inside the cohort or beside it: nobody knows
    ],
)
def test_a_version_alone_tells_what_it_can(
    world: Make, hour: Hour, hours: float, low: int, version: str, expected: Any
) -> None:
    assert found(world(CANARY), hour(hours), version=version, unit=unit_at(low, low + 40_000)) == expected


def test_a_matched_control_is_told_by_the_bucket(world: Make, hour: Hour) -> None:
    matched = world(CANARY, control="matched")
    assert found(matched, hour(2.5), version="v42", unit=unit_at(950_000, 1_000_000)) == (CANARY, "control")
    assert found(matched, hour(2.5), version="v42", unit=unit_at(500_000, 600_000)) is None


@pytest.mark.parametrize(
    ("variant", "version", "code"),
    [
        (None, None, "missing_side"),
        ("treatment", None, "unknown_variant"),
        ("canary", "v99", "unknown_version"),
        ("canary", "v42", "wrong_version"),
        ("control", "v43", "wrong_version"),
    ],
)
def test_what_cannot_have_been_served_is_refused(
    world: Make, hour: Hour, variant: str | None, version: str | None, code: str
) -> None:
    with pytest.raises(Misplaced) as refused:
        found(world(CANARY), hour(2.5), variant, version)
    assert refused.value.code == code
    assert str(refused.value)


def test_what_is_counted_beside_the_metrics_follows_from_the_plan(world: Make) -> None:
    tracked = snapshot(world(CANARY)).surfaces["support"].tracked
    assert [t.rollout for t in tracked] == ["R-1"]
    assert tracked[0].segments == ("language",)
    assert tracked[0].thresholds == {"latency_p95": (4000,)}
    assert ENDED_KEPT > 0


def test_where_another_flag_system_chooses_the_bucket_says_nothing(world: Make, hour: Hour) -> None:
    """Neither a cohort nor an equal-size control could be expressed there, so the version tells the side."""
    driven = world(BAKE, drives=FLAG, control="matched")
    for unit in (unit_at(0, 50_000), unit_at(900_000, 1_000_000)):
        assert found(driven, hour(2.5), version="v43", unit=unit) == (CANARY, "canary")
        assert found(driven, hour(2.5), version="v42", unit=unit) == (CANARY, "control")
        assert found(driven, hour(2.5), version="v41", unit=unit) is None


def test_while_another_flag_system_changes_over_nothing_is_compared(world: Make, hour: Hour) -> None:
    """Else people who are still divided as in the stage before would look like a skewed split."""
    driven, half_a_minute = world(BAKE, drives=FLAG), SETTLES_WITHIN / timedelta(hours=1)
    for variant in ("canary", "control"):
        assert found(driven, hour(2), variant) is None
        assert found(driven, hour(2 + half_a_minute * 0.99), variant) is None
        assert found(driven, hour(2 + half_a_minute), variant) == (CANARY, variant)
        assert found(world(BAKE), hour(2), variant) == (CANARY, variant), "by our own buckets it takes no time"


def test_a_stage_that_another_flag_system_never_came_to_is_not_compared(world: Make, hour: Hour) -> None:
    driven = world(BAKE, drives=FLAG, unset=CANARY)
    assert found(driven, hour(2.9), "canary") is None
    assert found(driven, hour(3.9), "canary") == (AB, "canary")
