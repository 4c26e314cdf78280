"""The log, folded and kept in memory: every process reads each event once."""

import threading
from collections.abc import Callable

from sqlalchemy import Connection

from core.rollout.world import World, advance
from core.store import event_log
from core.store.database import Database

_BATCH = 1_000


class Folds:
    """`peek` costs nothing, `refresh` one query; both give an immutable `World`. Safe for threads."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._world = World()
        self._publishing = threading.Lock()
        self._listeners: list[Callable[[World], None]] = []

    def peek(self) -> World:
        """What this process knows, without asking the database."""
        return self._world

    def refresh(self) -> World:
        """What the log says now."""
        with self._database.reading() as connection:
            world = self.read(connection)
        return self.publish(world)

    def read(self, connection: Connection) -> World:
        """What the log says in the transaction of `connection`. Nothing is remembered: it may yet be rolled back."""
        world = self._world
        while True:
            news = event_log.after(connection, world.position, _BATCH)
            world = fold(world, news)
            if len(news) < _BATCH:
                return world

    def publish(self, world: World) -> World:
        """Remember a committed state, and tell whoever listens; an older one than is known changes nothing."""
        with self._publishing:
            if world.position <= self._world.position:
                return self._world
            self._world = world
            for listener in self._listeners:
                listener(world)
            return world

    def on_change(self, listener: Callable[[World], None]) -> None:
        """Call `listener` with every newer world, on the thread that learned of it."""
        with self._publishing:
            self._listeners.append(listener)
            listener(self._world)


def fold(world: World, recorded: tuple[event_log.Recorded, ...]) -> World:
    """`world` after the events of the log that follow it."""
    for one in recorded:
        world = advance(world, one.stream, one.event, at=one.at, position=one.position)
    return world
