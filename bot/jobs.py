"""The periodic jobs: look at every open rollout, post what concerns the workspace, check driven flags, tidy up."""

import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from uuid import uuid4

import structlog
from sqlalchemy.exc import SQLAlchemyError

from bot.delivery.consumer import LEASE, MAX_BACKOFF
from bot.http.judging.count_results import JudgeResult, count_results
from bot.judges.http_judge import CallFailed, HttpJudge, InvalidVerdict
from bot.outbound.errors import PermanentFailure, RetryLater
from bot.process.flip_confirmation import GIVE_UP_AFTER
from core import apply_file, complaint_watch, evaluation
from core.digests.week import Week, week_of
from core.files.syntax.problems import UnreadableFile
from core.outbox_tasks import FlagTask, MessageTask, WorkspaceMessageTask
from core.report_sources import digest_sources
from core.rollout import commands as c
from core.rollout.context import ENGINE, Actor
from core.rollout.notifications.announcements import CARD_KEY, Announcement, AnnouncementKind, build_overdue_edits
from core.rollout.notifications.workspace_messages import WorkspaceMessage, WorkspaceMessageKind
from core.rollout.refusal import Refused
from core.rollout.serving import driving, exposure
from core.rollout.state.model import Rollout, RolloutState
from core.rollout.state.world import World
from core.service import CommandRequest, RolloutService
from core.shadow_eval.samples import ShadowSample
from core.store.audit import anchors
from core.store.coordination import outbox, timers
from core.store.database.append_backend import TimerClaim
from core.store.errors import LeaseLost, StoreError
from core.store.maintenance import checkpointing, retention
from core.store.observations import deduplication, looks, observation_sums, served_units, shadow_samples, trace_parts

log = structlog.get_logger()

TICKS_PER_INTERVAL = 10  # the looks of different rollouts are spread over an interval in as many steps
OVERDUE_FACTOR = 1.5  # a rollout is overdue after this many look intervals of real time
CHECK_UNSETTLED_FLAG_EVERY = timedelta(minutes=1)  # for a driven flag that does not have its decided value yet
CHECK_SETTLED_FLAG_EVERY = timedelta(minutes=5)
DIGEST_HOUR = 9  # on Mondays, in the policy's zone
COMPLAINTS_EVERY = timedelta(minutes=30)
ANSWERS_AT_ONCE = 20  # answers that are judged in one go
JUDGE_CALLS = 4  # at the same time
CARD_EVERY = timedelta(minutes=1)
CARDS_AT_ONCE = 30  # cards that are edited within that time
STOP_CHECKING_FLAG_AFTER = timedelta(minutes=15)  # after a rollback, once the flag is settled
_LEASE = timedelta(seconds=60)
# between machines; a look further in the future means that the clock was set back
_MAX_CLOCK_SKEW = timedelta(seconds=60)
_KEEP_TIMERS = timedelta(hours=1)
_SETTINGS_ACTOR = Actor(id="system:settings", handle="ROLLOUT_POLICY")


@dataclass(slots=True)
class _SlotProgress:
    """The progress of one rollout's slots, as this worker has seen it."""

    newest_slot: datetime  # the newest slot recorded; an older one is no sign of progress
    finished_slot: datetime | None  # the slot that needs no more work
    look_count: int
    advanced_at: float  # monotonic seconds of the last progress


class SlotTracker:
    """What one worker knows about look slots: which are finished, and which rollouts are overdue.

    Slots follow the wall clock, so that all workers agree on them. If that clock is set, a slot may repeat or stay away
    for long; so a rollout without progress for `overdue_after` real seconds is looked at whatever the clock says.
    """

    def __init__(self, overdue_after: float = float("inf"), elapsed: Callable[[], float] = time.monotonic) -> None:
        self._overdue_after = overdue_after
        self._elapsed = elapsed
        self._progress: dict[str, _SlotProgress] = {}

    def is_finished(self, rollout: str, slot: datetime) -> bool:
        """Whether this slot needs no more work, and the rollout is not overdue."""
        seen = self._progress.get(rollout)
        return seen is not None and seen.finished_slot == slot and not self.is_overdue(rollout, seen.look_count)

    def is_overdue(self, rollout: str, look_count: int) -> bool:
        """Whether a rollout that has had `look_count` looks is overdue; a changed count shows another worker at
        work."""
        seen = self._progress.get(rollout)
        return (
            seen is not None
            and look_count == seen.look_count
            and self._elapsed() - seen.advanced_at > self._overdue_after
        )

    def record_slot(
        self, rollout: str, slot: datetime, look_count: int, *, is_finished: bool, claimed_here: bool = False
    ) -> None:
        """Note that the rollout has had `look_count` looks as of this slot.

        Progress is a slot claimed here, a later slot or a changed count; `is_finished` marks the slot as done.
        """
        seen = self._progress.get(rollout)
        if seen is None:
            self._progress[rollout] = seen = _SlotProgress(slot, None, look_count, self._elapsed())
        elif claimed_here or look_count != seen.look_count or slot > seen.newest_slot:
            seen.advanced_at = self._elapsed()
        seen.newest_slot, seen.look_count = max(seen.newest_slot, slot), look_count
        if is_finished:
            seen.finished_slot = slot


def tick(
    service: RolloutService,
    now: datetime,
    every: timedelta,
    slots: SlotTracker | None = None,
    report_outage: Callable[[Exception], bool] = lambda _: False,
    unwatched_after: timedelta = timedelta.max,
) -> None:
    """Look once at each open rollout; each slot of a rollout is run by one worker only.

    Slots of different rollouts are staggered so that looks do not all run at once: call this `TICKS_PER_INTERVAL` times
    per `every`, always with the same `slots`. `report_outage` gets database errors and returns whether it logged them.
    If a rollout had no look for `unwatched_after`, its first new look does not let it grow.
    """
    slots = slots or SlotTracker()
    for rollout in service.load_world().open_rollouts:
        slot = _find_slot_start(now, every, rollout.id)
        if slots.is_finished(rollout.id, slot):
            continue
        with service.database.reading() as connection:
            look_count, looked_at = looks.load_count_and_time(connection, rollout.id)
        overdue = slots.is_overdue(rollout.id, look_count)
        if not overdue and looked_at is not None and slot <= looked_at < now + _MAX_CLOCK_SKEW:
            slots.record_slot(rollout.id, slot, look_count, is_finished=True)
            continue
        # The look count in the name lets a slot that repeats, because the clock was set back, run again.
        timer_name = f"tick:{rollout.id}:{look_count}"
        if overdue:  # a fresh name, since a dead worker may hold this slot until a time that was set back
            timer_name = f"{timer_name}:{uuid4().hex}"
        token = timers.claim(service.database, timer_name, slot, now, _LEASE)
        slots.record_slot(rollout.id, slot, look_count, is_finished=token is not None, claimed_here=token is not None)
        if token is None:
            continue
        lease = evaluation.LookLease(TimerClaim(timer_name, slot, token), _LEASE)
        try:
            outcome = evaluation.evaluate_rollout(
                service, rollout.id, now, every=every, lease=lease, unwatched_after=unwatched_after
            )
        except LeaseLost as lost:
            log.info("tick claimed by another worker", rollout=rollout.id, why=str(lost))
            continue
        except Refused as refused:
            outcome = None
            log.warning("tick refused", rollout=rollout.id, why=refused.message)
        except (StoreError, SQLAlchemyError) as error:
            if not report_outage(error):
                log.warning(
                    "the database failed during a look; the next tick looks again", rollout=rollout.id, why=str(error)
                )
            continue
        except Exception as error:
            # One broken rollout must not stop the looks at the others, and must not grow without being judged.
            log.exception("tick failed", rollout=rollout.id)
            doubt = c.DoubtEvidence(text=f"the incoming data cannot be judged ({type(error).__name__}); see the log")
            _submit_command(service, rollout, doubt, f"broken:{rollout.id}:{slot.isoformat()}", now)
            continue
        if outcome is None:
            with service.database.writing_outside_log() as connection:
                timers.finish(connection, timer_name, slot, token)


class PolicyFileWatcher:
    """The file named by `ROLLOUT_POLICY`: applied at the start and again whenever it changes."""

    def __init__(self, path: Path, service: RolloutService) -> None:
        self._path = path
        self._service = service
        self._applied_stamp: tuple[int, int] | None = None

    def apply(self, now: datetime) -> None:
        """Apply the file; raises `UnreadableFile` or `Refused`. Applying the same content again changes nothing."""
        self._applied_stamp = self._read_stamp()
        apply_file.apply_text(
            self._service,
            self._path.read_text(encoding="utf-8"),
            str(self._path),
            by=_SETTINGS_ACTOR,
            at=now,
            command_id=f"policy:{uuid4().hex}",
        )

    def apply_if_changed(self, now: datetime) -> None:
        """Apply the file if it has changed. If that fails, log why and keep the old policy."""
        if self._read_stamp() == self._applied_stamp:
            return
        try:
            self.apply(now)
        except (UnreadableFile, Refused, OSError, UnicodeDecodeError) as error:
            what = "the policy file cannot be applied; the old policy stays in force"
            log.error(what, file=str(self._path), why=str(error))  # noqa: TRY400 - the file is wrong, not the program
        else:
            log.warning("the policy file was applied again", file=str(self._path))

    def _read_stamp(self) -> tuple[int, int]:
        """(modification time in ns, size in bytes); (0, 0) if the file cannot be read."""
        try:
            found = self._path.stat()
        except OSError:
            return (0, 0)  # applying it reports the reason
        return (found.st_mtime_ns, found.st_size)


def queue_daily_witness(service: RolloutService, now: datetime) -> None:
    """Queue the day's witness message, which posts the head of the log, if the log has grown since the last one."""
    with service.database.reading() as connection:
        unshown = anchors.find_unanchored_head(connection)
    if unshown is None:
        return
    position, changed_last = unshown
    world = service.load_world()
    channel = _find_engineering_channel(world) or world.get_rollout(changed_last).plan.engineering_channel
    day = f"{now.astimezone(UTC):%Y-%m-%d}"
    _queue_workspace_message(service, WorkspaceMessageKind.DAILY_WITNESS, channel, day, position, now)


def queue_weekly_digest(service: RolloutService, now: datetime) -> None:
    """Queue the digest of the last week that was over when a Monday began to work (09:00 in the policy's zone).

    It goes to the engineering channel, and in one line to the leadership channel if the policy names one. A week
    without any rollout has none.
    """
    world = service.load_world()
    week = find_digest_week(now, world.policy.timezone)
    newest = service.load_newest_rollouts(1)
    if not newest or _is_queued(service, WorkspaceMessageKind.DIGEST, week.id):
        return
    if digest_sources.load_digest(service, week, now).is_empty:
        return
    channel = _find_engineering_channel(world) or newest[0].plan.engineering_channel
    # The line first: once the digest itself is queued, the week counts as done.
    if world.policy.channels is not None and (leadership := world.policy.channels.leadership):
        _queue_workspace_message(service, WorkspaceMessageKind.DIGEST_LINE, leadership, week.id, world.position, now)
    _queue_workspace_message(service, WorkspaceMessageKind.DIGEST, channel, week.id, world.position, now)


def find_digest_week(now: datetime, zone: str) -> Week:
    """The week before the newest Monday 09:00 in this zone."""
    this = week_of(now, zone)
    is_posted = now >= this.begins.replace(hour=DIGEST_HOUR)
    return this.shift(-1 if is_posted else -2)


def _find_engineering_channel(world: World) -> str:
    """The channel that the policy names for messages of the workspace; empty if it names none."""
    return world.policy.channels.engineering if world.policy.channels is not None else ""


def _is_queued(service: RolloutService, kind: WorkspaceMessageKind, subject: str) -> bool:
    key = WorkspaceMessage(kind=kind, channel="", subject=subject).key
    with service.database.reading() as connection:
        return outbox.find_by_key(connection, key) is not None


def _queue_workspace_message(
    service: RolloutService, kind: WorkspaceMessageKind, channel: str, subject: str, position: int, now: datetime
) -> None:
    """Queue a message once; of several workers that get here at once, one adds the row."""
    if _is_queued(service, kind, subject):
        return
    message = WorkspaceMessage(kind=kind, channel=channel, subject=subject)
    with service.database.writing_outside_log() as connection:
        outbox.insert_row(connection, WorkspaceMessageTask(message=message, position=position).build_row(now))


def refresh_cards(service: RolloutService, now: datetime) -> None:
    """Have the card of whatever is looked at edited once a minute where a look has shown something new; where very many
    are under way they take turns, as Slack takes about fifty edits a minute."""
    looked_at = [r for r in service.cached_world().open_rollouts if r.is_looked_at and CARD_KEY in r.messages]
    every = CARD_EVERY * -(-len(looked_at) // CARDS_AT_ONCE)
    for rollout in looked_at:
        slot = _find_slot_start(now, every, rollout.id)
        key = f"refresh:{rollout.id}:{slot.isoformat()}"
        with service.database.reading() as connection:
            news = looks.newest_news(connection, rollout.id)
            if news is None or news < slot - every or outbox.find_by_key(connection, key) is not None:
                continue
        if rollout.evidence_at is not None and news <= rollout.evidence_at:
            continue  # it was told with that evidence
        channel = rollout.plan.engineering_channel
        told = Announcement(kind=AnnouncementKind.CARD, rollout=rollout.id, channel=channel, key=CARD_KEY)
        task = MessageTask(announcement=told, position=service.cached_world().position)
        row = task.build_row(now, idempotency_key=key)  # of several workers that get here at once, one adds the row
        with service.database.writing_outside_log() as connection:
            outbox.insert_row(connection, row)


def queue_overdue_edits(service: RolloutService, now: datetime) -> None:
    """Queue an edit of each notice that gives a date which has passed, once for each date."""
    world = service.cached_world()
    for rollout in world.open_rollouts:
        key, edits = build_overdue_edits(rollout, now)
        for edit in edits:
            row_key = f"{key}:{edit.key}"
            with service.database.reading() as connection:
                if outbox.find_by_key(connection, row_key) is not None:
                    continue
            row = MessageTask(announcement=edit, position=world.position).build_row(now, idempotency_key=row_key)
            with service.database.writing_outside_log() as connection:
                outbox.insert_row(connection, row)


def ask_judge(service: RolloutService, judge: HttpJudge, now: datetime) -> int:
    """Have the judge rate answers that wait, and count what it says; how many it rated.

    An answer whose verdict makes no sense is asked about again, a few times. While the judge does not answer at all,
    nothing is lost: the answers wait.
    """
    with service.database.writing_outside_log() as connection:
        tasks = shadow_samples.lease_samples(connection, now, ANSWERS_AT_ONCE)
    if not tasks:
        return 0
    with ThreadPoolExecutor(JUDGE_CALLS, thread_name_prefix="judge") as calls:
        verdicts = list(calls.map(partial(_ask_about, judge), tasks))
    unasked = [task.id for task, verdict in zip(tasks, verdicts, strict=True) if isinstance(verdict, CallFailed)]
    reasons = {verdict.reason for verdict in verdicts if isinstance(verdict, CallFailed | InvalidVerdict)}
    for reason in sorted(reasons):
        log.warning("answers could not be judged", why=reason)
    results = [verdict for verdict in verdicts if isinstance(verdict, JudgeResult)]
    snapshot = exposure.build_snapshot(service.load_world())
    with service.database.writing_outside_log() as connection:
        shadow_samples.return_samples(connection, unasked)
        checked = count_results(connection, results, snapshot, now)
        placed = [taken.placed for taken in checked.accepted if taken.placed is not None]
        observation_sums.add_observations(connection, placed)
    return len(results)


def _ask_about(judge: HttpJudge, task: ShadowSample) -> JudgeResult | InvalidVerdict | CallFailed:
    try:
        passed, score = judge.judge(
            task=task.id, judge=task.judge, surface=task.surface, question=task.question, answer=task.answer
        )
    except InvalidVerdict as invalid:
        return invalid
    except (PermanentFailure, RetryLater) as failure:
        return CallFailed(reason=str(failure))
    return JudgeResult(task=task.id, judge=task.judge, passed=passed, score=score)


def release_stuck_rows(service: RolloutService, now: datetime, speed: float) -> None:
    """If the clock was set back, make outbox rows due that would otherwise wait for as long as it was set back."""
    with service.database.reading() as connection:
        if not outbox.has_stuck_rows(connection, now, LEASE * speed, timedelta(seconds=MAX_BACKOFF * speed)):
            return
    with service.database.writing_outside_log() as connection:
        freed = outbox.release_stuck_rows(connection, now, LEASE * speed, timedelta(seconds=MAX_BACKOFF * speed))
    log.warning("the clock was set back: messages that would have waited for it are due now", messages=freed)


@dataclass(frozen=True, slots=True)
class FlagSlotTrackers:
    """Slot trackers for checks of driven flags: unsettled flags are checked more often than settled ones."""

    unsettled: SlotTracker = field(default_factory=SlotTracker)
    settled: SlotTracker = field(default_factory=SlotTracker)

    @classmethod
    def for_speed(cls, speed: float, elapsed: Callable[[], float] = time.monotonic) -> "FlagSlotTrackers":
        """Trackers for a rollouts' clock that runs `speed` times as fast as real time."""
        found = (
            SlotTracker(OVERDUE_FACTOR * every.total_seconds() / speed, elapsed)
            for every in (CHECK_UNSETTLED_FLAG_EVERY, CHECK_SETTLED_FLAG_EVERY)
        )
        return cls(*found)


def queue_flag_checks(service: RolloutService, now: datetime, slots: FlagSlotTrackers | None = None) -> None:
    """Queue a check of each driven flag: it may have been changed by hand, or an earlier failure may be gone."""
    world, slots = service.cached_world(), slots or FlagSlotTrackers()
    for rollout in world.rollouts.values():
        if not _needs_flag_check(rollout, world, now):
            continue
        settled = driving.is_settled(rollout)
        every, tracker = (
            (CHECK_SETTLED_FLAG_EVERY, slots.settled) if settled else (CHECK_UNSETTLED_FLAG_EVERY, slots.unsettled)
        )
        slot_start = datetime.fromtimestamp(now.timestamp() // every.seconds * every.seconds, UTC)
        task = FlagTask(rollout=rollout.id, is_check=True)
        slot_key = f"{task.destination}:look:{every.seconds}:{int(now.timestamp()) // every.seconds}"
        with service.database.reading() as connection:
            if outbox.has_unsent_rows(connection, task.destination):
                continue
            looked_at = outbox.find_by_key(connection, slot_key) is not None
        if looked_at and not tracker.is_overdue(rollout.id, 0):
            tracker.record_slot(rollout.id, slot_start, 0, is_finished=True)
            continue
        tracker.record_slot(rollout.id, slot_start, 0, is_finished=True, claimed_here=True)
        if looked_at:  # the clock was set back, so this slot repeats
            slot_key = f"{slot_key}:{uuid4().hex}"
        row = task.build_row(now, world.position, idempotency_key=slot_key, is_urgent=not rollout.is_under_way)
        with service.database.writing_outside_log() as connection:
            outbox.insert_row(connection, row)


def _needs_flag_check(rollout: Rollout, world: World, now: datetime) -> bool:
    """Whether this rollout's flag must be checked: while under way, and after a rollback until it is settled and a
    while longer. Then the flag belongs to its owners again, or to a later rollout that drives it."""
    if driving.desired_percent(rollout) is None or rollout.state is RolloutState.DONE:
        return False
    if rollout.is_under_way or rollout.ended_at is None:
        return True
    if driving.find_competing_rollouts(rollout, world.rollouts.values()):
        return False
    return now - rollout.ended_at < (STOP_CHECKING_FLAG_AFTER if driving.is_settled(rollout) else GIVE_UP_AFTER)


def delete_expired_keys(service: RolloutService, now: datetime) -> None:
    """Delete idempotency keys and timers that are too old for a repeat to arrive."""
    with service.database.writing_outside_log() as connection:
        deduplication.delete_expired(connection, now)
        trace_parts.delete_expired(connection, now)
        shadow_samples.delete_expired(connection, now)
        timers.delete_before(connection, now - _KEEP_TIMERS)


def delete_old_customers(service: RolloutService, now: datetime) -> None:
    """Delete the ids of customers that the policy does not keep any longer; all of them if it keeps none."""
    records = service.cached_world().policy.customers
    before = now - records.keep if records is not None else None
    with service.database.writing_outside_log() as connection:
        deleted = served_units.delete_older(connection, before)
    if deleted:
        log.info("deleted ids of customers", customers=deleted)


def delete_old_data(
    service: RolloutService, keep: timedelta, real_now: Callable[[], datetime] = lambda: datetime.now(UTC)
) -> None:
    """Delete data outside the log that is older than `keep`, a bounded amount per call."""
    kept = service.cached_world().rollouts.keys()
    with service.database.writing_outside_log() as connection:
        deleted = retention.delete_old(connection, real_now() - keep, kept)
    if deleted.has_any:
        log.info("deleted old data", **asdict(deleted))


def watch_complaints(service: RolloutService, now: datetime, slots: SlotTracker | None = None) -> None:
    """Every half hour, hold each rollout without a control that has more complaints than is normal at these hours."""
    slots = slots or SlotTracker()
    for rollout in service.cached_world().open_rollouts:
        slot = _find_slot_start(now, COMPLAINTS_EVERY, rollout.id)
        if rollout.is_looked_at and not slots.is_finished(rollout.id, slot):
            complaint_watch.hold_if_beyond_normal(service, rollout, now)
            slots.record_slot(rollout.id, slot, 0, is_finished=True, claimed_here=True)


def take_checkpoint(
    service: RolloutService, now: datetime, real_now: Callable[[], datetime] = lambda: datetime.now(UTC)
) -> None:
    """Save a checkpoint of the world once the log has grown enough to slow the next start."""
    by = "system:checkpoint"
    checkpointing.take_if_due(service.database, service.world_cache, by=by, at=now, recorded_at=real_now())


def _find_slot_start(now: datetime, every: timedelta, rollout: str) -> datetime:
    """When the rollout's current slot began. R-2's slots begin a tenth of `every` after R-1's, and so on."""
    number = int(rollout.rpartition("-")[2]) - 1
    begin = datetime(2000, 1, 1, tzinfo=UTC) + number % TICKS_PER_INTERVAL * every / TICKS_PER_INTERVAL
    return begin + (now - begin) // every * every


def _submit_command(
    service: RolloutService, rollout: Rollout, command: c.Command, command_id: str, now: datetime
) -> None:
    service.handle(CommandRequest(command=command, command_id=command_id, by=ENGINE, at=now, rollout=rollout.id))
