"""The Procfile as it stands: two webs and two workers on one Postgres, started and ended together."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest

from bot.sandbox.control import Sandbox
from core.store.coordination import processes
from core.store.database.connections import Database, connect
from tests.journey import plans
from tests.journey.crowd import Line
from tests.journey.house import waiting_until
from tests.journey.processes import environment, reserved_ports

ROOT = Path(__file__).parents[3]
HONCHO = Path(sys.executable).with_name("honcho")
SOON = 60


@pytest.fixture
def postgres(new_postgres: Callable[[], str]) -> Iterator[Database]:
    with connect(new_postgres()) as database:
        yield database


@pytest.fixture
def port() -> Iterator[int]:
    """The supervisor gives each web one of its own, in a row."""
    with reserved_ports(2) as first:
        yield first


@pytest.fixture
def two_of_each(postgres: Database, slack: Sandbox, tmp_path: Path, port: int) -> Iterator[subprocess.Popen[bytes]]:
    settings = {
        "DATABASE_URL": postgres.engine.url.render_as_string(hide_password=False),
        "SLACK_BOT_TOKEN": slack.bot_token,
        "SLACK_SIGNING_SECRET": slack.signing_secret,
        "SLACK_API_URL": slack.api_url,
        "ROLLOUT_TICK": "1s",
        "PORT": str(port),
    }
    env = environment(**settings)
    env["PATH"] = f"{HONCHO.parent}{os.pathsep}{env['PATH']}"
    command = [HONCHO, "start", "--no-colour", "--no-prefix", "-c", "web=2,worker=2", "web", "worker"]
    with (tmp_path / "honcho.log").open("wb") as out:
        running = subprocess.Popen(command, cwd=ROOT, env=env, stdout=out, stderr=subprocess.STDOUT)
    yield running
    if running.poll() is None:
        family = psutil.Process(running.pid).children(recursive=True)
        running.kill()
        for one in family:
            one.kill()


@pytest.mark.slow
def test_all_come_up_a_rollback_through_one_is_served_by_the_other_and_one_signal_ends_all(
    two_of_each: subprocess.Popen[bytes], postgres: Database, slack: Sandbox, tmp_path: Path
) -> None:
    log = tmp_path / "honcho.log"
    urls = _listening(log)
    slack.connect(f"{urls[0]}/slack/events")
    waiting_until(lambda: len(_alive(postgres)) == 4, lambda: f"four report; {log.read_text()}", within=SOON)
    assert sorted(p.role for p in _alive(postgres)) == ["web", "web", "worker", "worker"]
    plans.begin(urls[1])
    first, second = lines = [Line(url) for url in urls]
    people = [{"targetingKey": f"user-{n}"} for n in range(500)]
    waiting_until(lambda: any(_new(one) for one in second.evaluate(people)), lambda: "it begins", within=SOON)
    someone = next(p for p, a in zip(people, second.evaluate(people), strict=True) if _new(a))
    waiting_until(lambda: _new(first.evaluate([someone])[0]), lambda: "both serve it", within=SOON)

    assert "Rolled back by" in slack.act_as("ana").type_command('/rollout rollback R-1 "that is enough"').text
    began = time.monotonic()
    waiting_until(lambda: not _new(second.evaluate([someone])[0]), lambda: "the other serves it, too", within=SOON)
    print(f"the other web served the live version after {time.monotonic() - began:.3f} s")
    slack.wait_for_message("#ai-rollouts", contains="confirmed on 2 processes", timeout=SOON)
    for line in lines:
        line.close()

    family = psutil.Process(two_of_each.pid).children(recursive=True)
    two_of_each.send_signal(signal.SIGTERM)
    two_of_each.wait(SOON)
    _, left = psutil.wait_procs(family, timeout=SOON)
    assert left == []
    assert _alive(postgres) == (), "all have said goodbye"


def _listening(log: Path) -> list[str]:
    """Where the webs answer: honcho gives each a port of its own."""

    def said() -> list[str]:
        return sorted(x.rpartition(" ")[2] for x in log.read_text().splitlines() if "Rampart listens on" in x)

    waiting_until(lambda: len(said()) == 2, log.read_text, within=SOON)
    assert len(set(said())) == 2
    return said()


def _alive(database: Database) -> tuple[processes.ProcessReport, ...]:
    with database.reading() as connection:
        return processes.load_processes(connection)


def _new(answer: dict[str, str]) -> bool:
    return answer["variant"] == "canary"
