"""Twenty harmless runs of the simulator, 40 simulated minutes and 80,000 requests each: none is rolled back."""

import pytest

from core.rollout.model import Rollout, State
from core.store.database import Database
from tests.rehearsal import EXAMPLES, Rehearsal

MINUTES = 40
REQUESTS = 80_000
SEEDS = range(1, 19)
HTTP_SEEDS = (19, 20)
STAGES = "  - canary: {percent: 5, min_hold: 2m, max_hold: 30m, min_samples: 200}\n  - ramp:   {steps: [25%, 50%, 100%]"
LONGER = (
    "  - canary: {percent: 5, min_hold: 13m, max_hold: 30m, min_samples: 200}\n  - ramp:   {steps: [25%, 50%, 100%]"
)


@pytest.fixture(scope="module")
def plan() -> str:
    """The first-rollout example, slowed down so that it is at 50 % when the 40 minutes are over."""
    example = (EXAMPLES / "first-rollout.yaml").read_text()
    slower = example.replace(STAGES, LONGER).replace("hold: 1m}", "hold: 14m}")
    assert slower.count("13m") == slower.count("14m") == 1, "the example has changed; slow it down here again"
    return slower


def check(rollout: Rollout, requests: int) -> None:
    assert rollout.state is not State.ROLLED_BACK, rollout.rollback
    assert requests == REQUESTS
    assert rollout.percent == 50, f"{rollout.state}: {rollout.waiting_for}"


@pytest.mark.slow
@pytest.mark.parametrize("seed", SEEDS)
def test_in_process(sqlite_database: Database, plan: str, seed: int) -> None:
    rehearsal = Rehearsal(sqlite_database, "healthy", seed).begin(plan)
    rehearsal.play(minutes=MINUTES)
    rehearsal.intake.close()
    check(rehearsal.rollout, rehearsal.requests)
