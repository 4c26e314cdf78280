"""Nobody takes what the program prints, on a full disk or at the end of a pipe: it does what it does otherwise."""

import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import httpx
import psutil
import pytest

from bot.sandbox.control import Sandbox
from core.service import Service
from core.store import outbox
from core.store.database import connect
from tests.journey import plans
from tests.journey.house import waiting_until
from tests.journey.processes import ROLLOUT, environment, post
from tests.trials.faults.server import Server

SOON = 60


@pytest.fixture(params=["full", "nobody-reads"])
def output(request: pytest.FixtureRequest) -> Iterator[int]:
    """Where whatever is written fails."""
    if request.param == "full":
        taken = os.open("/dev/full", os.O_WRONLY)
    else:
        reader, taken = os.pipe()
        os.close(reader)
    yield taken
    os.close(taken)


@pytest.fixture
def serving(server: Server, output: int, slack: Sandbox, tmp_path: Path) -> Iterator[str]:
    settings = {
        "DATABASE_URL": server.url(),
        "SLACK_BOT_TOKEN": slack.bot_token,
        "SLACK_SIGNING_SECRET": slack.signing_secret,
        "SLACK_API_URL": slack.api_url,
        "ROLLOUT_TICK": "1s",
        "PORT": "0",
    }
    with (tmp_path / "errors").open("wb") as errors:
        running = subprocess.Popen([ROLLOUT, "serve"], env=environment(**settings), stdout=output, stderr=errors)
    yield f"http://127.0.0.1:{_port_of(running, tmp_path / 'errors')}"
    running.terminate()
    assert running.wait(SOON) == 0, (tmp_path / "errors").read_text()
    assert "Traceback" not in (tmp_path / "errors").read_text()


def _port_of(running: "subprocess.Popen[bytes]", errors: Path) -> int:
    def ports() -> list[int]:
        assert running.poll() is None, errors.read_text()
        found = psutil.Process(running.pid).net_connections("inet")
        return [one.laddr.port for one in found if one.status == psutil.CONN_LISTEN]

    waiting_until(ports, lambda: f"it listens\n{errors.read_text()}", within=SOON)
    return ports()[0]


@pytest.mark.slow
def test_a_line_that_nobody_takes_changes_nothing(serving: str, server: Server, slack: Sandbox) -> None:
    def ready() -> int:
        return httpx.get(f"{serving}/readyz", trust_env=False, timeout=30).status_code

    waiting_until(lambda: ready() == 200, lambda: "it is ready", within=SOON)
    plans.begin(serving)
    slack.wait_message("#ai-rollouts", contains="Started", timeout=SOON)

    server.fall()
    waiting_until(lambda: ready() == 503, lambda: "it misses the database", within=SOON)
    server.rise()
    waiting_until(lambda: ready() == 200, lambda: "it follows the log again", within=SOON)

    slack.fail_next("chat.postMessage", "error:restricted_action", times=1)
    _concern(serving, "refused for good")
    with connect(server.url()) as database:
        service = Service(database)

        def set_aside() -> int:
            with service.database.reading() as connection:
                return outbox.waiting(connection).dead

        waiting_until(set_aside, lambda: "what Slack refuses for good is set aside", within=SOON)
    _concern(serving, "said afterwards")
    slack.wait_message("#ai-rollouts", contains="said afterwards", timeout=SOON)
    figures = httpx.get(f"{serving}/metrics", trust_env=False, timeout=30).text
    lost = next(x for x in figures.splitlines() if x.startswith("rampart_log_lines_lost_total"))
    assert float(lost.rpartition(" ")[2]) > 0


def _concern(url: str, text: str) -> None:
    body: dict[str, object] = {"command": "concern", "notice": "general", "reason": text}
    assert post(url, "/api/v1/rollouts/R-1/commands", body, key=text).status_code == 200
