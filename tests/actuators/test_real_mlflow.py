"""An alias in the registry of a real MLflow. `make test-traces` installs it."""

import os
import statistics
import time
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import httpx
import pytest

from bot.actuators.mlflow import MlflowAlias
from bot.actuators.system_api import SystemAccess
from bot.jobs import flag_checks
from bot.outbound.client import OutboundClient
from bot.outbound.errors import PermanentFailure
from core.rollout import commands as c
from core.service.service import RolloutService
from core.store.database.connections import Database
from tests.actuators.api_systems import Mlflow
from tests.actuators.house import House
from tests.real_servers import find_program, start_server, stop_server

CLIENT = OutboundClient({"127.0.0.1"}, timeout=60)


@pytest.fixture(scope="module")
def mlflow(tmp_path_factory: pytest.TempPathFactory) -> Iterator[httpx.Client]:
    """A registry with the model `summarizer`, versions 1 to 3, of which production names the first."""
    program, folder = find_program("mlflow", "mlflow"), tmp_path_factory.mktemp("mlflow")
    command = [program, "server", "--host", "127.0.0.1", "--port", "0", "--workers", "1"]
    process, url = start_server(folder, [*command, "--backend-store-uri", f"sqlite:///{folder}/mlflow.db"], {})
    try:
        with httpx.Client(base_url=f"{url}/api/2.0/mlflow", trust_env=False, timeout=60) as client:
            client.post("/registered-models/create", json={"name": "summarizer"}).raise_for_status()
            for _ in range(3):
                made = {"name": "summarizer", "source": "s3://models/summarizer"}
                client.post("/model-versions/create", json=made).raise_for_status()
            yield client
    finally:
        stop_server(process)


@pytest.fixture
def registry(mlflow: httpx.Client) -> httpx.Client:
    move(mlflow, "1")
    return mlflow


def move(client: httpx.Client, version: str) -> None:
    """Somebody moves the alias by hand."""
    given = {"name": "summarizer", "alias": "production", "version": version}
    client.post("/registered-models/alias", json=given).raise_for_status()


def named(client: httpx.Client) -> str:
    asked = {"name": "summarizer", "alias": "production"}
    return str(client.get("/registered-models/alias", params=asked).json()["model_version"]["version"])


def url_of(client: httpx.Client) -> str:
    return str(client.base_url).removesuffix("/api/2.0/mlflow/")


def opened(client: httpx.Client, **changes: Any) -> MlflowAlias:
    url = url_of(client)
    return MlflowAlias(CLIENT, replace(Mlflow().driven(url), **changes), SystemAccess(url=url))


def test_the_alias_moves_and_moves_back(registry, capsys):
    system, seconds = opened(registry), []
    for percent, version in ((100, "2"), (0, "1")) * 5:
        begin = time.monotonic()
        system.write(percent)
        assert system.read() == percent
        seconds.append(time.monotonic() - begin)
        assert named(registry) == version
    if os.environ.get("SAY_SECONDS"):
        with capsys.disabled():
            print(f"\nan alias moved and was read back in {statistics.median(seconds):.3f} s (median of 10)")


def test_an_alias_that_is_not_set_is_set(registry):
    gone = {"name": "summarizer", "alias": "production"}
    registry.request("DELETE", "/registered-models/alias", json=gone).raise_for_status()
    assert opened(registry).read() == 0
    opened(registry).write(100)
    assert named(registry) == "2"


def test_an_alias_that_somebody_moved_elsewhere_is_left_alone(registry):
    move(registry, "3")
    assert opened(registry).read() == 0
    with pytest.raises(PermanentFailure, match="names version 3, and the plan moves it from 1 to 2"):
        opened(registry).write(100)
    assert named(registry) == "3"


def test_a_model_or_a_version_that_is_not_there_is_named(registry):
    with pytest.raises(PermanentFailure, match="MLflow has no model else with the versions 1 and 2"):
        opened(registry, feature="else").read()
    with pytest.raises(PermanentFailure, match="MLflow has no model summarizer with the versions 1 and 9"):
        opened(registry, new="9").write(100)
    assert named(registry) == "1"


def test_an_alias_whose_version_was_deleted_still_goes_back(registry):
    made = {"name": "summarizer", "source": "s3://models/summarizer"}
    version = registry.post("/model-versions/create", json=made).json()["model_version"]["version"]
    move(registry, version)
    system = opened(registry, new=version)
    system.rehearse(100)
    gone = {"name": "summarizer", "version": version}
    registry.request("DELETE", "/model-versions/delete", json=gone).raise_for_status()
    system.write(0)
    assert system.read() == 0
    assert named(registry) == "1"


class Registry(House):
    """A house whose rollout moves the alias."""

    client: httpx.Client

    @property
    def files(self) -> str:
        where = f"url: {url_of(self.client)!r}, model: summarizer, alias: production, version: 2, from: 1"
        return super().files.partition("drives: ")[0] + f"drives: {{mlflow: {{{where}}}}}\n"

    def open_system(self, door, driven) -> MlflowAlias:
        return MlflowAlias(CLIENT, driven, SystemAccess(url=driven.url))


def test_a_rollout_moves_it_with_everybody_and_takes_it_back(sqlite_database: Database, unleash, registry):
    house = Registry(RolloutService(sqlite_database), unleash)
    house.client = registry
    house.begin().until_quiet()
    house.step().until_quiet()
    assert named(registry) == "1", "at 50 %"
    house.later(minutes=2).say(c.Advance(reason="enough seen"))
    house.until_quiet()
    assert named(registry) == "2"
    house.back().until_quiet()
    assert named(registry) == "1"
    assert house.found[-1] == (100, 0)


def test_an_alias_that_is_moved_back_by_hand_holds_the_rollout(sqlite_database: Database, unleash, registry):
    house = Registry(RolloutService(sqlite_database), unleash)
    house.client = registry
    house.begin().step()
    house.later(minutes=2).say(c.Advance(reason="enough seen"))
    house.until_quiet()
    move(registry, "1")
    house.later(minutes=6)
    flag_checks.queue_flag_checks(house.service, house.at)
    house.until_quiet()
    assert named(registry) == "1", "nobody is given the new one against a person's will"
    assert house.rollout.hold is not None
    house.say(c.Resume(reason="it was a mistake"))
    house.until_quiet()
    assert named(registry) == "2"
