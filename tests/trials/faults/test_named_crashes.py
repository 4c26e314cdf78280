"""A process dies at each moment between two steps, one after the other; its successor finds everything whole."""

import signal
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy import update

from bot.sandbox.control import Sandbox
from core.rollout.state import events as e
from core.service import apply_file
from core.service.service import RolloutService
from core.store.audit import verify
from core.store.database.connections import Database, connect
from core.store.models import projection
from core.store.schema import migrations
from tests.journey import plans
from tests.journey.house import waiting_until
from tests.journey.processes import reserved_ports
from tests.trials.faults.crash_points import Point, points
from tests.trials.faults.installation import SOON, Client, Installation
from tests.trials.faults.nursery import Nursery, Process
from tests.trials.plant import DANA, MONDAY, SURFACE_FILE

AHEAD = timedelta(seconds=1)  # when what is begun at a time begins
DIALECTS = {"sqlite": "sqlite", "postgres": "postgresql"}


@pytest.mark.parametrize("dialect", DIALECTS.values())
def test_every_moment_is_still_one_of_the_program(dialect: str) -> None:
    for point in points(dialect):
        point.found()
    names = [point.name for point in points(dialect)]
    assert len(set(names)) == len(names)


@pytest.fixture(params=["sqlite", "postgres"])
def installed(
    request: pytest.FixtureRequest, nursery: Callable[..., Nursery], slack: Sandbox
) -> Iterator[Installation]:
    url = request.getfixturevalue(f"new_{request.param}")()
    with connect(url) as database, reserved_ports() as port:
        yield Installation(nursery=nursery(url), database=database, slack=slack, port=port)


def killed_at(point: Point, process: Process) -> bool:
    """Whether it has died, and where it was to die."""
    if process.lives:
        return False
    assert process.running.exitcode == -signal.SIGKILL, process.said()
    assert process.came_by(point), process.said()
    return True


@pytest.mark.slow
def test_whoever_dies_between_two_steps_is_succeeded_and_nothing_is_lost_or_done_twice(
    installed: Installation,
) -> None:
    installed.begin()
    moments = [p for p in points(installed.database.dialect) if p.group != "start"]
    for number, point in enumerate(moments):
        role = _role(point, installed)
        installed.running[role].kill()  # a crash, too
        victim = installed.start(role, dies_at=point)
        victim.wait_begun()
        if point.group == "looks":
            _something_to_begin(installed, number)
        installed.under_load(
            lambda point=point, victim=victim: killed_at(point, victim),
            lambda point=point, victim=victim: f"it dies at: {point.name}\n{victim.said()}",
        )
        if point is moments[-1] or point.group != moments[number + 1].group:
            installed.check()
    _each_began_once(installed.database)
    installed.end()


def _role(point: Point, installed: Installation) -> str:
    if installed.roles == ("serve",):
        return "serve"
    return "worker" if point.group in ("messages", "looks") else "web"


def _something_to_begin(installed: Installation, number: int) -> None:
    """Another rollout that the next look but one begins, so that a look leads to something."""

    def renamed(text: str) -> str:
        return text.replace("support-assistant", f"assistant-{number}").replace("long-canary", f"canary-{number}")

    client = Client(lambda: installed.url)
    client.insist("/api/v1/files", renamed(plans.SURFACE_FILE), f"surface-{number}", installed.revive)
    planned = client.insist("/api/v1/files", renamed(plans.LONG), f"plan-{number}", installed.revive).json()
    then = (datetime.now(UTC) + AHEAD).isoformat()
    command: dict[str, object] = {"command": "start", "then": then}
    client.insist(f"/api/v1/rollouts/{planned['id']}/commands", command, f"start-{number}", installed.revive)


def _each_began_once(database: Database) -> None:
    service = RolloutService(database)
    waiting_until(
        lambda: all(r.started_at is not None for r in service.load_world().rollouts.values()),
        lambda: f"all begin; there are {[(r.id, r.state) for r in service.load_world().rollouts.values()]}",
        within=SOON,
    )
    for rollout in service.load_world().rollouts:
        assert len([r for r in service.load_history(rollout) if isinstance(r.event, e.Started)]) == 1


@pytest.fixture
def bare(bare_url: str) -> Iterator[Database]:
    with connect(bare_url) as database:
        yield database


@pytest.mark.slow
def test_whoever_dies_while_the_tables_are_made_or_brought_up_to_date_leaves_them_whole(
    bare: Database, bare_url: str, nursery: Callable[..., Nursery]
) -> None:
    birth = nursery(bare_url)
    role = "serve" if bare.dialect == "sqlite" else "migrate"
    start = [p for p in points(bare.dialect) if p.group == "start"]
    for point in start:  # while there is nothing
        _dies(birth, role, point)
        with bare.reading() as connection:
            assert migrations.read_revision(connection) is None, "all of it or nothing"
    migrations.migrate(bare)
    carry_on = RolloutService(bare)
    _fill(carry_on)
    for point in start:
        if point.name == "tables are made":
            continue  # there are
        with bare.writing_outside_log() as connection:
            connection.execute(update(projection).values(code_hash="of an older program"))
        _dies(birth, role, point)
        with bare.reading() as connection:
            assert [p.what for p in verify.verify(connection).problems] == []
    _succeeds(birth, role)
    migrations.assert_current(bare)
    with bare.reading() as connection:
        assert verify.verify(connection).problems == ()


def _dies(birth: Nursery, role: str, point: Point) -> None:
    victim = birth.start(role, dies_at=point)
    waiting_until(lambda: killed_at(point, victim), lambda: f"it dies at: {point.name}\n{victim.said()}", within=SOON)


def _succeeds(birth: Nursery, role: str) -> None:
    heir = birth.start(role)
    if role == "serve":
        heir.wait_started()
        heir.kill()
    else:
        heir.running.join(SOON)
        assert heir.running.exitcode == 0, heir.said()


def _fill(service: RolloutService) -> None:
    apply_file.apply_text(service, SURFACE_FILE, "surface.yaml", by=DANA, at=MONDAY, command_id="surface")
