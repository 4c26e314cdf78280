"""`make demo`, headless: a scenario ends as it should, and everything said is printed."""

import pytest

from bot.sandbox.traffic import HARMLESS
from tests.journey.processes import run


@pytest.mark.slow
def test_refusals_are_taken_back() -> None:
    told = plays("refusals")
    assert "R-1 is rolled_back; everyone gets v42" in told
    assert "*What fired*  Declined to answer" in told
    assert "Switched back:" in told


@pytest.mark.slow
def test_a_healthy_change_reaches_everyone() -> None:
    assert "healthy" in HARMLESS
    assert "R-1 is done; everyone gets v43" in plays("healthy")


def plays(scenario: str) -> str:
    told = run("demo", "--headless", "--scenario", scenario, "--speed", "60")  # time waits for the users
    assert told.returncode == 0, told.stdout + told.stderr
    assert "Traceback" not in told.stderr
    return told.stdout
