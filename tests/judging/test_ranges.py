"""The range beside a difference: it agrees with the verdict, and holds the truth however often it is looked at."""

import numpy as np
import pytest
from scipy.special import ndtri, stdtrit

from core.judging.judge import judge
from core.judging.limits.limits import Limit, LimitKind, LimitRole, LimitScale
from core.judging.look.look import take_look
from core.judging.model.confidence_range import Estimate, compute_range
from core.judging.model.evidence import BUCKETS, EVERYONE, REQUESTS, BucketSums, CellKey, EvidenceSums
from core.judging.model.question import Question, StageDesign
from core.judging.model.state import JudgingState
from core.metrics.catalogue import CATALOGUE, DefaultRole, DesiredDirection, MarginScale, Metric, MetricKind
from tests.judging.conftest import START
from tests.trials.length import pick

REFUSALS = CATALOGUE["refusal_rate"]
LIMIT = Limit(
    metric="refusal_rate", kind=LimitKind.RISES_BY, amount=0.01, scale=LimitScale.POINTS, role=LimitRole.ROLLBACK
)


def seen(canary: float, n_canary: float, control: float, n_control: float) -> Estimate:
    return Estimate(canary=canary, control=control, error=None, n_canary=n_canary, n_control=n_control)


def test_harm_that_is_proven_shows_a_range_above_zero():
    # 13 of 129 against 2.1 % of 2,400: what the exact kernel calls harm after a little more than a minute.
    low, high = compute_range(LIMIT, REFUSALS, seen(13 / 129, 129, 0.021, 2400))
    assert low is not None
    assert high is not None
    assert 0 < low < 13 / 129 - 0.021 < high


def test_swapping_the_arms_mirrors_the_range():
    low, high = compute_range(LIMIT, REFUSALS, seen(0.08, 400, 0.02, 900))
    mirrored = compute_range(LIMIT, REFUSALS, seen(0.02, 900, 0.08, 400))
    assert mirrored == pytest.approx((-high, -low))


def test_correlated_requests_widen_it():
    narrow = compute_range(LIMIT, REFUSALS, seen(0.08, 400, 0.02, 4000))
    wide = compute_range(
        LIMIT, REFUSALS, Estimate(canary=0.08, control=0.02, error=None, n_canary=400, n_control=4000, design_effect=2)
    )
    assert wide[0] < narrow[0]
    assert wide[1] > narrow[1]


@pytest.mark.parametrize(("canary_rate", "control_rate"), [(0.02, 0.02), (0.08, 0.02), (0.92, 0.92), (0.005, 0.005)])
def test_it_holds_the_truth_at_every_look(canary_rate, control_rate):
    rng = np.random.default_rng(20261123)
    runs, looks, canary, control = (
        pick(60, 200),
        120,
        17,
        316,
    )  # a tick of ten seconds at 2,000 requests a minute and 5 %
    missed = 0
    for _ in range(runs):
        s_t = np.cumsum(rng.binomial(canary, canary_rate, looks))
        s_c = np.cumsum(rng.binomial(control, control_rate, looks))
        for k in range(1, looks + 1):
            low, high = compute_range(
                LIMIT, REFUSALS, seen(s_t[k - 1] / (canary * k), canary * k, s_c[k - 1] / (control * k), control * k)
            )
            if not low <= canary_rate - control_rate <= high:
                missed += 1
                break
    assert missed <= pick(7, 17)  # 3 and 10 expected at 5 %; more has probability 0.01


@pytest.mark.parametrize("control", [1 - 2**-53, 1.0, 1 + 2**-52])
def test_a_rate_at_which_everything_passes_has_a_range_whatever_the_rounding(control):
    # A level over several stages is a weighted sum, so 100 % comes out a little below or above it.
    low, high = compute_range(None, CATALOGUE["eval_pass_rate"], seen(0.9, 500, control, 9_000))
    assert low < -0.1 < high < 0


CITED = Metric(
    key="cited_claims",
    title="Cited claims",
    kind=MetricKind.RATIO,
    good=DesiredDirection.UP,
    unit="",
    default_margin=0.1,
    margin_scale=MarginScale.RELATIVE,
    role=DefaultRole.HOLD,
)
FALLS = Limit(
    metric=CITED.key,
    kind=LimitKind.DROPS_BY,
    amount=0.1,
    scale=LimitScale.RELATIVE,
    role=LimitRole.HOLD,
    definition=CITED,
)


def cited(canary, control):
    """The row of a ratio of which each arm's buckets brought so many claims."""
    chance, cells = np.random.default_rng(7), {}
    for arm, claims in (("canary", canary), ("control", control)):
        for metric, values in (
            (REQUESTS, np.full(BUCKETS, 4.0)),
            (CITED.key, claims * chance.normal(0.5, 0.1, BUCKETS)),
            (f"{CITED.key}/denominator", claims),
        ):
            key = CellKey(stage=2, arm=arm, segment=EVERYONE, metric=metric)
            cells[key] = BucketSums(weight=np.full(BUCKETS, 4.0), value=values)
    exposures = {(2, "canary"): 1000, (2, "control"): 1000}
    question = Question(
        limits=(FALLS,),
        stages=(StageDesign(index=2, name="half", compared=True, canary_share=0.5, control_left=True),),
        current=2,
    )
    look = take_look(question, EvidenceSums(cells=cells, first_exposures=exposures), JudgingState(), START)
    return judge(question, look, JudgingState()).measures[0], look.find_comparison(CITED.key, since=2)


def test_a_ratio_that_rests_on_few_busy_buckets_shows_a_wider_range_and_no_other_evidence():
    even, busy = np.full(BUCKETS, 10.0), np.where(np.arange(BUCKETS) < 4, 2000.0, 1.0)
    measured, compared = cited(even, even)
    assert compared.degrees_of_freedom > 400  # of both arms' buckets: next to nothing is added
    assert measured.error == pytest.approx(compared.error, rel=0.01)
    measured, compared = cited(busy, even)
    assert 3 < compared.degrees_of_freedom < 6  # the four busy buckets'
    wider = stdtrit(compared.degrees_of_freedom, 0.975) / ndtri(0.975)
    assert measured.error == pytest.approx(wider * compared.error)
    assert wider > 1.25
    low, high = compute_range(FALLS, CITED, compared.paired_estimate)
    assert (measured.low, measured.high) == (low, high)


def test_the_errors_of_rates_and_means_are_shown_as_they_are(world, traffic):
    here = world()
    here.serve(4000, traffic(), traffic())
    here.look()
    assert {one.degrees_of_freedom for one in here.looks[-1].standings} == {None}
