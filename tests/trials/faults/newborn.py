"""A process of Rampart from its first moment: the `rollout` command, perhaps armed, and with short leases."""

import os
import signal
import sys
from dataclasses import dataclass
from datetime import timedelta
from multiprocessing.connection import Connection

import bot.cli
import bot.delivery.consumer
import bot.delivery.messages
import bot.jobs.looking
import bot.process.flip_confirmation
import bot.process.snapshot_server

# What the command loads as it goes along; here before the fork, once for all.
import bot.startup.app
import core.service.replay
import core.store.coordination.processes
import core.store.database.connections
import core.store.database.sqlite.sqlite_file
import core.store.database.sqlite.sqlite_lock
from tests.trials.faults import crash_points
from tests.trials.faults.crash_points import Point
from tests.trials.length import pick

SHORT = core.store.coordination.processes.SERVING_SECONDS
LEASE = timedelta(seconds=2)  # of messages and slots; whoever dies is succeeded that much later
# and who does so under the append lock is cut off
STANDS_STILL = pick("5s", core.store.database.connections.IDLE_TIMEOUT)


@dataclass(frozen=True, slots=True, kw_only=True)
class Orders:
    """What to be. Points go by name, as functions cannot be sent."""

    role: str
    log: str
    environment: dict[str, str]
    point: "str | Point | None"
    number: signal.Signals
    serves_on: float = core.store.coordination.processes.SERVING_SECONDS
    patience: float = core.store.database.sqlite.sqlite_lock.LOCK_WAIT_SECONDS

    def __post_init__(self) -> None:
        if isinstance(self.point, Point):
            object.__setattr__(self, "point", self.point.name)


def begin(orders: Orders, output: Connection | None = None) -> None:
    """Never returns: ends as the command ends, or dies on the way. Standard output goes to `output` if there is one."""
    out = os.open(orders.log, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    os.dup2(out if output is None else output.fileno(), 1)
    os.dup2(out, 2)
    sys.stdout = os.fdopen(1, "w", buffering=1)
    sys.stderr = os.fdopen(2, "w", buffering=1)
    os.environ.clear()
    os.environ.update(orders.environment)
    hurry()
    serve_on(orders.serves_on)
    wait_for_the_lock(orders.patience)
    if orders.point is not None:
        dialect = "sqlite" if orders.environment["DATABASE_URL"].startswith("sqlite") else "postgresql"
        point = next(p for p in crash_points.points(dialect) if p.name == orders.point)
        crash_points.arm(point, orders.number)
    sys.argv = ["rollout", orders.role]
    bot.cli.main()


def serve_on(seconds: float) -> None:
    """For so long without a report that was written, instead of the fifteen seconds in earnest."""
    bot.process.snapshot_server.FAILSAFE_AFTER = core.store.coordination.processes.SERVING_SECONDS = seconds
    if seconds < SHORT:
        bot.process.flip_confirmation.SILENCE_MARGIN = 1.0
        bot.process.snapshot_server.REPORT_SECONDS = 0.5


def wait_for_the_lock(seconds: float) -> None:
    """For so long while others hold it, instead of the ten seconds in earnest."""
    core.store.database.connections.LOCK_WAIT_SECONDS = core.store.database.sqlite.sqlite_file.LOCK_WAIT_SECONDS = (
        seconds
    )
    core.store.database.connections.LOCK_TIMEOUT = f"{seconds:g}s"


def hurry() -> None:
    """Leases of seconds, and no rest for channels: what these are in earnest is for other tests."""
    bot.delivery.consumer.LEASE = LEASE
    bot.jobs.looking._LEASE = LEASE
    core.store.database.connections.IDLE_TIMEOUT = STANDS_STILL
    for function, how_long in (
        (bot.startup.app.build_program, "channel_pause"),
        (bot.delivery.messages.deliver_due, "channel_pause"),
    ):
        assert function.__kwdefaults__ is not None
        assert how_long in function.__kwdefaults__
        function.__kwdefaults__[how_long] = timedelta(0)
