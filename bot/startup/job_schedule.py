"""Which job runs how often."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import partial

from slack_sdk import WebClient

from bot.delivery import code_reverts, driven_flags, messages
from bot.jobs import (
    complaint_checks,
    conversation_ends,
    due_times,
    flag_checks,
    looking,
    message_edits,
    upkeep,
    workspace_messages,
)
from bot.jobs.judging import anchor_rounds, answer_judging
from bot.jobs.models.retirement_watch import RetirementWatch
from bot.jobs.pulling.source_pulls import SourcePuller
from bot.judges.http_judge import HttpJudge
from bot.process.block_support import BlockSupport
from bot.process.flip_confirmation import FlipConfirmer
from bot.process.outage import DatabaseOutage
from bot.settings import Settings
from bot.slack.directory import SlackDirectory
from bot.startup import connections
from bot.startup.scheduler import JobScheduler
from core.service import holdout_comparison
from core.service.service import RolloutService

CONFIRM_FLIPS_EVERY = timedelta(seconds=0.2)
ASK_JUDGE_EVERY = timedelta(seconds=2)
RUN_ANCHORS_EVERY = timedelta(seconds=2)
PULL_SOURCES_EVERY = timedelta(seconds=2)
DELIVER_MESSAGES_EVERY = timedelta(seconds=0.25)
DRIVE_FLAGS_EVERY = timedelta(seconds=0.25)
SCHEDULE_FLAG_CHECKS_EVERY = timedelta(seconds=5)
REFRESH_HOME_TABS_EVERY = timedelta(seconds=2)
REFRESH_CARDS_EVERY = timedelta(seconds=5)
TICK_AT_MOST_EVERY = timedelta(seconds=1)
RELEASE_STUCK_ROWS_EVERY = timedelta(seconds=2)
DELETE_EXPIRED_KEYS_EVERY = timedelta(minutes=10)
WATCH_COMPLAINTS_EVERY = timedelta(seconds=10)
MOVE_CONVERSATIONS_EVERY = timedelta(seconds=5)
SETTLE_HOLDOUTS_EVERY = timedelta(seconds=5)
DELETE_CUSTOMERS_EVERY = timedelta(minutes=5)
DELETE_OLD_DATA_EVERY = timedelta(minutes=15)
CHECKPOINT_EVERY = timedelta(minutes=1)
REPORT_MODELS_EVERY = timedelta(seconds=1)
READ_RETIREMENTS_EVERY = timedelta(hours=1)
RELOAD_POLICY_EVERY = timedelta(seconds=2)


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkerParts:
    """What the jobs of a worker use. `now` is the rollouts' clock, `speed` how many times as fast as real time it runs
    at the moment, `channel_pause` the least time between two messages to one Slack channel."""

    settings: Settings
    service: RolloutService
    slack: WebClient | None
    directory: SlackDirectory | None
    now: Callable[[], datetime]
    speed: Callable[[], float]
    channel_pause: timedelta
    outage: DatabaseOutage
    support: BlockSupport


def schedule_worker_jobs(scheduler: JobScheduler, parts: WorkerParts) -> None:
    """Register every periodic job of a worker with the scheduler."""
    _schedule_looks(scheduler, parts)
    _schedule_upkeep(scheduler, parts)
    _schedule_other_systems(scheduler, parts)
    if parts.slack is not None and parts.directory is not None:
        _schedule_messages(scheduler, parts, parts.slack, parts.directory)


def _schedule_looks(scheduler: JobScheduler, parts: WorkerParts) -> None:
    """Looks at the evidence, and what follows a rollback."""
    service, now, speed = parts.service, parts.now, parts.speed
    every = parts.settings.tick
    look_progress = due_times.DueTimes(overdue_after=lambda: due_times.OVERDUE_FACTOR * every.total_seconds() / speed())

    def choose_tick_interval() -> timedelta:
        interval = every / speed()
        return min(interval, max(interval / due_times.TICKS_PER_INTERVAL, TICK_AT_MOST_EVERY))

    scheduler.run_every(
        choose_tick_interval,
        lambda: looking.tick(
            service, now(), every, look_progress, parts.outage.record_failure, parts.settings.blind_after
        ),
        "tick",
    )
    confirmer = FlipConfirmer(service)
    scheduler.run_every(CONFIRM_FLIPS_EVERY, lambda: confirmer.confirm_pending(now()), "confirm")
    complaint_progress = due_times.DueTimes()
    scheduler.run_every(
        WATCH_COMPLAINTS_EVERY,
        lambda: complaint_checks.watch_complaints(service, now(), complaint_progress),
        "watch complaints",
    )
    scheduler.run_every(
        MOVE_CONVERSATIONS_EVERY, lambda: conversation_ends.move_due(service, now()), "move conversations"
    )
    scheduler.run_every(SETTLE_HOLDOUTS_EVERY, lambda: holdout_comparison.settle_due(service, now()), "settle holdouts")


def _schedule_upkeep(scheduler: JobScheduler, parts: WorkerParts) -> None:
    """What keeps the database small and quick."""
    service, now, speed = parts.service, parts.now, parts.speed
    scheduler.run_every(
        RELEASE_STUCK_ROWS_EVERY, lambda: upkeep.release_stuck_rows(service, now(), speed()), "release stuck"
    )
    scheduler.run_every(DELETE_EXPIRED_KEYS_EVERY, lambda: upkeep.delete_expired_keys(service, now()), "forget")
    scheduler.run_every(DELETE_CUSTOMERS_EVERY, lambda: upkeep.delete_old_customers(service, now()), "forget customers")
    if (keep := parts.settings.keep) is not None:
        scheduler.run_every(DELETE_OLD_DATA_EVERY, lambda: upkeep.delete_old_data(service, keep), "delete old")
    scheduler.run_every(CHECKPOINT_EVERY, lambda: upkeep.take_checkpoint(service, now()), "checkpoint")


def _schedule_other_systems(scheduler: JobScheduler, parts: WorkerParts) -> None:
    """What is asked of judges, sources of metrics, retirement lists, flag systems and code hosts."""
    settings, service, now, speed = parts.settings, parts.service, parts.now, parts.speed
    outbound = connections.build_outbound_client(settings)
    if settings.judge_url:
        judge = HttpJudge(outbound, url=settings.judge_url, token=settings.judge_token)
        scheduler.run_every(ASK_JUDGE_EVERY, lambda: answer_judging.ask_judge(service, judge, now()), "judge answers")
    scheduler.run_every(RUN_ANCHORS_EVERY, lambda: anchor_rounds.run_anchor_rounds(service, now()), "judge anchors")
    puller = SourcePuller(service, dict(settings.source_urls), settings.private_hosts, speed=speed)
    scheduler.run_every(PULL_SOURCES_EVERY, lambda: puller.pull_due(now()), "pull sources")
    if settings.retirements:
        watch = RetirementWatch(settings.retirements, outbound, service)
        scheduler.run_every(READ_RETIREMENTS_EVERY, lambda: watch.warn_due(now()), "retirements")
    open_flag = partial(connections.open_flag_system, settings, outbound)
    deliver_flags = partial(driven_flags.deliver_due, service, open_flag, now)
    open_revert = partial(connections.open_revert_system, settings, outbound)
    revert_code = partial(code_reverts.deliver_due, service, open_revert, now)
    scheduler.run_every(
        DRIVE_FLAGS_EVERY,
        lambda: revert_code(speed=speed()) if code_reverts.has_reverts(service.cached_world()) else 0,
        "revert code",
    )
    flag_progress = flag_checks.FlagDueTimes.for_speed(speed)
    # Runs without a token, too: the attempt then tells people that the token is missing.
    scheduler.run_every(
        DRIVE_FLAGS_EVERY,
        lambda: deliver_flags(speed=speed()) if driven_flags.has_driven_flags(service.cached_world()) else 0,
        "drive",
    )
    scheduler.run_every(
        SCHEDULE_FLAG_CHECKS_EVERY, lambda: flag_checks.queue_flag_checks(service, now(), flag_progress), "check flags"
    )


def _schedule_messages(
    scheduler: JobScheduler, parts: WorkerParts, slack: WebClient, directory: SlackDirectory
) -> None:
    """What is posted to Slack."""
    service, now = parts.service, parts.now
    deliver_messages = partial(
        messages.deliver_due,
        service,
        slack,
        now,
        mention=directory.format_mention,
        members=directory.list_members,
        channel_pause=parts.channel_pause,
        support=parts.support,
    )
    scheduler.run_every(DELIVER_MESSAGES_EVERY, lambda: deliver_messages(speed=parts.speed()), "deliver")

    def refresh() -> timedelta:
        return max(REFRESH_CARDS_EVERY / parts.speed(), TICK_AT_MOST_EVERY)

    scheduler.run_every(refresh, lambda: message_edits.refresh_cards(service, now()), "refresh cards")
    scheduler.run_every(refresh, lambda: message_edits.queue_overdue_edits(service, now()), "edit overdue notices")
    scheduler.run_daily(lambda: workspace_messages.queue_daily_witness(service, now()), "post witness", now)
    scheduler.run_weekly(
        lambda: workspace_messages.queue_weekly_digest(service, now()),
        "post digest",
        now,
        lambda: service.cached_world().policy.timezone,
        weekday=workspace_messages.DIGEST_WEEKDAY,
        hour=workspace_messages.DIGEST_HOUR,
    )
