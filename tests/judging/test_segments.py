"""Segments: harm that the total hides is found and named, and looking at many of them raises no false alarms."""

import pytest

from core.judging.limits.limits import Limit, LimitKind, LimitRole, LimitScale
from core.judging.model.alpha_shares import MAX_JUDGED_SEGMENTS
from core.judging.model.question import StageDesign
from core.judging.model.verdict import RollBack

REFUSALS = Limit(
    metric="refusal_rate", kind=LimitKind.RISES_BY, amount=0.01, scale=LimitScale.POINTS, role=LimitRole.ROLLBACK
)
PASSES = Limit(
    metric="eval_pass_rate", kind=LimitKind.DROPS_BY, amount=0.02, scale=LimitScale.POINTS, role=LimitRole.ROLLBACK
)
LATENCY = Limit(
    metric="latency_p95", kind=LimitKind.RISES_BY, amount=0.15, scale=LimitScale.RELATIVE, role=LimitRole.ROLLBACK
)
COST = Limit(
    metric="cost_per_request", kind=LimitKind.RISES_BY, amount=0.15, scale=LimitScale.RELATIVE, role=LimitRole.ROLLBACK
)
COMPLAINTS = Limit(
    metric="complaint_rate",
    kind=LimitKind.EXCEEDS_NORMAL_BY,
    amount=0.5,
    scale=LimitScale.RELATIVE,
    role=LimitRole.ROLLBACK,
)
HALF = StageDesign(index=2, name="50", compared=True, canary_share=0.5, control_left=True)


def divided(world, limits, **kw):
    here = world(limits, **kw)
    here.cuts = ("language",)
    here.stages = (HALF,)
    return here


@pytest.mark.shows("E4")
@pytest.mark.parametrize(
    ("limit", "harm"),
    [
        (PASSES, {"passes": 0.60}),
        (REFUSALS, {"refusals": 0.14}),
        (LATENCY, {"latency": 1900}),
        (COST, {"cost": 0.05}),
        (COMPLAINTS, {"complaints": 0.0076}),
    ],
)
def test_harm_in_one_language_is_found_and_named_while_the_total_hides_it(world, traffic, limit, harm):
    # The others do a little better, so that everybody together is as before.
    here = divided(world, (limit,))
    better = {"passes": 0.955, "refusals": 0.008, "latency": 1080, "cost": 0.0105, "complaints": 0.00005}
    canary = traffic(**{name: better[name] for name in harm}, languages={"tr": traffic(**harm)})
    looks, verdict = here.run(400, canary, traffic(), per_look=1000)
    assert isinstance(verdict, RollBack), looks
    assert verdict.findings[0].segment == "language=tr"
    assert verdict.findings[0].metric == limit.metric
    row = next(one for one in here.look().segments if (one.segment, one.metric) == ("language=tr", limit.metric))
    assert verdict.findings[0].threshold == pytest.approx(row.needed)


@pytest.mark.parametrize(
    ("limit", "harm", "more"),
    [
        (PASSES, {"passes": 0.82}, {"passes": 0.50}),
        (REFUSALS, {"refusals": 0.09}, {"refusals": 0.40}),
        (COST, {"cost": 0.019}, {"cost": 0.06}),
    ],
)
def test_where_everybody_is_harmed_a_segment_is_named_only_if_it_is_harmed_more(world, traffic, limit, harm, more):
    named = []
    for seed in range(30):
        _, verdict = divided(world, (limit,), seed=seed).run(400, traffic(**harm), traffic(), per_look=1500)
        named.append("most in" in verdict.findings[0].note or bool(verdict.findings[0].segment))
    assert sum(named) <= 2  # at most one in a hundred by design; here at most two of thirty
    worse = traffic(**harm, languages={"tr": traffic(**more)})
    _, verdict = divided(world, (limit,), seed=3).run(400, worse, traffic(), per_look=9000)
    assert verdict.findings[0].segment == "language=tr" or "most in language=tr" in verdict.findings[0].note


@pytest.mark.shows("E4")
def test_segments_of_a_harmless_canary_are_left_alone(world, traffic):
    here = divided(world, (PASSES, REFUSALS, LATENCY, COST, COMPLAINTS), seed=11)
    looks, verdict = here.run(200, traffic(), traffic(), per_look=600)
    assert (looks, verdict.name in {"continue", "cleared"}) == (200, True)


def test_segments_are_looked_at_once_a_minute(world, traffic):
    here = divided(world, (REFUSALS,))
    seen = []
    for _ in range(14):
        here.serve(600, traffic(), traffic())
        here.look()
        seen.append(here.looks[-1].slots is not None)
    assert seen[:8] == [True, False, False, False, False, True, False, False]
    assert here.state.segments_seen - here.looks[0].at == 2 * here.question.segments_every


def test_the_last_moments_of_a_stage_are_looked_at_in_the_next(world, traffic):
    here = divided(world, (REFUSALS, LATENCY))
    for _ in range(4):
        here.serve(2000, traffic(), traffic())
        here.look()
    here.enter(StageDesign(index=3, name="75", compared=True, canary_share=0.75, control_left=True))
    for _ in range(2):
        here.serve(2000, traffic(), traffic())
        here.look()
    late = [step for step in here.looks[-1].steps if step.segment == "language=tr" and step.stage == 2]
    assert {step.metric for step in late} >= {"requests", "refusal_rate", "crossing:1:greater"}
    requests = next(step for step in late if step.metric == "requests")
    assert requests.canary_trials + requests.control_trials == pytest.approx(600, abs=120)


def test_a_segment_takes_a_slot_once_it_is_large_enough_and_keeps_it(world, traffic):
    here = divided(world, (REFUSALS,))
    here.serve(300, traffic(), traffic())
    here.look()
    assert here.state.slots == ()
    assert here.state.left_out == 10
    for _ in range(7):
        here.serve(600, traffic(), traffic())
        here.look()
    assert len(here.state.slots) == 10
    assert here.state.left_out == 0
    assert len(here.state.slots) <= MAX_JUDGED_SEGMENTS


def test_only_rows_with_enough_requests_count_as_checked(world, traffic):
    here = divided(world, (REFUSALS,))
    here.serve(1500, traffic(), traffic())
    assert here.look().segments_checked == 0  # about 75 canary requests in each language
    here.at += here.question.segments_every
    here.serve(1500, traffic(), traffic())
    found = here.look()
    # Ten languages, and in each the agreed limit and what the catalogue holds for, of metrics that have come in.
    assert found.segments_checked == sum(one.sight.n_canary >= 100 for one in found.state.segments)
    assert 20 <= found.segments_checked <= len(found.state.segments)


def test_a_row_says_what_a_segment_would_need_alone(world, traffic):
    here = divided(world, (REFUSALS,))
    here.serve(4000, traffic(languages={"tr": traffic(refusals=0.1)}), traffic())
    found = here.look()
    worst = found.segments[0]
    assert (worst.segment, worst.metric) == ("language=tr", "refusal_rate")
    everybody = next(measure for measure in found.measures if measure.metric == "refusal_rate")
    assert worst.needed > everybody.needed


@pytest.mark.shows("E67")
def test_where_all_segments_are_judged_harm_in_any_dimension_is_found(world, traffic):
    here = divided(world, (PASSES,))
    here.cuts = ("*",)
    canary = traffic(passes=0.955, languages={"tr": traffic(passes=0.60)})
    _, verdict = here.run(400, canary, traffic(), per_look=1000)
    assert isinstance(verdict, RollBack)
    assert verdict.findings[0].segment == "language=tr"
