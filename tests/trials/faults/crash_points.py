"""The moments between two steps at which a process may die, each by name; a process is armed to die at one of them."""

import os
import signal
import sys
from collections.abc import Callable
from dataclasses import dataclass
from functools import wraps
from importlib import import_module
from typing import Any, Literal

Chosen = Callable[[tuple[Any, ...], Any], bool]  # of the call's arguments and its result (None before it)
Group = Literal["commands", "messages", "looks", "observations", "start"]


@dataclass(frozen=True, slots=True)
class Point:
    """`where` is a module and a function or method in it; `chosen` says which calls of it count."""

    name: str
    group: Group
    where: str
    when: Literal["before", "after"]
    chosen: Chosen = lambda _arguments, _result: True

    def found(self) -> tuple[Any, str]:
        """What holds the function, and its name there; AttributeError where the program has changed."""
        module, _, path = self.where.partition(":")
        *owners, name = path.split(".")
        owner: Any = import_module(module)
        for one in owners:
            owner = getattr(owner, one)
        assert callable(getattr(owner, name))
        return owner, name


def _posts(arguments: tuple[Any, ...], _result: Any) -> bool:
    return arguments[1] == "chat.postMessage"


def _got_something(_arguments: tuple[Any, ...], result: Any) -> bool:
    return result is not None


def _done(_arguments: tuple[Any, ...], result: Any) -> bool:
    return result is True


def _from_a_look(arguments: tuple[Any, ...], _result: Any) -> bool:
    return any(getattr(one, "claim", None) is not None for one in arguments)


def _command(dialect: str) -> tuple[Point, ...]:
    file = {
        "sqlite": "core.store.database.sqlite.sqlite_append:SqliteAppendBackend",
        "postgresql": "core.store.database.postgres.postgres_append:PostgresAppendBackend",
    }
    backend = file[dialect]
    at_once = (
        Point("decided without the lock, nothing sent", "commands", f"{backend}.try_optimistic_commit", "before"),
        Point(
            "committed in one trip, before anybody is told",
            "commands",
            f"{backend}.try_optimistic_commit",
            "after",
            _done,
        ),
    )
    return (
        *(at_once if dialect == "postgresql" else ()),
        Point("before the append lock", "commands", f"{backend}.begin", "before"),
        Point("under the append lock, before anything is decided", "commands", f"{backend}.begin", "after"),
        Point("decided, before anything is written", "commands", f"{backend}.commit", "before"),
        Point("committed, before anybody is told", "commands", f"{backend}.commit", "after"),
    )


_MESSAGES = (
    Point("before a message is claimed", "messages", "core.store.coordination.outbox:claim", "before"),
    Point("a message is claimed", "messages", "core.store.coordination.outbox:claim", "after", _got_something),
    Point(
        "its lease is renewed, before Slack is called",
        "messages",
        "bot.delivery.slack_api:SlackApi.call",
        "before",
        _posts,
    ),
    Point("Slack has it, before that is recorded", "messages", "bot.delivery.slack_api:SlackApi.call", "after", _posts),
    Point(
        "recorded, before the row is finished", "messages", "bot.delivery.messages:_MessageSender._finish_row", "before"
    ),
    Point("the row is finished, not committed", "messages", "core.store.coordination.outbox:finish", "after"),
    Point("the row is finished", "messages", "bot.delivery.messages:_MessageSender._finish_row", "after"),
)
_LOOKS = (
    Point("a slot is claimed", "looks", "core.store.coordination.timers:claim", "after", _got_something),
    Point("the look is written, not committed", "looks", "core.store.observations.looks:save_look", "after"),
    Point("the look is kept, before the decision", "looks", "core.service.rollout_look:_TakenLook.save", "after"),
    Point(
        "what a look led to, before it is written",
        "looks",
        "core.service.service:RolloutService._append_events",
        "after",
        _from_a_look,
    ),
    Point(
        "what a look led to is committed", "looks", "core.service.service:RolloutService.handle", "after", _from_a_look
    ),
)
_OBSERVATIONS = (
    Point(
        "a batch is known, before it is counted",
        "observations",
        "core.store.observations.observation_sums:add_observations",
        "before",
    ),
    Point(
        "a batch is counted, not committed",
        "observations",
        "core.store.observations.observation_sums:add_observations",
        "after",
    ),
    Point(
        "a batch is committed, before its answer",
        "observations",
        "bot.http.observations.writer:ObservationWriter._write_batches",
        "after",
    ),
)
_START = (
    Point("tables are made", "start", "core.store.schema.migrations:upgrade", "after"),
    Point("triggers are put right", "start", "core.store.schema.triggers:install", "after"),
    Point("the read model is computed anew", "start", "core.store.world.rollout_rows:rebuild", "after"),
)
_START_POSTGRES = (
    Point("functions are made", "start", "core.store.database.postgres.postgres_functions:install", "after"),
)


def points(dialect: str) -> tuple[Point, ...]:
    """Every moment of a program on this database."""
    postgres = _START_POSTGRES if dialect == "postgresql" else ()
    return (*_START, *postgres, *_command(dialect), *_OBSERVATIONS, *_MESSAGES, *_LOOKS)


def arm(point: Point, number: signal.Signals = signal.SIGKILL) -> None:
    """Let this process get the signal when it comes by for the first time."""
    owner, name = point.found()
    original = getattr(owner, name)
    come_by: list[str] = []

    def struck(arguments: tuple[Any, ...], result: Any) -> None:
        if not come_by and point.chosen(arguments, result):
            come_by.append(point.name)
            sys.stdout.write(f"at: {point.name}\n")
            sys.stdout.flush()
            os.kill(os.getpid(), number)

    @wraps(original)
    def watched(*arguments: Any, **options: Any) -> Any:
        if point.when == "before":
            struck(arguments, None)
            return original(*arguments, **options)
        result = original(*arguments, **options)
        struck((*arguments, *options.values()), result)
        return result

    setattr(owner, name, watched)
