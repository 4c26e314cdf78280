"""A process that does everything at once is killed at a random moment, again and again: nothing lost, nothing twice."""

import random
import threading
from collections.abc import Iterator
from itertools import count
from multiprocessing.connection import Connection

import pytest

from bot.sandbox.control import Sandbox
from core.rollout import commands as c
from core.rollout.serving import exposure
from core.rollout.state import events as e
from core.service import apply_file
from core.service.service import RolloutService
from core.store.audit import verify
from core.store.database.connections import Database, connect
from tests.forks import FORKS
from tests.journey import plans
from tests.served import evaluate
from tests.trials.faults import installation, laborer
from tests.trials.length import pick

KILLS = pick(30, 100)  # in one history: a longer one takes more of each life to read than to work
HISTORIES = range(pick(1, 25))  # on each database
ENOUGH = KILLS // 4  # things of each kind that were done
BETWEEN = (0.01, 0.3)  # seconds of work; a process that has just begun is killed, too
SEED = 20261125
KINDS = ("concern", "steer", "count")


@pytest.fixture(params=["sqlite", "postgres"])
def database(request: pytest.FixtureRequest) -> Iterator[Database]:
    with connect(request.getfixturevalue(f"new_{request.param}")()) as opened:
        yield opened


@pytest.mark.slow
@pytest.mark.parametrize("history", HISTORIES)
def test_killed_at_any_moment_nothing_acknowledged_is_lost_and_nothing_is_done_or_said_twice(
    database: Database, slack: Sandbox, history: int
) -> None:
    service = RolloutService(database)
    variant = begun(service)
    done: dict[str, list[int]] = {kind: [] for kind in KINDS}
    chance, pause = random.Random(SEED + history), threading.Event()
    slow = 1.0  # how much longer than on a quiet machine it takes until anything is done
    for number in count():
        if number >= KILLS and min(len(numbers) for numbers in done.values()) >= ENOUGH:
            break
        assert number < 10 * KILLS, "it was killed while it worked"
        before = sum(len(numbers) for numbers in done.values())
        told, tell = FORKS.Pipe(duplex=False)
        orders = laborer.Orders(
            database_url=database.engine.url.render_as_string(hide_password=False),
            slack_url=slack.api_url,
            slack_token=slack.bot_token,
            variant=variant,
            next={kind: len(done[kind]) for kind in KINDS},
        )
        process = FORKS.Process(target=laborer.labor, args=(orders, tell), daemon=True)
        process.start()
        tell.close()
        pause.wait(slow * (0.05 + chance.uniform(*BETWEEN)))
        process.kill()
        process.join()
        assert process.exitcode == -9, "it worked until it was killed"
        hear(told, done)
        idle = before == sum(len(numbers) for numbers in done.values())
        slow = min(slow * 1.2, 20.0) if idle else max(slow / 1.2, 1.0)
        if number % 50 == 49:
            check(service, done)
    check(service, done)
    print({kind: len(numbers) for kind, numbers in done.items()}, f"in {number} lives")

    for kind in KINDS:
        settle(service, kind, len(done[kind]))
    laborer.command(service, c.RollBack(reason="that is enough"), "back")
    deliver_all(service, slack)
    installation.said_once(slack)
    card = slack.list_messages("#ai-rollouts")[0]
    assert slack.render_text(card).replace("*", "").startswith("Rolled back: R-1 long-canary.")


def begun(service: RolloutService) -> str:
    """R-1 runs its canary; the variant that the one user of the batches gets."""
    for name, text in (("surface", plans.SURFACE_FILE), ("rollout", plans.LONG)):
        apply_file.apply_text(service, text, name, by=laborer.SOMEBODY, at=laborer.now(), command_id=name)
    laborer.command(service, c.Start(), "start")
    snapshot = exposure.build_snapshot(service.load_world())
    return evaluate(snapshot, installation.SURFACE, "user-1", {}).variant


def hear(told: Connection, done: dict[str, list[int]]) -> None:
    """Everything that was said before the end."""
    while True:
        try:
            kind, number = told.recv_bytes().decode().split()
        except (EOFError, ConnectionError):
            return
        assert int(number) == len(done[kind])
        done[kind].append(int(number))


def check(service: RolloutService, done: dict[str, list[int]]) -> None:
    """What was acknowledged is there, in order and once; of each kind one more may have been done and not told."""
    history = [r.event for r in service.load_history("R-1")]
    concerns = [x.text for x in history if isinstance(x, e.ConcernRaised)]
    steered = [x.reason for x in history if isinstance(x, e.Paused | e.Resumed) and x.reason.startswith("steer-")]
    for kind, found in (("concern", concerns), ("steer", steered)):
        assert found == [f"{kind}-{n}" for n in range(len(found))]
        assert len(done[kind]) <= len(found) <= len(done[kind]) + 1
    assert 0 <= installation.requests_counted(service.database) - len(done["count"]) <= 1
    with service.database.reading() as connection:
        assert verify.verify(connection).problems == ()


def settle(service: RolloutService, kind: str, number: int) -> None:
    """The one that may have been done is asked again: it is done once."""
    if kind == "concern":
        laborer.command(service, c.RaiseConcern(notice="general", text=f"concern-{number}"), f"concern-{number}")
        told = [r.event for r in service.load_history("R-1") if isinstance(r.event, e.ConcernRaised)]
        assert len(told) == number + 1


def deliver_all(service: RolloutService, slack: Sandbox) -> None:
    """A process that is not killed says what is left."""
    orders = laborer.Orders(
        database_url=service.database.engine.url.render_as_string(hide_password=False),
        slack_url=slack.api_url,
        slack_token=slack.bot_token,
        variant="",
        next={},
    )
    process = FORKS.Process(target=laborer.deliver_only, args=(orders,), daemon=True)
    process.start()
    try:
        installation.everything_is_said(service.database)
    finally:
        process.kill()
        process.join()
