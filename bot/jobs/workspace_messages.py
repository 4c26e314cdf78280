"""Messages of the workspace: the daily witness and the weekly digest, each queued once."""

from datetime import UTC, datetime, timedelta

from core.digests.week import Week, week_of
from core.report_sources import digest_sources
from core.rollout.notifications.workspace_messages import WorkspaceMessage, WorkspaceMessageKind
from core.rollout.state.world import World
from core.service.outbox_tasks import WorkspaceMessageTask
from core.service.service import RolloutService
from core.store.audit import witnesses
from core.store.coordination import outbox

DIGEST_WEEKDAY, DIGEST_HOUR = 0, 9  # Monday, 09:00 in the policy's zone


def queue_daily_witness(service: RolloutService, now: datetime) -> None:
    """Queue the day's witness message, which posts the head of the log, if the log has grown since the last one."""
    with service.database.reading() as connection:
        unshown = witnesses.find_unanchored_head(connection)
    if unshown is None:
        return
    position, changed_last = unshown
    world = service.load_world()
    channel = _find_engineering_channel(world) or world.get_rollout(changed_last).plan.engineering_channel
    day = f"{now.astimezone(UTC):%Y-%m-%d}"
    _queue_workspace_message(service, WorkspaceMessageKind.DAILY_WITNESS, channel, day, position, now)


def queue_weekly_digest(service: RolloutService, now: datetime) -> None:
    """Queue the digest of the last week that was over when digests were last due (Monday 09:00 in the policy's zone).

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
    """The week before the one in which a digest was last due in this zone."""
    this = week_of(now, zone)
    is_posted = now >= (this.begins + timedelta(days=DIGEST_WEEKDAY)).replace(hour=DIGEST_HOUR)
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
