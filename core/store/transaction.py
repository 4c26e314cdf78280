"""The transaction of one command: the state it reads under the append lock, and all the rows it writes."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, NamedTuple, TypeVar

from sqlalchemy.exc import DBAPIError

from core.rollout.state.events import NewEvent
from core.rollout.state.model import Rollout
from core.rollout.state.world import World
from core.store.database.append_backend import AppendBackend, AppendRequest, TimerClaim
from core.store.database.append_rows import PendingWrites
from core.store.database.connections import Database
from core.store.errors import DatabaseBusy, LeaseLost
from core.store.log import answered_commands, event_log, sealing_keys
from core.store.log.answered_commands import CommandAnswer
from core.store.log.event_log import EventOrigin, LogTail, StoredEvent
from core.store.world import rollout_rows
from core.store.world.world_cache import READ_BATCH, LogState, WorldCache

T = TypeVar("T")


class AppendedEvent(NamedTuple):
    """An appended event, with the world before and after it."""

    stored: StoredEvent
    before: World
    after: World


class AppendTransaction:
    """The state a command decides on, and the rows it will write when the transaction commits.

    `world` is the current state of the log, and stays current until the transaction ends; otherwise the transaction
    is discarded. Make no network calls while it is open.
    """

    def __init__(
        self,
        world_cache: WorldCache,
        log_state: LogState,
        answer_row: Sequence[Any] | None,
        person_key: sealing_keys.PersonKey,
    ) -> None:
        self._world_cache = world_cache
        self._answer_row = answer_row
        self.person_key = person_key
        self.initial_tail = log_state.tail
        self.log_state = log_state
        self.writes = PendingWrites()

    @property
    def world(self) -> World:
        """The state of the log, including the events appended in this transaction."""
        return self.log_state.world

    @property
    def key_id(self) -> str | None:
        """The id of the author's sealing key; None if nothing was ever sealed for them."""
        return self.person_key.key_id

    def find_answer(self, command_id: str, fingerprint: str) -> CommandAnswer | None:
        """The stored answer to this command, or None. IdempotencyConflict if the id belongs to another request."""
        return answered_commands.parse_answer_row(self._answer_row, command_id, fingerprint)

    def append(self, entries: Sequence[NewEvent], origin: EventOrigin) -> tuple[AppendedEvent, ...]:
        """Chain events to the log and collect their rows; NotStorable if one would not read back."""
        reading, steps = self.log_state, []
        key = self.person_key.get_or_create(entries)
        recorded = event_log.chain_events(
            reading.tail, lambda stream: self._world_cache.stream_version(reading, stream), entries, origin, key
        )
        if (made := self.person_key.take_new_row(origin.recorded_at)) is not None:
            self.writes.add_row("person_key", made)
        for one in recorded:
            before = self.log_state.world
            self.log_state = self.log_state.with_events((one,))
            steps.append(AppendedEvent(one, before, self.log_state.world))
            self.writes.add_row("events", event_log.build_row(one))
        return tuple(steps)

    def update_read_model(self, recorded: Sequence[StoredEvent], rollouts: Mapping[str, Rollout]) -> None:
        """Update the read model of the rollouts that these events changed; see `rollout_rows.build_changed_rows`."""
        for row in rollout_rows.build_changed_rows(recorded, rollouts):
            self.writes.add_row("rollout_view", row)

    def enqueue(self, row: tuple[Any, ...]) -> None:
        """Add an outbox row, as `outbox.build_row` makes it."""
        self.writes.add_row("outbox", row)

    def store_answer(self, command_id: str, fingerprint: str, answer: CommandAnswer) -> None:
        """Store the answer for repeats of this command, including one that changed nothing or was refused."""
        self.writes.add_row("commands", answered_commands.build_row(command_id, fingerprint, answer))


class _AppendAttempt:
    """Opens the `AppendTransaction` of one command, optimistically or under the append lock, and commits it."""

    def __init__(
        self, database: Database, world_cache: WorldCache, command_id: str, person: str, claim: TimerClaim | None
    ) -> None:
        self._database = database
        self._world_cache = world_cache
        self._command_id = command_id
        self._person = person
        self._claim = claim
        self.ambiguous_error: DBAPIError | None = None  # from an optimistic commit whose outcome is unknown

    def begin_optimistic(self) -> AppendTransaction | None:
        """A transaction on the cached state, without the lock; None unless this process was the only recent writer."""
        current = self._world_cache.guess_current(self._person) if self._database.is_remote else None
        if current is None:
            return None
        return AppendTransaction(
            self._world_cache, current.log_state, None, sealing_keys.PersonKey(self._person, current.key)
        )

    def try_optimistic_commit(self, backend: AppendBackend, guess: AppendTransaction) -> bool:
        """Commit if the log still ends where the transaction assumed; False if nothing was written."""
        try:
            right = backend.try_optimistic_commit(self._build_request(guess.initial_tail), guess.writes)
        except DBAPIError as error:
            if not error.connection_invalidated:
                raise
            self.ambiguous_error = error
            return False
        if right:
            self._store_in_cache(guess)
        return right

    def begin_locked(self, backend: AppendBackend) -> AppendTransaction | None:
        """Open a transaction under the append lock.

        None if this process is too far behind (as at its start) or its cache is of another log: catch up first, so
        that other writers need not wait meanwhile. LeaseLost if another worker has the timer.
        """
        kept = self._world_cache.cached_state()
        found = backend.begin(self._build_request(kept.tail))
        if len(found.new_event_rows) >= READ_BATCH:
            return None
        news = event_log.parse_rows(found.new_event_rows)
        if not kept.is_continued_by(news):
            return None
        if self._claim is not None and not found.is_claim_valid and found.answer_row is None:
            raise LeaseLost(f"Another worker has taken over {self._claim.name} of {self._claim.due_at.isoformat()}.")
        reading = kept.with_events(news)
        return AppendTransaction(
            self._world_cache, reading, found.answer_row, sealing_keys.PersonKey(self._person, found.key_row)
        )

    def commit(self, backend: AppendBackend, opened: AppendTransaction) -> None:
        backend.commit(opened.writes)
        self._store_in_cache(opened)

    def _build_request(self, tail: LogTail) -> AppendRequest:
        return AppendRequest(
            command_id=self._command_id,
            after_position=tail.position,
            head_hash=tail.hash,
            event_limit=READ_BATCH,
            person=self._person,
            claim=self._claim,
        )

    def _store_in_cache(self, done: AppendTransaction) -> None:
        self._world_cache.store_committed(
            done.log_state, done.initial_tail.position, self._person, done.person_key.stored_key
        )


def run_append_transaction(
    database: Database,
    world_cache: WorldCache,
    command_id: str,
    write: Callable[[AppendTransaction], T],
    *,
    person: str = "",
    claim: TimerClaim | None = None,
) -> T:
    """Run `write` in an append transaction and commit it; see `append_transaction`.

    On a remote database, a process that was the only recent writer needs a single round trip: it decides on its cached
    state, and commits only if the log has not changed. Otherwise `write` runs again under the append lock, so it must
    change nothing but its `AppendTransaction`.
    """
    one = _AppendAttempt(database, world_cache, command_id, person, claim)
    try:
        while True:
            with database.appending() as trips:
                if (guess := one.begin_optimistic()) is not None:
                    given = write(guess)
                    if one.try_optimistic_commit(trips, guess):
                        break
                if (opened := one.begin_locked(trips)) is not None:
                    given = write(opened)
                    one.commit(trips, opened)
                    break
            world_cache.refresh()
    except DatabaseBusy:
        if one.ambiguous_error is not None:
            raise one.ambiguous_error from None  # "nothing was written" may not be true
        raise
    world_cache.notify_listeners()
    return given


@contextmanager
def append_transaction(
    database: Database, world_cache: WorldCache, command_id: str, *, person: str = "", claim: TimerClaim | None = None
) -> Iterator[AppendTransaction]:
    """Decide and write one command under the append lock: committed at the end of the block, undone on any exception.

    `person` is the author of the text in the events. With a `claim`, the timer is finished in the same
    transaction: LeaseLost, with nothing written, if another worker holds it by now. DatabaseBusy if others hold the
    lock for more than ten seconds.
    """
    one = _AppendAttempt(database, world_cache, command_id, person, claim)
    while True:
        with database.appending() as trips:
            if (opened := one.begin_locked(trips)) is not None:
                yield opened
                one.commit(trips, opened)
                break
        world_cache.refresh()
    world_cache.notify_listeners()
