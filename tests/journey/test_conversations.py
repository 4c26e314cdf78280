"""A conversation through a whole rollout: it finishes on the version it began with, or changes at its next turn."""

from collections.abc import Callable, Iterator
from typing import Any

import httpx
import pytest

from core.flags.bucketing import compute_bucket
from core.rollout.state.model import RolloutState
from rampart_client import RampartClient
from tests.journey.crowd import Crowd
from tests.journey.house import POLICY, ROLLOUT, House

BY_TIME = f"{POLICY}risk: {{standard: {{approvals: 1, may_skip: [cohort], grow_on: time}}}}\n"
FINISHING = ROLLOUT.replace("- bake: {hold: 1m}", "- bake: {hold: 4h}") + (
    "assignment: {unit: conversation, conversations: finish, finish_within: 6h}\n"
)
CHANGING = FINISHING.replace("conversations: finish, finish_within: 6h", "conversations: next_turn")
SURFACE = "support-assistant"


def conversation_at(low: int, high: int) -> str:
    """The id of a conversation whose place lies in [low, high) parts per million."""
    return next(c for c in (f"conv-{i}" for i in range(9_999)) if low <= compute_bucket("expose", "R-1", c) < high)


EARLY, LATE = conversation_at(0, 200_000), conversation_at(500_000, 1_000_000)


class Application:
    """An application that keeps what each of its conversations began with, and asks in every way there is."""

    def __init__(self, house: House, client: RampartClient) -> None:
        self._house, self._client = house, client
        self._began: dict[str, str] = {}

    def turn(self, conversation: str, unit: str) -> str:
        """One turn; the version that it gets, which all ways to ask agree on."""
        context = {"conversation": self._began[conversation]} if conversation in self._began else {}
        one = self._post(f"/{SURFACE}", unit, context)
        (flag,) = [one for one in self._post("", unit, context)["flags"] if one["key"] == SURFACE]
        assert (one["value"], one["metadata"]) == (flag["value"], flag["metadata"])
        told = one["metadata"]

        def agrees() -> bool:
            found = self._client.evaluate(SURFACE, unit, context)
            return (found.version, found.conversation) == (told["version"], told["conversation"])

        self._house.until(agrees, "the client in process follows")
        self._began.setdefault(conversation, told["conversation"])
        version: str = told["version"]
        return version

    def _post(self, path: str, unit: str, context: dict[str, str]) -> Any:
        url = f"{self._house.url}/ofrep/v1/evaluate/flags{path}"
        answer = httpx.post(url, json={"context": {"targetingKey": unit, **context}}, trust_env=False, timeout=30)
        assert answer.status_code == 200, answer.text
        return answer.json()


@pytest.fixture
def house(sqlite_url: str, open_house: Callable[..., House]) -> House:
    return open_house(sqlite_url)


@pytest.fixture
def application(house: House) -> Iterator[Application]:
    with RampartClient(house.url) as client:
        yield Application(house, client)


def grow_to_everybody(house: House) -> None:
    house.clock.go()
    with Crowd(house.url, house.clock, "healthy", seed=2) as crowd, crowd.all_the_while(house.clock, a_minute=600):
        house.until(lambda: house.rollout.percent == 100, "it reaches everybody")


@pytest.mark.shows("E58")
def test_with_finish_it_stays_through_growth_and_an_ordinary_rollback(house: House, application: Application) -> None:
    house.apply(BY_TIME)
    assert "They finish on the version they began with" in house.schedule(FINISHING)
    assert "goes on as it began" in house.text(house.said("#support", "What customers may notice"))
    assert application.turn("begun before", EARLY) == "v42"
    assert application.turn("begun before too", LATE) == "v42"
    grow_to_everybody(house)
    assert application.turn("begun before", EARLY) == "v42"
    assert application.turn("begun before too", LATE) == "v42"
    assert application.turn("new", LATE) == "v43"
    assert "those that began on v42 finish on it" in house.text(house.card)

    house.person("ana").type_command("/rollout rollback R-1")
    house.until(lambda: house.rollout.flip, "the switch is confirmed")
    assert application.turn("new", LATE) == "v43"
    assert application.turn("newer", LATE) == "v42"
    assert application.turn("begun before", EARLY) == "v42"
    alert = house.said("#ai-rollouts", "New conversations get the old version again; it took")
    assert "those that began on v43 finish on it, until" in house.text(alert)
    house.said("#support", "A conversation that had begun with the change goes on with it until it ends")

    house.person("lee").type_command("/rollout rollback R-1 wrong answers")
    house.said("#ai-rollouts", "Conversations changed at once by @lee: those that were still under way get v42 too")
    assert application.turn("new", LATE) == "v42"
    house.until(lambda: house.rollout.flip, "this switch is confirmed as well")
    house.sandbox.wait_for(lambda: "Everyone got the old version again" in house.text(alert), 90)
    assert house.sandbox.violations == []
    assert house.problems_of_the_log() == ()


def test_with_finish_what_is_left_changes_when_the_time_is_over(house: House, application: Application) -> None:
    house.apply(BY_TIME)
    house.schedule(FINISHING.replace("finish_within: 6h", "finish_within: 1m"))
    grow_to_everybody(house)
    assert application.turn("new", LATE) == "v43"
    house.person("ana").type_command("/rollout rollback R-1")
    house.said("#ai-rollouts", "Conversations: the time to finish after R-1 is over", within=180)
    assert application.turn("new", LATE) == "v42"


@pytest.mark.shows("E58")
def test_with_finish_a_harmful_rollback_changes_it_at_once(house: House, application: Application) -> None:
    house.schedule(FINISHING)
    house.clock.go()
    with Crowd(house.url, house.clock, "refusals", seed=1) as crowd, crowd.all_the_while(house.clock, a_minute=600):
        house.until(lambda: house.rollout.state is RolloutState.RUNNING, "R-1 begins by itself")
        assert application.turn("new", EARLY) == "v43"
        house.until(lambda: house.rollout.state is RolloutState.ROLLED_BACK, "the harm is noticed")
    assert application.turn("new", EARLY) == "v42"
    house.said("#ai-rollouts", "Rolled back: R-1 fix-first. Everyone got the old version again; it took")


@pytest.mark.shows("E58")
def test_without_it_a_conversation_changes_at_its_next_turn(house: House, application: Application) -> None:
    house.apply(BY_TIME)
    assert "They change at their next turn." in house.schedule(CHANGING)
    assert application.turn("begun before", LATE) == "v42"
    grow_to_everybody(house)
    assert application.turn("begun before", LATE) == "v43"
    house.person("ana").type_command("/rollout rollback R-1")
    house.said("#ai-rollouts", "Everyone got v42 again")
    assert application.turn("begun before", LATE) == "v42"
