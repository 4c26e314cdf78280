"""Flags in files of flagd: what is written is what flagd's own evaluator gives out."""

import json
import os
import threading
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from openfeature.contrib.tools.flagd.core import FlagdCore
from openfeature.evaluation_context import EvaluationContext

from bot.actuators.flagd import FlagdFlag
from bot.actuators.system_api import SystemAccess
from bot.outbound.client import OutboundClient
from bot.outbound.errors import PermanentFailure, RetryLater
from core.rollout.plans.plan import DrivenFlag

UNITS = 4000
FLAG = DrivenFlag(
    system="flagd",
    url="flags.json",
    project="",
    environment="",
    feature="new-prompt",
    strategy="",
    new="fix-first",
    old="thanks-first",
)


def described(**changes: Any) -> dict[str, Any]:
    variants = {"thanks-first": "v42", "fix-first": "v43", "third": "v1"}
    return {"state": "ENABLED", "variants": variants, "defaultVariant": "thanks-first", **changes}


def divided(*weights: Any) -> dict[str, Any]:
    return described(targeting={"fractional": list(weights)})


@pytest.fixture
def written(tmp_path: Path):
    """Writes a file with this flag, and gives what drives it."""

    def write(flag: dict[str, Any], **changes: Any) -> FlagdFlag:
        flags = {"new-prompt": flag, "other": {"state": "DISABLED", "variants": {"on": True}, "defaultVariant": "on"}}
        text = json.dumps({"$schema": "https://flagd.dev/schema/v0/flags.json", "flags": flags})
        (tmp_path / "flags.json").write_text(text)
        return FlagdFlag(OutboundClient(), replace(FLAG, **changes), SystemAccess(url=str(tmp_path)))

    return write


def evaluated(folder: Path) -> dict[str, str]:
    """Which variant each of some users gets, as flagd's evaluator says."""
    core = FlagdCore()
    core.set_flags((folder / "flags.json").read_text())
    users = [f"user-{number}" for number in range(UNITS)]
    return {user: str(core.resolve_string_value("new-prompt", "-", EvaluationContext(user)).variant) for user in users}


def test_going_back_asks_nothing_of_a_default_that_somebody_changed(written: Any, tmp_path: Path) -> None:
    system = written(divided(["fix-first", 30], ["thanks-first", 70]) | {"defaultVariant": "third"})
    with pytest.raises(PermanentFailure, match="serves third by default"):
        system.write(50.0)
    system.write(0.0)
    assert (system.read(), share(tmp_path)) == (0.0, 0.0)
    kept = json.loads((tmp_path / "flags.json").read_text())["flags"]["new-prompt"]
    assert kept["defaultVariant"] == "third"


def share(folder: Path) -> float:
    return sum(one == "fix-first" for one in evaluated(folder).values()) / UNITS


STARTS = [
    described(),
    described(targeting={}),
    divided(["fix-first", 0], ["thanks-first", 100]),
    divided(["thanks-first", 95], ["fix-first", 5]),
    divided({"var": "targetingKey"}, ["thanks-first", 7], ["fix-first"]),
    described(targeting={"if": [{"==": [{"var": "staff"}, True]}, "third", {"fractional": [["thanks-first", 1]]}]}),
]


@pytest.mark.parametrize("start", STARTS)
def test_the_evaluator_gives_out_what_was_written_and_growth_moves_nobody_back(written, tmp_path, start):
    system = written(start)
    before: set[str] = set()
    for percent in (5, 12.5, 50, 100):
        system.write(percent)
        assert system.read() == percent
        given = {user for user, variant in evaluated(tmp_path).items() if variant == "fix-first"}
        assert len(given) / UNITS == pytest.approx(percent / 100, abs=0.025)
        assert before <= given, "whoever has it keeps it"
        before = given
    system.write(0)
    assert system.read() == 0
    assert share(tmp_path) == 0


def test_nothing_else_of_the_file_changes(written, tmp_path):
    flag = divided({"var": "email"}, ["fix-first", 5], ["thanks-first", 95]) | {"metadata": {"team": "support"}}
    system = written(flag)
    (tmp_path / "flags.json").chmod(0o640)
    before = json.loads((tmp_path / "flags.json").read_text())
    system.write(25)
    after = json.loads((tmp_path / "flags.json").read_text())
    fractional = after["flags"]["new-prompt"]["targeting"]["fractional"]
    assert fractional == [{"var": "email"}, ["fix-first", 25], ["thanks-first", 75]]
    before["flags"]["new-prompt"]["targeting"]["fractional"] = fractional
    assert after == before
    assert (tmp_path / "flags.json").stat().st_mode & 0o777 == 0o640
    assert os.listdir(tmp_path) == ["flags.json"], "nothing is left behind"


def test_whoever_reads_meanwhile_reads_a_whole_file(written, tmp_path):
    system, stop, torn = written(described()), threading.Event(), list[str]()

    def read() -> None:
        while not stop.is_set():
            try:
                json.loads((tmp_path / "flags.json").read_text())
            except ValueError as error:
                torn.append(str(error))

    reader = threading.Thread(target=read)
    reader.start()
    for percent in range(100):
        system.write(percent)
    stop.set()
    reader.join(20)
    assert torn == []


def test_two_flags_of_one_file_are_written_at_once_and_none_is_lost(written, tmp_path):
    first = written(described())
    document = json.loads((tmp_path / "flags.json").read_text())
    document["flags"]["new-tools"] = described()
    (tmp_path / "flags.json").write_text(json.dumps(document))
    second = FlagdFlag(OutboundClient(), replace(FLAG, feature="new-tools"), SystemAccess(url=str(tmp_path)))
    for percent in range(1, 40):
        threads = [threading.Thread(target=one.write, args=(percent,)) for one in (first, second)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(20)
        assert (first.read(), second.read()) == (percent, percent)


def test_a_default_that_is_the_new_version_counts_as_everybody_and_is_taken_back(written, tmp_path):
    system = written(divided(["fix-first", 0], ["thanks-first", 100]) | {"defaultVariant": "fix-first"})
    assert system.read() == 100, "whoever has no key gets the default"
    system.write(0)
    assert system.read() == 0
    core = FlagdCore()
    core.set_flags((tmp_path / "flags.json").read_text())
    assert core.resolve_string_value("new-prompt", "-", EvaluationContext()).variant == "thanks-first"


def test_a_disabled_flag_gives_it_to_nobody_and_does_not_grow_but_goes_back(written):
    system = written(divided(["fix-first", 50], ["thanks-first", 50]) | {"state": "DISABLED"})
    assert (system.read(), system.read_dormant()) == (0, 50)
    with pytest.raises(PermanentFailure, match="is disabled: write ENABLED"):
        system.write(5)
    system.write(0)
    assert system.read_dormant() == 0


def test_a_third_variant_stops_growth_and_no_rollback(written, tmp_path):
    system = written(divided(["fix-first", 30], ["thanks-first", 30], ["third", 40]))
    assert system.read() == 30
    with pytest.raises(PermanentFailure, match="among other variants, too"):
        system.write(50)
    system.write(0)
    assert system.read() == 0
    given = evaluated(tmp_path)
    assert sum(one == "third" for one in given.values()) / UNITS == pytest.approx(0.4, abs=0.025)


@pytest.mark.parametrize(
    ("flag", "said"),
    [
        (divided(["fix-first", "x"], ["thanks-first", 1]), "are not numbers"),
        (divided(["fix-first", 0], ["thanks-first", 0]), "are not numbers"),
        (divided([["fix-first"], 5]), "are not numbers"),
        (described(targeting={"if": [True, "fix-first"]}), "has 0 `fractional` rules"),
        (described(targeting={"if": [True, {"fractional": []}, {"fractional": []}]}), "has 2 `fractional` rules"),
        (described(variants={"fix-first": 1}), "has no variant thanks-first"),
        (described(variants=[]), "has no variant fix-first"),
        ("on", "has no flag new-prompt"),
    ],
)
def test_what_a_person_has_to_mend_is_said(written, flag, said):
    with pytest.raises(PermanentFailure, match=said):
        written(flag).read()


def test_a_file_that_is_not_there_or_is_none(written, tmp_path):
    system = written(described())
    (tmp_path / "flags.json").write_text('{"flags": ')
    with pytest.raises(RetryLater, match="is not JSON"):
        system.read()
    (tmp_path / "flags.json").write_text("[]")
    with pytest.raises(PermanentFailure, match="holds no flags"):
        system.read()
    (tmp_path / "flags.json").rename(tmp_path / "real.json")
    with pytest.raises(PermanentFailure, match=r"there is no flags\.json"):
        system.read()
    (tmp_path / "flags.json").symlink_to(tmp_path / "real.json")
    with pytest.raises(PermanentFailure, match="is a link"):
        system.write(5)
    with pytest.raises(PermanentFailure, match="FLAGD_FOLDER is not set"):
        FlagdFlag(OutboundClient(), FLAG, SystemAccess())


@pytest.mark.parametrize(
    "rule",
    [
        {
            "if": [
                {"==": [{"var": "staff"}, True]},
                "fix-first",
                {"fractional": [["fix-first", 5], ["thanks-first", 95]]},
            ]
        },
        {"if": [{"var": "staff"}, {"fractional": [["fix-first", 5], ["thanks-first", 95]]}, "fix-first"]},
        {
            "if": [
                {"var": "staff"},
                {"if": [{"var": "paid"}, "fix-first", "thanks-first"]},
                {"fractional": [["fix-first", 5], ["thanks-first", 95]]},
            ]
        },
    ],
)
def test_whatever_else_gives_out_the_new_variant_stops_growth_and_no_rollback(written, rule):
    system = written(described(targeting=rule))
    with pytest.raises(PermanentFailure, match="gives fix-first to others, too: they would keep it at 0 %"):
        system.rehearse(10)
    system.write(0)
    assert system.read() == 0


def test_a_text_of_another_flag_that_has_no_utf_8_keeps_nobody_on_the_new_variant(written, tmp_path):
    system = written(divided(["fix-first", 30], ["thanks-first", 70]))
    document = json.loads((tmp_path / "flags.json").read_text())
    document["flags"]["other"]["variants"] = {"on": "\ud83d", "off": "ü"}
    (tmp_path / "flags.json").write_text(json.dumps(document))
    system.write(0)
    assert system.read() == 0
    assert json.loads((tmp_path / "flags.json").read_text())["flags"]["other"] == document["flags"]["other"]


def test_a_file_nested_too_deeply_is_no_json(written, tmp_path):
    system = written(described())
    (tmp_path / "flags.json").write_text("[" * 200_000)
    with pytest.raises(RetryLater, match=r"flags\.json is not JSON"):
        system.read()
