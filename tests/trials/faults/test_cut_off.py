"""A web process whose database falls silent: it goes on for a while, then gives everybody the live version."""

import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest

from bot.process import flip_confirmation, snapshot_server
from bot.process.flip_confirmation import FlipConfirmer
from bot.process.snapshot_server import SnapshotServer
from bot.settings import Settings
from bot.startup import app
from bot.startup.program import Program
from core.rollout import commands as c
from core.rollout.state import events as e
from core.service.service import RolloutService
from core.store.coordination import processes
from core.store.database.connections import connect
from tests.journey.house import waiting_until
from tests.served import evaluate
from tests.trials.faults import installation, laborer
from tests.trials.faults.proxy import Line
from tests.trials.faults.test_many_kills import begun

POLL, REPORT, BLIND_AFTER = 0.05, 1.0, 5.0  # seconds: in earnest 0.4, 2 and 15
SOON = 90


@dataclass(slots=True)
class House:
    """One web whose line to the database can fall silent, and everybody else, whose line is good."""

    line: Line
    web: Program
    url: str
    others: RolloutService
    second: SnapshotServer
    confirming: FlipConfirmer
    someone: str  # who gets the new version

    def served(self) -> str:
        flag = f"{self.url}/ofrep/v1/evaluate/flags/{installation.SURFACE}"
        context = {"context": {"targetingKey": self.someone}}
        answer = httpx.post(flag, json=context, trust_env=False, timeout=30).json()
        return str(answer["metadata"]["version"])

    def ready(self) -> httpx.Response:
        return httpx.get(f"{self.url}/readyz", trust_env=False, timeout=30)

    def flip(self) -> e.FlipConfirmed | None:
        self.confirming.confirm_pending(laborer.now())
        confirmed = [r.event for r in self.others.load_history("R-1") if isinstance(r.event, e.FlipConfirmed)]
        return confirmed[0] if confirmed else None


@pytest.fixture
def house(new_postgres: Callable[[], str], monkeypatch: pytest.MonkeyPatch) -> Iterator[House]:
    monkeypatch.setattr(snapshot_server, "FAILSAFE_AFTER", BLIND_AFTER)
    monkeypatch.setattr(snapshot_server, "REPORT_SECONDS", REPORT)
    monkeypatch.setattr(snapshot_server, "POLL_SECONDS", POLL)
    monkeypatch.setattr(processes, "SERVING_SECONDS", BLIND_AFTER)
    monkeypatch.setattr(flip_confirmation, "SILENCE_MARGIN", 0.5)
    url = new_postgres()
    with tempfile.TemporaryDirectory() as folder, connect(url) as database:
        others = RolloutService(database)
        begun(others)
        line = Line(url, Path(folder))
        web = app.build_program(Settings(database_url=line.url, port=0), "web")
        address = web.serve_in_thread()
        web.start()
        second = SnapshotServer(others, process_id="second", role="web")
        second.start()
        someone = next(u for u in (f"user-{n}" for n in range(999)) if _version(web.snapshot_server, u) == "v43")
        yield House(
            line=line,
            web=web,
            url=address,
            others=others,
            second=second,
            confirming=FlipConfirmer(others),
            someone=someone,
        )
        line.speak()
        second.stop()
        web.stop()
        line.close()


def _version(one: SnapshotServer, unit: str) -> str:
    return evaluate(one.snapshot(), installation.SURFACE, unit, {}).version.name


def test_it_goes_on_for_a_while_then_everybody_gets_the_live_version_and_it_comes_back_by_itself(house: House) -> None:
    assert house.served() == "v43"
    with house.line.silent():
        assert house.served() == "v43"
        waiting_until(lambda: house.served() == "v42", lambda: "everybody gets the live version", within=SOON)
        told = house.ready()
        assert told.status_code == 503
        assert told.json()["message"] == (
            "No new version is served here: the log did not answer for 5 s. Everybody gets the live version."
        )
    waiting_until(lambda: house.served() == "v43", lambda: "it serves the canary again", within=SOON)
    waiting_until(lambda: house.ready().status_code == 200, lambda: house.ready().text, within=SOON)


def test_a_switch_is_confirmed_only_when_whoever_is_cut_off_serves_it_too(house: House) -> None:
    with house.line.silent():
        laborer.command(house.others, c.RollBack(reason="wrong answers"), "back")
        assert house.flip() is None, "the one that is cut off was alive a moment ago"
        assert house.served() == "v43"
        waiting_until(house.flip, lambda: "the switch is confirmed", within=SOON)
        assert house.served() == "v42"
        assert house.flip() is not None
    waiting_until(lambda: house.ready().status_code == 200, lambda: house.ready().text, within=SOON)
    assert house.served() == "v42"
