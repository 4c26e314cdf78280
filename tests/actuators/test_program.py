"""The real program drives the flag: wired, with its own clock, from the settings of an environment."""

import json
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from datetime import datetime

import pytest

from bot import settings
from bot.rendering.messages.alerts import rollback_alert
from bot.startup import app
from bot.startup.program import Program
from core.rollout import commands as c
from core.rollout.state import events as e
from core.service.service import RolloutService
from tests.actuators import api_systems
from tests.actuators.api_server import serving
from tests.actuators.api_systems import GrowthBook, Langfuse, LaunchDarkly, Mlflow
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


def test_one_rollout_drives_flags_and_labels_of_different_systems(sqlite_url, unleash, tmp_path):
    """Percentages in Unleash, LaunchDarkly, GrowthBook and a file of flagd; an alias in MLflow; a label in Langfuse."""
    (tmp_path / "flags.json").write_text(
        json.dumps({"flags": {"new-prompt": {"state": "ENABLED", "variants": {"a": 1, "b": 2}, "defaultVariant": "a"}}})
    )
    with ExitStack() as stack:
        products = {
            "launchdarkly": LaunchDarkly(),
            "growthbook": GrowthBook(),
            "mlflow": Mlflow(),
            "langfuse": Langfuse(),
        }
        apis = {name: stack.enter_context(serving(product.answer)) for name, product in products.items()}
        environment = {
            "DATABASE_URL": sqlite_url,
            "PORT": "0",
            "UNLEASH_URL": unleash.url,
            "UNLEASH_TOKEN": TOKEN,
            "FLAGD_FOLDER": str(tmp_path),
            "ALLOW_PRIVATE_HOSTS": "127.0.0.1",
            **{f"{name.upper()}_URL": api.url for name, api in apis.items()},
            **{f"{name.upper()}_TOKEN": api_systems.TOKEN for name in apis},
        }
        houses: list[EverySystem] = []
        now = lambda: houses[0].at if houses else MONDAY  # noqa: E731
        program = app.build_program(settings.read_settings(environment), "serve", now=now)
        stack.callback(program.stop)
        house = EverySystem(program.service, unleash, {name: api.url for name, api in apis.items()})
        houses.append(house)
        program.start()

        house.begin()
        at_5 = dict.fromkeys(house.titles[:4], 5) | dict.fromkeys(house.titles[4:], 0)
        waiting_until(lambda: house.readings == at_5, lambda: f"5 %: {house.readings}", within=WITHIN)
        assert (products["mlflow"].aliases, products["langfuse"].labels[4]) == (
            {"production": "1"},
            ["latest", "staging"],
        )
        house.step()
        house.later(minutes=2).say(c.Advance(reason="enough seen"))
        waiting_until(
            lambda: house.readings == dict.fromkeys(house.titles, 100),
            lambda: f"100 %: {house.readings}",
            within=WITHIN,
        )
        assert (products["mlflow"].aliases, "production" in products["langfuse"].labels[4]) == (
            {"production": "2"},
            True,
        )
        house.back()
        waiting_until(lambda: house.rollout.flip is not None, lambda: f"back: {house.readings}", within=WITHIN)
        assert house.readings == dict.fromkeys(house.titles, 0)
        assert (unleash.percent, products["mlflow"].aliases) == ("0", {"production": "1"})
        assert products["launchdarkly"].environment["fallthrough"]["rollout"]["variations"][0]["weight"] == 0
        assert products["growthbook"].rules[1]["coverage"] == 0
        assert "production" in products["langfuse"].labels[3]
        flag = json.loads((tmp_path / "flags.json").read_text())["flags"]["new-prompt"]
        assert flag["targeting"]["fractional"] == [["b", 0], ["a", 100]]
        back = [x for x in house.happened(e.FlagSet) if x.percent == 0][-len(house.titles) :]
        assert sorted(x.flag for x in back) == sorted(house.titles), "each with its seconds"
        said = str(rollback_alert.render(house.rollout, house.happened(e.RolledBack)[0], house.at, None, "UTC").blocks)
        assert all(f"{title} read back at" in said for title in house.titles)
        assert "summarizer in MLflow (production) read back at version 1 after" in said


class EverySystem(House):
    """A house whose rollout drives one thing in each system."""

    def __init__(self, service: RolloutService, unleash: StandIn, urls: dict[str, str]) -> None:
        super().__init__(service, unleash)
        self.urls = urls

    @property
    def files(self) -> str:
        head, _, first = super().files.partition("drives: ")
        entries = [
            first.strip(),
            f"{{launchdarkly: {{url: {self.urls['launchdarkly']!r}, environment: production, flag: new-prompt, "
            f"variation: {api_systems.NEW}, otherwise: {api_systems.OLD}}}}}",
            f"{{growthbook: {{url: {self.urls['growthbook']!r}, feature: new-prompt, rule: fr_new}}}}",
            "{flagd: {file: flags.json, flag: new-prompt, variant: b, otherwise: a}}",
            f"{{mlflow: {{url: {self.urls['mlflow']!r}, model: summarizer, alias: production, version: 2, from: 1}}}}",
            f"{{langfuse: {{url: {self.urls['langfuse']!r}, prompt: support/assistant, label: production, version: 4, "
            "from: 3}}",
        ]
        return f"{head}drives:\n" + "".join(f"  - {entry}\n" for entry in entries)

    @property
    def titles(self) -> list[str]:
        return [one.title for one in self.rollout.plan.driven]

    @property
    def readings(self) -> dict[str, float]:
        return {title: reading.percent for title, reading in self.rollout.flags.items()}
