"""The periodic jobs: look at every open rollout, check driven flags, reload the policy, delete old data."""

import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from uuid import uuid4

import structlog
from sqlalchemy.exc import SQLAlchemyError

from bot.delivery import flags, messages
from bot.outbound.attempts import LEASE, LONGEST_WAIT
from bot.process.flip_confirmation import GIVE_UP_AFTER
from core import apply_file, watch
from core.files.syntax.problems import Unreadable
from core.rollout import commands as c
from core.rollout import driving
from core.rollout.announcements import CARD_KEY, Announcement, Kind
from core.rollout.context import ENGINE, Actor
from core.rollout.model import Rollout, State
from core.rollout.refusal import Refused
from core.rollout.world import World
from core.service import Request, Service
from core.store.audit import anchors
from core.store.coordination import outbox, timers
from core.store.coordination.outbox import URGENT
from core.store.database.append_backend import Claim
from core.store.errors import LeaseLost, StoreError
from core.store.maintenance import checkpointing, retention
from core.store.observations import deduplication, looks

log = structlog.get_logger()

PARTS = 10  # the looks of different rollouts are spread over an interval in as many steps
OVERDUE = 1.5  # a rollout is overdue after this many look intervals of real time
LOOK_AT_OPEN = timedelta(minutes=1)  # for a driven flag that does not have its decided value yet
LOOK_AT_SETTLED = timedelta(minutes=5)
CARD_EVERY = timedelta(minutes=1)
CARDS_AT_ONCE = 30  # cards that are edited within that time
LET_GO_AFTER = timedelta(minutes=15)  # after a rollback, once the flag is settled
_LEASE = timedelta(seconds=60)
_CLOCKS_DIFFER = timedelta(
    seconds=60
)  # between machines; a look further in the future means that the clock was set back
_KEEP_TIMERS = timedelta(hours=1)
_SETTINGS = Actor(id="system:settings", handle="ROLLOUT_POLICY")


@dataclass(slots=True)
class _Seen:
    """The progress of one rollout's slots, as this worker has seen it."""

    newest: datetime  # the newest slot recorded; an older one is no sign of progress
    dealt_with: datetime | None  # the slot that needs no more work
    number: int
    at: float  # monotonic seconds of the last progress


class Slots:
    """What one worker knows about look slots: which are finished, and which rollouts are overdue.

    Slots follow the wall clock, so that all workers agree on them. If that clock is set, a slot may repeat or stay away
    for long; so a rollout without progress for `overdue_after` real seconds is looked at whatever the clock says.
    """

    def __init__(self, overdue: float = float("inf"), elapsed: Callable[[], float] = time.monotonic) -> None:
        self._overdue = overdue
        self._elapsed = elapsed
        self._seen: dict[str, _Seen] = {}

    def is_dealt_with(self, rollout: str, slot: datetime) -> bool:
        """Whether this slot needs no more work, and the rollout is not overdue."""
        seen = self._seen.get(rollout)
        return seen is not None and seen.dealt_with == slot and not self.is_overdue(rollout, seen.number)

    def is_overdue(self, rollout: str, number: int) -> bool:
        """Whether a rollout that has had `look_count` looks is overdue; a changed count shows another worker at
        work."""
        seen = self._seen.get(rollout)
        return seen is not None and number == seen.number and self._elapsed() - seen.at > self._overdue

    def saw(self, rollout: str, slot: datetime, number: int, *, done: bool, mine: bool = False) -> None:
        """Note that the rollout has had `look_count` looks as of this slot.

        Progress is a slot claimed here, a later slot or a changed count; `is_finished` marks the slot as done.
        """
        seen = self._seen.get(rollout)
        if seen is None:
            self._seen[rollout] = seen = _Seen(slot, None, number, self._elapsed())
        elif mine or number != seen.number or slot > seen.newest:
            seen.at = self._elapsed()
        seen.newest, seen.number = max(seen.newest, slot), number
        if done:
            seen.dealt_with = slot


def tick(
    service: Service,
    now: datetime,
    every: timedelta,
    slots: Slots | None = None,
    away: Callable[[Exception], bool] = lambda _: False,
    blind_after: timedelta = timedelta.max,
) -> None:
    """Look once at each open rollout; each slot of a rollout is run by one worker only.

    Slots of different rollouts are staggered so that looks do not all run at once: call this `TICKS_PER_INTERVAL` times
    per `every`, always with the same `slots`. `report_outage` gets database errors and returns whether it logged them.
    If a rollout had no look for `unwatched_after`, its first new look does not let it grow.
    """
    slots = slots or Slots()
    for rollout in service.world().open:
        slot = _slot(now, every, rollout.id)
        if slots.is_dealt_with(rollout.id, slot):
            continue
        with service.database.reading() as connection:
            number, looked_at = looks.newest(connection, rollout.id)
        overdue = slots.is_overdue(rollout.id, number)
        if not overdue and looked_at is not None and slot <= looked_at < now + _CLOCKS_DIFFER:
            slots.saw(rollout.id, slot, number, done=True)
            continue
        # The look count in the name lets a slot that repeats, because the clock was set back, run again.
        name = f"tick:{rollout.id}:{number}"
        if overdue:  # a fresh name, since a dead worker may hold this slot until a time that was set back
            name = f"{name}:{uuid4().hex}"
        token = timers.claim(service.database, name, slot, now, _LEASE)
        slots.saw(rollout.id, slot, number, done=token is not None, mine=token is not None)
        if token is None:
            continue
        lease = watch.Lease(Claim(name, slot, token), _LEASE)
        try:
            outcome = watch.tick(service, rollout.id, now, every=every, lease=lease, blind_after=blind_after)
        except LeaseLost as lost:
            log.info("somebody else ticks", rollout=rollout.id, why=str(lost))
            continue
        except Refused as refused:
            outcome = None
            log.warning("tick refused", rollout=rollout.id, why=refused.message)
        except (StoreError, SQLAlchemyError) as error:
            if not away(error):
                log.warning(
                    "the database failed during a look; the next tick looks again", rollout=rollout.id, why=str(error)
                )
            continue
        except Exception as error:
            # One broken rollout must not stop the looks at the others, and must not grow without being judged.
            log.exception("tick failed", rollout=rollout.id)
            doubt = c.DoubtEvidence(text=f"what came in cannot be judged ({type(error).__name__}); see the log")
            _hand_in(service, rollout, doubt, f"broken:{rollout.id}:{slot.isoformat()}", now)
            continue
        if outcome is None:
            with service.database.plain_writing() as connection:
                timers.finish(connection, name, slot, token)


class PolicyFile:
    """The file named by `ROLLOUT_POLICY`: applied at the start and again whenever it changes."""

    def __init__(self, path: Path, service: Service) -> None:
        self._path = path
        self._service = service
        self._seen: tuple[int, int] | None = None

    def apply(self, now: datetime) -> None:
        """Apply the file; raises `Unreadable` or `Refused`. Applying the same content again changes nothing."""
        self._seen = self._stamp()
        apply_file.apply_text(
            self._service,
            self._path.read_text(encoding="utf-8"),
            str(self._path),
            by=_SETTINGS,
            at=now,
            command_id=f"policy:{uuid4().hex}",
        )

    def look(self, now: datetime) -> None:
        """Apply the file if it has changed. If that fails, log why and keep the old policy."""
        if self._stamp() == self._seen:
            return
        try:
            self.apply(now)
        except (Unreadable, Refused, OSError, UnicodeDecodeError) as error:
            what = "the policy file cannot be applied; the old policy stays"
            log.error(what, file=str(self._path), why=str(error))  # noqa: TRY400 - the file is wrong, not the program
        else:
            log.warning("the policy file was applied again", file=str(self._path))

    def _stamp(self) -> tuple[int, int]:
        """(modification time in ns, size in bytes); (0, 0) if the file cannot be read."""
        try:
            found = self._path.stat()
        except OSError:
            return (0, 0)  # applying it reports the reason
        return (found.st_mtime_ns, found.st_size)


def show_head(service: Service, now: datetime) -> None:
    """Queue the day's witness message, which posts the head of the log, if the log has grown since the last one."""
    day = f"{Kind.DAILY_WITNESS}:{now.astimezone(UTC):%Y-%m-%d}"
    with service.database.reading() as connection:
        unshown = anchors.unshown(connection)
        if unshown is None or outbox.find(connection, day) is not None:
            return
    position, changed_last = unshown
    channel = service.world().rollout(changed_last).plan.engineering_channel
    told = Announcement(kind=Kind.DAILY_WITNESS, rollout=changed_last, channel=channel, key=day)
    row = outbox.new(
        kind=messages.KIND,
        ordering_key=f"slack:{channel}",
        idempotency_key=day,  # of several workers that get here at once, one adds the row
        request={"announcement": told.fields(), "position": position},
        due_at=now,
        position=position,
    )
    with service.database.plain_writing() as connection:
        outbox.add(connection, row)


def refresh_cards(service: Service, now: datetime) -> None:
    """Have the card of whatever is looked at edited once a minute where a look has shown something new; where very many
    are under way they take turns, as Slack takes about fifty edits a minute."""
    looked_at = [r for r in service.peek().open if r.is_looked_at and CARD_KEY in r.messages]
    every = CARD_EVERY * -(-len(looked_at) // CARDS_AT_ONCE)
    for rollout in looked_at:
        slot = _slot(now, every, rollout.id)
        key = f"refresh:{rollout.id}:{slot.isoformat()}"
        with service.database.reading() as connection:
            news = looks.newest_news(connection, rollout.id)
            if news is None or news < slot - every or outbox.find(connection, key) is not None:
                continue
        if rollout.evidence_at is not None and news <= rollout.evidence_at:
            continue  # it was told with that evidence
        channel = rollout.plan.engineering_channel
        told = Announcement(kind=Kind.CARD, rollout=rollout.id, channel=channel, key=CARD_KEY)
        row = outbox.new(
            kind=messages.KIND,
            ordering_key=f"slack:{channel}",
            idempotency_key=key,  # of many workers that come here at once, one adds a row
            request={"announcement": told.fields(), "position": service.peek().position},
            due_at=now,
            position=service.peek().position,
            supersede_key=f"{Kind.CARD}:{rollout.id}:{CARD_KEY}",
        )
        with service.database.plain_writing() as connection:
            outbox.add(connection, row)


def heed_clock(service: Service, now: datetime, speed: float) -> None:
    """If the clock was set back, make outbox rows due that would otherwise wait for as long as it was set back."""
    with service.database.reading() as connection:
        if not outbox.is_stuck(connection, now, LEASE * speed, timedelta(seconds=LONGEST_WAIT * speed)):
            return
    with service.database.plain_writing() as connection:
        freed = outbox.free(connection, now, LEASE * speed, timedelta(seconds=LONGEST_WAIT * speed))
    log.warning("the clock was set back: messages that would wait for it do not", messages=freed)


@dataclass(frozen=True, slots=True)
class FlagSlots:
    """Slot trackers for checks of driven flags: unsettled flags are checked more often than settled ones."""

    open: Slots = field(default_factory=Slots)
    settled: Slots = field(default_factory=Slots)

    @classmethod
    def at_pace(cls, pace: float, elapsed: Callable[[], float] = time.monotonic) -> "FlagSlots":
        """Trackers for a rollouts' clock that runs `speed` times as fast as real time."""
        found = (Slots(OVERDUE * every.total_seconds() / pace, elapsed) for every in (LOOK_AT_OPEN, LOOK_AT_SETTLED))
        return cls(*found)


def look_at_flags(service: Service, now: datetime, slots: FlagSlots | None = None) -> None:
    """Queue a check of each driven flag: it may have been changed by hand, or an earlier failure may be gone."""
    world, slots = service.peek(), slots or FlagSlots()
    for rollout in world.rollouts.values():
        if not _is_looked_at(rollout, world, now):
            continue
        settled = driving.is_settled(rollout)
        every, seen = (LOOK_AT_SETTLED, slots.settled) if settled else (LOOK_AT_OPEN, slots.open)
        begins = datetime.fromtimestamp(now.timestamp() // every.seconds * every.seconds, UTC)
        slot = f"flag:{rollout.id}:look:{every.seconds}:{int(now.timestamp()) // every.seconds}"
        with service.database.reading() as connection:
            if outbox.is_waiting(connection, f"flag:{rollout.id}"):
                continue
            looked_at = outbox.find(connection, slot) is not None
        if looked_at and not seen.is_overdue(rollout.id, 0):
            seen.saw(rollout.id, begins, 0, done=True)
            continue
        seen.saw(rollout.id, begins, 0, done=True, mine=True)
        if looked_at:  # the clock was set back, so this slot repeats
            slot = f"{slot}:{uuid4().hex}"
        row = outbox.new(
            kind=flags.KIND,
            ordering_key=f"flag:{rollout.id}{'' if rollout.under_way else URGENT}",
            idempotency_key=slot,
            request={"rollout": rollout.id, "look": True},
            due_at=now,
            position=world.position,
        )
        with service.database.plain_writing() as connection:
            outbox.add(connection, row)


def _is_looked_at(rollout: Rollout, world: World, now: datetime) -> bool:
    """Whether this rollout's flag must be checked: while under way, and after a rollback until it is settled and a
    while longer. Then the flag belongs to its owners again, or to a later rollout that drives it."""
    if driving.desired(rollout) is None or rollout.state is State.DONE:
        return False
    if rollout.under_way or rollout.ended_at is None:
        return True
    if driving.others(rollout, world.rollouts.values()):
        return False
    return now - rollout.ended_at < (LET_GO_AFTER if driving.is_settled(rollout) else GIVE_UP_AFTER)


def forget(service: Service, now: datetime) -> None:
    """Delete idempotency keys and timers that are too old for a repeat to arrive."""
    with service.database.plain_writing() as connection:
        deduplication.forget(connection, now)
        timers.forget(connection, now - _KEEP_TIMERS)


def delete_old(service: Service, keep: timedelta, real_now: Callable[[], datetime] = lambda: datetime.now(UTC)) -> None:
    """Delete data outside the log that is older than `keep`, a bounded amount per call."""
    kept = service.peek().rollouts.keys()
    with service.database.plain_writing() as connection:
        deleted = retention.delete_old(connection, real_now() - keep, kept)
    if deleted.anything:
        log.info("deleted what is old", **asdict(deleted))


def take_checkpoint(
    service: Service, now: datetime, real_now: Callable[[], datetime] = lambda: datetime.now(UTC)
) -> None:
    """Save a checkpoint of the world once the log has grown enough to slow the next start."""
    by = "system:checkpoint"
    checkpointing.take_if_due(service.database, service.folds, by=by, at=now, recorded_at=real_now())


def _slot(now: datetime, every: timedelta, rollout: str) -> datetime:
    """When the rollout's current slot began. R-2's slots begin a tenth of `every` after R-1's, and so on."""
    number = int(rollout.rpartition("-")[2]) - 1
    begin = datetime(2000, 1, 1, tzinfo=UTC) + number % PARTS * every / PARTS
    return begin + (now - begin) // every * every


def _hand_in(service: Service, rollout: Rollout, command: c.Command, command_id: str, now: datetime) -> None:
    service.handle(Request(command=command, command_id=command_id, by=ENGINE, at=now, rollout=rollout.id))
