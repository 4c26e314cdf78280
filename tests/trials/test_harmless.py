"""Harmless runs of the simulator, looked at every ten seconds from a canary to half of all: none is rolled back.

The long form has twenty runs of 40 simulated minutes and 80,000 requests, the short one two of half of that, through
the same stages.
How often chance alone may condemn is shown in tests/calibration; here it is the whole way from a request to a verdict.
"""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta

import pytest

from bot.jobs import looking
from bot.settings import Settings
from bot.startup import app
from core.rollout.state.model import Rollout, RolloutState
from core.service.service import RolloutService
from core.store.database.connections import Database
from tests.journey.crowd import Crowd
from tests.rehearsal import EXAMPLES, TICK, Rehearsal
from tests.trials.length import pick

MINUTES = pick(20, 40)
REQUESTS = MINUTES * 2_000
SEEDS = range(1, pick(2, 19))
HTTP_SEEDS = pick((19,), (19, 20))
STAGES = "  - canary: {percent: 5, min_hold: 2m, max_hold: 3h, min_samples: 200}\n  - ramp:   {steps: [25%, 50%, 100%]"


@pytest.fixture(scope="module")
def plan() -> str:
    """The first-rollout example, slowed down so that it has just reached 50 % when the time is over."""
    example = (EXAMPLES / "first-rollout.yaml").read_text()
    canary, step = MINUTES * 60 * 13 // 40, MINUTES * 60 * 14 // 40  # seconds
    slower = example.replace(STAGES, STAGES.replace("min_hold: 2m", f"min_hold: {canary}s"))
    slower = slower.replace("100%], hold: 2m}", f"100%], hold: {step}s}}")
    assert slower.count(f"{canary}s") == slower.count(f"{step}s") == 1, (
        "the example has changed; slow it down here again"
    )
    return slower


def check(rollout: Rollout, requests: int) -> None:
    assert rollout.state is not RolloutState.ROLLED_BACK, rollout.rollback
    assert requests == REQUESTS
    assert rollout.percent == 50, f"{rollout.state}: {rollout.waiting_for}"


@pytest.mark.slow
@pytest.mark.parametrize("seed", SEEDS)
def test_in_process(sqlite_database: Database, plan: str, seed: int) -> None:
    rehearsal = Rehearsal(RolloutService(sqlite_database), "healthy", seed).begin(plan)
    rehearsal.play(minutes=MINUTES)
    rehearsal.intake.close()
    check(rehearsal.rollout, rehearsal.requests)


@pytest.mark.slow
@pytest.mark.parametrize("seed", HTTP_SEEDS)
def test_over_http(new_sqlite: Callable[[], str], plan: str, seed: int) -> None:
    """The doors of a served program, with a clock that is turned a tick at a time."""
    clock = [datetime(2026, 11, 23, 9, 0, tzinfo=UTC)]
    settings = Settings(database_url=new_sqlite(), port=0, tick=timedelta(days=1))  # this test ticks by itself
    program = app.build_program(settings, "serve", now=lambda: clock[0])
    url = program.serve_in_thread()
    program.start()
    try:
        rehearsal = Rehearsal(program.service, "healthy", seed, at=clock[0]).begin(plan)
        clock[0] = rehearsal.at
        with Crowd(url, lambda: clock[0], "healthy", seed=seed) as crowd:
            for tick in range(1, round(MINUTES * 60 / TICK.total_seconds()) + 1):
                crowd.come(round(REQUESTS * TICK.total_seconds() / 60 / MINUTES * tick) - crowd.requests)
                clock[0] += TICK
                looking.tick(program.service, clock[0], TICK)
            requests = crowd.requests
        rehearsal.intake.close()
        check(rehearsal.rollout, requests)
    finally:
        program.stop()
