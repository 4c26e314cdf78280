"""Two weeks of a long comparison on a real database: looks, horizon, decision, and the record that holds."""

from datetime import timedelta

import numpy as np
import pytest

from core.metrics.observation import Observation
from core.rollout import commands as c
from core.rollout.state import events as e
from core.rollout.state.model import RolloutState
from core.service import replay, rollout_look
from core.store.observations import observation_sums
from core.store.observations.observation_batch import PlacedObservation

COMPARED = """\
version: 1
rollout: tone-long
surface: support-assistant
owner: "@dana"
risk: low
change:
  from: support-assistant@v42
  to: {prompt: prompts/system.md@sha256:9f2c51e0}
  why: Shorter answers.
stages:
  - ab: {percent: 50, days: 14, decide_on: [eval_pass_rate]}
  - ramp: {steps: [100%], hold: 1m}
  - bake: {hold: 2m}
rollback_when:
  - {metric: eval_pass_rate, drops_by: 3pp}
  - {metric: refusal_rate, rises_by: 1pp}
  - {metric: cost_per_request, rises_by: 15%}
  - {metric: latency_p95, exceeds: 4000ms}
notify:
  - {channel: "#ai-rollouts", as: engineering}
"""
EVERY = timedelta(seconds=10)


@pytest.mark.shows("E60")
def test_two_weeks_end_in_a_table_of_days_and_a_decision(desk, files, database):
    random = np.random.default_rng(7)
    desk.apply(files["surface"])
    desk.apply(COMPARED)
    desk.say(c.Start())
    for day in range(14):
        with database.writing_outside_log() as connection:
            requests = [_request(random, day, number, desk.at) for number in range(600)]
            observation_sums.add_observations(connection, requests)
        desk.later(days=1, seconds=-20)
        rollout_look.evaluate_rollout(desk.service, "R-1", desk.at, every=EVERY)
        desk.later(seconds=20)
        assert not desk.service.load_world().rollouts["R-1"].comparisons
    rollout_look.evaluate_rollout(desk.service, "R-1", desk.at, every=EVERY)
    rollout = desk.service.load_world().rollouts["R-1"]
    ended = rollout.comparisons[0]
    assert rollout.state is RolloutState.ON_HOLD
    assert ended.advice == "keep"
    assert ended.weekdays == (2,) * 7
    (course,) = ended.courses
    assert [day.requests for day in course.days] == [600] * 14
    assert sum(day.requests for day in course.days) == ended.measures[0].n_canary + ended.measures[0].n_control
    desk.say(c.Decide(keep=True, reason="as good, and shorter"))
    rollout_look.evaluate_rollout(desk.service, "R-1", desk.later(seconds=10).at, every=EVERY)
    assert desk.service.load_world().rollouts["R-1"].percent == 100
    recorded = [one.event for one in desk.service.load_history("R-1")]
    assert [type(one) for one in recorded if isinstance(one, e.ComparisonEnded | e.ComparisonDecided)] == [
        e.ComparisonEnded,
        e.ComparisonDecided,
    ]
    with database.reading() as connection:
        assert replay.verify(connection, ["R-1"]).mismatches == ()


def _request(random, day, number, at):
    """One request of a person of their own, in either arm; both versions are alike."""
    unit = f"u{day}-{number}"
    readings = {
        "eval_pass_rate": float(random.random() < 0.9),
        "refusal_rate": float(random.random() < 0.02),
        "cost_per_request": 0.01 * random.lognormal(0, 0.3),
        "latency_p95": 1000 * random.lognormal(0, 0.3),
    }
    seen = Observation(surface="support-assistant", unit=unit, at=at, readings=readings)
    arm = "canary" if number % 2 else "control"
    return PlacedObservation(rollout="R-1", stage=0, arm=arm, unit=unit, observation=seen)
