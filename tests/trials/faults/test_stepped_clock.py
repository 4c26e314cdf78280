"""The clock on the wall is set under the whole program, again and again: looks, messages and confirmations go on."""

import itertools
import shutil
import struct
import subprocess
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest

from bot.sandbox.control import Sandbox
from core.rollout.state.events import FlipConfirmed
from core.service.service import RolloutService
from core.store.coordination.processes import SERVING_SECONDS
from core.store.database.connections import Database, connect
from core.store.observations import looks
from tests.journey import plans
from tests.journey.crowd import SURFACE
from tests.journey.house import waiting_until
from tests.journey.processes import Machine, post
from tests.trials.faults.proxy import Line
from tests.trials.length import pick

SHIFT = Path(__file__).with_name("shift.c")
MINUTE, HOUR, DAY = 60.0, 3600.0, 86400.0
SOON = 60  # seconds; a clock that is waited for takes at least 100
LOOKS = 3


@dataclass(slots=True)
class Wall:
    """The clock on the wall of every process of one machine, in seconds from the real one."""

    library: Path
    shown: Path

    def set(self, seconds: float) -> None:
        with self.shown.open("r+b") as file:
            file.write(struct.pack("q", int(seconds * 1e9)))

    def slow_names(self, seconds: float) -> None:
        """How long the resolver of every process takes for a name."""
        with self.shown.open("r+b") as file:
            file.seek(8)
            file.write(struct.pack("q", int(seconds * 1e3)))

    @property
    def settings(self) -> dict[str, str]:
        return {"LD_PRELOAD": str(self.library), "CLOCK_SHIFT": str(self.shown)}

    @contextmanager
    def stepped_often(self, by: float) -> Iterator[None]:
        """There and back, three times a second."""
        over = threading.Event()

        def step() -> None:
            for ahead in itertools.cycle((by, 0.0)):
                self.set(ahead)
                if over.wait(0.3):
                    return

        thread = threading.Thread(target=step)
        thread.start()
        yield
        over.set()
        thread.join()
        self.set(0)


@pytest.fixture(scope="module")
def library(tmp_path_factory: pytest.TempPathFactory) -> Path:
    compiler = shutil.which("cc") or shutil.which("gcc") or shutil.which("clang")
    if compiler is None:
        pytest.skip("no C compiler here, and the clock of another process cannot be set without one")
    built = tmp_path_factory.mktemp("shift") / "shift.so"
    subprocess.run([compiler, "-shared", "-fPIC", "-O2", "-o", built, SHIFT, "-ldl"], check=True)
    return built


@pytest.fixture
def wall(library: Path, tmp_path: Path) -> Wall:
    shown = tmp_path / "shown"
    shown.write_bytes(bytes(16))
    return Wall(library, shown)


@dataclass(slots=True)
class House:
    wall: Wall
    url: str
    database: Database
    slack: Sandbox
    machine: Machine
    said: int = 0

    def told(self) -> str:
        return "\n".join(f"{one.role}: {one.said()[-3000:]}" for one in self.machine.started)

    def looks(self) -> int:
        with self.database.reading() as connection:
            return looks.load_count_and_time(connection, "R-1")[0]

    def goes_on(self) -> None:
        """More looks come, and what is said arrives."""
        before = self.looks()
        waiting_until(lambda: self.looks() >= before + LOOKS, self.told, within=SOON)
        self.said += 1
        key = f"word {self.said}"
        body: dict[str, object] = {"command": "concern", "notice": "general", "reason": key}
        answer = post(self.url, "/api/v1/rollouts/R-1/commands", body, key=key)
        assert answer.status_code == 200, answer.text
        self.slack.wait_for_message("#ai-rollouts", contains=key, timeout=SOON)


@pytest.fixture(params=["serve-sqlite", "two-workers-postgres"])
def house(request: pytest.FixtureRequest, wall: Wall, slack: Sandbox, tmp_path: Path) -> Iterator[House]:
    roles = ["serve"] if request.param.startswith("serve") else ["worker", "worker", "web"]
    url = request.getfixturevalue(f"new_{request.param.rpartition('-')[2]}")()
    settings = {
        "DATABASE_URL": url,
        "SLACK_BOT_TOKEN": slack.bot_token,
        "SLACK_API_URL": slack.api_url,
        "SLACK_SIGNING_SECRET": slack.signing_secret,
        "ROLLOUT_TICK": "500ms",
        **wall.settings,
    }
    machine = Machine(folder=tmp_path, settings=settings)
    with connect(url) as database:
        for role in roles:
            machine.start(role)
        found = House(wall, machine.started[-1].url, database, slack, machine)
        plans.begin(found.url)
        yield found
        machine.stop()


STEPS = pick((-100.0, -HOUR, 2 * HOUR, 0.0), (-100.0, -3 * MINUTE, -HOUR, 2 * HOUR, 0.0, 3 * DAY, -10 * MINUTE, 0.0))


@pytest.mark.slow
def test_looks_messages_and_confirmations_go_on_wherever_the_clock_is_set(house: House) -> None:
    house.goes_on()
    for ahead in STEPS:
        house.wall.set(ahead)
        house.goes_on()
    with house.wall.stepped_often(-30):
        house.goes_on()
    with house.wall.stepped_often(HOUR):
        house.goes_on()
    answer = post(house.url, "/api/v1/rollouts/R-1/commands", {"command": "rollback", "reason": "odd answers"})
    assert answer.status_code == 200, answer.text
    house.wall.set(-10 * MINUTE)
    service = RolloutService(house.database)

    def confirmed() -> list[FlipConfirmed]:
        return [r.event for r in service.load_history("R-1") if isinstance(r.event, FlipConfirmed)]

    waiting_until(confirmed, house.told, within=SOON)
    assert confirmed()[0].seconds < SOON, "as long as it took, and not what two clocks make of it"
    assert confirmed()[0].unheard is None
    house.slack.wait_for_message("#ai-rollouts", contains="confirmed on 1 process", timeout=SOON)
    assert "Traceback" not in house.told()


@pytest.mark.slow
def test_where_names_take_long_only_messages_do(house: House) -> None:
    house.goes_on()
    house.wall.slow_names(5)
    before = house.looks()
    answer = post(house.url, "/api/v1/rollouts/R-1/commands", {"command": "rollback", "reason": "odd answers"})
    assert answer.status_code == 200, answer.text
    service = RolloutService(house.database)
    waiting_until(lambda: service.load_world().rollouts["R-1"].flip, house.told, within=SOON)
    assert house.looks() >= before
    house.slack.wait_for_message("#ai-rollouts", contains="confirmed on 1 process", timeout=2 * SOON)
    house.wall.slow_names(0)
    marks = Counter(
        m.metadata["event_payload"]["outbox"] for m in house.slack.list_messages("#ai-rollouts") if m.metadata
    )
    assert set(marks.values()) == {1}, "no message is said twice"


@pytest.mark.slow
def test_where_the_name_of_the_database_takes_long_only_new_connections_do(
    wall: Wall, slack: Sandbox, tmp_path: Path, new_postgres: Callable[[], str]
) -> None:
    url = new_postgres()
    line = Line(url, tmp_path, by_name=True)
    settings = {
        "DATABASE_URL": line.url,
        "SLACK_BOT_TOKEN": slack.bot_token,
        "SLACK_API_URL": slack.api_url,
        "SLACK_SIGNING_SECRET": slack.signing_secret,
        **wall.settings,
    }
    machine = Machine(folder=tmp_path, settings=settings)
    try:
        web = machine.start("web")
        plans.begin(web.url)
        someone = next(u for n in range(400) if version_of(web.url, u := f"user-{n}") == "v43")

        wall.slow_names(2 * SERVING_SECONDS)
        assert httpx.get(f"{web.url}/readyz", trust_env=False, timeout=5).status_code == 200
        assert version_of(web.url, someone) == "v43", "connections that are open go on"

        line.lead_to(url)  # every connection is hung up, so that another is needed
        waiting_until(lambda: version_of(web.url, someone) == "v42", web.said, within=SOON)
        told = httpx.get(f"{web.url}/readyz", trust_env=False, timeout=5)
        assert told.status_code == 503
        assert told.json()["message"].endswith("Everybody gets the live version.")

        wall.slow_names(0)
        waiting_until(lambda: version_of(web.url, someone) == "v43", web.said, within=2 * SOON)
        assert "Traceback" not in web.said()
    finally:
        machine.stop()
        line.close()


def version_of(url: str, unit: str) -> str:
    context = {"context": {"targetingKey": unit}}
    answer = httpx.post(f"{url}/ofrep/v1/evaluate/flags/{SURFACE}", json=context, trust_env=False, timeout=5)
    return str(answer.json()["metadata"]["version"])
