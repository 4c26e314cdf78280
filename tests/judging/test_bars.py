"""How much evidence it takes: the bar of everybody and of a segment, and that an e-value of nothing harmful is one."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from itertools import product
from math import comb, exp, log

import numpy as np
import pytest

from core.judging.engine.score import CriterionScore, score_criteria
from core.judging.engine.terms.evidence_index import EvidenceIndex
from core.judging.engine.terms.list_terms import list_overall_terms
from core.judging.limits.limits import Limit, LimitKind, LimitRole, LimitScale
from core.judging.look.look import Look
from core.judging.model.alpha_shares import MAX_JUDGED_SEGMENTS, OVERALL_SHARE
from core.judging.model.confidence_range import Estimate
from core.judging.model.question import Question, StageDesign
from core.judging.model.state import JudgingState, SegmentScore
from core.judging.model.verdict import Hold, RollBack
from core.judging.verdict import findings as deciding
from core.stats.sequential import mean, onset, proportion, rate

REFUSALS = Limit(
    metric="refusal_rate", kind=LimitKind.RISES_BY, amount=0.01, scale=LimitScale.POINTS, role=LimitRole.ROLLBACK
)
RETRIES = replace(REFUSALS, metric="retry_rate", role=LimitRole.HOLD)
CANARY = StageDesign(index=0, name="canary", compared=True, canary_share=0.05, control_left=True)
LATER = StageDesign(index=3, name="10", compared=True, canary_share=0.1, control_left=True)
BAD = Estimate(canary=0.1, control=0.02, error=0.01, n_canary=500, n_control=9500)
TWENTY = log(20)


@pytest.fixture
def noon():
    """A time of a look."""
    return datetime(2026, 11, 24, 12, tzinfo=UTC)


@pytest.fixture
def findings(noon):
    """The findings of some limits of one role, given each one's evidence in everybody and in one segment."""

    def find(*evidence, role=LimitRole.ROLLBACK, segment=None, cuts=()):
        limits = tuple(replace(REFUSALS, role=role) for _ in evidence)
        question = Question(limits=limits, cuts=cuts, stages=(CANARY,), current=0)
        parts = (
            ()
            if segment is None
            else (SegmentScore(limit=0, segment="language=de", log_e=segment, counted=segment, sight=BAD),)
        )
        scores = tuple(
            CriterionScore(
                limit=i,
                log_e=one or 0.0,
                counted=-np.inf if one is None else one,
                segments=parts if i == 0 else (),
                strongest=None if one is None else BAD,
            )
            for i, one in enumerate(evidence)
        )
        since = {str(i): noon for i in range(len(evidence))} | {"0|language=de": noon}
        look = Look(at=noon + timedelta(minutes=1), stage=0)
        return deciding.find_violations(question, look, JudgingState(beyond_since=since), scores, role)

    return find


@pytest.mark.parametrize("role", [LimitRole.ROLLBACK, LimitRole.HOLD])
@pytest.mark.parametrize("limits", [1, 3, 7])
def test_one_limit_alone_needs_twenty_times_as_many_as_share_the_chance(findings, role, limits):
    others = (None,) * (limits - 1)
    assert not findings(TWENTY + log(limits) - 0.01, *others, role=role)
    assert findings(TWENTY + log(limits) + 0.01, *others, role=role)


def test_everybody_needs_more_where_segments_are_judged_too(findings):
    assert not findings(TWENTY - log(OVERALL_SHARE) - 0.01, cuts=("language",))
    assert findings(TWENTY - log(OVERALL_SHARE) + 0.01, cuts=("language",))


def test_a_segment_pays_for_all_twelve(findings):
    bar = TWENTY - log((1 - OVERALL_SHARE) / MAX_JUDGED_SEGMENTS)
    assert not findings(None, segment=bar - 0.01, cuts=("language",))
    said = findings(None, segment=bar + 0.01, cuts=("language",))
    assert [one.segment for one in said] == ["language=de"]


def test_what_nobody_agreed_on_pays_for_every_test_in_every_segment(noon):
    limits = (replace(RETRIES, metric="eval_pass_rate", kind=LimitKind.DROPS_BY), RETRIES)
    question = Question(limits=(REFUSALS,), implied=limits, cuts=("language",), stages=(CANARY,), current=0)
    segments = [
        SegmentScore(limit=1, segment=f"language={name}", log_e=0.0, counted=None, sight=BAD) for name in "abcdefgh"
    ]
    tests = 2 + len(segments)

    def held(evidence):
        worst = replace(segments[0], log_e=evidence, counted=evidence)
        scores = (
            CriterionScore(limit=0, log_e=0.0, counted=-np.inf, strongest=None),
            CriterionScore(limit=1, log_e=0.0, counted=-np.inf, strongest=None, segments=(worst, *segments[1:])),
            CriterionScore(limit=2, log_e=0.0, counted=-np.inf, strongest=None),
        )
        return deciding.find_discoveries(question, scores, LimitRole.HOLD)

    assert not held(log(tests / 0.1) - 0.01)
    said = held(log(tests / 0.1) + 0.01)
    assert [one.segment for one in said] == ["language=a"]
    assert said[0].threshold == pytest.approx(log(tests / 0.1))


def outcomes(n, p):
    return [(s, comb(n, s) * p**s * (1 - p) ** (n - s)) for s in range(n + 1)]


@pytest.mark.parametrize("p", [0.05, 0.3, 0.8])
@pytest.mark.parametrize("side", ["greater", "less"])
def test_the_mean_of_a_rates_e_value_without_harm_is_one(p, side):
    whole = sum(
        a
        * b
        * exp(
            float(
                proportion.log_mean(
                    proportion.two_sample_increments(s, 4, t, 9, earlier_successes=30 * p, earlier_trials=30, side=side)
                )
            )
        )
        for (s, a), (t, b) in product(outcomes(4, p), outcomes(9, p))
    )
    assert 0.9 < whole <= 1 + 1e-9


@pytest.mark.parametrize("side", ["greater", "less"])
def test_the_mean_of_a_fixed_rates_e_value_at_its_bound_is_one(side):
    whole = sum(
        a * exp(float(proportion.log_mean(proportion.one_sample_increments(s, 12, side=side, bound=0.2))))
        for s, a in outcomes(12, 0.2)
    )
    assert whole == pytest.approx(1)


def test_the_mean_of_counted_events_e_value_without_harm_is_one():
    whole = sum(
        a * exp(float(proportion.log_mean(rate.two_sample_increments(s, 8 - s, 50, 150, side="greater"))))
        for s, a in outcomes(8, 0.25)
    )
    assert whole == pytest.approx(1)


@pytest.mark.parametrize("information", [0.1, 1.0, 10.0])
def test_the_mean_of_a_means_e_value_without_harm_is_one(information):
    z, step = np.linspace(-40, 40, 80_001, retstep=True)
    density = -(z**2) / 2 - log(2 * np.pi) / 2
    assert np.exp(mean.log_e_half_normal(z, information) + density).sum() * step == pytest.approx(1, abs=1e-6)


def test_the_mean_of_harm_that_may_begin_any_time_never_exceeds_one():
    """Two outcomes a tick, equally likely, that multiply the evidence by 1.5 and 0.5: its mean is what began so far."""
    reached = {0: np.array([-np.inf])}
    for tick in range(1, 9):
        reached = {
            (number << 1) + up: onset.advance_mixture(
                logs, np.log([1.5 if up else 0.5]), forget=0.1, log_start=onset.log_start_weight(tick)
            )
            for number, logs in reached.items()
            for up in (0, 1)
        }
        begun = sum(exp(onset.log_start_weight(start)) for start in range(1, tick + 1))
        mean_now = np.mean([np.exp(logs[0]) for logs in reached.values()])
        assert 0 < mean_now <= begun < 1


def test_without_a_single_reading_every_e_value_is_one(world, traffic):
    here = world()
    here.serve(2, traffic(), traffic())
    assert all(measure.log_e <= 1e-9 for measure in here.look().measures)


def test_what_counts_against_a_limit_is_never_more_than_all_of_the_evidence(world, traffic):
    here = world((REFUSALS, RETRIES), seed=4)
    for _ in range(10):
        here.serve(333, traffic(refusals=0.3, retries=0.4), traffic())
        here.look()
    scores = score_criteria(here.question, here.looks[-1], here.state)[:2]
    assert all(log(2) < one.counted <= one.log_e for one in scores)


def test_harm_that_begins_in_a_later_stage_does_not_have_to_outweigh_the_good_before(world, traffic):
    here = world((replace(REFUSALS, amount=0.005),), seed=4)
    for _ in range(150):
        here.serve(333, traffic(), traffic(refusals=0.03))
        here.look()
    here.enter(LATER)
    looks, verdict = here.run(60, traffic(refusals=0.08), traffic(refusals=0.03))
    assert isinstance(verdict, RollBack)
    assert looks <= 30


def test_a_limit_is_judged_since_each_stage_and_since_an_unknown_time(world, traffic):
    here = world((REFUSALS,), seed=4)
    here.enter(LATER)
    for _ in range(40):
        here.serve(1000, traffic(), traffic())
        here.at += timedelta(seconds=10)
        here.look()
    shares = [
        exp(one.log_weight) for one in list_overall_terms(EvidenceIndex(here.question, here.looks[-1], here.state), 0)
    ]
    assert shares == pytest.approx([0.72, 0.1 * 6 / np.pi**2, 0.1])


@pytest.mark.parametrize("limits", [(RETRIES,), (REFUSALS, RETRIES)])
def test_a_hold_limit_holds_at_the_evidence_that_a_rollback_limit_rolls_back_at(world, traffic, limits):
    _, verdict = world(limits, seed=5).run(60, traffic(retries=0.25), traffic())
    assert isinstance(verdict, Hold)
    assert verdict.findings[0].metric == "retry_rate"
