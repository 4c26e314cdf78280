"""The whole program beside a database that fails in every way: nobody is served a new version who may have been rolled
back, everybody is told why, and all goes on by itself afterwards."""

import resource
import shutil
import tempfile
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

import httpx
import psycopg
import pytest

from bot import doctor
from bot.doctor import CheckResult
from bot.jobs import looking
from bot.settings import Settings
from core.rollout.state import events as e
from core.service.service import RolloutService
from core.store.database.connections import Database, connect
from tests.journey import plans
from tests.journey.house import waiting_until
from tests.journey.processes import post, run
from tests.trials.faults import laborer
from tests.trials.faults.disks import fill
from tests.trials.faults.installation import SURFACE
from tests.trials.faults.nursery import Nursery, Process
from tests.trials.faults.proxy import Line
from tests.trials.faults.server import Server
from tests.trials.faults.test_locked import foreign_program
from tests.trials.faults.test_many_kills import begun as begun_by_hand
from tests.trials.length import pick

SERVES_ON = pick(4.0, 15.0)  # seconds: in earnest 15
SOON = 90
ROLL_BACK: dict[str, object] = {"command": "rollback", "reason": "odd answers"}


@dataclass(slots=True)
class House:
    """One process that serves, and somebody who gets the new version from it."""

    process: Process
    someone: str = ""

    @property
    def url(self) -> str:
        return self.process.url

    def version(self, unit: str) -> str:
        context = {"context": {"targetingKey": unit}}
        flag = f"{self.url}/ofrep/v1/evaluate/flags/{SURFACE}"
        return str(httpx.post(flag, json=context, trust_env=False, timeout=30).json()["metadata"]["version"])

    def served(self) -> str:
        return self.version(self.someone)

    def ready(self) -> httpx.Response:
        return httpx.get(f"{self.url}/readyz", trust_env=False, timeout=30)

    def figure(self, name: str) -> float:
        lines = httpx.get(f"{self.url}/metrics", trust_env=False, timeout=30).text.splitlines()
        return float(next(line.rpartition(" ")[2] for line in lines if line.startswith(f"{name} ")))

    def find_someone(self) -> None:
        def found() -> bool:
            self.someone = next((u for n in range(400) if self.version(u := f"user-{n}") == "v43"), "")
            return bool(self.someone)

        waiting_until(found, lambda: "somebody gets the new version", within=SOON)

    def goes_live(self) -> None:
        """Everybody gets the live version, and the process says so."""
        waiting_until(lambda: self.served() == "v42", lambda: f"the live version\n{self.process.said()}", within=SOON)

    def comes_back(self, version: str = "v43") -> None:
        waiting_until(lambda: self.ready().status_code == 200, lambda: self.ready().text, within=SOON)
        waiting_until(lambda: self.served() == version, lambda: f"{version} again", within=SOON)
        assert self.figure("rampart_informed") == 1


@pytest.fixture
def line(server: Server) -> Iterator[Line]:
    with tempfile.TemporaryDirectory() as folder:
        opened = Line(server.url(), Path(folder))
        yield opened
        opened.close()


@contextmanager
def gone(server: Server, line: Line) -> Iterator[None]:
    server.fall()
    try:
        yield
    finally:
        server.rise()


@contextmanager
def silent(server: Server, line: Line) -> Iterator[None]:
    with line.silent():
        yield


@contextmanager
def read_only(server: Server, line: Line) -> Iterator[None]:
    with psycopg.connect(server.url(), autocommit=True) as owner:
        _set(owner, "ALTER SYSTEM SET default_transaction_read_only = on")
        yield
        _set(owner, "ALTER SYSTEM RESET default_transaction_read_only")


@contextmanager
def full(server: Server, line: Line) -> Iterator[None]:
    """Every write is refused as Postgres refuses it on a full disk."""
    refuse = "BEGIN RAISE EXCEPTION 'could not extend file' USING ERRCODE = '53100'; END"
    with psycopg.connect(server.url(), autocommit=True) as owner:
        owner.execute(f"CREATE FUNCTION no_room() RETURNS trigger LANGUAGE plpgsql AS $$ {refuse} $$")
        tables = ("events", "process", "timer", "outbox", "look")
        for table in tables:
            owner.execute(f"CREATE TRIGGER no_room BEFORE INSERT OR UPDATE ON {table} EXECUTE FUNCTION no_room()")
        yield
        for table in tables:
            owner.execute(f"DROP TRIGGER no_room ON {table}")
        owner.execute("DROP FUNCTION no_room")


def _set(owner: psycopg.Connection[object], statement: str) -> None:
    owner.execute("SET default_transaction_read_only = off")
    owner.execute(statement)
    owner.execute("SELECT pg_reload_conf()")


FAULTS = {
    "gone": (gone, "the log did not answer (OperationalError)"),
    "silent": (silent, "the log did not answer"),
    "read-only": (read_only, "this process could not report to the log (the database is read-only, perhaps a standby)"),
    "full": (full, "this process could not report to the log (its disk is full)"),
}


@pytest.fixture(params=FAULTS)
def fault(request: pytest.FixtureRequest) -> tuple[Callable[[Server, Line], AbstractContextManager[None]], str]:
    return FAULTS[request.param]


def place_of(nursery: Callable[..., Nursery], url: str, **settings: str) -> Nursery:
    place = nursery(url, **settings)
    place.serves_on = SERVES_ON
    return place


def begun(process: Process) -> House:
    process.wait_started()
    plans.begin(process.url)
    house = House(process)
    house.find_someone()
    return house


@pytest.mark.slow
def test_beside_a_postgres_that_fails_everybody_gets_the_live_version_and_all_is_said(
    fault: tuple[Callable[[Server, Line], AbstractContextManager[None]], str],
    server: Server,
    line: Line,
    nursery: Callable[..., Nursery],
) -> None:
    failing, why = fault
    house = begun(place_of(nursery, line.url).start("web"))
    with failing(server, line):
        house.goes_live()
        told = house.ready()
        assert told.status_code == 503
        assert told.json()["message"].startswith(f"No new version is served here: {why}")
        assert told.json()["message"].endswith("Everybody gets the live version.")
        assert house.figure("rampart_informed") == 0
    house.comes_back()
    said = house.process.said()
    assert said.count("everybody gets the live version until this process is informed again") == 1
    assert said.count("this process is informed again") == 2, "and once in the line before"
    assert "Traceback" not in said
    assert said.count("the database is away") <= 2


@pytest.mark.slow
def test_a_probe_is_answered_whatever_a_postgres_does_and_however_often_it_comes(
    line: Line, nursery: Callable[..., Nursery]
) -> None:
    place = place_of(nursery, line.url)
    place.serves_on = 600  # it is silent, and this process is informed for all that anybody knows
    house = begun(place.start("web"))
    with line.silent(), ThreadPoolExecutor(60) as many:
        # More at once than there are threads for questions to the database, all of which hang.
        pages = [many.submit(_asked, f"{house.url}/", 1.0) for _ in range(50)]
        probes = [many.submit(_asked, f"{house.url}/readyz", 8.0) for _ in range(10)]
        assert {told.result()[0] for told in probes} == {503}
        assert all("has not answered for" in told.result()[1] for told in probes)
        assert house.figure("rampart_informed") == 1
        assert house.ready().json()["message"].startswith("The database has not answered for ")
        del pages
    house.comes_back()


def _asked(url: str, within: float) -> tuple[int, str]:
    try:
        answer = httpx.get(url, trust_env=False, timeout=within)
    except httpx.TimeoutException:
        return 0, ""
    return answer.status_code, answer.text


@pytest.mark.slow
@pytest.mark.parametrize("failing", [read_only, full])
def test_a_rollback_that_cannot_be_written_is_answered_with_that(
    failing: Callable[[Server, Line], AbstractContextManager[None]],
    server: Server,
    line: Line,
    nursery: Callable[..., Nursery],
) -> None:
    house = begun(place_of(nursery, line.url).start("web"))
    with failing(server, line):
        told = post(house.url, "/api/v1/rollouts/R-1/commands", ROLL_BACK)
        assert house.served() == "v42", "who was asked does not wait until it is certain for all"
        assert told.status_code == 503, told.text
        message = told.json()["message"]
        assert message.startswith("The rollback of R-1 could not be saved: the database cannot be written to (")
        assert "Until it can, everybody gets the live version" in message
        assert "rollout rollback R-1" in message
        page = httpx.get(house.url, trust_env=False, timeout=30).text
        assert "This process serves no new version: a rollback could not be saved" in page
        examined = run("doctor", DATABASE_URL=server.url())
        assert examined.returncode == 1
        assert "WRONG database: cannot be written to" in examined.stdout
        typed = run("rollback", "R-1", "odd", DATABASE_URL=server.url())
        assert typed.returncode == 2
        assert "could not be saved" in typed.stderr
        assert "Traceback" not in typed.stderr
    again = post(house.url, "/api/v1/rollouts/R-1/commands", ROLL_BACK, key="again")
    assert again.status_code == 200, again.text
    house.comes_back("v42")


@pytest.mark.slow
def test_a_process_beside_a_stale_standby_serves_the_live_version_before_the_rollback_counts_as_confirmed(
    server: Server, line: Line, nursery: Callable[..., Nursery]
) -> None:
    one = begun(place_of(nursery, line.url).start("web"))
    with connect(server.url()) as database, ExitStack() as closing:
        place = place_of(nursery, server.url())
        other, worker = place.start("web"), place.start("worker")
        for process in (other, worker):
            process.wait_started()
        standby = server.copied(standby=True)
        closing.callback(standby.close)
        House(other, one.someone).comes_back()
        one.comes_back()
        line.lead_to(standby.url())
        answer = post(other.url, "/api/v1/rollouts/R-1/commands", ROLL_BACK)
        assert answer.status_code == 200, answer.text
        service = RolloutService(database)
        waiting_until(lambda: _confirmed(service), worker.said, within=SOON)
        assert one.served() == "v42", "confirmed only when this holds for all"
        (confirmed,) = _confirmed(service)
        assert confirmed.processes == 1
        assert len(confirmed.unheard or ()) == 1
        assert confirmed.seconds > SERVES_ON / 2, "not the moment in which the other one had switched"
        refused = one.ready()
        assert refused.status_code == 503
        assert "read-only, perhaps a standby" in refused.json()["message"]
        line.lead_to(server.url())
        one.comes_back("v42")


def _confirmed(service: RolloutService) -> list[e.FlipConfirmed]:
    return [r.event for r in service.load_history("R-1") if isinstance(r.event, e.FlipConfirmed)]


@pytest.mark.slow
def test_after_a_failover_that_lost_the_end_what_is_left_is_served_and_said(
    server: Server, line: Line, nursery: Callable[..., Nursery]
) -> None:
    """The rollback was lost with the old server: nobody can know that it was, so the log of the new one counts."""
    house = begun(place_of(nursery, line.url).start("web"))
    behind = server.copied()
    try:
        house.comes_back()
        assert post(house.url, "/api/v1/rollouts/R-1/commands", ROLL_BACK).status_code == 200
        assert house.served() == "v42"
        line.lead_to(behind.url())
        waiting_until(lambda: house.served() == "v43", house.process.said, within=SOON)
        lost = "the database has lost the end of the log"
        waiting_until(lambda: lost in house.process.said(), house.process.said, within=SOON)  # just after it is served
        assert post(house.url, "/api/v1/rollouts/R-1/commands", ROLL_BACK, key="anew").status_code == 200
        assert house.served() == "v42"
    finally:
        behind.close()


@contextmanager
def no_room(house: House, url: str) -> Iterator[None]:
    """No file of the process grows any more, as on a full disk."""
    pid = house.process.running.pid
    assert pid is not None
    before = resource.prlimit(pid, resource.RLIMIT_FSIZE)
    wal = Path(f"{url.removeprefix('sqlite:///')}-wal")
    resource.prlimit(pid, resource.RLIMIT_FSIZE, (max(wal.stat().st_size, 1), before[1]))
    yield
    resource.prlimit(pid, resource.RLIMIT_FSIZE, before)


@contextmanager
def locked(house: House, url: str) -> Iterator[None]:
    with foreign_program(url):
        yield


@pytest.mark.slow
@pytest.mark.parametrize(
    ("failing", "why"),
    [(no_room, "this process could not report to the log (its disk"), (locked, "the log did not answer")],
)
def test_beside_a_sqlite_file_that_takes_nothing_everybody_gets_the_live_version(
    failing: Callable[[House, str], AbstractContextManager[None]],
    why: str,
    nursery: Callable[..., Nursery],
    new_sqlite: Callable[[], str],
) -> None:
    url = new_sqlite()
    house = begun(place_of(nursery, url).start("serve"))
    with failing(house, url):
        house.goes_live()
        told = house.ready()
        assert told.status_code == 503
        assert why in told.json()["message"], told.text
        if failing is no_room:
            refused = post(house.url, "/api/v1/rollouts/R-1/commands", ROLL_BACK)
            assert refused.status_code == 503
            assert "could not be saved" in refused.json()["message"]
    house.comes_back()
    assert "Traceback" not in house.process.said()
    assert post(house.url, "/api/v1/rollouts/R-1/commands", ROLL_BACK, key="again").status_code == 200


@pytest.mark.slow
def test_on_a_disk_that_is_full_everybody_gets_the_live_version_until_there_is_room(
    small_disk: Path, nursery: Callable[..., Nursery], new_sqlite: Callable[[], str]
) -> None:
    url = f"sqlite:///{small_disk}/rollout.db"
    shutil.copy(new_sqlite().removeprefix("sqlite:///"), small_disk / "rollout.db")
    house = begun(place_of(nursery, url).start("serve"))
    filling = fill(small_disk)
    house.goes_live()
    assert "this process could not report to the log (its disk is full)" in house.ready().json()["message"]
    refused = post(house.url, "/api/v1/rollouts/R-1/commands", ROLL_BACK)
    assert refused.status_code == 503
    assert "could not be saved: the database cannot be written to (its disk is full)" in refused.json()["message"]
    filling.unlink()
    assert post(house.url, "/api/v1/rollouts/R-1/commands", ROLL_BACK, key="again").status_code == 200
    house.comes_back("v42")
    assert "Traceback" not in house.process.said()


@pytest.mark.slow
def test_a_web_that_is_killed_is_waited_for_and_named(
    nursery: Callable[..., Nursery], new_postgres: Callable[[], str]
) -> None:
    url = new_postgres()
    place = place_of(nursery, url)
    one = begun(place.start("web"))
    other, worker = place.start("web"), place.start("worker")
    for process in (other, worker):
        process.wait_started()
    House(other, one.someone).comes_back()
    one.process.kill()
    assert post(other.url, "/api/v1/rollouts/R-1/commands", ROLL_BACK).status_code == 200
    with connect(url) as database:
        waiting_until(lambda: _confirmed(RolloutService(database)), worker.said, within=SOON)
        (confirmed,) = _confirmed(RolloutService(database))
    assert (confirmed.processes, len(confirmed.unheard or ())) == (1, 1)


@pytest.mark.slow
def test_dead_workers_are_seen_and_where_the_policy_says_so_the_canary_is_withdrawn(
    nursery: Callable[..., Nursery], new_postgres: Callable[[], str], tmp_path: Path
) -> None:
    url = new_postgres()
    policy = tmp_path / "policy.yaml"
    policy.write_text("version: 1\nkind: policy\nwhen_unwatched: withdraw\n")
    place = place_of(nursery, url, ROLLOUT_TICK="500ms", ROLLOUT_BLIND_AFTER="3s", ROLLOUT_POLICY=str(policy))
    worker = place.start("worker")
    house = begun(place.start("web"))
    worker.wait_started()
    with connect(url) as database:
        waiting_until(lambda: _looks(database) > 1, worker.said, within=SOON)
        worker.kill()
        house.goes_live()
        assert house.ready().status_code == 200, "this process is informed; it is the looks that are missing"
        assert house.figure('rampart_look_age_seconds{rollout="R-1"}') > 3
        assert house.figure("rampart_rollouts_unwatched") == 1
        page = httpx.get(house.url, trust_env=False, timeout=30).text
        assert "R-1 has had no look for" in page
        assert "its rollout has had no look" in house.process.said()
        place.start("worker").wait_started()
        house.comes_back()
        assert house.figure("rampart_rollouts_unwatched") == 0


def _looks(database: Database) -> int:
    from core.store.observations import looks

    with database.reading() as connection:
        return looks.load_count_and_time(connection, "R-1")[0]


def test_the_doctor_finds_that_nobody_looks(new_sqlite: Callable[[], str]) -> None:
    settings = Settings(database_url=new_sqlite())
    with connect(settings.database_url) as database:
        service, now = RolloutService(database), laborer.now()
        begun_by_hand(service)
        looking.tick(service, now, settings.tick)

    def looks(after: float) -> CheckResult:
        return next(
            f
            for f in doctor.examine_installation(settings, lambda: now + timedelta(seconds=after))
            if f.what == "looks"
        )

    assert looks(after=9).ok
    assert not looks(after=60).ok
    assert "R-1 has had no look since" in looks(after=60).text
    assert "a clock is wrong" in looks(after=-60).text
