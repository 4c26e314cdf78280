"""The end of a long comparison in Slack: the result in the thread, a button, a reason, and what follows."""

from datetime import timedelta
from typing import Any

import numpy as np
import pytest

from core.metrics.observation import Observation
from core.rollout.state.model import RolloutState
from core.service import rollout_look
from core.store.observations import observation_sums
from core.store.observations.observation_batch import PlacedObservation

LONG = """\
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
  - ab: {percent: 50, days: 7, decide_on: [retry_rate]}
  - ramp: {steps: [100%], hold: 1m}
  - bake: {hold: 2m}
rollback_when:
  - {metric: refusal_rate, rises_by: 2pp}
  - {metric: eval_pass_rate, drops_by: 5pp}
  - {metric: cost_per_request, rises_by: 15%}
  - {metric: latency_p95, exceeds: 4000ms}
notify:
  - {channel: "#ai-rollouts", as: engineering}
"""


@pytest.fixture
def over(office: Any) -> Any:
    """R-1 has been compared for a week, and everything about it is posted."""
    office.apply(office.surface_file)
    office.apply(LONG)
    office.deliver()
    assert office.typed("ana", "start R-1").acked
    random = np.random.default_rng(3)
    for day in range(7):
        office.later(days=1, seconds=-30)
        with office.service.database.writing_outside_log() as connection:
            observation_sums.add_observations(connection, [_request(random, day, n, office.at) for n in range(800)])
        rollout_look.evaluate_rollout(office.service, "R-1", office.at, every=timedelta(seconds=10))
        office.later(seconds=30)
    rollout_look.evaluate_rollout(office.service, "R-1", office.at, every=timedelta(seconds=10))
    office.deliver()
    return office


def _request(random: Any, day: int, number: int, at: Any) -> PlacedObservation:
    arm, unit = ("canary" if number % 2 else "control"), f"u{day}-{number}"
    readings = {
        "retry_rate": float(random.random() < 0.05),
        "refusal_rate": float(random.random() < 0.01),
        "eval_pass_rate": float(random.random() < 0.95),
        "cost_per_request": 0.01 * random.lognormal(0, 0.2),
        "latency_p95": 1000 * random.lognormal(0, 0.2),
    }
    seen = Observation(surface="support-assistant", unit=unit, at=at, readings=readings)
    return PlacedObservation(rollout="R-1", stage=0, arm=arm, unit=unit, observation=seen)


def _result(office: Any) -> Any:
    return next(m for m in office.sandbox.list_replies(office.card()) if office.shown(m).startswith("Decide:"))


def test_a_button_and_a_reason_decide_and_the_message_says_who(over: Any) -> None:
    told = over.shown(_result(over))
    assert told.startswith("Decide: R-1 tone-long, the comparison is over.")
    assert "day by day:" in told
    assert "Every weekday is in it once." in told
    assert over.rollout.state is RolloutState.ON_HOLD
    assert over.person("ana").click(_result(over), "Keep the new version…").acked
    modal = over.sandbox.wait_for(lambda: over.sandbox.top_modal("ana"))
    over.person("ana").submit(modal, {"reason": "as good, and shorter"})
    over.deliver()
    closed = over.shown(
        next(m for m in over.sandbox.list_replies(over.card()) if "is kept and goes on" in over.shown(m))
    )
    assert "Decided by" in closed
    assert "as good, and shorter" in closed
    over.later(seconds=10)
    rollout_look.evaluate_rollout(over.service, "R-1", over.at, every=timedelta(seconds=10))
    assert over.rollout.percent == 100


def test_it_can_be_typed_and_going_back_is_a_rollback(over: Any) -> None:
    assert over.typed("ana", 'decide R-1 back "people ask again"').acked
    assert over.rollout.state is RolloutState.ROLLED_BACK
    assert over.rollout.decisions[0].reason == "people ask again"


def test_before_it_is_over_deciding_is_refused_with_the_date(office: Any) -> None:
    office.apply(office.surface_file)
    office.apply(LONG)
    assert office.typed("ana", "start R-1").acked
    office.typed("ana", "decide R-1 keep looks good")
    assert "R-1 is compared until Mon 30 Nov 10:00 CET. Nobody wins early" in office.shown(office.whispered("ana"))
