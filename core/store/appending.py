"""One command's transaction: what it finds under the append lock, and everything it writes."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import datetime
from typing import Any, NamedTuple, TypeVar

from core.rollout.model import Rollout
from core.rollout.refusal import Refused
from core.rollout.world import World
from core.store import commands, event_log, keys, outbox, projections
from core.store.commands import Answer
from core.store.database import Database
from core.store.errors import LeaseLost, StoreError
from core.store.event_log import Entry, Origin, Recorded
from core.store.folds import BATCH, Folds, Reading
from core.store.two_trips import Ask, Claim
from core.store.writes import Writes

T = TypeVar("T")


class Step(NamedTuple):
    """One event that was appended, and the world before and after it."""

    recorded: Recorded
    before: World
    after: World


class Appending:
    """Under the append lock: `world` is what the log says, and stays so until this transaction ends.

    What is to be written is gathered here and written when the block of `appending` ends. Do no network calls inside.
    """

    def __init__(self, folds: Folds, reading: Reading, answer: Sequence[Any] | None, key: keys.Held) -> None:
        self._folds = folds
        self._answer = answer
        self.key = key
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
        return commands.answer_of(self._answer, command_id, fingerprint)

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
        """Bring the read model in step; see `projections.shown`."""
        for row in projections.shown(recorded, rollouts):
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
        self.writes.add("commands", commands.row(command_id, fingerprint, answer))


def carry_out(
    database: Database,
    folds: Folds,
    command_id: str,
    write: Callable[[Appending], T],
    *,
    person: str = "",
    claim: Claim | None = None,
) -> T:
    """What `appending` does, around `write`; in a single trip if nobody else has appended since this process did.

    `write` may run twice, first on what may be outdated: it changes nothing but its `Appending`.
    """
    if database.far and (guess := _guess(database, folds, command_id, write, person, claim)) is not None:
        return guess[0]
    with appending(database, folds, command_id, person=person, claim=claim) as log:
        return write(log)


def _guess(
    database: Database,
    folds: Folds,
    command_id: str,
    write: Callable[[Appending], T],
    person: str,
    claim: Claim | None,
) -> tuple[T] | None:
    """What `write` gave, if it was decided on the newest state of the log, and is committed."""
    with database.appending() as trips:
        kept = folds.kept()
        if not folds.current(kept, person):
            return None
        opened = Appending(folds, kept, None, keys.Held(person, folds.key_of(person)))
        try:
            given = write(opened)
        except (Refused, StoreError):
            return None  # on what may be outdated; if it happens again under the lock, it counts
        ask = Ask(command_id=command_id, after=kept.tail.position, at_most=0, person=person, claim=claim)
        if not trips.at_once(ask, opened.writes):
            return None
        folds.keep(opened.reading, kept.tail.position, person, opened.key.kept)
    folds.tell()
    return (given,)


@contextmanager
def appending(
    database: Database, folds: Folds, command_id: str, *, person: str = "", claim: Claim | None = None
) -> Iterator[Appending]:
    """Decide and write one command: committed at the end of the block, undone on any exception.

    `person` is whose words the events hold. With a `claim`, the timer's slot is finished in the same transaction:
    LeaseLost, with nothing written, if somebody else has it by now. Busy if others hold the lock for over ten seconds.
    """
    while True:
        with database.appending() as trips:
            kept = folds.kept()
            ask = Ask(command_id=command_id, after=kept.tail.position, at_most=BATCH, person=person, claim=claim)
            found = trips.open(ask)
            if len(found.news) < BATCH:
                if claim is not None and not found.finished and found.answer is None:
                    raise LeaseLost(f"Somebody else runs {claim.name} of {claim.slot.isoformat()} by now.")
                reading = kept.then(event_log.read(found.news))
                opened = Appending(folds, reading, found.answer, keys.Held(person, found.key))
                yield opened
                trips.commit(opened.writes)
                folds.keep(opened.reading, reading.tail.position, person, opened.key.kept)
                break
        # Far behind, as at the start: nobody else should wait while this process reads on.
        folds.refresh()
    folds.tell()
