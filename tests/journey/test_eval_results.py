"""A file of an eval tool, sent as CI sends it: thread, approval request, status and people know its cases."""

from collections.abc import Callable
from pathlib import Path

import httpx
import pytest

from tests.journey.house import ROLLOUT, House

SAMPLES = Path(__file__).parents[1] / "evals" / "samples"
GATE = "  - eval: {suite: support, min_pass_rate: 60%, no_new_failures_in: [Privacy], compare_to_current: true}\n"


@pytest.fixture
def house(sqlite_url: str, open_house: Callable[..., House]) -> House:
    return open_house(sqlite_url)


def test_who_approves_sees_which_cases_broke(house: House) -> None:
    request = house.plan(ROLLOUT.replace("stages:\n", f"stages:\n{GATE}"))
    assert "Rare cases: how rare a fault may be" in house.text(request)

    answer = httpx.post(
        f"{house.url}/api/v1/evals",
        params={"rollout": "R-1"},
        files={"file": (SAMPLES / "promptfoo.json").read_bytes()},
        trust_env=False,
    )
    assert (answer.status_code, answer.json()["ok"]) == (200, False), answer.text
    assert answer.json()["reasons"][0] == "1 new failure in privacy: delete-1"

    told = house.said("#ai-rollouts", "Checks failed: R-1 support, 3 of 5 passed, 1 error")
    assert "Broke, 1: delete-1" in house.text(told)
    house.until(lambda: "Broke, 1: delete-1" in house.text(request), "the open request shows it, too")
    assert "New failures: privacy 1 (delete-1)" in house.text(request)
    assert "Could not be judged, so counted as failed: 1 (broken-1)" in house.text(request)
    house.until(lambda: "Checks: 3/5 (60.0 %), need 60 %" in house.text(house.card), "the card has its line")
    assert "refund one" not in house.text(told) + house.text(request), "no question of a case is ever posted"

    answered = house.person("lee").type_command("/rollout checks R-1")
    assert "Cost per case: $0.0020, before $0.0020" in str(answered.blocks)
    assert "What evals cannot show" in str(answered.blocks)
