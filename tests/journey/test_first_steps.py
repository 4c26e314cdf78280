"""The first commands on a machine where nothing was set up: they work, or say what is missing and how to get it."""

import json
from pathlib import Path
from subprocess import CompletedProcess

import pytest

from bot.demo.story import EXAMPLES
from bot.demo.traffic import SCENARIOS
from tests.journey.processes import run

SURFACE, ROLLOUT = str(EXAMPLES / "surface.yaml"), str(EXAMPLES / "first-rollout.yaml")
NOT_MIGRATED = "no tables yet"


def said(result: CompletedProcess[str], status: int = 0) -> str:
    assert result.returncode == status, result.stdout + result.stderr
    assert "Traceback" not in result.stderr
    return result.stdout + result.stderr


def test_the_built_in_database_is_made_by_the_first_command_that_needs_it(tmp_path: Path) -> None:
    assert "Open now: none." in said(run("list", folder=tmp_path))
    assert said(run("apply", SURFACE, folder=tmp_path)) == "surface support-assistant: applied\n"
    assert "fix-first: support-assistant v42 -> v43" in said(run("plan", ROLLOUT, folder=tmp_path))


def test_a_database_that_was_named_is_not_made_in_passing(tmp_path: Path) -> None:
    """A name that was mistyped would be answered with an empty list."""
    named = said(run("list", DATABASE_URL=f"sqlite:///{tmp_path}/mistyped.db"), status=2)
    assert NOT_MIGRATED in named
    assert "rollout migrate" in named


def test_going_back_where_there_is_no_log_says_so_instead_of_making_one(tmp_path: Path) -> None:
    assert NOT_MIGRATED in said(run("rollback", "R-1", folder=tmp_path), status=2)


def test_the_doctor_is_content_before_the_first_command(tmp_path: Path) -> None:
    examined = said(run("doctor", folder=tmp_path))
    assert "WRONG" not in examined
    assert "schema: the database is new: the first command, or `rollout serve`, creates its tables" in examined


@pytest.mark.parametrize("url", ["mysql://x/y", "postgres://u:pw@h:port/db", "postgresql://nobody@127.0.0.1:1/x"])
def test_what_the_doctor_says_of_a_database_is_whole_sentences(url: str) -> None:
    examined = said(run("doctor", DATABASE_URL=url), status=1)
    assert "WRONG database" in examined
    assert ".." not in examined
    assert "pw" not in examined


def test_help_names_every_scenario_of_the_demonstration() -> None:
    shown = " ".join(said(run("demo", "--help")).split())
    assert [name for name in SCENARIOS if name not in shown] == []


def test_a_simulation_says_where_it_stands_also_where_no_terminal_shows_a_bar(tmp_path: Path) -> None:
    said(run("apply", SURFACE, folder=tmp_path))
    quick = ("--runs", "2", "--looks", "6", "--jobs", "1", "--harm", "refusal_rate=+20pp", "--json")
    played = run("simulate", ROLLOUT, *quick, folder=tmp_path)
    assert played.returncode == 0
    assert json.loads(played.stdout)["runs"] == 2, "what is told on the way stays out of the report"
    assert played.stderr.splitlines()[0] == "4 runs to play"
    assert played.stderr.splitlines()[-1].startswith("4 of 4 runs played in ")


def test_a_file_that_is_not_there_is_named_before_anything_is_applied(tmp_path: Path) -> None:
    refused = said(run("apply", SURFACE, "nowhere.yaml", folder=tmp_path), status=2)
    assert refused == "rollout: nowhere.yaml: no such file or directory\n"
    assert "Known: none yet." in said(run("plan", ROLLOUT, folder=tmp_path), status=1)
