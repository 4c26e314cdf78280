"""The real program drives the flag: wired, with its own clock, from the settings of an environment."""

from collections.abc import Callable, Iterator
from datetime import datetime

import pytest

from bot import settings
from bot.startup import app
from bot.startup.program import Program
from core.rollout import commands as c
from core.rollout.state import events as e
from tests.actuators.house import House
from tests.actuators.stand_in import TOKEN, StandIn
from tests.journey.house import waiting_until
from tests.service.conftest import MONDAY

WITHIN = 30  # seconds; one is promised, but this machine may be busy


@pytest.fixture
def running(sqlite_url: str, unleash: StandIn) -> Iterator[Callable[..., House]]:
    programs: list[Program] = []
    houses: list[House] = []

    def now() -> datetime:
        """The clock of the house, once there is one."""
        return houses[0].at if houses else MONDAY

    def start(**environment: str) -> House:
        given = settings.read_settings({"DATABASE_URL": sqlite_url, "PORT": "0", **environment})
        programs.append(app.build_program(given, "serve", now=now))
        houses.append(House(programs[0].service, unleash))
        programs[0].start()
        return houses[0]

    yield start
    for program in programs:
        program.stop()


def test_through_start_step_and_rollback_to_the_confirmation(running, unleash):
    house = running(UNLEASH_URL=unleash.url, UNLEASH_TOKEN=TOKEN, ALLOW_PRIVATE_HOSTS="127.0.0.1")
    house.begin()
    waiting_until(lambda: house.found == [(0, 5)], lambda: f"5 %: {unleash.log}", within=WITHIN)
    house.step()
    waiting_until(lambda: unleash.percent == "50", lambda: f"50 %: {unleash.log}", within=WITHIN)
    house.back()
    waiting_until(lambda: house.rollout.flip is not None, lambda: f"confirmed: {unleash.log}", within=WITHIN)
    assert unleash.percent == "0"


@pytest.mark.parametrize(
    ("settings_of", "said"),
    [
        (lambda url: {"UNLEASH_URL": url, "UNLEASH_TOKEN": TOKEN}, "write https, or name it in ALLOW_PRIVATE_HOSTS"),
        (lambda url: {"UNLEASH_URL": url, "ALLOW_PRIVATE_HOSTS": "127.0.0.1"}, "UNLEASH_TOKEN is not set"),
        (lambda _: {}, "UNLEASH_TOKEN is not set"),
    ],
)
def test_what_is_not_set_up_is_told_and_nothing_is_called(running, unleash, settings_of, said):
    house = running(**settings_of(unleash.url))
    house.begin()
    waiting_until(lambda: house.happened(e.FlagNotSet), lambda: "it is told", within=WITHIN)
    assert said in house.happened(e.FlagNotSet)[0].error
    assert unleash.log == []
    house.say(c.RollBack(reason="it works without"))
    assert house.rollout.rollback is not None
