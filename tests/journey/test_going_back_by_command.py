"""`rollout rollback` does its work in whatever words, on whatever terminal, and with whatever settings around it."""

from collections.abc import Callable
from datetime import UTC, datetime
from subprocess import CompletedProcess

import pytest

from bot.cli import session
from core.rollout.commands import Start
from core.rollout.context import Actor
from core.rollout.state.events import RolledBack
from core.service.apply_file import apply_text
from core.service.service import CommandRequest, RolloutService
from core.store.database.connections import connect
from tests.journey import plans
from tests.journey.processes import run


@pytest.fixture
def running(sqlite_url: str) -> str:
    """The address of a database where R-1 runs."""
    return start(sqlite_url, plans.LONG)


@pytest.fixture
def stratified(sqlite_url: str) -> str:
    """The same, with two strata."""
    return start(sqlite_url, f"{plans.LONG}assignment: {{strata: {{free: {{plan: free}}, paid: {{plan: pro}}}}}}\n")


def start(sqlite_url: str, rollout_file: str) -> str:
    ana, now = Actor(id="cli:ana", handle="ana"), datetime.now(UTC)
    with connect(sqlite_url) as database:
        service = RolloutService(database)
        for text in (plans.SURFACE_FILE, rollout_file):
            apply_text(service, text, "file.yaml", by=ana, at=now, command_id=text)
        service.handle(CommandRequest(command=Start(), command_id="start", by=ana, at=now, rollout="R-1"))
    return sqlite_url


def reasons(url: str) -> list[str]:
    with connect(url) as database:
        return [r.event.reason for r in RolloutService(database).load_history("R-1") if isinstance(r.event, RolledBack)]


def went_back(url: str, result: CompletedProcess[str], *, reason: str = "") -> None:
    assert result.returncode == 0, result.stdout + result.stderr
    assert "Traceback" not in result.stderr
    assert reasons(url) == [reason]


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        ("rollback R-1 odd greetings", "odd greetings"),
        ("rollback r-1", ""),
        ("rollback", ""),
        ("rollback support-assistant answers are odd", "answers are odd"),
        ("roll back R-1 now", ""),
        ("roll-back R-1 odd", "odd"),
        ("ROLLBACK R-1 it says --sorry twice", "it says --sorry twice"),
        ("rollback --force R-1", ""),
    ],
)
def test_the_rest_of_the_line_is_the_reason(running: str, line: str, reason: str) -> None:
    went_back(running, run(*line.split(), DATABASE_URL=running), reason=reason)


def test_a_reason_in_the_quotes_of_a_shell_is_one_reason(running: str) -> None:
    result = run("rollback", "R-1", 'it said "sorry" twice', DATABASE_URL=running)
    went_back(running, result, reason='it said "sorry" twice')


def test_a_reason_in_another_encoding_than_the_terminals_goes_back_as_well(running: str) -> None:
    result = run("rollback", "R-1", b"gr\xfc\xdfe fehlen".decode("utf-8", "surrogateescape"), DATABASE_URL=running)
    went_back(running, result, reason="gr\N{REPLACEMENT CHARACTER}\N{REPLACEMENT CHARACTER}e fehlen")


@pytest.mark.parametrize("named", ["--stratum free --stratum paid", "--strata free, paid", "--stratum free and paid"])
def test_of_two_strata_none_is_left_on_the_new_version(stratified: str, named: str) -> None:
    result = run("rollback", "R-1", *named.split(), "they complain", DATABASE_URL=stratified)
    assert result.returncode == 0, result.stdout + result.stderr
    assert len(reasons(stratified)) == 1
    assert "R-1 has no stratum “free, paid”, so everyone was rolled back." in result.stdout


@pytest.mark.parametrize(
    "around",
    [
        {"HOST": "x86_64-conda-linux-gnu"},  # as conda's compilers set it
        {"PORT": "tcp://10.0.0.1:8300"},  # as Kubernetes sets it for a service called so
        {"HOST": "0.0.0.0", "PORT": "http", "ROLLOUT_TICK": "often", "ROLLOUT_POLICY": "/nowhere/policy.yaml"},
        {"ROLLOUT_TOKENS": "boss:hidden", "LOG_FORMAT": "xml", "UNLEASH_URL": "flags", "SLACK_API_URL": "slack"},
    ],
)
def test_settings_that_it_does_not_need_do_not_stop_it(running: str, around: dict[str, str]) -> None:
    went_back(running, run("rollback", "R-1", DATABASE_URL=running, **around))


@pytest.mark.parametrize("command", ["status", "list", "history R-1", "pause R-1", "lint", "export R-1"])
def test_what_listens_on_nothing_does_not_read_where_to_listen(running: str, command: str) -> None:
    words = command.split() if command != "lint" else ["slack", "manifest"]
    result = run(*words, DATABASE_URL=running, HOST="x86_64-conda-linux-gnu", PORT="tcp://10.0.0.1:8300")
    assert result.returncode == 0, result.stderr


def test_what_listens_still_says_what_is_wrong_with_where(running: str) -> None:
    result = run("serve", DATABASE_URL=running, HOST="x86_64-conda-linux-gnu", PORT="tcp://10.0.0.1:8300")
    assert result.returncode == 2
    assert "ROLLOUT_TOKENS is not set" in result.stderr
    assert "PORT is 'tcp://10.0.0.1:8300'" in result.stderr


@pytest.mark.parametrize(
    "terminal",
    [
        {"PYTHONIOENCODING": "ascii"},
        {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"},
    ],
)
def test_a_terminal_that_knows_only_ascii_is_no_obstacle(running: str, terminal: dict[str, str]) -> None:
    for line in ("status R-1", "explain R-1 refusal_rate", "export R-1", "history R-1"):
        shown = run(*line.split(), DATABASE_URL=running, **terminal)
        assert (shown.returncode, shown.stderr) == (0, ""), line
        assert "long-canary" in shown.stdout, line
    went_back(
        running, run("rollback", "R-1", "wrong answers", DATABASE_URL=running, **terminal), reason="wrong answers"
    )


@pytest.mark.parametrize("line", ["roll R-1", "rollback R-9 odd", "rollback --simulate R-1"])
def test_what_is_not_clear_is_asked_with_the_command_that_would_do_it(running: str, line: str) -> None:
    asked = run(*line.split(), DATABASE_URL=running)
    assert asked.returncode == 1
    offered = next(x for x in asked.stderr.splitlines() if x.strip().startswith("rollout rollback R-1"))
    assert reasons(running) == []
    assert run(*offered.split()[1:], DATABASE_URL=running).returncode == 0
    assert len(reasons(running)) == 1


def test_somebody_without_a_name_on_this_machine_may_go_back(monkeypatch: pytest.MonkeyPatch) -> None:
    """As in a container that runs under any user id."""
    nobody: Callable[[int], object] = lambda uid: {}[uid]  # noqa: E731 - as `pwd` raises
    for name in ("LOGNAME", "USER", "LNAME", "USERNAME"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr("pwd.getpwuid", nobody)
    assert session.current_user().id.startswith("cli:uid-")


def test_one_word_is_a_reason_in_a_shell(running: str) -> None:
    result = run("move-back", "cust_1", "R-1", "wrong", DATABASE_URL=running)
    assert (result.returncode, result.stderr) == (0, "")
    assert "wrong" in run("history", "R-1", DATABASE_URL=running).stdout
    frozen = run("freeze", "support-assistant", "until", "Mon", "08:00", "sale", DATABASE_URL=running)
    assert frozen.returncode == 0, frozen.stderr


def test_what_is_suggested_to_a_shell_means_there_what_it_says(running: str) -> None:
    result = run("advance", "R-1", "25%", DATABASE_URL=running)
    assert result.returncode == 1
    assert "  rollout advance R-1 to 25%\n" in result.stderr
