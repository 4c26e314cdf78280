"""Nobody takes what the program prints, on a full disk or at the end of a pipe: it does what it does otherwise."""

import os
import signal
from collections.abc import Callable, Iterator
from multiprocessing.connection import Connection

import httpx
import psutil
import pytest

from bot.sandbox.control import Sandbox
from core.service.service import RolloutService
from core.store.coordination import outbox
from core.store.database.connections import connect
from tests.forks import FORKS
from tests.journey import plans
from tests.journey.house import waiting_until
from tests.journey.processes import post
from tests.trials.faults.nursery import Nursery, Process
from tests.trials.faults.server import Server

SOON = 60


@pytest.fixture(params=["full", "nobody-reads"])
def output(request: pytest.FixtureRequest) -> Iterator[Connection]:
    """Where whatever is written fails."""
    if request.param == "full":
        taken = Connection(os.open("/dev/full", os.O_WRONLY), readable=False)
    else:
        reader, taken = FORKS.Pipe(duplex=False)
        reader.close()
    yield taken
    taken.close()


@pytest.fixture
def serving(server: Server, output: Connection, nursery: Callable[..., Nursery]) -> Iterator[str]:
    process = nursery(server.url()).start("serve", output=output)
    yield f"http://127.0.0.1:{_port_of(process)}"
    process.signal(signal.SIGTERM)
    process.running.join(SOON)
    assert process.running.exitcode == 0, process.said()
    assert "Traceback" not in process.said()


def _port_of(process: Process) -> int:
    def ports() -> list[int]:
        assert process.lives, process.said()
        found = psutil.Process(process.running.pid).net_connections("inet")
        return [one.laddr.port for one in found if one.status == psutil.CONN_LISTEN]

    waiting_until(ports, lambda: f"it listens\n{process.said()}", within=SOON)
    return ports()[0]


@pytest.mark.slow
def test_a_line_that_nobody_takes_changes_nothing(serving: str, server: Server, slack: Sandbox) -> None:
    def ready() -> int:
        return httpx.get(f"{serving}/readyz", trust_env=False, timeout=30).status_code

    waiting_until(lambda: ready() == 200, lambda: "it is ready", within=SOON)
    plans.begin(serving)
    slack.wait_for_message("#ai-rollouts", contains="Started", timeout=SOON)

    server.fall()
    waiting_until(lambda: ready() == 503, lambda: "it misses the database", within=SOON)
    server.rise()
    waiting_until(lambda: ready() == 200, lambda: "it follows the log again", within=SOON)

    slack.fail_next("chat.postMessage", "error:restricted_action", times=1)
    _concern(serving, "refused for good")
    with connect(server.url()) as database:
        service = RolloutService(database)

        def set_aside() -> int:
            with service.database.reading() as connection:
                return outbox.measure_backlog(connection).dead

        waiting_until(set_aside, lambda: "what Slack refuses for good is set aside", within=SOON)
    _concern(serving, "said afterwards")
    slack.wait_for_message("#ai-rollouts", contains="said afterwards", timeout=SOON)
    figures = httpx.get(f"{serving}/metrics", trust_env=False, timeout=30).text
    lost = next(x for x in figures.splitlines() if x.startswith("rampart_log_lines_lost_total"))
    assert float(lost.rpartition(" ")[2]) > 0


def _concern(url: str, text: str) -> None:
    body: dict[str, object] = {"command": "concern", "notice": "general", "reason": text}
    assert post(url, "/api/v1/rollouts/R-1/commands", body, key=text).status_code == 200
