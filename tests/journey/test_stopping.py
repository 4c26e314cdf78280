"""Processes end at once when asked to, live on while Slack is away, and follow their policy file without a restart."""

import signal
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import psutil
import pytest
from sqlalchemy import func, select

from bot.process.flip_confirmation import FlipConfirmer
from bot.sandbox.control import Sandbox
from core.rollout import commands as c
from core.rollout.context import Actor
from core.rollout.state.model import RolloutState
from core.service import apply_file
from core.service.service import CommandRequest, RolloutService
from core.store.database.connections import Database, connect
from core.store.models import outbox, process
from tests.journey import plans
from tests.journey.crowd import versions
from tests.journey.house import waiting_until
from tests.journey.processes import Machine, Process, run

PATIENCE = 60  # seconds; three are promised, which only a quiet machine can show


@pytest.fixture
def machine(machine: Callable[..., Machine]) -> Callable[..., Machine]:
    """One whose processes are the installed program: how that ends is what is shown here."""

    def build(database_url: str, **settings: str) -> Machine:
        built = machine(database_url, **settings)
        built.installed = True
        return built

    return build


def ended(process_: Process) -> int:
    began = time.monotonic()
    process_.ask_to_stop()
    status = process_.running.wait(PATIENCE)
    print(f"{process_.role} ended {time.monotonic() - began:.2f} s after SIGTERM")
    return status


@pytest.mark.parametrize(("role", "kind"), [("serve", "sqlite"), ("web", "postgres"), ("worker", "postgres")])
def test_a_process_that_is_asked_to_stop_says_goodbye(
    role: str, kind: str, request: pytest.FixtureRequest, machine: Callable[..., Machine]
) -> None:
    url = request.getfixturevalue(f"new_{kind}")()
    started = machine(url).start(role)
    assert psutil.Process(started.running.pid).children() == []
    with connect(url) as database:
        waiting_until(lambda: known_processes(database) == 1, lambda: "it reports itself", within=90)
        assert ended(started) == 0, started.said()
        assert known_processes(database) == 0, "nobody waits for it any more"


def test_over_socket_mode_too(machine: Callable[..., Machine], sqlite_url: str) -> None:
    with Sandbox.start(transport="socket", rate_limits="off") as slack:
        started = machine(sqlite_url, SLACK_API_URL=slack.api_url, SLACK_APP_TOKEN=slack.app_token).start("serve")
        slack.wait_for(lambda: slack.connections, 90)
        assert ended(started) == 0, started.said()


def test_a_slack_that_hangs_keeps_nobody(machine: Callable[..., Machine], sqlite_url: str, slack: Sandbox) -> None:
    started = machine(sqlite_url).start("serve")
    slack.fail_next("chat.postMessage", "timeout_before", times=50)
    plans.begin(started.url)
    with connect(sqlite_url) as database:
        waiting_until(lambda: leased(database), lambda: "a message is on its way", within=90)
    assert ended(started) == 0, started.said()


def test_flags_are_served_while_slack_is_away(machine: Callable[..., Machine], sqlite_url: str) -> None:
    nobody_there = "http://127.0.0.1:1/api/"
    started = machine(sqlite_url, SLACK_API_URL=nobody_there, SLACK_APP_TOKEN="xapp-1-away").start("serve")
    plans.begin(started.url)
    assert versions(started.url, 1000) == {"v42", "v43"}
    assert "Slack cannot be reached; trying again" in started.said()
    assert ended(started) == 0


def test_an_interrupt_at_the_keyboard_is_as_good(machine: Callable[..., Machine], sqlite_url: str) -> None:
    started = machine(sqlite_url).start("serve")
    started.running.send_signal(signal.SIGINT)
    assert started.running.wait(PATIENCE) == 0


def test_a_port_that_is_taken_is_said(machine: Callable[..., Machine], new_sqlite: Callable[[], str]) -> None:
    first = machine(new_sqlite()).start("serve")
    second = run("serve", "--port", first.url.rpartition(":")[2], DATABASE_URL=new_sqlite())
    assert second.returncode == 2
    assert "Choose another with HOST and PORT" in second.stderr


def test_a_changed_policy_holds_without_a_restart(
    machine: Callable[..., Machine], sqlite_url: str, tmp_path: Path
) -> None:
    file = tmp_path / "policy.yaml"
    file.write_text("version: 1\nkind: policy\ntimezone: Europe/Berlin\n")
    started = machine(sqlite_url, ROLLOUT_POLICY=str(file)).start("serve")
    with connect(sqlite_url) as database:
        service = RolloutService(database)
        assert service.load_world().policy.timezone == "Europe/Berlin"

        file.write_text("version: 1\nkind: policy\ntimezone: Europe/Nowhere\n")
        waiting_until(
            lambda: "the old policy stays" in started.said(), lambda: "it says what is wrong with the file", within=90
        )
        assert service.load_world().policy.timezone == "Europe/Berlin"
        doctor = run("doctor", DATABASE_URL=sqlite_url, ROLLOUT_POLICY=str(file))
        assert doctor.returncode == 1
        assert "WRONG policy file" in doctor.stdout

        file.write_text("version: 1\nkind: policy\ntimezone: America/New_York\n")
        waiting_until(
            lambda: service.load_world().policy.timezone == "America/New_York",
            lambda: "the file is read again",
            within=90,
        )


def test_a_policy_that_cannot_be_read_lets_nothing_start(sqlite_url: str, tmp_path: Path) -> None:
    file = tmp_path / "policy.yaml"
    file.write_text("version: 1\nkind: policy\ntimezone: Europe/Nowhere\n")
    refused = run("serve", "--port", "0", DATABASE_URL=sqlite_url, ROLLOUT_POLICY=str(file))
    assert refused.returncode == 2
    assert "Europe/Nowhere" in refused.stderr
    assert "Traceback" not in refused.stderr


def test_a_switch_that_nobody_confirms_is_not_asked_about_for_ever(sqlite_database: Database) -> None:
    service = RolloutService(sqlite_database)
    rolled_back = roll_back_without_anybody_serving(service)
    long_after = rolled_back + timedelta(minutes=2)
    elapsed = [0.0]
    confirming = FlipConfirmer(service, elapsed=lambda: elapsed[0])
    for elapsed[0] in (0.0, 120.0):
        confirming.confirm_pending(long_after)
    assert service.load_world().rollouts["R-1"].flip_doubted

    position = service.load_world().position
    with sqlite_database.writing_outside_log() as connection:
        connection.execute(
            process.insert().values(
                process_id="late", role="web", position=position, reached_at=long_after, seen_at=long_after
            )
        )
    confirming.confirm_pending(rolled_back + timedelta(days=2))
    assert service.load_world().position == position, "after a day it is history"
    confirming.confirm_pending(long_after)
    assert service.load_world().rollouts["R-1"].flip is not None, "within it, a late confirmation still counts"


def known_processes(database: Database) -> int:
    with database.reading() as connection:
        return int(connection.execute(select(func.count()).select_from(process)).scalar_one())


def leased(database: Database) -> bool:
    with database.reading() as connection:
        return "leased" in connection.execute(select(outbox.c.state)).scalars().all()


def roll_back_without_anybody_serving(service: RolloutService) -> datetime:
    now = datetime.now(UTC)
    dana = Actor(id="slack:T1/U2", handle="@dana")
    for name, text in (("surface", plans.SURFACE_FILE), ("rollout", plans.LONG)):
        apply_file.apply_text(service, text, name, by=dana, at=now, command_id=name)
    for command in (c.Start(), c.RollBack(reason="enough")):
        service.handle(CommandRequest(command=command, command_id=repr(command), by=dana, at=now, rollout="R-1"))
    assert service.load_world().rollouts["R-1"].state is RolloutState.ROLLED_BACK
    return now
