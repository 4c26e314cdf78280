"""Cleared: shown to keep every limit, which is more than finding nothing."""

from dataclasses import replace
from datetime import timedelta
from math import log

import pytest

from core.judging.limits.limits import Limit, LimitKind, LimitRole, LimitScale
from core.judging.model.question import StageDesign
from core.judging.model.verdict import BrokenSource, Cleared, NoControl
from tests.trials.length import pick

REFUSALS = Limit(
    metric="refusal_rate", kind=LimitKind.RISES_BY, amount=0.02, scale=LimitScale.POINTS, role=LimitRole.ROLLBACK
)
PASSES = Limit(
    metric="eval_pass_rate", kind=LimitKind.DROPS_BY, amount=0.02, scale=LimitScale.POINTS, role=LimitRole.ROLLBACK
)
COST = Limit(
    metric="cost_per_request", kind=LimitKind.RISES_BY, amount=0.15, scale=LimitScale.RELATIVE, role=LimitRole.ROLLBACK
)
SLOW = Limit(
    metric="latency_p95", kind=LimitKind.EXCEEDS, amount=4000, scale=LimitScale.ABSOLUTE, role=LimitRole.ROLLBACK
)
SLOWER = Limit(
    metric="latency_p95", kind=LimitKind.RISES_BY, amount=0.15, scale=LimitScale.RELATIVE, role=LimitRole.HOLD
)
FLAGS = Limit(
    metric="moderation_flag_rate",
    kind=LimitKind.RISES_BY,
    amount=0.0005,
    scale=LimitScale.POINTS,
    role=LimitRole.ROLLBACK,
)
HALF = StageDesign(index=2, name="50", compared=True, canary_share=0.5, control_left=True)
FULL = StageDesign(index=5, name="100", compared=False, canary_share=1.0, control_left=False)


def halved(world, limits, **kw):
    here = world(limits, **kw)
    here.stages = (HALF,)
    return here


@pytest.mark.parametrize("limit", [REFUSALS, PASSES, COST, SLOW, SLOWER])
def test_a_harmless_canary_is_cleared_by_each_kind_of_limit(world, traffic, limit):
    here = halved(world, (limit,))
    for _ in range(400):
        here.serve(333, traffic(), traffic())
        found = here.look()
        if found.verdict.name == "cleared":
            break
    assert isinstance(found.verdict, Cleared)
    assert found.measures[0].cleared
    assert found.measures[0].log_clear >= log(20)


@pytest.mark.parametrize(
    ("limit", "harm"),
    [(REFUSALS, {"refusals": 0.04}), (PASSES, {"passes": 0.90}), (SLOW, {"latency": 1760}), (COST, {"cost": 0.0161})],
)
def test_at_the_limit_itself_it_is_rarely_cleared(world, traffic, limit, harm):
    # One chance in twenty each, for ever; harm at the limit may be found as well.
    wrong = 0
    for seed in range(pick(2, 6)):
        here = halved(world, (replace(limit, role=LimitRole.WATCH, dry_run=False),), seed=seed)
        here.limits = (replace(limit, strict=True),)
        for _ in range(60):
            here.serve(333, traffic(**harm), traffic())
            if here.look().verdict.name == "cleared":
                wrong += 1
                break
    assert wrong <= pick(1, 2)


def test_what_is_too_rare_for_its_time_is_watched_and_named(world, traffic):
    here = halved(world, (REFUSALS, FLAGS))
    here.stages = (replace(HALF, ends=here.at + timedelta(minutes=30)),)
    for _ in range(120):
        here.serve(333, traffic(), traffic())
        verdict = here.look().verdict
        if verdict.name == "cleared":
            break
    assert verdict == Cleared(watched=("moderation_flag_rate",))


def test_each_stage_is_cleared_anew(world, traffic):
    here = halved(world, (REFUSALS,))
    here.run(200, traffic(), traffic())
    assert here.look().verdict.name == "cleared"
    here.enter(replace(HALF, index=3, name="75", canary_share=0.75))
    here.serve(333, traffic(), traffic())
    assert here.look().verdict.name == "continue"


def test_without_a_control_nothing_is_cleared_and_it_says_so(world, traffic):
    here = halved(world, (REFUSALS,))
    here.run(50, traffic(), traffic())
    here.enter(FULL)
    here.serve(333, traffic(), traffic())
    assert here.look().verdict == NoControl()


@pytest.mark.parametrize("arm", ["canary", "control"])
def test_a_metric_that_stops_arriving_while_requests_go_on_is_a_broken_source(world, traffic, arm):
    here = halved(world, (REFUSALS, PASSES))
    for _ in range(10):
        here.serve(333, traffic(), traffic())
        here.look()
    last = here.at
    silent = [key for key in here.weights if key.metric == "eval_pass_rate" and key.arm == arm]
    frozen = {key: (here.weights[key], here.values[key]) for key in silent}
    for _ in range(10):
        here.at += timedelta(minutes=6)
        here.serve(333, traffic(), traffic())
        for key, (weight, value) in frozen.items():
            here.weights[key], here.values[key] = weight, value
        verdict = here.look().verdict
    assert verdict == BrokenSource(metric="eval_pass_rate", title="Answers that pass our checks", arm=arm, since=last)
    here.serve(333, traffic(), traffic())
    assert here.look().verdict.name in {"continue", "cleared"}


def test_what_was_shown_to_be_kept_stays_shown_while_a_mean_that_is_cut_has_no_reading_yet(world, traffic):
    here = halved(world, (COST,))
    assert any(here.serve(333, traffic(), traffic()) or here.look().verdict.name == "cleared" for _ in range(400))
    here.caps = {"cost_per_request": 99.0}
    assert here.look().verdict.name == "cleared"
