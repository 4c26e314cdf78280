"""Recorded users come again with all they did, in both arms alike; the harm is put on top."""

from datetime import UTC, datetime, timedelta

import numpy as np
import pytest

from core.judging.model.evidence import CANARY, CATEGORY_PREFIX, CONTROL, REQUESTS, CellKey
from core.metrics.catalogue import CATALOGUE
from core.metrics.observation import Observation
from core.simulation.harm import SimulatedHarm
from core.simulation.recorded import RecordedTraffic, build_recording, known_from_recording
from core.simulation.study import StudyTask, run_task
from core.simulation.tally import Tally

START = datetime(2026, 11, 24, 9, 0, tzinfo=UTC)


def observed(units=200, each=5):
    """A day of requests: every fourth user is refused half of the time, the others never."""
    return [
        Observation(
            surface="support",
            unit=f"u{unit}",
            at=START + timedelta(days=1) * (unit * each + n) / (units * each - 1),
            segments={"language": "de" if unit % 2 else "en"},
            readings={"refusal_rate": float(unit % 4 == 0 and n % 2 == 0), "latency_p95": 100.0 + unit},
            error_category="Timeout" if unit == 7 else None,
        )
        for unit in range(units)
        for n in range(each)
    ]


@pytest.fixture
def replayed(canary):
    def replay(harm=None, seed=1, days=20.0, cuts=()):
        seen = build_recording(observed())
        source = RecordedTraffic(seen, 1000, cuts, harm, np.random.default_rng(seed))
        tally = Tally(source.population.profiles, {})
        source.enter_stage(0, canary(percent=50), "concurrent")
        for _ in range(10):
            source.add_arrivals(tally, days / 10)
        return tally.sums

    return replay


def level(sums, arm, metric):
    cell = sums.cells[CellKey(stage=0, arm=arm, segment="", metric=metric)]
    return cell.value.sum() / cell.weight.sum()


def test_what_a_recording_tells(known):
    seen = build_recording(observed())
    assert (seen.units, seen.rows, seen.categories) == (200, 1000, ("Timeout",))
    told = known_from_recording(known, seen)
    assert told.daily_requests == pytest.approx(1000, rel=0.01)
    assert told.level_of(CATALOGUE["refusal_rate"]).level == pytest.approx(0.15)  # 3 of 5 of a quarter
    assert told.level_of(CATALOGUE["latency_p95"]).level == pytest.approx(100 + 189, abs=1.5)
    assert told.level_of(CATALOGUE["cost_per_request"]) == known.level_of(CATALOGUE["cost_per_request"])


def test_both_arms_get_the_recorded_version(replayed):
    levels = np.array([[level(replayed(seed=s), arm, "refusal_rate") for arm in (CANARY, CONTROL)] for s in range(6)])
    assert levels.mean(axis=0) == pytest.approx([0.15, 0.15], abs=0.025)
    sums = replayed()
    requests = {
        arm: sums.cells[CellKey(stage=0, arm=arm, segment="", metric=REQUESTS)].weight.sum()
        for arm in (CANARY, CONTROL)
    }
    assert sum(requests.values()) == pytest.approx(20_000, rel=0.05)
    assert sum(sums.first_exposures.values()) == 200
    assert any(key.metric == CATEGORY_PREFIX + "Timeout" for seed in range(4) for key in replayed(seed=seed).cells)


def test_users_are_drawn_anew_for_each_run(replayed):
    """A quarter of 200 users is refused six times of ten: drawing users moves the whole rate by 0.018."""
    overall = []
    for seed in range(8):
        sums = replayed(seed=seed)
        cells = [sums.cells[CellKey(stage=0, arm=arm, segment="", metric="refusal_rate")] for arm in (CANARY, CONTROL)]
        overall.append(sum(c.value.sum() for c in cells) / sum(c.weight.sum() for c in cells))
    assert 0.007 < np.std(overall) < 0.04  # of fixed users it would be 0.0025


def test_harm_comes_on_top(replayed):
    refusing = replayed(SimulatedHarm(metric="refusal_rate", text="", shift=0.3))
    assert level(refusing, CANARY, "refusal_rate") == pytest.approx(0.45, abs=0.06)
    assert level(refusing, CONTROL, "refusal_rate") == pytest.approx(0.15, abs=0.05)
    slow = replayed(SimulatedHarm(metric="latency_p95", text="", ratio=3.0))
    assert level(slow, CANARY, "latency_p95") > 2.5 * level(slow, CONTROL, "latency_p95")


def test_segments_are_the_recorded_ones(replayed):
    sums = replayed(cuts=("language",))
    assert {key.segment for key in sums.cells} == {"", "language=de", "language=en"}


def test_a_plan_runs_on_a_recording(study, known):
    seen = build_recording(observed(units=400))
    asked = study(
        recording=seen,
        known=known_from_recording(known, seen),
        harms=(SimulatedHarm(metric="refusal_rate", text="", shift=0.5),),
    )
    assert run_task(asked, StudyTask(harm=-1, number=0)).rollback is None
    assert run_task(asked, StudyTask(harm=0, number=0)).rollback is not None


def test_one_user_is_no_crowd():
    with pytest.raises(ValueError, match="two units"):
        build_recording(observed(units=1))
