"""Where an observation counts: by its time, and by what was served."""

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest

from core.flags.bucketing import compute_bucket
from core.flags.placement import MAX_LATENESS, MisplacedObservation, Placement, UncountedReason, place_observation
from core.flags.snapshot import Variant
from core.rollout.plans.plan import DrivenFlag, Stage, StageKind
from core.rollout.serving.exposure import SETTLES_WITHIN, build_snapshot
from core.rollout.state.model import RolloutState
from core.rollout.state.world import ENDED_KEPT_PER_SURFACE, World
from tests.served import evaluate

EVAL, COHORT, CANARY, AB, RAMP, BAKE = range(6)
FLAG = DrivenFlag(
    url="https://flags.example.com", project="p", environment="e", feature="f", strategy="s", system="unleash"
)
Make = Callable[..., World]
Hour = Callable[[float], Any]


STEPS = (
    Stage(kind=StageKind.EVAL, name="eval"),
    Stage(kind=StageKind.CANARY, name="canary", percent=5),
    Stage(kind=StageKind.RAMP, name="ramp 25%", percent=25),
    Stage(kind=StageKind.RAMP, name="ramp 50%", percent=50),
)


def found(
    world: World,
    at: Any,
    variant: str | None = None,
    version: str | None = None,
    unit: str = "u",
    exposure: str | None = None,
) -> Any:
    where = place_observation(
        build_snapshot(world).surfaces["support"], unit=unit, at=at, variant=variant, version=version, exposure=exposure
    )
    if where is UncountedReason.NOT_COMPARED:
        return None
    return (where.stage, where.arm.value) if isinstance(where, Placement) else where


def unit_at(low: int, high: int) -> str:
    return next(u for u in (f"u{i}" for i in range(10_000)) if low <= compute_bucket("expose", "R-1", u) < high)


@pytest.mark.shows("E30")
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
    ended = world(CANARY, state=RolloutState.ROLLED_BACK)
    assert found(ended, hour(2.9), "canary") == (CANARY, "canary")
    assert found(ended, hour(3.1), "canary") is None


@pytest.mark.parametrize(
    ("hours", "low", "version", "expected"),
    [
        (2.5, 0, "v43", UncountedReason.UNKNOWN_COHORT),  # a member of the past cohort, or not
        (2.5, 300_000, "v42", UncountedReason.UNKNOWN_COHORT),
        (2.5, 300_000, "v41", None),
        (
            1.5,
            0,
            "v43",
            UncountedReason.UNKNOWN_COHORT,
        ),  # inside the cohort for sure, but then no control would be counted
        (1.5, 700_000, "v42", UncountedReason.UNKNOWN_COHORT),  # inside the cohort or beside it: nobody knows
    ],
)
def test_a_version_alone_tells_what_it_can(
    world: Make, hour: Hour, hours: float, low: int, version: str, expected: Any
) -> None:
    assert found(world(CANARY), hour(hours), version=version, unit=unit_at(low, low + 40_000)) == expected


def test_where_all_of_a_cohort_has_the_new_version_it_tells_who_has_it(world: Make, hour: Hour) -> None:
    """Nobody is compared then, and limits on the new version alone stay armed."""
    everybody = Stage(kind=StageKind.COHORT, name="internal", percent=100, where={"email_domain": "example.com"})
    alone = world(0, stages=(everybody, *STEPS[1:]))
    assert found(alone, hour(0.5), version="v43") == (0, "canary")
    assert found(alone, hour(0.5), version="v42") is None


def test_a_matched_control_is_told_by_the_bucket(world: Make, hour: Hour) -> None:
    matched = world(1, control="matched", stages=STEPS)
    assert found(matched, hour(1.5), version="v42", unit=unit_at(950_000, 1_000_000)) == (1, "control")
    assert found(matched, hour(1.5), version="v42", unit=unit_at(500_000, 600_000)) is None
    assert found(matched, hour(1.5), version="v43", unit=unit_at(0, 40_000)) == (1, "canary")


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
    with pytest.raises(MisplacedObservation) as refused:
        found(world(CANARY), hour(2.5), variant, version)
    assert refused.value.code == code
    assert str(refused.value)


def test_what_is_counted_beside_the_metrics_follows_from_the_plan(world: Make) -> None:
    tracked = build_snapshot(world(CANARY)).surfaces["support"].tracked
    assert [t.rollout for t in tracked] == ["R-1"]
    assert tracked[0].segments == ("language",)
    assert tracked[0].thresholds == {"latency_p95": (4000,)}
    assert ENDED_KEPT_PER_SURFACE > 0


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


def test_an_echoed_exposure_places_exactly_however_late_the_report_comes(world: Make, hour: Hour) -> None:
    """The client cached the answer, the model took its time, and meanwhile the rollout has grown."""
    before, after = world(1, stages=STEPS), world(2, stages=STEPS)
    unit = unit_at(60_000, 200_000)  # control at 5 %, canary at 25 %
    answered = evaluate(build_snapshot(before), "support", unit, {})
    assert answered.variant == "control"
    assert found(after, hour(2.2), exposure=answered.exposure, unit=unit) == (1, "control")
    fresh = evaluate(build_snapshot(after), "support", unit, {})
    assert found(after, hour(2.2), fresh.variant, fresh.version.name, unit, fresh.exposure) == (2, "canary")


def test_an_exposure_of_a_stage_that_is_long_over_is_too_late(world: Make, hour: Hour) -> None:
    """Its stage was judged without it, and counting it now could not change what followed."""
    at_50 = world(3, stages=STEPS)
    inside = MAX_LATENESS / timedelta(hours=1) * 0.99
    assert found(at_50, hour(2 + inside), exposure="R-1.1.control") == (1, "control")
    with pytest.raises(MisplacedObservation) as refused:
        found(at_50, hour(2 + inside + 0.02), exposure="R-1.1.control")
    assert refused.value.code == "too_old"


@pytest.mark.parametrize(
    ("exposure", "variant", "version", "code"),
    [
        ("R-1.1.canary", "control", None, "wrong_variant"),
        ("R-1.1.canary", None, "v42", "wrong_version"),
        ("R-1.7.canary", None, None, "unknown_exposure"),
        ("R-1.1.treatment", None, None, "unknown_exposure"),
        ("nonsense", None, None, "unknown_exposure"),
        ("x.y.canary", None, None, "unknown_exposure"),
        (" R-0.1.canary", None, None, "unknown_exposure"),
    ],
)
def test_an_exposure_that_no_evaluation_answered_is_refused(
    world: Make, hour: Hour, exposure: str, variant: str | None, version: str | None, code: str
) -> None:
    with pytest.raises(MisplacedObservation) as refused:
        found(world(1, stages=STEPS), hour(1.5), variant, version, "u", exposure)
    assert refused.value.code == code


def test_an_exposure_of_people_who_are_not_compared_counts_nowhere(world: Make, hour: Hour) -> None:
    at_5 = world(1, stages=STEPS)
    assert found(at_5, hour(1.5), exposure="R-1.1.stable") is None
    assert found(at_5, hour(1.5), exposure="R-0.3.canary") is None  # of a rollout that nobody counts for any more


LONG = timedelta(hours=6)


@pytest.mark.parametrize(
    ("low", "variant", "expected"),
    [
        (0, "canary", (2, "canary")),  # the new version before and after the step
        (30_000, "control", (2, "control")),  # on neither side: the application divides by something else
        (60_000, "control", UncountedReason.SETTLING),  # changes sides in the step: served before it or after it
        (60_000, "canary", UncountedReason.SETTLING),
        (300_000, "control", (2, "control")),
        (900_000, "canary", (2, "canary")),
    ],
)
def test_right_after_a_step_only_those_count_who_did_not_change_sides(
    world: Make, hour: Hour, low: int, variant: str, expected: Any
) -> None:
    grown = world(2, stages=STEPS, hold=LONG)
    unit = unit_at(low, low + 19_000)
    assert found(grown, hour(2.1), variant, unit=unit) == expected
    settled = found(grown, hour(2.3), variant, unit=unit)
    assert settled == (2, variant), "a quarter of an hour later, what is reported is believed"


def test_right_after_a_step_nobody_tells_how_people_were_split(world: Make, hour: Hour) -> None:
    grown = build_snapshot(world(2, stages=STEPS, hold=LONG)).surfaces["support"]
    for at, splits in ((2.1, False), (2.3, True)):
        where = place_observation(grown, unit=unit_at(300_000, 400_000), at=hour(at), variant="control")
        assert isinstance(where, Placement)
        assert where.counts_for_split is splits


def test_the_first_canary_is_compared_from_its_first_second(world: Make, hour: Hour) -> None:
    """Before it nobody was told a side, so whoever names one was told it in this stage. A gross harm shows at once."""
    begun = build_snapshot(world(1, stages=STEPS, hold=LONG)).surfaces["support"]
    for variant in ("canary", "control"):
        where = place_observation(begun, unit="u", at=hour(1.001), variant=variant)
        assert isinstance(where, Placement)
        assert where.counts_for_split
    by_version = place_observation(begun, unit="u", at=hour(1.001), version="v42")
    assert isinstance(by_version, Placement)
    assert not by_version.counts_for_split, "the old version may have been served before the start"


@pytest.mark.parametrize("says", [{"variant": "control"}, {"version": "v42"}])
def test_a_short_stage_that_has_settled_expects_reports_of_the_stage_before(
    world: Make, hour: Hour, says: dict[str, str]
) -> None:
    """Whoever still reports the old side counts in the split on the new one, for a quarter of an hour."""
    grown = build_snapshot(world(2, stages=STEPS, hold=timedelta(minutes=2))).surfaces["support"]
    crossed, stayed = unit_at(60_000, 79_000), unit_at(300_000, 400_000)
    for unit, at, assigned in (
        (crossed, hour(2) + timedelta(minutes=1), Variant.CANARY),
        (crossed, hour(2) + timedelta(minutes=15), None),
        (stayed, hour(2) + timedelta(minutes=1), None),
    ):
        where = place_observation(grown, unit=unit, at=at, **says)
        assert isinstance(where, Placement)
        assert (where.arm, where.assigned_arm, where.counts_for_split) == (Variant.CONTROL, assigned, True)


def test_the_arms_of_a_cohort_say_nothing_of_who_comes_after_it(world: Make, hour: Hour) -> None:
    """Everybody in it had the canary, whatever the bucket; who reports the canary now has not come from there."""
    after = build_snapshot(world(CANARY, hold=timedelta(minutes=2))).surfaces["support"]
    assert after.tracked[0].spans[COHORT].cohort
    where = place_observation(
        after, unit=unit_at(51_000, 199_000), at=hour(CANARY) + timedelta(minutes=1), variant="canary"
    )
    assert isinstance(where, Placement)
    assert (where.arm, where.assigned_arm) == (Variant.CANARY, None)


COHORTS = (
    STEPS[0],
    Stage(kind=StageKind.COHORT, name="internal", percent=50, where={"plan": "internal"}),
    Stage(kind=StageKind.COHORT, name="free 5%", percent=5, where={"plan": "free"}, stratum="free"),
    Stage(kind=StageKind.COHORT, name="free 50%", percent=50, where={"plan": "free"}, stratum="free"),
    STEPS[1],
)


@pytest.mark.parametrize(("stage", "expected"), [(1, ()), (2, (1,)), (3, (1,)), (4, (1, 2, 3))])
def test_only_who_was_compared_in_another_cohort_before_is_not_compared_again(
    world: Make, hour: Hour, stage: int, expected: tuple[int, ...]
) -> None:
    """A report that comes late counts, though its unit may have been compared in a later stage meanwhile."""
    flags = build_snapshot(world(4, stages=COHORTS)).surfaces["support"]
    late = place_observation(flags, unit="u", at=hour(stage + 0.5), exposure=f"R-1.{stage}.canary")
    assert isinstance(late, Placement)
    assert (late.stage, late.earlier_cohorts) == (stage, expected)


def test_a_short_stage_settles_in_a_part_of_its_hold(world: Make, hour: Hour) -> None:
    seconds = timedelta(seconds=40)
    grown = world(2, stages=STEPS, hold=seconds)
    unit = unit_at(60_000, 200_000)
    assert found(grown, hour(2 + 9 / 3600), "canary", unit=unit) is UncountedReason.SETTLING
    assert found(grown, hour(2 + 10 / 3600), "canary", unit=unit) == (2, "canary")
