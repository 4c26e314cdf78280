"""A worker that is stopped past its leases, and goes on later: another did its work, and nothing is done again."""

import signal
from collections import Counter
from collections.abc import Callable, Iterator

import pytest
from sqlalchemy import func, select

from bot.sandbox.control import Sandbox
from core.rollout import commands as c
from core.rollout.state import events as e
from core.service.service import RolloutService
from core.store.audit import verify
from core.store.database.connections import Database, connect
from core.store.models import look, outbox
from core.store.observations import looks
from tests.journey.house import waiting_until
from tests.trials.faults import installation, laborer
from tests.trials.faults.crash_points import points
from tests.trials.faults.installation import SOON
from tests.trials.faults.nursery import Nursery, Process
from tests.trials.faults.test_many_kills import begun

DELIVERING = (
    "a message is claimed",
    "its lease is renewed, before Slack is called",
    "Slack has it, before that is recorded",
)
LOOKING = ("a slot is claimed", "the look is written, not committed", "the look is kept, before the decision")


@pytest.fixture
def postgres(new_postgres: Callable[[], str]) -> Iterator[Database]:
    with connect(new_postgres()) as database:
        yield database


@pytest.fixture
def workers(
    postgres: Database, nursery: Callable[..., Nursery], slack: Sandbox
) -> Callable[[str], tuple[Process, Process]]:
    """Two workers: the first stops at the moment that is named, then the second begins."""
    place = nursery(postgres.engine.url.render_as_string(hide_password=False))

    def start(moment: str) -> tuple[Process, Process]:
        point = next(p for p in points("postgresql") if p.name == moment)
        first = place.start("worker", stops_at=point)
        waiting_until(lambda: first.came_by(point) and first.stands_still, first.said, within=SOON)
        second = place.start("worker")
        second.wait_started()
        return first, second

    return start


@pytest.mark.parametrize("moment", DELIVERING)
def test_one_that_was_delivering_posts_nothing_that_another_has_posted(
    moment: str, postgres: Database, workers: Callable[[str], tuple[Process, Process]], slack: Sandbox
) -> None:
    service = RolloutService(postgres)
    begun(service)
    first, _ = workers(moment)
    installation.everything_is_said(postgres)
    said = len(slack.list_messages("#ai-rollouts"))
    first.signal(signal.SIGCONT)
    laborer.command(service, c.RollBack(reason="wrong answers"), "back")
    _both_work(first, service)
    installation.everything_is_said(postgres)
    if moment == "its lease is renewed, before Slack is called":
        _said_at_most_twice(slack)
    else:
        installation.said_once(slack)
    assert len(slack.list_messages("#ai-rollouts")) > said
    assert "taken over by another process" in first.said() or moment != "a message is claimed", first.said()
    _sound(service)


@pytest.mark.parametrize("moment", LOOKING)
def test_one_that_was_looking_decides_nothing_and_casts_no_doubt(
    moment: str, postgres: Database, workers: Callable[[str], tuple[Process, Process]]
) -> None:
    service = RolloutService(postgres)
    begun(service)
    first, second = workers(moment)
    _looks_go_on(postgres, second)
    first.signal(signal.SIGCONT)
    _looks_go_on(postgres, first)
    laborer.command(service, c.RollBack(reason="wrong answers"), "back")
    _both_work(first, service)
    held = [r.event for r in service.load_history("R-1") if isinstance(r.event, e.Held)]
    assert held == [], "nobody doubts the evidence because of it"
    with postgres.reading() as connection:
        numbers = connection.execute(select(look.c.number).order_by(look.c.number)).scalars().all()
    assert list(numbers) == list(range(1, len(numbers) + 1))
    _sound(service)


def _looks_go_on(database: Database, by: Process) -> None:
    def newest() -> int:
        with database.reading() as connection:
            return looks.load_count_and_time(connection, "R-1")[0]

    seen = newest()
    waiting_until(lambda: newest() > seen + 2, lambda: f"R-1 is looked at\n{by.said()}", within=SOON)


def _both_work(first: Process, service: RolloutService) -> None:
    assert first.lives
    waiting_until(
        lambda: not first.stands_still and service.load_world().rollouts["R-1"].ended_at is not None,
        first.said,
        within=SOON,
    )


def _said_at_most_twice(slack: Sandbox) -> None:
    """Between the look at the lease and Slack nothing can be fenced: who sleeps just there for longer than the lease
    says it a second time. Only the one message, and no more than once more."""
    marks = Counter(m.metadata["event_payload"]["outbox"] for m in slack.list_messages("#ai-rollouts") if m.metadata)
    twice = [row for row, times in marks.items() if times > 1]
    assert len(twice) <= 1
    assert max(marks.values()) <= 2


def _sound(service: RolloutService) -> None:
    with service.database.reading() as connection:
        assert verify.verify(connection).problems == ()
        assert connection.execute(select(func.count()).where(outbox.c.state == "dead")).scalar_one() == 0
