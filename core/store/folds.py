"""The log, folded and kept in memory: every process reads each event once."""

import threading
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace

from sqlalchemy import Connection

from core.rollout.events import WordsErased
from core.rollout.world import World, fold
from core.store import event_log
from core.store.database import Database
from core.store.event_log import Recorded, Tail

BATCH = 1_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Reading:
    """The log as read up to its `tail`: the world it gives, and the events that `Folds` has not kept yet."""

    world: World = field(default_factory=World)
    tail: Tail = field(default_factory=Tail)
    news: tuple[Recorded, ...] = ()
    generation: int = 0  # how often words had been erased: what is built on an older one still holds them

    def then(self, recorded: Sequence[Recorded]) -> "Reading":
        """After the events that follow."""
        if not recorded:
            return self
        steps = ((r.stream, r.event, r.at, r.position) for r in recorded)
        world = fold(self.world, steps)
        news = (*self.news, *recorded)
        return Reading(world=world, tail=Tail.of(recorded[-1]), news=news, generation=self.generation)


class Folds:
    """`peek` costs nothing, `refresh` one query; both give an immutable `World`. Safe for threads."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._kept = Reading()
        self._versions: dict[str, int] = {}
        self._told = 0
        self._outdated = False  # holds words that were erased
        self._publishing = threading.Lock()
        self._listeners: list[Callable[[World], None]] = []

    def peek(self) -> World:
        """What this process knows, without asking the database."""
        return self._kept.world

    def kept(self) -> Reading:
        """What this process knows, to be continued by what follows."""
        return self._kept

    def refresh(self) -> World:
        """What the log says now."""
        with self._database.reading() as connection:
            reading = self._kept  # once: another thread may keep more meanwhile, and no event may be folded in twice
            for news in _pages(connection, reading.tail.position):
                reading = replace(reading, news=()).then(news)
                self._keep(reading)
            if self._outdated:
                self._read_anew(connection)
        return self._tell()

    def version(self, reading: Reading, stream: str) -> int:
        """The newest version of a stream at the end of `reading`, which must be the end of the log: then nobody can
        have published more."""
        fresh = max((r.version for r in reading.news if r.stream == stream), default=0)
        return fresh or self._versions.get(stream, 0)

    def publish(self, reading: Reading) -> World:
        """Remember a committed reading, and tell whoever listens; an older one than is known changes nothing."""
        self._keep(reading)
        return self._tell()

    def _keep(self, reading: Reading) -> None:
        with self._publishing:
            newer = reading.tail.position > self._kept.tail.position
            if newer and reading.generation == self._kept.generation:
                self._versions.update((r.stream, r.version) for r in reading.news)
                self._kept = replace(reading, news=())
                self._outdated |= any(isinstance(r.event, WordsErased) for r in reading.news)

    def _read_anew(self, connection: Connection) -> None:
        """Whatever was kept in memory of erased words goes."""
        anew = Reading(generation=self._kept.generation + 1)
        for news in _pages(connection, 0):
            anew = replace(anew.then(news), news=())
        with self._publishing:
            if anew.tail.position >= self._kept.tail.position:  # else more was kept meanwhile: next time
                self._kept, self._outdated = anew, False

    def _tell(self) -> World:
        with self._publishing:
            if self._kept.tail.position > self._told:
                self._told = self._kept.tail.position
                for listener in self._listeners:
                    listener(self._kept.world)
            return self._kept.world

    def on_change(self, listener: Callable[[World], None]) -> None:
        """Call `listener` with every newer world, on the thread that learned of it."""
        with self._publishing:
            self._listeners.append(listener)
            listener(self._kept.world)


def _pages(connection: Connection, position: int) -> Iterator[tuple[Recorded, ...]]:
    while news := event_log.after(connection, position, BATCH):
        yield news
        position = news[-1].position
        if len(news) < BATCH:
            return
