"""The log, folded and kept in memory: every process reads each event once, from the newest checkpoint on."""

import threading
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import NamedTuple

from sqlalchemy import Connection

from core.rollout.events import WordsErased, WorldCheckpointed
from core.rollout.world import World, fold
from core.store.database.connections import Database
from core.store.log import event_log
from core.store.log.event_log import Recorded, Tail
from core.store.world import checkpoints
from core.store.world.ended_rollouts import ArchivedRollouts

BATCH = 1_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Reading:
    """The log as read up to its `tail`: the world it gives, and the events that `Folds` has not kept yet."""

    world: World = field(default_factory=World)
    tail: Tail = field(default_factory=Tail)
    news: tuple[Recorded, ...] = ()
    generation: int = 0  # how often the log was read anew: what is built on an older one holds what is gone

    def goes_on_with(self, recorded: Sequence[Recorded]) -> bool:
        """Whether these continue what was read: else they are of another log than that."""
        return not recorded or recorded[0].prev_hash == self.tail.hash

    def then(self, recorded: Sequence[Recorded]) -> "Reading":
        """After the events that follow."""
        if not recorded:
            return self
        steps = ((r.stream, r.event, r.at, r.position) for r in recorded)
        world = fold(self.world, steps)
        news = (*self.news, *recorded)
        return Reading(world=world, tail=Tail.of(recorded[-1]), news=news, generation=self.generation)


@dataclass(slots=True)
class _Alone:
    """What holds as long as nobody else appends: the log ends here, and these are the keys of people."""

    position: int = -1
    keys: dict[str, tuple[str, bytes] | None] = field(default_factory=dict)
    settled: bool = False  # nobody else appended between the newest two commands of this process either


class _AnotherLog(Exception):
    """The database does not hold what was read from it before."""


class Current(NamedTuple):
    """The newest state of the log, unless somebody else has appended, and the key of one person as it is there."""

    reading: Reading
    key: tuple[str, bytes] | None


class Folds:
    """`peek` costs nothing, `refresh` one query; both give an immutable `World`. Safe for threads.

    Where the database lacks what was read from it before (another one has taken over that had not received everything,
    or an older one was put in its place), `refresh` starts over.
    """

    def __init__(self, database: Database) -> None:
        self._database = database
        self._archive = ArchivedRollouts(database)
        self._kept = Reading(world=World(archive=self._archive))
        self._versions: dict[str, int] = {}
        self._began_at = 0  # the position of the checkpoint that this process started from
        self._alone = _Alone()
        self._told = self._kept
        self._outdated = False  # holds words that were erased
        self._publishing = threading.Lock()
        self._listeners: list[Callable[[World], None]] = []

    def peek(self) -> World:
        """What this process knows, without asking the database."""
        return self._kept.world

    def kept(self) -> Reading:
        """What this process knows, to be continued by what follows."""
        return self._kept

    def kept_without_erased(self) -> Reading | None:
        """The same; None until it was read anew after somebody's words were erased."""
        with self._publishing:
            return None if self._outdated else self._kept

    def refresh(self) -> World:
        """What the log says now."""
        with self._database.reading() as connection:
            reading = self._kept  # once: another thread may keep more meanwhile, and no event may be folded in twice
            if reading.tail.position == 0:
                reading = self._beginning(connection, reading.generation)
            try:
                for news in _following(connection, reading.tail):
                    reading = replace(reading, news=()).then(news)
                    self._keep(reading)
            except _AnotherLog:
                self._read_anew(connection, reading, another=True)
            if self._outdated:
                self._read_anew(connection, self._kept)
        return self.tell()

    def version(self, reading: Reading, stream: str) -> int:
        """The newest version of a stream at the end of `reading`, if that is the end of the log: else it may be a newer
        one, and what is built on it is refused."""
        fresh = max((r.version for r in reading.news if r.stream == stream), default=0)
        known = fresh or self._versions.get(stream, 0)
        if not known and self._began_at:  # read before this process began
            with self._database.reading() as connection:
                known = event_log.newest_version(connection, stream)
        return known

    def keep(self, reading: Reading, began: int, person: str, key: tuple[str, bytes] | None) -> None:
        """Remember a reading that this process has just committed, on a log that ended at `began`, and the key of
        `person` as it is now. To be called by one thread at a time, in the order of the commits."""
        if began == self._alone.position:
            self._alone.settled = True
        else:
            self._alone = _Alone()
        self._alone.position = reading.tail.position
        self._alone.keys[person] = key
        self._keep(reading)

    def current(self, person: str) -> Current | None:
        """What is likely still true without asking. None if others have appended lately, or the key is not known."""
        kept, alone = self._kept, self._alone
        if not alone.settled or kept.tail.position != alone.position or person not in alone.keys:
            return None
        return Current(kept, alone.keys[person])

    def tell(self) -> World:
        """Tell whoever listens, if there is anything new."""
        with self._publishing:
            if self._kept is not self._told:
                self._told = self._kept
                for listener in self._listeners:
                    listener(self._kept.world)
            return self._kept.world

    def _keep(self, reading: Reading) -> None:
        erased = any(isinstance(r.event, WordsErased) for r in reading.news)
        with self._publishing:
            if erased:
                self._alone = _Alone()  # it may hold the key
            newer = reading.tail.position > self._kept.tail.position
            if newer and reading.generation == self._kept.generation:
                self._versions.update((r.stream, r.version) for r in reading.news)
                world = reading.world
                for one in reading.news:
                    if isinstance(one.event, WorldCheckpointed):
                        world = world.without_ended(one.at)
                self._kept = Reading(world=world, tail=reading.tail, generation=reading.generation)
                self._outdated |= erased

    def _read_anew(self, connection: Connection, old: Reading, *, another: bool = False) -> None:
        """Whatever was kept in memory goes: of erased words, or of `another` log."""
        anew = self._beginning(connection, old.generation + 1)
        versions: dict[str, int] = {}
        for news in _pages(connection, anew.tail.position):
            anew = replace(anew.then(news), news=())
            versions.update((r.stream, r.version) for r in news)
        with self._publishing:
            # Another thread that was quicker may have gone on by now: what it keeps is newer than this.
            quickest = old.generation == self._kept.generation
            # Where more of the same log was kept meanwhile: next time.
            if quickest and (another or anew.tail.position >= self._kept.tail.position):
                self._kept, self._outdated = anew, False
                self._versions, self._alone = versions, _Alone()

    def _beginning(self, connection: Connection, generation: int) -> Reading:
        """The newest checkpoint, or the world before the first event."""
        found = checkpoints.newest(connection, self._archive)
        if found is None:
            self._began_at = 0
            return Reading(world=World(archive=self._archive), generation=generation)
        world, tail = found
        self._began_at = tail.position
        return Reading(world=world, tail=tail, generation=generation)

    def on_change(self, listener: Callable[[World], None]) -> None:
        """Call `listener` with every newer world, on the thread that learned of it."""
        with self._publishing:
            self._listeners.append(listener)
            listener(self._kept.world)


def _following(connection: Connection, tail: Tail) -> Iterator[tuple[Recorded, ...]]:
    """What follows after `tail`, a page at a time. _AnotherLog where the log does not hold that event."""
    pages = _pages(connection, max(tail.position - 1, 0))
    if tail.position:
        known, *news = next(pages, ()) or (None,)
        if known is None or known.hash != tail.hash:
            raise _AnotherLog
        yield tuple(news)
    yield from pages


def _pages(connection: Connection, position: int) -> Iterator[tuple[Recorded, ...]]:
    while news := event_log.after(connection, position, BATCH):
        yield news
        position = news[-1].position
        if len(news) < BATCH:
            return
