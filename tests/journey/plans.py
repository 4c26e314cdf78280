"""Rollouts that go on for as long as a test likes, and need nobody's approval."""

from pathlib import Path

from tests.journey.processes import post

SURFACE_FILE = (Path(__file__).parents[2] / "examples" / "surface.yaml").read_text()
LONG = """\
version: 1
rollout: long-canary
surface: support-assistant
owner: "@dana"
risk: low
change:
  from: support-assistant@v42
  to: {version: v43, prompt: "Give the steps to fix it first."}
  why: "Customers say that replies bury the fix."
stages:
  - canary: {percent: 5, min_hold: 6h, max_hold: 24h, min_samples: 2000}
  - ramp: {steps: [50%, 100%], hold: 1h}
  - bake: {hold: 1h}
rollback_when:
  - {metric: eval_pass_rate, drops_by: 2pp}
  - {metric: refusal_rate, rises_by: 1pp}
  - {metric: cost_per_request, rises_by: 15%}
  - {metric: latency_p95, exceeds: 4000ms}
notify:
  - {channel: "#ai-rollouts", as: engineering}
"""


def begin(url: str) -> None:
    """R-1 runs its 5 % canary."""
    for text in (SURFACE_FILE, LONG):
        applied = post(url, "/api/v1/files", text)
        assert applied.status_code == 200, applied.text
    started = post(url, "/api/v1/rollouts/R-1/commands", {"command": "start"})
    assert started.status_code == 200, started.text
    assert started.json()["state"] == "running"
