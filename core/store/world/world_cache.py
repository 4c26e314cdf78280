"""The folded log in memory: every process reads each event once, starting from the newest checkpoint."""

import threading
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import NamedTuple

from sqlalchemy import Connection

from core.rollout.state.events import WordsErased, WorldCheckpointed
from core.rollout.state.world import World, fold_events
from core.store.database.connections import Database
from core.store.log import event_log
from core.store.log.event_log import LogTail, StoredEvent
from core.store.world import checkpoints
from core.store.world.ended_rollouts import ArchivedRollouts

READ_BATCH = 1_000


@dataclass(frozen=True, slots=True, kw_only=True)
class LogState:
    """The log as read up to `tail`: the world it folds to, and the events that the `WorldCache` does not hold yet."""

    world: World = field(default_factory=World)
    tail: LogTail = field(default_factory=LogTail)
    new_events: tuple[StoredEvent, ...] = ()
    generation: int = 0  # how often the cache was rebuilt: a state of an older generation must not be stored

    def is_continued_by(self, recorded: Sequence[StoredEvent]) -> bool:
        """Whether these events continue the log as it was read; otherwise they belong to another log."""
        return not recorded or recorded[0].prev_hash == self.tail.hash

    def with_events(self, recorded: Sequence[StoredEvent]) -> "LogState":
        """The state after these further events."""
        if not recorded:
            return self
        steps = ((r.stream, r.event, r.at, r.position) for r in recorded)
        world = fold_events(self.world, steps)
        news = (*self.new_events, *recorded)
        return LogState(world=world, tail=LogTail.from_event(recorded[-1]), new_events=news, generation=self.generation)


@dataclass(slots=True)
class _SoleWriter:
    """What is known as long as no other process appends: where the log ends, and people's sealing keys."""

    position: int = -1
    keys: dict[str, tuple[str, bytes] | None] = field(default_factory=dict)
    is_confirmed: bool = False  # no other process appended between the last two commands of this process


class _LogReplaced(Exception):
    """The database does not hold the events that were read from it before."""


class CurrentState(NamedTuple):
    """The state of the log, and one person's sealing key, assuming that no other process has appended."""

    log_state: LogState
    key: tuple[str, bytes] | None


class WorldCache:
    """Gives the immutable `World`: `cached_world` costs nothing, `refresh` one query. Thread-safe.

    If the database lacks events that were read from it before (a lagging standby was promoted, or an older copy was
    restored), `refresh` starts over.
    """

    def __init__(self, database: Database) -> None:
        self._database = database
        self._archive = ArchivedRollouts(database)
        self._state = LogState(world=World(archive=self._archive))
        self._stream_versions: dict[str, int] = {}
        self._checkpoint_position = 0  # position of the checkpoint that this process started from; 0 for none
        self._sole_writer = _SoleWriter()
        self._notified_state = self._state
        self._holds_erased_words = False  # whether the cached state holds text that was erased since
        self._lock = threading.Lock()
        self._listeners: list[Callable[[World], None]] = []

    def cached_world(self) -> World:
        """The cached world, without a query."""
        return self._state.world

    def cached_state(self) -> LogState:
        """The cached state, to be continued with later events."""
        return self._state

    def cached_state_without_erased(self) -> LogState | None:
        """The cached state; None if it still holds text that was erased, until the next rebuild."""
        with self._lock:
            return None if self._holds_erased_words else self._state

    def refresh(self) -> World:
        """Read the new events of the log, notify the listeners, and return the current world."""
        with self._database.reading() as connection:
            reading = self._state  # read once: another thread may store a newer state, and no event may be folded twice
            if reading.tail.position == 0:
                reading = self._load_initial_state(connection, reading.generation)
            try:
                for news in _read_after_tail(connection, reading.tail):
                    reading = replace(reading, new_events=()).with_events(news)
                    self._store_newer(reading)
            except _LogReplaced:
                self._rebuild(connection, reading, is_other_log=True)
            if self._holds_erased_words:
                self._rebuild(connection, self._state)
        return self.notify_listeners()

    def stream_version(self, log_state: LogState, stream: str) -> int:
        """The newest version of a stream as of `log_state`.

        May be too new if the log has gone on since; what is appended on it is then refused.
        """
        fresh = max((r.version for r in log_state.new_events if r.stream == stream), default=0)
        known = fresh or self._stream_versions.get(stream, 0)
        if not known and self._checkpoint_position:  # the stream may have events before the checkpoint
            with self._database.reading() as connection:
                known = event_log.read_newest_version(connection, stream)
        return known

    def store_committed(
        self, log_state: LogState, initial_position: int, person: str, key: tuple[str, bytes] | None
    ) -> None:
        """Store the state after a commit of this process on a log that ended at `initial_position`, and the key of
        `person` as it is now. To be called by one thread at a time, in commit order."""
        if initial_position == self._sole_writer.position:
            self._sole_writer.is_confirmed = True
        else:
            self._sole_writer = _SoleWriter()
        self._sole_writer.position = log_state.tail.position
        self._sole_writer.keys[person] = key
        self._store_newer(log_state)

    def guess_current(self, person: str) -> CurrentState | None:
        """The state that is probably current, without a query. None if other processes appended lately, or if the key
        of `person` is not cached."""
        kept, alone = self._state, self._sole_writer
        if not alone.is_confirmed or kept.tail.position != alone.position or person not in alone.keys:
            return None
        return CurrentState(kept, alone.keys[person])

    def notify_listeners(self) -> World:
        """Call the listeners if the world has changed since the last call; the cached world."""
        with self._lock:
            if self._state is not self._notified_state:
                self._notified_state = self._state
                for listener in self._listeners:
                    listener(self._state.world)
            return self._state.world

    def _store_newer(self, log_state: LogState) -> None:
        erased = any(isinstance(r.event, WordsErased) for r in log_state.new_events)
        with self._lock:
            if erased:
                self._sole_writer = _SoleWriter()  # it may hold the erased key
            newer = log_state.tail.position > self._state.tail.position
            if newer and log_state.generation == self._state.generation:
                self._stream_versions.update((r.stream, r.version) for r in log_state.new_events)
                world = log_state.world
                for one in log_state.new_events:
                    if isinstance(one.event, WorldCheckpointed):
                        world = world.without_ended(one.at)
                self._state = LogState(world=world, tail=log_state.tail, generation=log_state.generation)
                self._holds_erased_words |= erased

    def _rebuild(self, connection: Connection, old_state: LogState, *, is_other_log: bool = False) -> None:
        """Replace everything in memory by the log as it is now: after an erasure, or if `is_other_log`."""
        anew = self._load_initial_state(connection, old_state.generation + 1)
        versions: dict[str, int] = {}
        for news in _read_batches(connection, anew.tail.position):
            anew = replace(anew.with_events(news), new_events=())
            versions.update((r.stream, r.version) for r in news)
        with self._lock:
            # A faster thread may have rebuilt it already, and gone on: its state is newer than this one.
            quickest = old_state.generation == self._state.generation
            # If newer events of the same log were stored meanwhile, the next refresh rebuilds.
            if quickest and (is_other_log or anew.tail.position >= self._state.tail.position):
                self._state, self._holds_erased_words = anew, False
                self._stream_versions, self._sole_writer = versions, _SoleWriter()

    def _load_initial_state(self, connection: Connection, generation: int) -> LogState:
        """The state of the newest trusted checkpoint, or the empty state."""
        found = checkpoints.load_newest(connection, self._archive)
        if found is None:
            self._checkpoint_position = 0
            return LogState(world=World(archive=self._archive), generation=generation)
        world, tail = found
        self._checkpoint_position = tail.position
        return LogState(world=world, tail=tail, generation=generation)

    def on_change(self, listener: Callable[[World], None]) -> None:
        """Call `listener` now and with every newer world, on the thread that learned of it."""
        with self._lock:
            self._listeners.append(listener)
            listener(self._state.world)


def _read_after_tail(connection: Connection, tail: LogTail) -> Iterator[tuple[StoredEvent, ...]]:
    """Yield the events after `tail` in batches. _LogReplaced if the log does not hold the event at `tail`."""
    pages = _read_batches(connection, max(tail.position - 1, 0))
    if tail.position:
        known, *news = next(pages, ()) or (None,)
        if known is None or known.hash != tail.hash:
            raise _LogReplaced
        yield tuple(news)
    yield from pages


def _read_batches(connection: Connection, position: int) -> Iterator[tuple[StoredEvent, ...]]:
    while news := event_log.read_after(connection, position, READ_BATCH):
        yield news
        position = news[-1].position
        if len(news) < READ_BATCH:
            return
