"""The transaction of one command: the state it reads under the append lock, and all the rows it writes."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import datetime
from typing import Any, NamedTuple, TypeVar

from sqlalchemy.exc import DBAPIError

from core.rollout.model import Rollout
from core.rollout.world import World
from core.store.coordination import outbox
from core.store.database.append_backend import Ask, Claim, Trips
from core.store.database.append_rows import Writes
from core.store.database.connections import Database
from core.store.errors import Busy, LeaseLost
from core.store.log import answered_commands, event_log, sealing_keys
from core.store.log.answered_commands import Answer
from core.store.log.event_log import Entry, Origin, Recorded, Tail
from core.store.world import rollout_rows
from core.store.world.world_cache import BATCH, Folds, Reading

T = TypeVar("T")


class Step(NamedTuple):
    """An appended event, with the world before and after it."""

    recorded: Recorded
    before: World
    after: World


class Appending:
    """The state a command decides on, and the rows it will write when the transaction commits.

    `world` is the current state of the log, and stays current until the transaction ends; otherwise the transaction
    is discarded. Make no network calls while it is open.
    """

    def __init__(self, folds: Folds, reading: Reading, answer: Sequence[Any] | None, key: sealing_keys.Held) -> None:
        self._folds = folds
        self._answer = answer
        self.key = key
        self.began = reading.tail
        self.reading = reading
        self.writes = Writes()

    @property
    def world(self) -> World:
        """The state of the log, including the events appended in this transaction."""
        return self.reading.world

    @property
    def key_id(self) -> str | None:
        """The id of the author's sealing key; None if nothing was ever sealed for them."""
        return self.key.key_id

    def answered(self, command_id: str, fingerprint: str) -> Answer | None:
        """The stored answer to this command, or None. IdempotencyConflict if the id belongs to another request."""
        return answered_commands.answer_of(self._answer, command_id, fingerprint)

    def append(self, entries: Sequence[Entry], origin: Origin) -> tuple[Step, ...]:
        """Chain events to the log and collect their rows; NotStorable if one would not read back."""
        reading, steps = self.reading, []
        key = self.key.for_(entries)
        recorded = event_log.following(
            reading.tail, lambda stream: self._folds.version(reading, stream), entries, origin, key
        )
        if (made := self.key.made(origin.recorded_at)) is not None:
            self.writes.add("person_key", made)
        for one in recorded:
            before = self.reading.world
            self.reading = self.reading.then((one,))
            steps.append(Step(one, before, self.reading.world))
            self.writes.add("events", event_log.row(one))
        return tuple(steps)

    def show(self, recorded: Sequence[Recorded], rollouts: Mapping[str, Rollout]) -> None:
        """Update the read model of the rollouts that these events changed; see `rollout_rows.build_changed_rows`."""
        for row in rollout_rows.shown(recorded, rollouts):
            self.writes.add("rollout_view", row)

    def enqueue(
        self,
        *,
        kind: str,
        ordering_key: str,
        idempotency_key: str,
        request: Mapping[str, Any],
        due_at: datetime,
        position: int,
        supersede_key: str | None = None,
    ) -> None:
        """Add an outbox row; see `outbox.build_row`."""
        row = outbox.new(
            kind=kind,
            ordering_key=ordering_key,
            idempotency_key=idempotency_key,
            request=request,
            due_at=due_at,
            position=position,
            supersede_key=supersede_key,
        )
        self.writes.add("outbox", row)

    def remember(self, command_id: str, fingerprint: str, answer: Answer) -> None:
        """Store the answer for repeats of this command, including one that changed nothing or was refused."""
        self.writes.add("commands", answered_commands.row(command_id, fingerprint, answer))


class _Transaction:
    """Opens the `AppendTransaction` of one command, optimistically or under the append lock, and commits it."""

    def __init__(self, database: Database, folds: Folds, command_id: str, person: str, claim: Claim | None) -> None:
        self._database = database
        self._folds = folds
        self._command_id = command_id
        self._person = person
        self._claim = claim
        self.doubt: DBAPIError | None = None  # from an optimistic commit whose outcome is unknown

    def guess(self) -> Appending | None:
        """A transaction on the cached state, without the lock; None unless this process was the only recent writer."""
        current = self._folds.current(self._person) if self._database.far else None
        if current is None:
            return None
        return Appending(self._folds, current.reading, None, sealing_keys.Held(self._person, current.key))

    def written_at_once(self, trips: Trips, guess: Appending) -> bool:
        """Commit if the log still ends where the transaction assumed; False if nothing was written."""
        try:
            right = trips.at_once(self._ask(guess.began), guess.writes)
        except DBAPIError as error:
            if not error.connection_invalidated:
                raise
            self.doubt = error
            return False
        if right:
            self._keep(guess)
        return right

    def open(self, trips: Trips) -> Appending | None:
        """Open a transaction under the append lock.

        None if this process is too far behind (as at its start) or its cache is of another log: catch up first, so
        that other writers need not wait meanwhile. LeaseLost if another worker has the timer slot.
        """
        kept = self._folds.kept()
        found = trips.open(self._ask(kept.tail))
        if len(found.news) >= BATCH:
            return None
        news = event_log.read(found.news)
        if not kept.goes_on_with(news):
            return None
        if self._claim is not None and not found.finished and found.answer is None:
            raise LeaseLost(f"Somebody else runs {self._claim.name} of {self._claim.slot.isoformat()} by now.")
        reading = kept.then(news)
        return Appending(self._folds, reading, found.answer, sealing_keys.Held(self._person, found.key))

    def commit(self, trips: Trips, opened: Appending) -> None:
        trips.commit(opened.writes)
        self._keep(opened)

    def _ask(self, tail: Tail) -> Ask:
        return Ask(
            command_id=self._command_id,
            after=tail.position,
            newest=tail.hash,
            at_most=BATCH,
            person=self._person,
            claim=self._claim,
        )

    def _keep(self, done: Appending) -> None:
        self._folds.keep(done.reading, done.began.position, self._person, done.key.kept)


def carry_out(
    database: Database,
    folds: Folds,
    command_id: str,
    write: Callable[[Appending], T],
    *,
    person: str = "",
    claim: Claim | None = None,
) -> T:
    """Run `write` in an append transaction and commit it; see `append_transaction`.

    On a remote database, a process that was the only recent writer needs a single round trip: it decides on its cached
    state, and commits only if the log has not changed. Otherwise `write` runs again under the append lock, so it must
    change nothing but its `AppendTransaction`.
    """
    one = _Transaction(database, folds, command_id, person, claim)
    try:
        while True:
            with database.appending() as trips:
                if (guess := one.guess()) is not None:
                    given = write(guess)
                    if one.written_at_once(trips, guess):
                        break
                if (opened := one.open(trips)) is not None:
                    given = write(opened)
                    one.commit(trips, opened)
                    break
            folds.refresh()
    except Busy:
        if one.doubt is not None:
            raise one.doubt from None  # "nothing was written" may not be true
        raise
    folds.tell()
    return given


@contextmanager
def appending(
    database: Database, folds: Folds, command_id: str, *, person: str = "", claim: Claim | None = None
) -> Iterator[Appending]:
    """Decide and write one command under the append lock: committed at the end of the block, undone on any exception.

    `person` is the author of the text in the events. With a `claim`, the timer slot is finished in the same
    transaction: LeaseLost, with nothing written, if another worker holds it by now. DatabaseBusy if others hold the
    lock for more than ten seconds.
    """
    one = _Transaction(database, folds, command_id, person, claim)
    while True:
        with database.appending() as trips:
            if (opened := one.open(trips)) is not None:
                yield opened
                one.commit(trips, opened)
                break
        folds.refresh()
    folds.tell()
