"""A system that lies, is down or is changed by hand never gives the new version to more people than was decided.

What could not be taken back is never reported as taken back. The same for every system that has an API."""

from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pytest

from bot.actuators.adapters import open_system
from bot.actuators.flag_system import FlagSystem
from bot.actuators.system_api import SystemAccess
from bot.jobs import flag_checks, upkeep
from core.files.write_file import export_plan
from core.rollout import commands as c
from core.rollout.state import events as e
from core.service.service import RolloutService
from core.store.database.connections import Database
from tests.actuators.api_server import Answer, ApiCall, ApiServer, serving
from tests.actuators.api_systems import NEW, OLD, TOKEN, GrowthBook, Langfuse, LaunchDarkly, Mlflow
from tests.actuators.house import House
from tests.actuators.stand_in import StandIn

FILES = {
    LaunchDarkly: f"{{launchdarkly: {{url: URL, environment: production, flag: new-prompt, variation: {NEW}, "
    f"otherwise: {OLD}}}}}",
    GrowthBook: "{growthbook: {url: URL, feature: new-prompt, rule: fr_new}}",
    Langfuse: "{langfuse: {url: URL, prompt: support/assistant, label: production, version: 4, from: 3, "
    "moves: first_stage}}",
    Mlflow: "{mlflow: {url: URL, model: summarizer, alias: production, version: 2, from: 1, moves: first_stage}}",
}


class Watched(House):
    """A house whose rollout drives one of the products."""

    def __init__(self, service: RolloutService, unleash: StandIn, product: Any, api: ApiServer) -> None:
        super().__init__(service, unleash)
        self.product, self.api = product, api
        self.label_moves = "first_stage"

    @property
    def files(self) -> str:
        entry = FILES[type(self.product)].replace("URL", repr(self.api.url)).replace("first_stage", self.label_moves)
        return f"{super().files.partition('drives: ')[0]}drives: {entry}\n"

    def open_system(self, door: Any, driven: Any) -> FlagSystem:
        return open_system(door, driven, SystemAccess(url=self.api.url, token=TOKEN))

    @property
    def percent(self) -> float:
        """At what it really is."""
        match self.product:
            case LaunchDarkly():
                rule = self.product.environment["fallthrough"]
                if "variation" in rule:
                    return 100.0 if rule["variation"] == 0 else 0.0
                return float(rule["rollout"]["variations"][0]["weight"]) / 1000
            case GrowthBook():
                return round(float(self.product.rules[1]["coverage"]) * 100, 6)
            case Langfuse():
                return 100.0 if "production" in self.product.labels[4] else 0.0
            case Mlflow():
                return 100.0 if self.product.aliases["production"] == "2" else 0.0
        raise AssertionError(self.product)

    def set_by_hand(self, percent: float) -> None:
        """Somebody changes it there."""
        match self.product:
            case LaunchDarkly():
                self.product.weigh(int(percent * 1000), int(100_000 - percent * 1000))
            case GrowthBook():
                self.product.rules[1]["coverage"] = percent / 100
            case Langfuse():
                self.product._patch(4 if percent else 3, ["production"])
            case Mlflow():
                self.product.aliases["production"] = "2" if percent else "1"

    @property
    def decided(self) -> float:
        return self.driven.percent_at(self.rollout.percent)


@pytest.fixture(params=FILES, ids=lambda kind: kind.__name__)
def product(request: pytest.FixtureRequest) -> Any:
    return request.param()


@pytest.fixture
def api(product: Any) -> Iterator[ApiServer]:
    with serving(product.answer) as server:
        yield server


@pytest.fixture
def watched(sqlite_database: Database, unleash: StandIn, product: Any, api: ApiServer) -> Watched:
    return Watched(RolloutService(sqlite_database), unleash, product, api)


def test_the_file_reads_back_to_the_same_plan(watched):
    watched.begin()
    exported = export_plan(watched.rollout.plan)
    watched.apply(
        exported.replace("rollout: support-tone", "rollout: again")
        .replace("9f2c51e0", "77777777")
        .replace("v43", "v44")
    )
    assert watched.service.load_world().rollouts["R-2"].plan.drives == watched.rollout.plan.drives


@pytest.mark.shows("E55")
def test_a_system_that_says_yes_and_does_nothing_is_not_believed(watched, product, api):
    watched.begin().until_quiet()
    assert watched.percent == watched.decided > 0

    def lie(call: ApiCall) -> Answer:
        return product.answer(call) if call.method == "GET" else (200, {})

    api.answer = lie
    watched.back()
    for _ in range(6):
        watched.drive()
        watched.later(seconds=31)
    assert [x for x in watched.happened(e.FlagSet) if x.percent == 0] == []
    assert "something else sets it too" in watched.happened(e.FlagNotSet)[-1].error
    api.answer = product.answer
    watched.until_quiet()
    assert watched.percent == 0
    assert watched.reading.percent == 0


def test_one_that_carries_out_a_step_only_after_the_rollback_was_read_back_is_taken_back_again(watched, product, api):
    """Slow for half a minute: by then we have given up on the call, and the rollback is confirmed."""
    slow: list[ApiCall] = []

    def delay(call: ApiCall) -> Answer:
        if call.method == "GET" or slow:
            return product.answer(call)
        slow.append(call)
        return None

    api.answer = delay
    watched.begin().drive()
    watched.back().drive()
    watched.later(seconds=5).drive()
    assert (watched.percent, watched.reading.percent) == (0, 0)

    product.answer(slow[0])
    assert watched.percent > 0
    watched.later(seconds=31).drive()

    assert watched.percent == 0
    assert watched.happened(e.FlagSet)[-1].before > 0, "the thread says what it was"
    product.answer(slow[0])
    watched.later(minutes=2).drive()
    assert watched.percent == 0


def test_the_checks_for_late_writes_keep_their_time(watched, product, api):
    """A worker takes what is due too far ahead for a clock that was set back, and makes it due at once."""
    api.answer = lambda call: product.answer(call) if call.method == "GET" else None
    watched.begin().drive()
    planned = [row.due_at - watched.at for row in watched.rows() if ":late:" in row.ordering_key]
    assert planned == [timedelta(seconds=30), timedelta(seconds=120)]
    upkeep.release_stuck_rows(watched.service, watched.at, speed=1.0)
    assert [row.due_at - watched.at for row in watched.rows() if ":late:" in row.ordering_key] == planned


def test_lowered_by_hand_soon_after_a_step_without_an_answer_it_stays_and_holds(watched, product, api):
    """The checks for late writes do not take what a person does for one."""
    lost: list[ApiCall] = []

    def lose_first_answer(call: ApiCall) -> Answer:
        answer = product.answer(call)
        if call.method == "GET" or lost:
            return answer
        lost.append(call)
        return None

    api.answer = lose_first_answer
    watched.begin().drive()
    watched.later(seconds=5).drive()
    assert watched.percent == watched.reading.percent == watched.decided > 0

    watched.set_by_hand(0)
    for seconds in (31, 11, 120, 11):
        watched.later(seconds=seconds).drive()
    assert watched.percent == 0
    assert watched.rollout.hold is not None


def test_one_that_is_slow_at_a_rollback_is_not_said_to_be_back_until_it_is(watched, product, api):
    watched.begin().until_quiet()
    api.answer = lambda call: product.answer(call) if call.method == "GET" else None
    watched.back()
    for _ in range(4):
        watched.drive()
        watched.later(seconds=31)
    assert [x for x in watched.happened(e.FlagSet) if x.percent == 0] == []
    assert "it closes the connection" in watched.happened(e.FlagNotSet)[-1].error
    api.answer = product.answer
    watched.until_quiet()
    assert (watched.percent, watched.reading.percent) == (0, 0)


@pytest.mark.shows("E73")
def test_raised_by_hand_in_mid_stage_it_is_set_back_and_said(watched):
    watched.label_moves = "everyone"  # before the last stage a label is where it was
    watched.begin().until_quiet()
    decided = watched.decided
    assert watched.percent == decided < 100
    watched.set_by_hand(100)
    watched.later(minutes=6)
    flag_checks.queue_flag_checks(watched.service, watched.at)
    watched.until_quiet()
    assert watched.percent == decided
    assert watched.found[-1] == (100, decided)


@pytest.mark.parametrize("status", [409, 429, 503])
def test_one_that_is_down_is_taken_back_when_it_is_there_again(watched, api, status):
    watched.begin().until_quiet()
    for method in ("GET", "POST", "PATCH"):
        api.fail_next(method, status, times=4)
    watched.back().until_quiet()
    assert watched.percent == 0
    assert watched.reading.percent == 0


@pytest.mark.shows("E55")
def test_one_that_is_down_at_a_step_is_never_ahead_of_it(watched, api):
    api.fail_next("GET", 503, times=3)
    watched.begin().drive()
    watched.back()
    watched.until_quiet()
    assert watched.percent == 0
    assert api.writes == 0, "the step was over before it could be written"


@pytest.mark.shows("E73")
def test_raised_by_hand_after_a_rollback_it_is_set_back_and_said(watched):
    watched.begin().until_quiet()
    watched.back().until_quiet()
    watched.set_by_hand(100)
    watched.later(minutes=6)
    flag_checks.queue_flag_checks(watched.service, watched.at)
    watched.until_quiet()
    assert watched.percent == 0
    assert watched.found[-1] == (100, 0)


def test_lowered_by_hand_it_stays_and_holds(watched):
    watched.begin().until_quiet()
    watched.set_by_hand(0)
    watched.later(minutes=6)
    flag_checks.queue_flag_checks(watched.service, watched.at)
    watched.until_quiet()
    assert watched.percent == 0
    assert watched.rollout.hold is not None
    watched.say(c.Resume(reason="it was a mistake"))
    watched.until_quiet()
    assert watched.percent == watched.decided > 0
