"""The folded log in memory: every process reads each event once, starting from the newest checkpoint."""

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
    """The log as read up to `tail`: the world it folds to, and the events that the `WorldCache` does not hold yet."""

    world: World = field(default_factory=World)
    tail: Tail = field(default_factory=Tail)
    news: tuple[Recorded, ...] = ()
    generation: int = 0  # how often the cache was rebuilt: a state of an older generation must not be stored

    def goes_on_with(self, recorded: Sequence[Recorded]) -> bool:
        """Whether these events continue the log as it was read; otherwise they belong to another log."""
        return not recorded or recorded[0].prev_hash == self.tail.hash

    def then(self, recorded: Sequence[Recorded]) -> "Reading":
        """The state after these further events."""
        if not recorded:
            return self
        steps = ((r.stream, r.event, r.at, r.position) for r in recorded)
        world = fold(self.world, steps)
        news = (*self.news, *recorded)
        return Reading(world=world, tail=Tail.of(recorded[-1]), news=news, generation=self.generation)


@dataclass(slots=True)
class _Alone:
    """What is known as long as no other process appends: where the log ends, and people's sealing keys."""

    position: int = -1
    keys: dict[str, tuple[str, bytes] | None] = field(default_factory=dict)
    settled: bool = False  # no other process appended between the last two commands of this process


class _AnotherLog(Exception):
    """The database does not hold the events that were read from it before."""


class Current(NamedTuple):
    """The state of the log, and one person's sealing key, assuming that no other process has appended."""

    reading: Reading
    key: tuple[str, bytes] | None


class Folds:
    """Gives the immutable `World`: `cached_world` costs nothing, `refresh` one query. Thread-safe.

    If the database lacks events that were read from it before (a lagging standby was promoted, or an older copy was
    restored), `refresh` starts over.
    """

    def __init__(self, database: Database) -> None:
        self._database = database
        self._archive = ArchivedRollouts(database)
        self._kept = Reading(world=World(archive=self._archive))
        self._versions: dict[str, int] = {}
        self._began_at = 0  # position of the checkpoint that this process started from; 0 for none
        self._alone = _Alone()
        self._told = self._kept
        self._outdated = False  # whether the cached state holds text that was erased since
        self._publishing = threading.Lock()
        self._listeners: list[Callable[[World], None]] = []

    def peek(self) -> World:
        """The cached world, without a query."""
        return self._kept.world

    def kept(self) -> Reading:
        """The cached state, to be continued with later events."""
        return self._kept

    def kept_without_erased(self) -> Reading | None:
        """The cached state; None if it still holds text that was erased, until the next rebuild."""
        with self._publishing:
            return None if self._outdated else self._kept

    def refresh(self) -> World:
        """Read the new events of the log, notify the listeners, and return the current world."""
        with self._database.reading() as connection:
            reading = self._kept  # read once: another thread may store a newer state, and no event may be folded twice
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
        """The newest version of a stream as of `log_state`.

        May be too new if the log has gone on since; what is appended on it is then refused.
        """
        fresh = max((r.version for r in reading.news if r.stream == stream), default=0)
        known = fresh or self._versions.get(stream, 0)
        if not known and self._began_at:  # the stream may have events before the checkpoint
            with self._database.reading() as connection:
                known = event_log.newest_version(connection, stream)
        return known

    def keep(self, reading: Reading, began: int, person: str, key: tuple[str, bytes] | None) -> None:
        """Store the state after a commit of this process on a log that ended at `initial_position`, and the key of
        `person` as it is now. To be called by one thread at a time, in commit order."""
        if began == self._alone.position:
            self._alone.settled = True
        else:
            self._alone = _Alone()
        self._alone.position = reading.tail.position
        self._alone.keys[person] = key
        self._keep(reading)

    def current(self, person: str) -> Current | None:
        """The state that is probably current, without a query. None if other processes appended lately, or if the key
        of `person` is not cached."""
        kept, alone = self._kept, self._alone
        if not alone.settled or kept.tail.position != alone.position or person not in alone.keys:
            return None
        return Current(kept, alone.keys[person])

    def tell(self) -> World:
        """Call the listeners if the world has changed since the last call; the cached world."""
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
                self._alone = _Alone()  # it may hold the erased key
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
        """Replace everything in memory by the log as it is now: after an erasure, or if `is_other_log`."""
        anew = self._beginning(connection, old.generation + 1)
        versions: dict[str, int] = {}
        for news in _pages(connection, anew.tail.position):
            anew = replace(anew.then(news), news=())
            versions.update((r.stream, r.version) for r in news)
        with self._publishing:
            # A faster thread may have rebuilt it already, and gone on: its state is newer than this one.
            quickest = old.generation == self._kept.generation
            # If newer events of the same log were stored meanwhile, the next refresh rebuilds.
            if quickest and (another or anew.tail.position >= self._kept.tail.position):
                self._kept, self._outdated = anew, False
                self._versions, self._alone = versions, _Alone()

    def _beginning(self, connection: Connection, generation: int) -> Reading:
        """The state of the newest trusted checkpoint, or the empty state."""
        found = checkpoints.newest(connection, self._archive)
        if found is None:
            self._began_at = 0
            return Reading(world=World(archive=self._archive), generation=generation)
        world, tail = found
        self._began_at = tail.position
        return Reading(world=world, tail=tail, generation=generation)

    def on_change(self, listener: Callable[[World], None]) -> None:
        """Call `listener` now and with every newer world, on the thread that learned of it."""
        with self._publishing:
            self._listeners.append(listener)
            listener(self._kept.world)


def _following(connection: Connection, tail: Tail) -> Iterator[tuple[Recorded, ...]]:
    """Yield the events after `tail` in batches. _LogReplaced if the log does not hold the event at `tail`."""
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
