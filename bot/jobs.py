"""What is done again and again: look at every rollout and driven flag, forget what is old."""

import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from uuid import uuid4

import structlog
from sqlalchemy.exc import SQLAlchemyError

from bot import delivery, flag_delivery
from bot.attempts import LEASE, LONGEST_WAIT
from bot.confirming import GIVE_UP_AFTER
from core import applying, watch
from core.rollout import commands as c
from core.rollout import driving
from core.rollout.announcements import CARD_KEY, Announcement, Kind
from core.rollout.context import ENGINE, Actor
from core.rollout.model import Rollout, State
from core.rollout.refusal import Refused
from core.rollout.world import World
from core.service import Request, Service
from core.spec.problems import Unreadable
from core.store import anchors, checkpointing, intake, looks, outbox, retention, timers
from core.store.errors import LeaseLost, StoreError
from core.store.outbox import URGENT
from core.store.trips import Claim

log = structlog.get_logger()

PARTS = 10
OVERDUE = 1.5  # times the interval of looks, in real time
LOOK_AT_OPEN = timedelta(minutes=1)  # a driven flag that is not yet where it should be
LOOK_AT_SETTLED = timedelta(minutes=5)
CARD_EVERY = timedelta(minutes=1)
CARDS_AT_ONCE = 30  # cards that are edited within that time
LET_GO_AFTER = timedelta(minutes=15)
_LEASE = timedelta(seconds=60)
_CLOCKS_DIFFER = timedelta(seconds=60)  # by less than this between machines; a look further ahead is a clock set back
_KEEP_TIMERS = timedelta(hours=1)
_SETTINGS = Actor(id="system:settings", handle="ROLLOUT_POLICY")


@dataclass(slots=True)
class _Seen:
    newest: datetime  # of its slots; one that was seen before is no news
    dealt_with: datetime | None  # the slot in which there is nothing more to be done
    number: int
    at: float


class Slots:
    """What one worker has seen of the slots: which need not be asked about again, and which rollout is overdue.

    Slots go by the clock on the wall, so that workers meet in them. Where that clock is set, slots come twice, or not
    for long; `overdue` seconds after a rollout was seen to last it is looked at whatever that clock says.
    """

    def __init__(self, overdue: float = float("inf"), elapsed: Callable[[], float] = time.monotonic) -> None:
        self._overdue = overdue
        self._elapsed = elapsed
        self._seen: dict[str, _Seen] = {}

    def is_dealt_with(self, rollout: str, slot: datetime) -> bool:
        seen = self._seen.get(rollout)
        return seen is not None and seen.dealt_with == slot and not self.is_overdue(rollout, seen.number)

    def is_overdue(self, rollout: str, number: int) -> bool:
        """Where `number` looks have been made by now: where that is news, somebody else is at work."""
        seen = self._seen.get(rollout)
        return seen is not None and number == seen.number and self._elapsed() - seen.at > self._overdue

    def saw(self, rollout: str, slot: datetime, number: int, *, done: bool, mine: bool = False) -> None:
        """`number` looks were made by this slot. What is `mine`, a later slot or another number shows that somebody is
        at work."""
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
    """One look at each rollout that is open; each slot of each rollout is run by one worker only.

    The slots of different rollouts begin at different times, so that fifty looks are not made in one breath: to be
    called `PARTS` times as often as `every`, with `slots` that remember in between what need not be asked.
    `away` is told of errors, and whether it has said what there is to say. After `blind_after` without a look nothing
    grows on the first one.
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
        # With the number of the look, a slot that comes a second time, because the clock was set back, is run again.
        name = f"tick:{rollout.id}:{number}"
        if overdue:  # and so it is where no look is made, or somebody died who held it until an hour that was set back
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
            # One broken rollout must not blind the others; nor may it grow unseen.
            log.exception("tick failed", rollout=rollout.id)
            doubt = c.DoubtEvidence(text=f"what came in cannot be judged ({type(error).__name__}); see the log")
            _hand_in(service, rollout, doubt, f"broken:{rollout.id}:{slot.isoformat()}", now)
            continue
        if outcome is None:
            with service.database.plain_writing() as connection:
                timers.finish(connection, name, slot, token)


class PolicyFile:
    """The policy of `ROLLOUT_POLICY`: applied when the process starts, and again whenever the file changes."""

    def __init__(self, path: Path, service: Service) -> None:
        self._path = path
        self._service = service
        self._seen: tuple[int, int] | None = None

    def apply(self, now: datetime) -> None:
        """Apply it as it is now; `Unreadable` or `Refused` says what is wrong. The same twice changes nothing."""
        self._seen = self._stamp()
        applying.apply_text(
            self._service,
            self._path.read_text(encoding="utf-8"),
            str(self._path),
            by=_SETTINGS,
            at=now,
            command_id=f"policy:{uuid4().hex}",
        )

    def look(self, now: datetime) -> None:
        """Apply it if it has changed; where it cannot be, say so in the log, and the old policy stays."""
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
        try:
            found = self._path.stat()
        except OSError:
            return (0, 0)  # reading it says why
        return (found.st_mtime_ns, found.st_size)


def show_head(service: Service, now: datetime) -> None:
    """Once a day (UTC), if the log has grown since its head was last shown, have it shown where people read it."""
    day = f"{Kind.DAILY_WITNESS}:{now.astimezone(UTC):%Y-%m-%d}"
    with service.database.reading() as connection:
        unshown = anchors.unshown(connection)
        if unshown is None or outbox.find(connection, day) is not None:
            return
    position, changed_last = unshown
    channel = service.world().rollout(changed_last).plan.engineering_channel
    told = Announcement(kind=Kind.DAILY_WITNESS, rollout=changed_last, channel=channel, key=day)
    row = outbox.new(
        kind=delivery.KIND,
        ordering_key=f"slack:{channel}",
        idempotency_key=day,  # of many workers that come here at once, one adds a row
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
            kind=delivery.KIND,
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
    """Where the clock was set back, nothing that waited for a time by it waits for as long as it was set back."""
    with service.database.reading() as connection:
        if not outbox.is_stuck(connection, now, LEASE * speed, timedelta(seconds=LONGEST_WAIT * speed)):
            return
    with service.database.plain_writing() as connection:
        freed = outbox.free(connection, now, LEASE * speed, timedelta(seconds=LONGEST_WAIT * speed))
    log.warning("the clock was set back: messages that would wait for it do not", messages=freed)


@dataclass(frozen=True, slots=True)
class FlagSlots:
    """What one worker has seen of the slots in which driven flags are looked at, by how often that is."""

    open: Slots = field(default_factory=Slots)
    settled: Slots = field(default_factory=Slots)

    @classmethod
    def at_pace(cls, pace: float, elapsed: Callable[[], float] = time.monotonic) -> "FlagSlots":
        """Of a rollouts' clock that goes `pace` times as fast as real time."""
        found = (Slots(OVERDUE * every.total_seconds() / pace, elapsed) for every in (LOOK_AT_OPEN, LOOK_AT_SETTLED))
        return cls(*found)


def look_at_flags(service: Service, now: datetime, slots: FlagSlots | None = None) -> None:
    """Have driven flags looked at again: changed by hand perhaps, or what they could not be set for has been mended."""
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
        if looked_at:  # in an hour that comes a second time
            slot = f"{slot}:{uuid4().hex}"
        row = outbox.new(
            kind=flag_delivery.KIND,
            ordering_key=f"flag:{rollout.id}{'' if rollout.under_way else URGENT}",
            idempotency_key=slot,
            request={"rollout": rollout.id, "look": True},
            due_at=now,
            position=world.position,
        )
        with service.database.plain_writing() as connection:
            outbox.add(connection, row)


def _is_looked_at(rollout: Rollout, world: World, now: datetime) -> bool:
    """While it is under way. After a rollback until it is set, and for a while in case something comes late; then the
    flag is its owners' again, as it is where a later rollout decides on it."""
    if driving.desired(rollout) is None or rollout.state is State.DONE:
        return False
    if rollout.under_way or rollout.ended_at is None:
        return True
    if driving.others(rollout, world.rollouts.values()):
        return False
    return now - rollout.ended_at < (LET_GO_AFTER if driving.is_settled(rollout) else GIVE_UP_AFTER)


def forget(service: Service, now: datetime) -> None:
    """Delete what only served to recognise repeats, once no repeat can come any more."""
    with service.database.plain_writing() as connection:
        intake.forget(connection, now)
        timers.forget(connection, now - _KEEP_TIMERS)


def delete_old(service: Service, keep: timedelta, real_now: Callable[[], datetime] = lambda: datetime.now(UTC)) -> None:
    """Delete what is not the log and is older than `keep`, a part of it at a time."""
    kept = service.peek().rollouts.keys()
    with service.database.plain_writing() as connection:
        deleted = retention.delete_old(connection, real_now() - keep, kept)
    if deleted.anything:
        log.info("deleted what is old", **asdict(deleted))


def take_checkpoint(
    service: Service, now: datetime, real_now: Callable[[], datetime] = lambda: datetime.now(UTC)
) -> None:
    """Save what the log says, once it has grown by so much that reading it would slow the next start."""
    by = "system:checkpoint"
    checkpointing.take_if_due(service.database, service.folds, by=by, at=now, recorded_at=real_now())


def _slot(now: datetime, every: timedelta, rollout: str) -> datetime:
    """When the newest slot of this rollout began: for R-1 with the clock, for R-2 a tenth of `every` later."""
    number = int(rollout.rpartition("-")[2]) - 1
    begin = datetime(2000, 1, 1, tzinfo=UTC) + number % PARTS * every / PARTS
    return begin + (now - begin) // every * every


def _hand_in(service: Service, rollout: Rollout, command: c.Command, command_id: str, now: datetime) -> None:
    service.handle(Request(command=command, command_id=command_id, by=ENGINE, at=now, rollout=rollout.id))
