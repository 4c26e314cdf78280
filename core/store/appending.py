"""One command's transaction, in two trips: what it finds under the append lock, and everything it writes."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import datetime
from typing import Any, NamedTuple

from core.rollout.model import Rollout
from core.rollout.world import World
from core.store import commands, event_log, keys, outbox, projections, timers
from core.store.commands import Answer
from core.store.database import Database
from core.store.errors import LeaseLost
from core.store.event_log import Entry, Origin, Recorded
from core.store.folds import BATCH, Folds, Reading
from core.store.timers import Claim
from core.store.trips import Statement, Trips


class Step(NamedTuple):
    """One event that was appended, and the world before and after it."""

    recorded: Recorded
    before: World
    after: World


class Appending:
    """Under the append lock: `world` is what the log says, and stays so until this transaction ends.

    What is to be written is gathered here and written when the block of `appending` ends. Do no network calls inside.
    """

    def __init__(self, folds: Folds, reading: Reading, answers: Sequence[Sequence[Any]], key: keys.Held) -> None:
        self._folds = folds
        self._answers = answers
        self._key = key
        self.reading = reading
        self.statements: list[Statement] = []

    @property
    def world(self) -> World:
        """What the log says, with what was appended here."""
        return self.reading.world

    def answered(self, command_id: str, fingerprint: str) -> Answer | None:
        """The first answer to this command, or None. Conflict if the id was used for something else."""
        return commands.answer_of(self._answers, command_id, fingerprint)

    def append(self, entries: Sequence[Entry], origin: Origin) -> tuple[Step, ...]:
        """The next events of the log; NotStorable if one cannot be kept."""
        reading, steps = self.reading, []
        key = self._key.for_(entries)
        recorded = event_log.following(
            reading.tail, lambda stream: self._folds.version(reading, stream), entries, origin, key
        )
        for one in recorded:
            before = self.reading.world
            self.reading = self.reading.then((one,))
            steps.append(Step(one, before, self.reading.world))
        self.statements += self._key.kept(origin.recorded_at)
        self.statements += event_log.written(recorded)
        return tuple(steps)

    def show(self, recorded: Sequence[Recorded], rollouts: Mapping[str, Rollout]) -> None:
        """Bring the read model in step; see `projections.shown`."""
        self.statements += projections.shown(recorded, rollouts)

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
        """Something to be said; see `outbox.enqueue`."""
        self.statements.append(
            outbox.enqueue(
                kind=kind,
                ordering_key=ordering_key,
                idempotency_key=idempotency_key,
                request=request,
                due_at=due_at,
                position=position,
                supersede_key=supersede_key,
            )
        )

    def remember(self, command_id: str, fingerprint: str, answer: Answer) -> None:
        """Keep the answer, also of a command that changed nothing or was refused."""
        self.statements.append(commands.keep(command_id, fingerprint, answer))


@contextmanager
def appending(
    database: Database, folds: Folds, command_id: str, *, person: str = "", claim: Claim | None = None
) -> Iterator[Appending]:
    """Decide and write one command: committed at the end of the block, undone on any exception.

    `person` is whose words the events hold. With a `claim`, the timer's slot is finished in the same transaction:
    LeaseLost, with nothing written, if somebody else has it by now. Busy if others hold the lock for over ten seconds.
    """
    kept = folds.kept()
    asked = [commands.find(command_id), event_log.next_after(kept.tail.position, BATCH), keys.find(person)]
    if claim is not None:
        asked.append(timers.finishing(claim))
    with database.appending() as trips:
        answers, news, key, *finished = trips.go(asked)
        reading = _read_on(trips, kept, news)
        if claim is not None and not finished[0] and not answers:
            raise LeaseLost(f"Somebody else runs {claim.name} of {claim.slot.isoformat()} by now.")
        opened = Appending(folds, reading, answers, keys.Held(person, key))
        yield opened
        if opened.statements or finished:
            woken = [event_log.WAKE] if opened.reading.tail != reading.tail and database.dialect == "postgresql" else []
            trips.commit((*opened.statements, *woken))
    folds.publish(opened.reading)


def _read_on(trips: Trips, kept: Reading, rows: Sequence[Sequence[Any]]) -> Reading:
    """Whatever others have appended since this process last looked."""
    reading = kept
    while True:
        reading = reading.then(event_log.read(rows))
        if len(rows) < BATCH:
            return reading
        (rows,) = trips.go([event_log.next_after(reading.tail.position, BATCH)])
