"""One audience of a running rollout goes back alone, through the whole program."""

import json
from collections.abc import Callable
from typing import Any

import httpx
import pytest

from core.flags.bucketing import compute_bucket
from core.rollout.state.model import RolloutState
from rampart_client import RampartClient
from tests.journey.crowd import Crowd
from tests.journey.house import POLICY, ROLLOUT, House

BY_TIME = f"{POLICY}risk: {{standard: {{approvals: 1, may_skip: [cohort], grow_on: time}}}}\n"
CANARY = "  - canary: {percent: 20, min_hold: 1m, max_hold: 3h, min_samples: 100}\n"
COHORT = "  - cohort: {name: free, where: {plan: free}, steps: [20%, 50%], hold: 30s, min_samples: 50}\n"
STRATIFIED = ROLLOUT.replace(CANARY, COHORT + CANARY.replace("min_hold: 1m", "min_hold: 2h")) + (
    "assignment: {segments: [plan], strata: "
    "{paid: {plan: paid}, gone: {plan: platinum}, staff: {email_domain: example.com}}}\n"
)
UNIT = next(u for u in (f"user-{i}" for i in range(9_999)) if compute_bucket("expose", "R-1", u) < 200_000)
SURFACE = "support-assistant"


@pytest.fixture
def house(sqlite_url: str, open_house: Callable[..., House]) -> House:
    return open_house(sqlite_url)


def version(house: House, **context: str) -> str:
    url = f"{house.url}/ofrep/v1/evaluate/flags/{SURFACE}"
    answer = httpx.post(url, json={"context": {"targetingKey": UNIT, **context}}, trust_env=False, timeout=30)
    found: Any = answer.json()
    return str(found["metadata"]["version"])


def read(house: House, handle: str, line: str) -> str:
    """All of the answer to a command, with its tables."""
    reply = house.person(handle).type_command(line)
    return f"{reply.text} {json.dumps(reply.blocks, ensure_ascii=False)}"


def grow_into_canary(house: House) -> None:
    """Through the stratum that comes first into the canary for everybody."""
    house.apply(BY_TIME)
    house.schedule(STRATIFIED)
    house.clock.go()
    with Crowd(house.url, house.clock, "healthy", seed=2) as crowd, crowd.all_the_while(house.clock, a_minute=600):
        house.until(lambda: house.rollout.stage is not None and house.rollout.stage.name == "canary", "the canary")


@pytest.mark.shows("E36")
def test_one_stratum_goes_back_alone_within_seconds_and_everybody_hears_of_it(house: House) -> None:
    grow_into_canary(house)
    with RampartClient(house.url) as client:
        assert {version(house, plan="free"), version(house, plan="paid"), version(house)} == {"v43"}
        table = read(house, "dana", "/rollout strata R-1")
        assert "each compared within itself" in table
        assert "back on v42" not in table

        house.person("ana").type_command("/rollout rollback R-1 --stratum Free they miss the explanations")
        house.said("#ai-rollouts", "Rolled back for free alone by @ana: R-1: “they miss the explanations”.")
        assert version(house, plan="free") == "v42"
        assert version(house, plan="paid") == "v43"
        house.until(lambda: house.rollout.strata_back["free"].flip, "the switch is confirmed")
        assert client.evaluate(SURFACE, UNIT, {"plan": "free"}).version == "v42", "it waited for the client"
        assert client.evaluate(SURFACE, UNIT, {"plan": "paid"}).version == "v43"
    house.said("#ai-rollouts", "Confirmed: free of R-1 was switched back everywhere after")
    house.sandbox.wait_for(lambda: "Rolled back alone: free gets v42 again; it took" in house.text(house.card), 90)
    house.said("#support", "Switched back for some: the group free has the old version")
    assert house.rollout.state is RolloutState.RUNNING
    assert "back on v42" in read(house, "dana", "/rollout strata R-1")
    page = httpx.get(f"{house.url}/r/R-1", headers={"accept": "text/html"}, trust_env=False, timeout=30).text
    assert "Strata, each compared within itself" in page
    assert ">back on v42</td>" in page
    told: Any = httpx.get(f"{house.url}/api/v1/rollouts/R-1/strata", trust_env=False, timeout=30).json()
    assert {one["name"]: one["state"] for one in told["strata"]} == {
        "free": "back",
        "paid": "served",
        "gone": "served",
        "staff": "served",
        None: "compared",
    }
    as_json = json.dumps('"state": "back"')[1:-1]
    assert as_json in read(house, "dana", "/rollout strata R-1 --json")
    assert house.sandbox.violations == []

    said = read(house, "ana", "/rollout rollback R-1 --stratum fre they all complain")
    assert "R-1 has no stratum “fre”, so everyone was rolled back. Its strata: free, paid, gone, staff." in said
    assert version(house, plan="paid") == "v42"
    assert house.problems_of_the_log() == ()


def test_a_stratum_with_nobody_in_it_is_told_before_the_start(house: House) -> None:
    grow_into_canary(house)
    with Crowd(house.url, house.clock, "healthy", seed=3) as crowd:
        for _ in range(5):
            crowd.come(600)
    house.person("ana").type_command("/rollout rollback R-1 not now")
    house.until(lambda: house.rollout.state is RolloutState.ROLLED_BACK, "it is over")
    house.apply(STRATIFIED.replace("fix-first", "fix-again").replace("v43", "v44"))
    plan = read(house, "dana", "/rollout plan R-2")
    assert "nobody would be compared in gone: nobody. None of the" in plan
    assert "in R-1 had plan=platinum" in plan
    assert "compared in free" not in plan
    assert "compared in staff" not in plan, "nobody can know: domains are no segment"
