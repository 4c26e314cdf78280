"""A file of flagd that is away, is written back by something else, or is changed by hand in mid-stage.

It never gives the new variant to more people than was decided, and nothing is reported that was not read back."""

import json
import os
from pathlib import Path
from typing import Any

import pytest

from bot.actuators.adapters import open_system
from bot.actuators.flag_system import FlagSystem
from bot.actuators.system_api import SystemAccess
from bot.jobs import flag_checks
from core.rollout.state import events as e
from core.service.service import RolloutService
from core.store.database.connections import Database
from tests.actuators.house import House
from tests.actuators.stand_in import StandIn

FLAG = {
    "state": "ENABLED",
    "variants": {"new": True, "old": False},
    "defaultVariant": "old",
    "targeting": {"fractional": [["new", 0], ["old", 100]]},
}


class WithFile(House):
    """A house whose rollout drives a flag in a file of flagd."""

    def __init__(self, service: RolloutService, unleash: StandIn, folder: Path) -> None:
        super().__init__(service, unleash)
        self.folder, self.file = folder, folder / "flags.json"
        self.write_by_hand(0)

    @property
    def files(self) -> str:
        entry = "{flagd: {file: flags.json, flag: new-prompt, variant: new, otherwise: old}}"
        return f"{super().files.partition('drives: ')[0]}drives: {entry}\n"

    def open_system(self, door: Any, driven: Any) -> FlagSystem:
        return open_system(door, driven, SystemAccess(url=str(self.folder), token=""))

    def write_by_hand(self, percent: float) -> None:
        shares = [["new", percent], ["old", 100 - percent]]
        self.file.write_text(json.dumps({"flags": {"new-prompt": {**FLAG, "targeting": {"fractional": shares}}}}))

    @property
    def percent(self) -> float:
        """What applications that read the file give out."""
        targeting = json.loads(self.file.read_text())["flags"]["new-prompt"]["targeting"]
        weights = dict(targeting["fractional"][-2:])
        return 100 * weights.get("new", 0) / sum(weights.values())


@pytest.fixture
def house(sqlite_database: Database, unleash: StandIn, tmp_path: Path) -> WithFile:
    return WithFile(RolloutService(sqlite_database), unleash, tmp_path)


def test_it_follows_and_goes_back(house):
    house.begin().until_quiet()
    assert house.percent == pytest.approx(5)
    house.back().until_quiet()
    assert (house.percent, house.reading.percent) == (0, 0)


def test_a_file_that_is_away_at_a_step_is_never_ahead_of_it(house):
    away = house.folder / "away.json"
    house.file.rename(away)
    house.begin().drive()
    house.back()
    away.rename(house.file)
    house.until_quiet()
    assert house.percent == 0
    assert house.happened(e.FlagSet)[-1].percent == 0


@pytest.mark.shows("E55")
def test_a_file_that_is_away_at_a_rollback_is_not_said_to_be_back_until_it_is(house):
    house.begin().until_quiet()
    away = house.folder / "away.json"
    house.file.rename(away)
    house.back()
    for _ in range(4):
        house.drive()
        house.later(seconds=31)
    assert [x for x in house.happened(e.FlagSet) if x.percent == 0] == []
    assert "FLAGD_FOLDER" in house.happened(e.FlagNotSet)[-1].error
    away.rename(house.file)
    house.later(minutes=1)
    flag_checks.queue_flag_checks(house.service, house.at)
    house.until_quiet()
    assert (house.percent, house.reading.percent) == (0, 0)


@pytest.mark.shows("E55")
def test_a_file_that_something_else_writes_back_is_not_believed(house, monkeypatch):
    """As a checkout of a repository does, right after each of our writes."""
    house.begin().until_quiet()
    before, replace = house.file.read_text(), os.replace

    def write_back(source: Any, target: Any) -> None:
        replace(source, target)
        if Path(target) == house.file:
            house.file.write_text(before)

    monkeypatch.setattr(os, "replace", write_back)
    house.back()
    for _ in range(6):
        house.drive()
        house.later(seconds=31)
    assert house.file.read_text() == before
    assert [x for x in house.happened(e.FlagSet) if x.percent == 0] == []
    assert "something else sets it too" in house.happened(e.FlagNotSet)[-1].error
    monkeypatch.undo()
    house.until_quiet()
    assert (house.percent, house.reading.percent) == (0, 0)


@pytest.mark.shows("E73")
def test_raised_by_hand_in_mid_stage_it_is_set_back_and_said(house):
    house.begin().until_quiet()
    house.write_by_hand(80)
    house.later(minutes=6)
    flag_checks.queue_flag_checks(house.service, house.at)
    house.until_quiet()
    assert house.percent == pytest.approx(5)
    assert house.found[-1] == pytest.approx((80, 5))


def test_lowered_by_hand_it_stays_and_holds(house):
    house.begin().until_quiet()
    house.write_by_hand(0)
    house.later(minutes=6)
    flag_checks.queue_flag_checks(house.service, house.at)
    house.until_quiet()
    assert house.percent == 0
    assert house.rollout.hold is not None
