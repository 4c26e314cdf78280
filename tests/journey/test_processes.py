"""Two web and two worker processes on one Postgres: what one decides the others do, and nothing is done twice."""

import itertools
import re
import time
from collections import Counter
from collections.abc import Callable, Iterator
from datetime import timedelta

import httpx
import pytest
from sqlalchemy import select

from bot.sandbox.control import Sandbox
from core.rollout.state.events import FlipConfirmed
from core.service.service import RolloutService
from core.store.coordination import outbox
from core.store.database.connections import Database, connect
from core.store.models import look, timer
from core.store.observations import looks
from tests.journey import plans
from tests.journey.crowd import Line
from tests.journey.house import waiting_until
from tests.journey.processes import Machine, Process, run

Fleet = tuple[Process, Process]
SOON = 5  # seconds; the goal is one, and what it took is printed


@pytest.fixture
def postgres(new_postgres: Callable[[], str]) -> Iterator[Database]:
    with connect(new_postgres()) as database:
        yield database


@pytest.fixture
def webs(postgres: Database, machine: Callable[..., Machine], slack: Sandbox) -> Fleet:
    """Two doors, with two workers behind them; Slack knocks at the first."""
    computer = machine(postgres.engine.url.render_as_string(hide_password=False), ROLLOUT_TICK="1s")
    first, second = computer.start("web"), computer.start("web")
    computer.start("worker")
    computer.start("worker")
    slack.connect(f"{first.url}/slack/events")
    return first, second


def test_what_one_web_is_told_both_do_and_each_thing_is_done_once(webs: Fleet, slack: Sandbox, postgres: Database):
    service = RolloutService(postgres)
    _, second = webs
    plans.begin(second.url)
    doors = [f"{web.url}/ofrep/v1/evaluate/flags/support-assistant" for web in webs]
    waiting_until(
        lambda: all(httpx.post(door, json={}, trust_env=False).status_code == 200 for door in doors),
        lambda: "both know the surface that the second was told of",
        within=SOON,
    )
    lines = [Line(web.url) for web in webs]
    someone = _somebody_on_the_new_version(lines[1])

    def served() -> set[str]:
        return {line.evaluate([someone])[0]["metadata"]["version"] for line in lines}

    waiting_until(lambda: served() == {"v43"}, lambda: "both serve the canary", within=SOON)
    _ticks_pass(postgres, 3)

    reply = slack.act_as("ana").type_command('/rollout rollback R-1 "that is enough"')
    began = time.monotonic()
    assert "Rolled back by" in reply.text
    assert lines[0].evaluate([someone])[0]["metadata"]["version"] == "v42", "who was told serves it at once"
    waiting_until(lambda: served() == {"v42"}, lambda: "the other web serves v42 again", within=SOON)
    print(f"the other process served v42 after {time.monotonic() - began:.3f} s")

    def confirmed() -> list[FlipConfirmed]:
        return [r.event for r in service.load_history("R-1") if isinstance(r.event, FlipConfirmed)]

    waiting_until(confirmed, lambda: "the switch is confirmed", within=90)
    assert [flip.processes for flip in confirmed()] == [2]
    print(f"confirmed on 2 processes after {confirmed()[0].seconds:.3f} s")
    slack.wait_for_message("#ai-rollouts", contains="confirmed on 2 processes", timeout=90)

    _everything_is_sent(postgres)
    marks = Counter(m.metadata["event_payload"]["outbox"] for m in slack.list_messages("#ai-rollouts") if m.metadata)
    assert marks
    assert set(marks.values()) == {1}, "no message is posted twice"
    _each_slot_ran_once(postgres)
    assert slack.violations == []
    for line in lines:
        line.close()


def _somebody_on_the_new_version(line: Line) -> dict[str, str]:
    people = [{"targetingKey": f"user-{n}"} for n in range(1000)]
    answers = line.evaluate(people)
    return next(p for p, a in zip(people, answers, strict=True) if a["variant"] == "canary")


def _ticks_pass(database: Database, count: int) -> None:
    def made() -> int:
        with database.reading() as connection:
            return looks.load_count_and_time(connection, "R-1")[0]

    waiting_until(lambda: made() >= count, lambda: f"{count} looks are made; {made()} were", within=90)


def _everything_is_sent(database: Database) -> None:
    def unsent() -> outbox.OutboxBacklog:
        with database.reading() as connection:
            return outbox.measure_backlog(connection)

    waiting_until(
        lambda: (unsent().pending, unsent().leased, unsent().dead) == (0, 0, 0),
        lambda: f"everything is sent; there are {unsent()}",
        within=90,
    )


def _each_slot_ran_once(database: Database) -> None:
    with database.reading() as connection:
        claimed = connection.execute(
            select(timer).where(timer.c.name.startswith("tick:R-1:")).order_by(timer.c.slot)
        ).all()
        numbers = connection.execute(select(look.c.number).order_by(look.c.number)).scalars().all()
    # A worker on a busy machine that finds looks overdue looks at once, under a name of its own, in a claimed slot.
    slots = [each for each in claimed if re.fullmatch(r"tick:R-1:\d+", each.name)]
    assert {slot.attempt for slot in claimed} == {1}
    assert {slot.state for slot in claimed} == {"done"}
    assert all(later.slot - earlier.slot >= timedelta(seconds=1) for earlier, later in itertools.pairwise(slots))
    assert list(numbers) == list(range(1, len(numbers) + 1))
    assert len(numbers) <= len(claimed), "no slot led to two looks"


@pytest.mark.parametrize("role", ["web", "worker"])
def test_one_of_several_processes_is_refused_on_a_sqlite_file(role: str, sqlite_url: str):
    refused = run(role, DATABASE_URL=sqlite_url, PORT="0")
    assert refused.returncode == 2
    assert refused.stderr == (
        f"rollout: `rollout {role}` runs beside other processes, but a SQLite file allows only one. Run "
        "`rollout serve`, or set DATABASE_URL to a Postgres.\n"
    )


def test_a_second_serve_on_a_sqlite_file_is_refused_until_the_first_has_gone(
    machine: Callable[..., Machine], sqlite_url: str
):
    first = machine(sqlite_url).start("serve")
    refused = run("serve", DATABASE_URL=sqlite_url, PORT="0")
    assert refused.returncode == 2
    assert f"Another process ({first.running.pid}) already serves" in refused.stderr
    assert run("list", DATABASE_URL=sqlite_url).returncode == 0, "the CLI works beside it"
    first.kill()
    machine(sqlite_url).start("serve")
