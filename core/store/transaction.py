"""One command's transaction: what it finds under the append lock, and everything it writes."""

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
    """One event that was appended, and the world before and after it."""

    recorded: Recorded
    before: World
    after: World


class Appending:
    """`world` is what the log says, and stays so until this transaction ends; or the transaction comes to nothing.

    What is to be written is gathered here and written at the end. Do no network calls meanwhile.
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
        """What the log says, with what was appended here."""
        return self.reading.world

    @property
    def key_id(self) -> str | None:
        """The key of the person whose words these are, if anything was ever sealed with one."""
        return self.key.key_id

    def answered(self, command_id: str, fingerprint: str) -> Answer | None:
        """The first answer to this command, or None. Conflict if the id was used for something else."""
        return answered_commands.answer_of(self._answer, command_id, fingerprint)

    def append(self, entries: Sequence[Entry], origin: Origin) -> tuple[Step, ...]:
        """The next events of the log; NotStorable if one cannot be kept."""
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
        """Bring the read model in step; see `rollout_rows.shown`."""
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
        """Something to be said; see `outbox.new`."""
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
        """Keep the answer, also of a command that changed nothing or was refused."""
        self.writes.add("commands", answered_commands.row(command_id, fingerprint, answer))


class _Transaction:
    """One command on its way: how its `Appending` comes about, and how it is written."""

    def __init__(self, database: Database, folds: Folds, command_id: str, person: str, claim: Claim | None) -> None:
        self._database = database
        self._folds = folds
        self._command_id = command_id
        self._person = person
        self._claim = claim
        self.doubt: DBAPIError | None = None  # a single trip whose end is not known

    def guess(self) -> Appending | None:
        """On what this process knows, if nobody else has appended lately."""
        current = self._folds.current(self._person) if self._database.far else None
        if current is None:
            return None
        return Appending(self._folds, current.reading, None, sealing_keys.Held(self._person, current.key))

    def written_at_once(self, trips: Trips, guess: Appending) -> bool:
        """Whether the guess was right; then it is committed."""
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
        """Under the append lock; None when this process is far behind, as at its start, or knows another log than this:
        nobody else should wait while it reads."""
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
    """What `appending` does, around `write`; mostly in a single trip if nobody else has appended lately.

    `write` may run twice, so it changes nothing but its `Appending`: the first time it may be behind the log, and then
    nothing of it is kept.
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
    """Decide and write one command: committed at the end of the block, undone on any exception.

    `person` is whose words the events hold. With a `claim`, the timer's slot is finished in the same transaction:
    LeaseLost, with nothing written, if somebody else has it by now. Busy if others hold the lock for over ten seconds.
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
