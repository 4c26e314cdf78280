"""The command line as a shell sees it: real processes, their output, and 0 for done, 1 refused, 2 could not run."""

import json
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from subprocess import CompletedProcess
from typing import Any

import httpx
import pytest

from core.metrics.observation import Observation
from core.rollout.state.events import EvalRecorded, RolledBack
from core.service import rollout_look
from core.service.service import RolloutService
from core.store.database.connections import connect
from core.store.observations import observation_sums
from core.store.observations.observation_batch import PlacedObservation
from tests.journey import plans
from tests.journey.crowd import versions
from tests.journey.house import waiting_until
from tests.journey.processes import Machine, run

GATED = plans.LONG.replace("stages:\n", "stages:\n  - eval: {suite: evals/support.yaml, min_pass_rate: 95%}\n")
Cli = Callable[..., CompletedProcess[str]]


@pytest.fixture
def files(tmp_path: Path) -> Path:
    """A folder with a surface, a rollout, and results of an offline run."""
    (tmp_path / "surface.yaml").write_text(plans.SURFACE_FILE)
    (tmp_path / "rollout.yaml").write_text(plans.LONG)
    (tmp_path / "gated.yaml").write_text(GATED)
    (tmp_path / "wrong.yaml").write_text(plans.LONG.replace("owner:", "ownr:"))
    (tmp_path / "good.csv").write_text("case,category,pass\n" + "".join(f"c{n},tone,true\n" for n in range(40)))
    (tmp_path / "bad.csv").write_text("case,category,pass\nc1,tone,true\nc2,tone,false\n")
    return tmp_path


@pytest.fixture
def cli(sqlite_url: str, files: Path) -> Cli:
    """`cli("status", "R-1")` on a database with tables; names of files are those of the folder."""

    def call(*arguments: str, **settings: Any) -> CompletedProcess[str]:
        placed = [str(files / a) if (files / a).is_file() else a for a in arguments]
        return run(*placed, **{"DATABASE_URL": sqlite_url, **settings})

    return call


@pytest.fixture
def installed(cli: Cli) -> Cli:
    """The same, by the installed program: each command loads what it needs, and nothing else.

    In the long form `cli` is that, too.
    """
    return partial(cli, installed=True)


def done(result: CompletedProcess[str]) -> str:
    assert result.returncode == 0, result.stderr or result.stdout
    return result.stdout


def refused(result: CompletedProcess[str], *words: str, status: int = 1) -> None:
    assert result.returncode == status, result.stdout + result.stderr
    for word in words:
        assert word in result.stderr + result.stdout
    assert "Traceback" not in result.stderr


def test_from_a_file_to_a_rollback(installed: Cli, cli: Cli) -> None:
    assert "no problems found" in done(installed("lint", "surface.yaml", "rollout.yaml"))
    assert json.loads(done(installed("apply", "surface.yaml", "--json"))) == [
        {"kind": "surface", "id": "support-assistant", "changed": True}
    ]
    assert "v42 -> v43, low risk" in done(cli("plan", "rollout.yaml"))
    assert done(cli("apply", "rollout.yaml")).strip().endswith("rollout R-1: applied")
    assert done(cli("apply", "rollout.yaml")).strip().endswith("rollout R-1: nothing changed")
    assert "Started by" in done(installed("start", "R-1"))

    status = json.loads(done(installed("status", "R-1", "--json")))
    assert (status["id"], status["state"], status["percent"]) == ("R-1", "running", 5)
    assert done(cli("status", "R-1")).endswith("  rollout pause R-1\n  rollout rollback R-1\n  rollout metrics R-1\n")
    assert [r["id"] for r in json.loads(done(cli("list", "--json")))["rollouts"]] == ["R-1"]
    exported = done(cli("export", "R-1"))
    assert "rollout: long-canary" in exported

    assert "Rolled back by" in done(installed("rollback", "R-1", "complaints about the tone"))
    events = json.loads(done(cli("history", "R-1", "--json")))["events"]
    (back,) = [event for event in events if event["type"] == RolledBack.TYPE]
    assert back["reason"] == "complaints about the tone"
    shown = done(cli("history", "R-1"))
    assert "[ " not in shown
    assert shown.endswith("  rollout history R-1 --csv\n  rollout history R-1 --json\n")


def test_numbers_are_read_by_people_and_machines(cli: Cli, sqlite_url: str) -> None:
    done(cli("apply", "surface.yaml", "rollout.yaml"))
    done(cli("start", "R-1"))
    with connect(sqlite_url) as database:
        service, now = RolloutService(database), datetime.now(UTC)
        for look in range(1, 4):
            with database.writing_outside_log() as connection:
                observation_sums.add_observations(connection, [_seen(f"u{look}-{i}", i) for i in range(400)])
            rollout_look.evaluate_rollout(
                service, "R-1", now + timedelta(seconds=10 * look), every=timedelta(seconds=10)
            )
    seen = json.loads(done(cli("metrics", "R-1", "refusal_rate", "--json")))
    assert [m["metric"] for m in seen["metrics"]] == ["refusal_rate"]
    assert seen["arms"]["canary"]["requests"] == 600
    assert json.loads(done(cli("metrics", "R-1", "--segment", "language=de", "--json")))["metrics"] == []
    explained = json.loads(done(cli("explain", "R-1", "refusal_rate", "--json")))
    assert explained["metrics"][0]["requests"] == {"canary": 600, "control": 600}
    assert {*explained["metrics"][0]["power"]} == {"could_notice", "could_still_be", "decided_in_seconds"}
    assert [point["stage"] for point in explained["trend"]] == [0, 0, 0]
    assert "Estimate" in done(cli("explain", "R-1", "refusal_rate"))
    cut = json.loads(done(cli("segments", "R-1", "--json")))
    assert {*cut} == {"rollout", "segments", "segments_checked"}
    assert "Segments:" in done(cli("segments", "R-1"))
    refused(cli("explain", "R-1"), "Which metric?")
    refused(cli("metrics", "R-1", "--segment", "german"), "is not a segment, such as language=de")


def _seen(unit: str, number: int) -> PlacedObservation:
    declined = Observation(
        surface="support-assistant",
        unit=unit,
        at=datetime.now(UTC),
        readings={"refusal_rate": float(number % 40 == 0)},
        segments={"language": "de"},
    )
    arm = "canary" if number % 2 else "control"
    return PlacedObservation(rollout="R-1", stage=0, arm=arm, unit=unit, observation=declined)


def test_what_is_refused_says_why_and_exits_1(cli: Cli) -> None:
    refused(cli("lint", "wrong.yaml"), "ownr", "owner", "^")
    refused(cli("apply", "rollout.yaml"), "There is no AI feature called support-assistant", "surface")
    done(cli("apply", "surface.yaml"))
    refused(cli("apply", "wrong.yaml"), "ownr")
    refused(cli("plan", "surface.yaml"), "is not a rollout file")
    refused(cli("export", "R-7"), "There is no R-7")
    done(cli("apply", "rollout.yaml"))
    refused(cli("status", "R-7"), "R-7")
    refused(cli("pause", "R-1"), "has not started", "See rollout status R-1.")
    refused(cli("approve", "R-1"), "only from Slack", "or type /rollout approve R-1 in Slack")
    refused(cli("advance", "R-1", "25%"), "  rollout advance R-1 to 25%")
    refused(cli("evals", "import", "good.csv", "--rollout", "R-1"), "R-1")
    refused(cli("audit", "export", "--format", "xml"), "jsonl or cloudevents")


def test_help_is_a_word_too(cli: Cli) -> None:
    assert done(cli("help")) == done(cli("--help"))
    assert done(cli("help", "rollback")) == done(cli("rollback", "--help"))
    nothing = cli("help", "nothing")
    assert (nothing.returncode, "No such command 'nothing'" in nothing.stderr) == (2, True)


def test_what_cannot_run_says_why_and_exits_2(cli: Cli, tmp_path: Path) -> None:
    refused(cli("apply", "nowhere.yaml"), "nowhere.yaml", status=2)
    refused(cli("status", DATABASE_URL=f"sqlite:///{tmp_path}/new.db"), "rollout migrate", status=2)
    refused(cli("status", DATABASE_URL="mysql://x/y"), "not supported", status=2)
    refused(cli("status", DATABASE_URL="postgresql://nobody@127.0.0.1:1/x"), "cannot be used", status=2)
    refused(cli("status", ROLLOUT_TICK="often"), "ROLLOUT_TICK", status=2)
    refused(cli("demo", "--scenario", "sunshine"), "refusals", status=2)
    refused(cli("advnace", "R-1"), status=2)


def test_eval_results_open_their_gate_or_do_not(cli: Cli, sqlite_url: str) -> None:
    done(cli("apply", "surface.yaml", "gated.yaml"))
    done(cli("start", "R-1"))
    failed = cli("evals", "import", "bad.csv", "--rollout", "R-1", "--json")
    assert failed.returncode == 1
    assert json.loads(failed.stdout)["ok"] is False
    assert json.loads(failed.stdout)["cases"] == ["c2"]
    passed = cli("evals", "import", "good.csv", "--rollout", "R-1", "--json")
    assert {"passed": 40, "failed": 0, "errors": 0, "ok": True}.items() <= json.loads(done(passed)).items()
    with connect(sqlite_url) as database:
        results = [
            r.event.ok for r in RolloutService(database).load_history("R-1") if isinstance(r.event, EvalRecorded)
        ]
    assert results == [False, True]


def test_results_that_pass_after_others_failed_do_not_end_the_hold_and_say_so(cli: Cli) -> None:
    done(cli("apply", "surface.yaml", "gated.yaml"))
    done(cli("start", "R-1"))
    assert "still on hold" not in cli("evals", "import", "bad.csv", "--rollout", "R-1").stdout
    passed = done(cli("evals", "import", "good.csv", "--rollout", "R-1"))
    assert 'The gate has passed. R-1 is still on hold: rollout resume R-1 "why"' in passed
    done(cli("resume", "R-1", "the first run was broken"))


def test_results_are_checked_in_ci_without_a_database(cli: Cli, files: Path) -> None:
    (files / "cut.json").write_text('{"results": {"results": [')
    nowhere = {"DATABASE_URL": "sqlite:////nowhere/at.db"}
    passed = cli("evals", "check", "good.csv", "--plan", "gated.yaml", "--format", "github", **nowhere)
    assert done(passed).startswith(f"::notice file={files / 'good.csv'},title=evals/support.yaml%3A 40 passed")
    failed = cli("evals", "check", "bad.csv", "--plan", "gated.yaml", "--format", "github", **nowhere)
    assert (failed.returncode, failed.stdout.startswith("::error file=")) == (1, True)
    refused(cli("evals", "check", "cut.json", "--plan", "gated.yaml", **nowhere), "the file is cut")
    refused(cli("evals", "check", "good.csv", "--plan", "surface.yaml", **nowhere), "not a rollout file")


def test_a_damaged_parquet_file_is_refused_and_ends_nothing_else(cli: Cli, files: Path) -> None:
    whole = (Path(__file__).parents[1] / "evals/samples/mlflow.parquet").read_bytes()
    damaged = bytearray(whole)
    for at, value in ((-7183, 120), (-8273, 243), (-9456, 84)):  # with these, pyarrow aborts its process
        damaged[at] = value
    (files / "whole.parquet").write_bytes(whole)
    (files / "damaged.parquet").write_bytes(damaged)
    refused(cli("evals", "check", "damaged.parquet", "--plan", "gated.yaml"), "The Parquet file is damaged")
    read = cli("evals", "check", "whole.parquet", "--plan", "gated.yaml")
    assert "3 passed, 1 failed, 1 error (MLflow)" in read.stdout


def test_the_log_is_verified_taken_along_and_brought_back(cli: Cli, new_sqlite: Callable[[], str], files: Path) -> None:
    done(cli("apply", "surface.yaml", "rollout.yaml"))
    done(cli("start", "R-1"))
    assert "Log intact" in done(cli("audit", "verify"))
    exported = done(cli("audit", "export"))
    count = len(exported.splitlines())
    (files / "log.jsonl").write_text(exported)
    (files / "cut.jsonl").write_text("".join(exported.splitlines(keepends=True)[1:]))
    cloud = [json.loads(line) for line in done(cli("audit", "export", "--format", "cloudevents")).splitlines()]
    assert {event["specversion"] for event in cloud} == {"1.0"}

    elsewhere = new_sqlite()
    refused(cli("audit", "import", "cut.jsonl", DATABASE_URL=elsewhere))
    assert f"{count} events imported" in done(cli("audit", "import", "log.jsonl", DATABASE_URL=elsewhere))
    assert done(cli("audit", "export", DATABASE_URL=elsewhere)) == exported
    refused(cli("audit", "import", "log.jsonl", DATABASE_URL=elsewhere))
    assert json.loads(done(cli("status", "R-1", "--json", DATABASE_URL=elsewhere)))["state"] == "running"


def test_a_range_that_holds_nothing_is_not_called_intact(cli: Cli) -> None:
    done(cli("apply", "surface.yaml", "rollout.yaml"))
    head = len(done(cli("audit", "export")).splitlines())
    assert f"Log intact: 1 event checked, up to #{head}" in done(cli("audit", "verify", "--from", str(head)))
    refused(cli("audit", "verify", "--from", str(head + 1)), f"position {head + 1}: is missing")
    for wrong in (["--from", "3", "--to", "2"], ["--from", "0"], ["--to", "0"]):
        told = cli("audit", "verify", *wrong)
        assert (told.returncode, told.stdout) == (2, ""), told.stderr
        assert f"Invalid value for '{wrong[0]}'" in told.stderr


def test_what_there_is_not_yet_is_said_with_what_to_type_here(cli: Cli) -> None:
    said = done(cli("status"))
    assert said == "There are no AI features yet.\nApply a surface file first: rollout apply surface.yaml.\n"
    done(cli("apply", "surface.yaml"))
    assert done(cli("list", "--all")) == "Rollouts: none.\nPlan one with rollout apply FILE.\n"
    assert cli("metrics").stderr.endswith("See rollout list --all.\n")
    done(cli("apply", "rollout.yaml"))
    assert done(cli("list", "--surface", "support-assistant", "--state", "done")).endswith(
        "See all with rollout list --all.\n"
    )
    done(cli("start", "R-1"))
    done(cli("rollback", "R-1", "seen enough"))
    assert "`rollout review R-1`" in done(cli("status", "R-1"))


def test_a_backup_needs_a_folder_to_be_in(cli: Cli, tmp_path: Path) -> None:
    refused(cli("backup", str(tmp_path / "absent" / "a.backup")), f"There is no folder {tmp_path / 'absent'}")
    for flags in ([], ["--replace"]):
        refused(cli("backup", str(tmp_path), *flags), f"{tmp_path} is a folder, so nothing was written")
    assert not list(tmp_path.glob(".*"))


def test_a_file_that_is_no_text_is_named_whichever_command_reads_it(
    cli: Cli, new_sqlite: Callable[[], str], files: Path
) -> None:
    """As Excel writes one: UTF-16, or Windows-1252."""
    done(cli("apply", "surface.yaml", "rollout.yaml"))
    path = files / "export.txt"
    path.write_bytes("Müller\n".encode("cp1252"))
    for command in (
        ["lint", path],
        ["customers", "R-1", "--check", path],
        ["audit", "verify", "--anchors-file", path],
        ["simulate", "rollout.yaml", "--recorded", path],
        ["evals", "check", "good.csv", "--plan", path],
        ["drives", "check", path],
        ["sources", "check", path],
    ):
        told = cli(*map(str, command))
        assert (told.returncode, told.stderr) == (2, f"rollout: {path} is not UTF-8 text: save it as UTF-8\n"), command
    told = cli("audit", "import", str(path), DATABASE_URL=new_sqlite())
    assert (told.returncode, told.stderr) == (2, f"rollout: {path} is not UTF-8 text: save it as UTF-8\n")


def test_a_forged_log_is_found(cli: Cli, sqlite_url: str) -> None:
    done(cli("apply", "surface.yaml"))
    with connect(sqlite_url) as database, database.writing() as connection:
        for trigger in connection.exec_driver_sql("SELECT name FROM sqlite_master WHERE type = 'trigger'").all():
            connection.exec_driver_sql(f'DROP TRIGGER "{trigger.name}"')
        connection.exec_driver_sql("UPDATE events SET actor = 'cli:somebody-else' WHERE position = 1")
    refused(cli("audit", "verify"), "position 1")
    refused(cli("doctor"), "WRONG log: position 1")


def test_the_doctor_is_content_without_slack_until_something_waits_to_be_said(cli: Cli) -> None:
    found = {f["what"]: f["ok"] for f in json.loads(done(cli("doctor", "--json")))}
    assert found["schema"]
    assert found["slack"]
    done(cli("apply", "surface.yaml", "rollout.yaml"))
    refused(cli("doctor"), "WRONG outbox", "set SLACK_BOT_TOKEN")


def test_each_annotation_is_a_line_of_its_own(cli: Cli) -> None:
    refused_by = cli("lint", "wrong.yaml", "--format", "github")
    assert refused_by.stdout.startswith("::error file=")
    assert refused_by.stdout.endswith("\n"), "what the next command prints is no part of it"
    assert done(cli("lint", "surface.yaml", "--format", "github")) == ""


def test_a_plan_says_what_could_be_seen(cli: Cli) -> None:
    done(cli("apply", "surface.yaml"))
    printed = done(cli("plan", "rollout.yaml"))
    assert "What canary could detect at 5 %; it continues after 6 h and lasts 24 h at most:" in printed
    assert "2,880,000 requests a day (daily_requests) and levels assumed" in printed
    told = json.loads(done(cli("plan", "rollout.yaml", "--json")))
    assert told["traffic"] == {"daily_requests": 2_880_000, "pace_from": "daily_requests", "levels": "assumed"}
    quality = next(x for x in told["limits"] if x["metric"] == "eval_pass_rate" and x["stage"] == "canary")
    assert quality["in_time"]
    assert quality["ways"] is None


def test_a_plan_is_simulated(cli: Cli, files: Path) -> None:
    quick = ("--runs", "2", "--looks", "6", "--jobs", "1", "--harm", "refusal_rate=+20pp")
    refused(cli("simulate", "rollout.yaml"), "no AI feature called support-assistant")
    done(cli("apply", "surface.yaml"))
    printed = done(cli("simulate", "rollout.yaml", "--traffic", "100000/day", *quick))
    assert done(cli("simulate", "rollout.yaml", "--traffic", "100000/day", *quick, "--jobs", "2")) == printed
    assert "100,000 requests a day (--traffic)" in printed
    assert "rolled back  0 of 2" in printed
    assert "refusal_rate +20pp" in printed

    rows = [
        {"unit": f"u{n % 300}", "at": 1_800_000_000 + 60 * n, "metrics": {"refusal_rate": n % 50 == 0}}
        for n in range(1500)
    ]
    (files / "seen.ndjson").write_text("\n".join(json.dumps(row) for row in rows))
    (files / "bad.ndjson").write_text('{"unit": "u1", "metrics": {"refusals": true}}')
    told = json.loads(done(cli("simulate", "rollout.yaml", "--recorded", "seen.ndjson", "--json", *quick)))
    assert told["levels"] == "recorded"
    assert told["daily_requests"] == pytest.approx(1440, rel=0.01)
    assert (told["harmless"]["runs"], told["harms"][0]["runs"]) == (2, 2)

    refused(cli("simulate", "rollout.yaml", "--recorded", "bad.ndjson"), "observation 1", "unknown metric")
    refused(cli("simulate", "rollout.yaml", "--harm", "refusals=+6pp"), 'no metric "refusals"')
    refused(cli("simulate", "rollout.yaml", "--traffic", "lots"), "8000/day")
    refused(cli("simulate", "wrong.yaml"), "ownr")
    refused(cli("simulate", "nowhere.yaml"), "nowhere.yaml", status=2)


def test_documents_are_printed(cli: Cli) -> None:
    assert "/api/v1/observations" in json.loads(done(cli("openapi")))["paths"]
    manifest = json.loads(done(cli("slack", "manifest")))
    assert manifest["features"]["slash_commands"][0]["command"] == "/rollout"
    assert done(cli("slack", "manifest", "--link")).startswith("https://api.slack.com/apps?new_app=1")
    assert "properties" in done(cli("schema"))


def test_it_writes_beside_a_running_serve(cli: Cli, machine: Callable[..., Machine], sqlite_url: str) -> None:
    serve = machine(sqlite_url).start("serve")
    done(cli("apply", "surface.yaml", "rollout.yaml"))
    done(cli("start", "R-1"))
    waiting_until(lambda: _is_known(serve.url), lambda: "serve knows what the CLI declared", within=90)
    waiting_until(
        lambda: versions(serve.url, 1000) == {"v42", "v43"}, lambda: "serve serves what the CLI began", within=90
    )
    done(cli("rollback", "R-1"))
    waiting_until(lambda: versions(serve.url, 1000) == {"v42"}, lambda: "serve is back on v42", within=90)
    with connect(sqlite_url) as database:
        assert any(isinstance(r.event, RolledBack) for r in RolloutService(database).load_history("R-1"))


def _is_known(url: str) -> bool:
    flag = f"{url}/ofrep/v1/evaluate/flags/support-assistant"
    return httpx.post(flag, json={"context": {"targetingKey": "user-1"}}, trust_env=False).status_code == 200


def test_a_bundle_is_checked_shown_planned_started_and_rolled_back_as_one(cli: Cli, files: Path) -> None:
    sales = plans.LONG.replace(plans_name(), "sales-tone").replace("support-assistant", "sales-assistant")
    (files / "sales.yaml").write_text(plans.SURFACE_FILE.replace("support-assistant", "sales-assistant"))
    head = f"version: 1\nbundle: shorter\ntogether: [{plans_name()}, sales-tone]\n"
    (files / "bundle.yaml").write_text("---\n".join([head, plans.LONG, sales]))
    (files / "broken.yaml").write_text("---\n".join([head, plans.LONG]))
    assert "no problems found" in done(cli("lint", "bundle.yaml"))
    refused(cli("lint", "broken.yaml"), "there is no rollout sales-tone in this file")
    done(cli("apply", "surface.yaml", "sales.yaml"))
    shown = done(cli("plan", "bundle.yaml"))
    assert "support-assistant v42 -> v43" in shown
    assert "sales-tone: sales-assistant v42 -> v43" in shown
    assert done(cli("apply", "bundle.yaml")).strip().endswith("bundle shorter (R-1, R-2): applied")
    assert "They start, hold and go back together." in done(cli("status", "shorter"))
    assert "Started by" in done(cli("start", "shorter"))
    found = json.loads(done(cli("status", "shorter", "--json")))
    assert [one["state"] for one in found["rollouts"]] == ["running", "running"]
    assert done(cli("rollback", "shorter", "answers are wrong")).count("Rolled back by") == 2


def plans_name() -> str:
    return next(line.partition(": ")[2] for line in plans.LONG.splitlines() if line.startswith("rollout:"))
