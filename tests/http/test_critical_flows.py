"""Critical flows: a surface names the kinds of requests that matter, and each is judged by itself."""

import random
from datetime import timedelta
from typing import Any

import pytest

from bot.rendering.charts import plain_text
from bot.rendering.messages import summary
from core.rollout import commands as c
from core.rollout.state.events import EvidenceRecorded
from core.rollout.state.model import RolloutState
from core.service.rollout_look import evaluate_rollout

FLOWS = """
flows:
  refunds: {intent: refund}
  enterprise: {plan: [enterprise, government]}
"""


def _observe(running: Any, http: Any, failing: float, chance: random.Random) -> None:
    """Ten thousand requests of a look, a tenth of them refunds; the new version fails `failing` of its refunds."""
    observations = []
    for i in range(10_000):
        arm = "canary" if i < 5000 else "control"
        is_refund = i % 10 == 0
        share = failing if is_refund and arm == "canary" else 0.05
        observations.append(
            {
                "surface": "support-assistant",
                "unit": f"{arm}-{running.now().timestamp()}-{i}",
                "variant": arm,
                "segments": {"intent": "refund" if is_refund else "other", "language": "en"},
                "metrics": {"eval_pass_rate": chance.random() >= share},
            }
        )
    for begin in range(0, len(observations), 2_000):
        batch = {"observations": observations[begin : begin + 2_000]}
        assert http.post("/api/v1/observations", json=batch, timeout=60).json()["rejected"] == []


@pytest.fixture
def judged(running: Any, surface_file: str, rollout_file: str) -> Any:
    """Half of the traffic on the new version, of a surface with two critical flows."""
    running.apply(surface_file + FLOWS)
    head, rest = rollout_file.split("stages:")
    stages = """stages:
  - canary: {percent: 5, min_hold: 1m, max_hold: 6h, min_samples: 10}
  - ramp: {steps: [50%, 100%], hold: 6h}
"""
    running.apply(f"{head}{stages}assignment:{rest.split('assignment:')[1]}")
    running.do(c.Start())
    running.wait(minutes=2)
    running.do(c.Advance(reason="half of them at once"))
    running.wait(minutes=1)
    assert running.service.load_world().rollouts["R-1"].percent == 50
    return running


def _look(running: Any) -> None:
    running.wait(minutes=2)
    evaluate_rollout(running.service, "R-1", running.now(), every=timedelta(minutes=2))


@pytest.mark.shows("E3")
def test_a_flow_that_gets_worse_is_found_and_named_while_the_total_hides_it(judged: Any, serve: Any) -> None:
    """Six points of a tenth of the traffic are 0.6 points of the total, whose limit is two points."""
    http, chance = serve(judged), random.Random(3)
    for _ in range(20):
        _observe(judged, http, 0.05 + 0.08, chance)
        _look(judged)
        rollout = judged.service.load_world().rollouts["R-1"]
        if rollout.state is not RolloutState.RUNNING:
            break
    assert rollout.state is RolloutState.ROLLED_BACK
    assert rollout.rollback is not None
    (finding,) = {f.segment for f in rollout.rollback.findings}
    assert finding == "flow=refunds"


@pytest.mark.shows("E3")
def test_a_flow_without_harm_is_left_alone_and_every_flow_is_named_in_the_summary(judged: Any, serve: Any) -> None:
    http, chance = serve(judged), random.Random(3)
    for _ in range(8):
        _observe(judged, http, 0.05, chance)
        _look(judged)
    rollout = judged.service.load_world().rollouts["R-1"]
    assert rollout.state is not RolloutState.ROLLED_BACK
    told = [e for e in judged.service.load_history("R-1") if isinstance(e.event, EvidenceRecorded)][-1]
    said = plain_text.render_text(summary.render(rollout, told.event, told.at, "UTC"))
    assert "Flows: refunds fine, enterprise not enough data." in said


def test_flows_belong_to_the_plan_and_change_with_the_next_one(judged: Any, surface_file: str) -> None:
    plan = judged.service.load_world().rollouts["R-1"].plan
    enterprise = {"plan": ("enterprise", "government")}
    assert dict(plan.flows or {}) == {"refunds": {"intent": "refund"}, "enterprise": enterprise}
    judged.apply(surface_file + "flows: {search: {intent: search}}\n")
    assert judged.service.load_world().rollouts["R-1"].plan.flows == plan.flows
