"""Two AI features that share users change at once, through the whole program: nobody is in both changes."""

from collections.abc import Callable
from typing import Any

import httpx
import pytest

from rampart_client import RampartClient
from tests.journey.house import EXAMPLES, POLICY, ROLLOUT, House

LAYERED = POLICY + "layers: {chat: {support-assistant: 60%, search: }}\n"
SURFACE = (EXAMPLES / "surface.yaml").read_text()
QUIET = (
    ROLLOUT.replace("risk: standard", "risk: low")
    .replace("percent: 20, min_hold: 1m", "percent: 50, min_hold: 2h")
    .replace("steps: [50%, 100%]", "steps: [100%]")
    .replace(", before: 1m, acknowledge: true", "")
    .replace(", before: 1m", "")
)
UNITS = [f"user-{number}" for number in range(60)]


@pytest.fixture
def house(sqlite_url: str, open_house: Callable[..., House]) -> House:
    return open_house(sqlite_url)


def for_search(text: str) -> str:
    return text.replace("support-assistant", "search").replace("rollout: fix-first", "rollout: rank-first")


def are_notices_out(house: House, rollout: str) -> bool:
    found = house.program.service.load_world().rollouts[rollout]
    return all(found.notice_posted_at(notice.key) for notice in found.plan.stakeholder_notices)


def list_answers(house: House, surface: str) -> dict[str, dict[str, Any]]:
    """What each unit is answered over OFREP."""
    url = f"{house.url}/ofrep/v1/evaluate/flags/{surface}"
    with httpx.Client(trust_env=False, timeout=30) as calls:
        return {u: calls.post(url, json={"context": {"targetingKey": u}}).json()["metadata"] for u in UNITS}


def list_reached(answers: dict[str, dict[str, Any]]) -> set[str]:
    """The units in an arm of a comparison."""
    return {unit for unit, one in answers.items() if not one["exposure"].endswith(".stable")}


def test_nobody_is_in_two_changes_at_once_whoever_evaluates(house: House) -> None:
    for text in (SURFACE, for_search(SURFACE), LAYERED, QUIET, for_search(QUIET)):
        house.apply(text)
    ana = house.person("ana")
    planned = str(ana.type_command("/rollout plan R-1").blocks)
    assert "60 % of the users in chat can get v43 until it is done; 50 % of them in canary are 30 % of every" in planned
    before = [
        house.text(house.said("#support", "is planned")),
        str(ana.type_command("/rollout notice R-1 preview").blocks),
    ]
    assert all("for 30 in 100 customers first" in text for text in before)
    assert "its 60 % of the users" in house.text(house.said("#ai-rollouts", "Planned: R-1"))
    for rollout in ("R-1", "R-2"):
        house.until(lambda told=rollout: are_notices_out(house, told), "its notices are out")
        ana.type_command(f"/rollout start {rollout}")
    house.said("#ai-rollouts", "Layer: 50 % of its 60 % of the users in chat, 30 % of everyone.")

    answers = {surface: list_answers(house, surface) for surface in ("support-assistant", "search")}
    reached = [list_reached(one) for one in answers.values()]

    assert all({one["version"] for one in each.values()} == {"v42", "v43"} for each in answers.values())
    assert reached[0].isdisjoint(reached[1])
    assert reached[0] | reached[1] == set(UNITS)
    with RampartClient(house.url) as client:
        for surface, each in answers.items():
            told = {unit: client.evaluate(surface, unit) for unit in UNITS}
            assert {u: (one.version, one.exposure) for u, one in told.items()} == {
                u: (one["version"], one["exposure"]) for u, one in each.items()
            }

    other = min(reached[1])
    assert "the layer chat keeps them for another AI feature until R-1 is done" in str(
        ana.type_command(f"/rollout whois {other}").blocks
    )
    ana.type_command("/rollout rollback R-1 enough")
    assert {one["version"] for one in list_answers(house, "support-assistant").values()} == {"v42"}
    assert house.problems_of_the_log() == ()
