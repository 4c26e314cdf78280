"""What is known of traffic: the surface file, what the last rollout's control showed, or typical levels."""

from collections import Counter
from dataclasses import replace
from datetime import timedelta

import numpy as np
import pytest

from core.files.foresight.known_traffic import assume_traffic, measure_traffic
from core.judging.model.evidence import BUCKETS, REQUESTS, BucketSums, CellKey, EvidenceSums
from core.metrics.catalogue import CATALOGUE
from core.metrics.typical_levels import TYPICAL
from core.rollout.state.model import Rollout, RolloutState, StageSpan
from core.stats import quantile

HOUR = timedelta(hours=1)


def test_every_metric_has_a_typical_level():
    assert set(TYPICAL) == set(CATALOGUE)
    for key, level in TYPICAL.items():
        assert 0 < level.share <= 1
        assert (level.spread > 0) == CATALOGUE[key].has_amounts
        assert level.level < 1 or not (CATALOGUE[key].is_binary)


@pytest.fixture
def rollout(built, small, now):
    """Six hours of the canary, which is stage 1."""
    span = StageSpan(index=1, since=now, until=now + 6 * HOUR)
    return Rollout(
        id="R-3",
        plan=built(small()),
        fingerprint="",
        from_content={},
        to_content={},
        state=RolloutState.DONE,
        planned_at=now,
        planned_by="U0DANA",
        started_at=now,
        spans=(span,),
    )


def counted(arm, metric, weight, value):
    even = np.full(BUCKETS, 1 / BUCKETS)
    key = CellKey(stage=1, arm=arm, segment="", metric=metric)
    return {key: BucketSums(weight=even * weight, value=even * value)}


def sums():
    cells = {
        **counted("control", REQUESTS, 9500, 9500),
        **counted("canary", REQUESTS, 500, 500),
        **counted("control", "refusal_rate", 9500, 95),
        **counted("canary", "refusal_rate", 500, 250),
        **counted("control", "eval_pass_rate", 950, 855),
        **counted("control", "latency_p95", 9500, 9500 * 800),
        **counted("control", "retry_rate", 100, 50),
    }
    fast, slow = quantile.bin_index(500.0), quantile.bin_index(2000.0)
    key = CellKey(stage=1, arm="control", segment="", metric="latency_p95")
    return EvidenceSums(cells=cells, histograms={key: Counter({fast: 8550, slow: 950})})


def test_levels_are_those_of_the_control(surface, rollout, now):
    known = measure_traffic(surface, rollout, sums(), now)
    assert known.levels_from == "as measured in R-3"
    assert known.metrics == {"refusal_rate", "eval_pass_rate", "latency_p95"}
    assert known.level_of(CATALOGUE["refusal_rate"]).level == pytest.approx(0.01, rel=0.01)
    assert known.level_of(CATALOGUE["eval_pass_rate"]).level == pytest.approx(0.9, rel=0.01)
    assert known.level_of(CATALOGUE["eval_pass_rate"]).share == pytest.approx(0.1)
    assert known.level_of(CATALOGUE["latency_p95"]).level == pytest.approx(2000, rel=0.02)
    # a tenth lies at four times the rest: ln 4 * sqrt(.1 * .9)
    assert known.level_of(CATALOGUE["latency_p95"]).spread == pytest.approx(1.3863 * 0.3, rel=0.02)
    assert known.level_of(CATALOGUE["retry_rate"]) == TYPICAL["retry_rate"]  # a hundred readings are too few


def test_the_pace_is_the_surface_files_or_else_the_rollouts(surface, rollout, now):
    assert measure_traffic(surface, rollout, sums(), now).daily_requests == 166_000
    quiet = replace(surface, daily_requests=None)
    known = measure_traffic(quiet, rollout, sums(), now)
    assert known.daily_requests == pytest.approx(40_000)  # 10,000 in six hours
    assert known.pace_from == "the pace of R-3"


def test_nothing_measured_is_said_to_be_assumed(surface, rollout, now):
    known = measure_traffic(surface, rollout, EvidenceSums(), now)
    assert known == assume_traffic(surface)
    assert known.levels_from.startswith("assumed")
    assert assume_traffic(replace(surface, daily_requests=None)).daily_requests is None
