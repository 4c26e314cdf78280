"""`make demo`, headless: every scenario of the simulator ends as it should, and everything said is printed."""

import pytest

from bot.sandbox.traffic import HARMLESS, SCENARIOS
from tests.journey.processes import run

WHAT_FIRED = {
    "quality-drop": "Answers that pass our checks",
    "cost-doubles": "Cost per request",
    "refusals": "Declined to answer",
    "slow-p95": "Slow responses (slowest 5 %)",
    "new-error": "",  # as new failures, or as more failures: whichever is sure first
}


def test_refusals_are_taken_back() -> None:
    plays("refusals")


@pytest.mark.slow
@pytest.mark.parametrize("scenario", [s for s in SCENARIOS if s != "refusals"])
def test_every_other_scenario_ends_as_it_should(scenario: str) -> None:
    plays(scenario)


def plays(scenario: str) -> None:
    told = run("demo", "--headless", "--scenario", scenario, "--speed", "30")
    assert told.returncode == 0, told.stdout + told.stderr
    assert "Traceback" not in told.stderr
    if scenario in HARMLESS:
        assert "R-1 is done; everyone gets v43" in told.stdout
    else:
        assert "R-1 is rolled_back; everyone gets v42" in told.stdout
        assert f"*What fired*  {WHAT_FIRED[scenario]}" in told.stdout
        assert "Switched back:" in told.stdout
