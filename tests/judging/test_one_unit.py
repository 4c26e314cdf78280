"""The unit is the unit of evidence: whatever one unit sends, and however often, it decides nothing."""

from dataclasses import replace
from datetime import timedelta

import numpy as np
import pytest

from core.judging.limits.limits import Limit, LimitKind, LimitRole, LimitScale
from core.judging.look import leave_one_out
from core.judging.model.question import StageDesign
from core.metrics.catalogue import MetricKind
from tests.judging.conftest import TICK
from tests.trials.length import pick

REFUSALS = Limit(
    metric="refusal_rate", kind=LimitKind.RISES_BY, amount=0.01, scale=LimitScale.POINTS, role=LimitRole.ROLLBACK
)
SLOW = Limit(
    metric="latency_p95", kind=LimitKind.EXCEEDS, amount=4000, scale=LimitScale.ABSOLUTE, role=LimitRole.ROLLBACK
)
SLOWER = Limit(
    metric="latency_p95", kind=LimitKind.RISES_BY, amount=0.15, scale=LimitScale.RELATIVE, role=LimitRole.ROLLBACK
)
COST = Limit(
    metric="cost_per_request", kind=LimitKind.RISES_BY, amount=0.15, scale=LimitScale.RELATIVE, role=LimitRole.ROLLBACK
)
CATEGORY_LIMIT = Limit(
    metric="new_error_category",
    kind=LimitKind.RATE_ABOVE,
    amount=0.002,
    scale=LimitScale.ABSOLUTE,
    role=LimitRole.ROLLBACK,
    min_events=5,
)
COMPLAINTS = Limit(
    metric="complaint_rate",
    kind=LimitKind.EXCEEDS_NORMAL_BY,
    amount=0.5,
    scale=LimitScale.RELATIVE,
    role=LimitRole.ROLLBACK,
)
EVERYBODY = StageDesign(index=4, name="everybody", compared=False, canary_share=1.0, control_left=False)
HALF = StageDesign(index=3, name="half", compared=True, canary_share=0.5, control_left=True)


def robot(here, share=0.05):
    """A user whom the canary serves."""
    return int(np.flatnonzero(here.position < share)[0])


def send(here, unit, arm, requests, traffic, stage=2):
    here.arm(stage, arm, np.full(requests, unit), traffic)


def verdicts(here, looks, per_look, every_look, traffic):
    found = set()
    for number in range(looks):
        here.serve(per_look, traffic, traffic)
        every_look(number)
        verdict = here.look().verdict
        # What nobody agreed on is watched as well, at a rate of false discoveries of its own.
        agreed = any(one.metric == here.limits[0].metric for one in getattr(verdict, "findings", ()))
        found |= {verdict.name} if agreed or not hasattr(verdict, "findings") else set()
    return found


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("role", [LimitRole.ROLLBACK, LimitRole.HOLD])
@pytest.mark.parametrize(("first", "later"), [(30, 0), (0, 15), (500, 500)])
def test_refusals_of_one_unit_decide_nothing(world, traffic, seed, role, first, later):
    here = world((replace(REFUSALS, role=role),), seed=seed, users=6000)
    unit = robot(here)
    refused = traffic(refusals=1.0)
    found = verdicts(
        here, 20, 333, lambda n: send(here, unit, "canary", first if n == 0 else later, refused), traffic()
    )
    assert not found & {"roll_back", "hold"}


@pytest.mark.parametrize("arm", ["canary", "control"])
def test_a_robot_with_three_percent_of_the_requests_decides_nothing(world, traffic, arm):
    here = world((REFUSALS,), seed=5, users=3000)
    unit = robot(here) if arm == "canary" else int(np.flatnonzero(here.position > 0.5)[0])
    refused = traffic(refusals=1.0)
    share = {"canary": 1, "control": 10}[arm]
    assert not verdicts(here, 60, 333, lambda _: send(here, unit, arm, share, refused), traffic()) & {
        "roll_back",
        "hold",
    }


def test_a_robot_that_crosses_into_the_canary_decides_nothing(world, traffic):
    here = world((REFUSALS,), seed=6, users=3000)
    unit = int(np.flatnonzero((here.position > 0.1) & (here.position < 0.5))[0])
    refused = traffic(refusals=1.0)
    found = verdicts(here, 30, 333, lambda _: send(here, unit, "control", 10, refused), traffic())
    here.enter(HALF)
    found |= verdicts(here, 30, 333, lambda _: send(here, unit, "canary", 10, refused, stage=3), traffic())
    assert not found & {"roll_back", "hold"}


def test_a_robot_that_begins_hours_into_a_good_stage_decides_nothing(world, traffic):
    here = world((REFUSALS,), seed=7, users=6000)
    unit = robot(here)
    found = verdicts(here, 200, 333, lambda _: None, traffic())
    found |= verdicts(here, 60, 333, lambda _: send(here, unit, "canary", 15, traffic(refusals=1.0)), traffic())
    assert not found & {"roll_back", "hold"}


@pytest.mark.parametrize(
    ("limit", "like", "robots", "each", "seed", "step_at"),
    [
        (REFUSALS, {"refusals": 0.8}, 3, 4, 2, None),
        (REFUSALS, {"refusals": 0.8}, 2, 5, 3, 8),
        (COST, {"cost": 0.2}, 2, 6, 0, 8),
        (SLOWER, {"latency": 4800.0}, 3, 12, 0, None),
        (SLOWER, {"latency": 4800.0}, 2, 12, 3, 8),
    ],
    ids=["refused", "refused, and a step", "dear, and a step", "slow", "slow, and a step"],
)
def test_a_few_robots_that_begin_late_on_a_small_surface_decide_nothing(
    world, traffic, limit, like, robots, each, seed, step_at
):
    """400 people, half of them on the new version, two quiet hours; then two or three robots, and perhaps a step."""
    here = world((limit,), seed=seed, users=400)
    here.stages = (HALF,)
    loud = np.flatnonzero(here.position < HALF.canary_share)[:robots]
    for number in range(36):
        here.at += timedelta(minutes=5) - TICK
        if number - 24 == step_at:
            here.enter(replace(HALF, index=4, name="more", canary_share=0.6))
        here.serve(80, traffic(), traffic())
        for unit in loud if number >= 24 else ():
            send(here, unit, "canary", each, traffic(**like), stage=here.stages[-1].index)
        assert here.look().verdict.name != "roll_back"


def test_how_alike_requests_of_a_unit_are_is_still_known_when_a_stage_has_just_begun(world, traffic):
    """Robots come at any minute, people do not: they are what is first seen of a stage."""
    here = world((REFUSALS,), users=3000)
    robots = [int(one) for one in np.flatnonzero(here.position > 0.05)[:6]]

    def look(people, stage):
        here.serve(people, traffic(), traffic())
        for unit in robots:
            in_canary = here.position[unit] < here.stages[-1].canary_share
            send(here, unit, "canary" if in_canary else "control", 8, traffic(refusals=0.7), stage=stage)
        here.look()

    for _ in range(6):
        look(300, 2)
    known = here.state.effects["refusal_rate"]
    assert known > 10
    here.enter(HALF)
    look(5, HALF.index)
    begun = here.looks[-1].find_comparison("refusal_rate", since=HALF.index)
    assert begun.design_effect < 2  # by itself the new stage says next to nothing
    assert here.state.effects["refusal_rate"] > 0.9 * known


def test_what_comes_in_without_a_control_is_not_held_against_the_control_of_the_last_hour(world, traffic):
    here = world((REFUSALS,), seed=2, users=400)
    here.enter(HALF)
    for _ in range(3):
        here.at += timedelta(minutes=5)
        here.serve(80, traffic(), traffic())
        here.look()
    seen = here.state.lately["refusal_rate"]
    here.enter(EVERYBODY)
    here.serve(80, traffic(refusals=0.5), traffic())
    here.look()
    assert here.state.lately["refusal_rate"].canary_trials < seen.canary_trials


@pytest.mark.parametrize("limit", [SLOW, SLOWER])
def test_a_slow_robot_decides_nothing(world, traffic, limit):
    here = world((limit,), seed=8, users=3000)
    slow = traffic(latency=60_000.0)
    found = verdicts(here, 60, 333, lambda _: send(here, robot(here), "canary", 3, slow), traffic())
    assert not found & {"roll_back", "hold"}


def test_an_expensive_robot_decides_nothing(world, traffic):
    here = world((COST,), seed=9, users=3000)
    dear = traffic(cost=5.0)
    found = verdicts(here, 60, 333, lambda _: send(here, robot(here), "canary", 3, dear), traffic())
    assert not found & {"roll_back", "hold"}


def test_a_new_error_of_one_unit_takes_nothing_back(world, traffic):
    here = world((CATEGORY_LIMIT,), seed=10, users=3000)
    failing = traffic(categories={"ToolCrashed": 1.0})
    found = verdicts(here, 40, 333, lambda _: send(here, robot(here), "canary", 3, failing), traffic())
    assert not found & {"roll_back", "hold"}


def test_complaints_of_one_unit_take_nothing_back(world, traffic):
    here = world((COMPLAINTS,), seed=11, users=3000)
    angry = traffic(complaints=1.0)
    found = verdicts(here, 40, 333, lambda _: send(here, robot(here), "canary", 2, angry), traffic())
    assert not found & {"roll_back", "hold"}


def test_good_requests_of_one_unit_clear_nothing_and_look_no_better(world, traffic):
    here = world((REFUSALS,), seed=12, users=6000)
    unit = robot(here)
    for number in range(30):
        here.serve(333, traffic(refusals=0.12), traffic())
        send(here, unit, "canary", 20_000 if number == 0 else 0, traffic(refusals=0.0))
        found = here.look()
        assert found.verdict.name != "cleared"
        assert found.measures[0].word not in {"Better", "Fine"}


def test_one_percent_of_the_units_take_nothing_back(world, traffic):
    """Three of 300, each as busy as others and refused every time, under a limit of 2 points."""
    alarms = 0
    for seed in range(pick(4, 20)):
        here = world((replace(REFUSALS, amount=0.02),), seed=seed, users=6000)
        liars = np.flatnonzero(here.position < 0.05)[:3]

        def lie(_, here=here, liars=liars):
            for unit in liars:
                send(here, unit, "canary", here.random.poisson(333 / 6000), traffic(refusals=1.0))

        alarms += bool(verdicts(here, 60, 333, lie, traffic()) & {"roll_back", "hold"})
    assert alarms <= 1  # as many as without them


def with_robots_in_the_former_control(world, traffic, seed, later):
    """600 people, four of them robots that control did not happen to see before it was given up; then `later`."""
    here = world((REFUSALS,), seed=seed, users=600)
    here.enter(HALF)
    for _ in range(10):
        here.serve(100, traffic(), traffic())
        here.look()
    robots = np.flatnonzero(here.position > 0.5)[:4]
    here.enter(EVERYBODY)

    def send_all(_):
        for unit in robots:
            send(here, unit, "canary", 3, traffic(refusals=0.7), stage=EVERYBODY.index)

    return verdicts(here, 60, 60, send_all, later)


def test_a_few_robots_seen_first_when_no_control_is_left_take_nothing_back(world, traffic):
    back = [
        "roll_back" in with_robots_in_the_former_control(world, traffic, seed, traffic()) for seed in range(pick(4, 10))
    ]
    assert sum(back) == 0


@pytest.mark.parametrize(
    ("limit", "like", "robots", "each"),
    [(SLOWER, {"latency": 12_000.0}, 3, 12), (REFUSALS, {"refusals": 0.7}, 8, 2)],
    ids=["slow", "refused"],
)
def test_robots_that_the_past_did_not_see_decide_nothing_in_the_first_looks(world, traffic, limit, like, robots, each):
    """Of 600 people, when everybody has just got the new version: the past did not see how much units differ."""
    for seed in range(pick(3, 12)):
        here = world((limit,), seed=seed, users=600)
        here.enter(HALF)
        for _ in range(10):
            here.serve(100, traffic(), traffic())
            here.look()
        busy = np.flatnonzero(here.position > 0.5)[:robots]
        here.enter(EVERYBODY)

        def send_all(_, here=here, busy=busy):
            for unit in busy:
                send(here, unit, "canary", each, traffic(**like), stage=EVERYBODY.index)

        assert not verdicts(here, 8, 60, send_all, traffic()) & {"roll_back", "hold"}


@pytest.mark.parametrize(
    ("limit", "worse"),
    [(SLOWER, {"latency": 2400.0}), (REFUSALS, {"refusals": 0.15}), (COST, {"cost": 0.028})],
    ids=["slow", "refused", "dear"],
)
def test_harm_to_everybody_is_found_by_the_past_within_a_thousand_requests(world, traffic, limit, worse):
    here = world((limit,), seed=21, users=2000)
    here.enter(HALF)
    for _ in range(10):
        here.serve(200, traffic(), traffic())
        assert here.look().verdict.name != "roll_back"
    here.enter(EVERYBODY)
    assert "roll_back" in verdicts(here, 10, 100, lambda _: None, traffic(**worse))


def test_harm_to_everybody_is_found_beside_them_when_no_control_is_left(world, traffic):
    worse = traffic(refusals=0.15)
    back = ["roll_back" in with_robots_in_the_former_control(world, traffic, seed, worse) for seed in range(pick(3, 6))]
    assert sum(back) >= pick(3, 5)


def test_harm_to_everybody_is_found_beside_a_robot(world, traffic):
    here = world((REFUSALS,), seed=13, users=6000)
    unit = robot(here)
    found = verdicts(
        here, 40, 333, lambda _: send(here, unit, "canary", 2, traffic(refusals=1.0)), traffic(refusals=0.02)
    )
    assert "roll_back" not in found
    for _ in range(40):
        here.serve(333, traffic(refusals=0.12), traffic())
        send(here, unit, "canary", 2, traffic(refusals=1.0))
        name = here.look().verdict.name
        if name == "roll_back":
            break
    assert name == "roll_back"


@pytest.mark.parametrize("side", ["less", "greater"])
def test_a_bucket_that_is_drawn_in_never_holds_more_than_all_its_requests(side):
    """Three people fail once among buckets that passed twice: drawn in about 92 % they would have passed 1.08 times."""
    buckets = [[2.0, 2.0]] * 13 + [[1.0, 0.0]] * 3
    (left,) = leave_one_out.add_level_without_loudest_bucket(
        MetricKind.PROPORTION,
        np.array([[buckets]]),
        side,
        np.array([16]),
        np.array([0.92]),
        [leave_one_out.LeaveOneOut()],
    )
    assert left.level is not None
    assert 0 <= left.level <= 1


@pytest.mark.parametrize("seed", range(pick(6, 24)))
def test_three_busy_robots_among_the_first_who_ask_take_nothing_back(world, traffic, seed):
    """They are one in a hundred of the canary's people, but among the first thirty who ask, one in ten."""
    here = world((replace(REFUSALS, amount=0.02),), seed=seed, users=6000)
    robots = np.flatnonzero(here.position < 0.05)[:3]
    for _ in range(30):
        here.serve(333, traffic(), traffic())
        for unit in robots:
            send(here, unit, "canary", int(here.random.random() < 0.55), traffic(refusals=1.0))
        assert here.look().verdict.name != "roll_back"
