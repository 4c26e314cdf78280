"""What a message says when it is sent, rendered from the state at that time."""

from collections.abc import Callable
from datetime import datetime
from typing import assert_never

from bot.commands.answers import plan_queries
from bot.rendering import wording
from bot.rendering.blocks.blocks import Message
from bot.rendering.messages import announcement_messages, card
from bot.rendering.messages.announcement_messages import MessageLookups
from bot.rendering.messages.plan_facts import DecisionFacts, ListMembers
from bot.rendering.messages.workspace import digest, model_messages, witness
from bot.rendering.sentences.schedule import LikelyDates, find_likely_dates
from core.digests.digest import Digest
from core.digests.week import parse_week
from core.judging.report.series import SeriesPoint
from core.report_sources import digest_sources, investigation_sources, look_reports
from core.reviews.investigation import Investigation
from core.rollout.notifications.announcement import Announcement
from core.rollout.notifications.announcement_kinds import AnnouncementKind
from core.rollout.notifications.workspace_messages import WorkspaceMessage, WorkspaceMessageKind
from core.rollout.state.model import RolloutState
from core.rollout.state.surface import OtherModelAnswered, RetirementTold
from core.rollout.state.world import World
from core.service.outbox_tasks import MessageTask
from core.service.service import RolloutService
from core.store.coordination.outbox import OutboxRow
from core.store.database.connections import Database
from core.store.log import event_log
from core.store.log.event_log import StoredEvent


def load_row_event(database: Database, row: OutboxRow) -> StoredEvent:
    """The event that this row was written with."""
    with database.reading() as connection:
        return event_log.read_after(connection, row.position - 1, limit=1)[0]


class MessageRenderer:
    """Renders what rows of the outbox announce.

    `mention` turns a user group's name into a mention, or an empty string, and `members` lists its members.
    """

    def __init__(
        self,
        service: RolloutService,
        now: Callable[[], datetime],
        mention: Callable[[str], str],
        members: ListMembers,
    ) -> None:
        self._service = service
        self._now = now
        self._mention = mention
        self._members = members

    def render_announcement(self, row: OutboxRow, announcement: Announcement, world: World) -> Message | None:
        """The message about a rollout as of now; None if it is no longer needed."""
        if announcement.kind is AnnouncementKind.WITNESS:
            return self._render_witness(row)
        entries = self._service.load_entries(announcement.rollout)

        def format_group(group: str) -> str:
            return self._mention(group) or wording.escape(group)

        def load_trend(metric: str) -> tuple[SeriesPoint, ...]:
            return look_reports.load_trend(self._service, world.get_rollout(announcement.rollout), metric)

        def load_newer_look() -> card.Newer:
            return look_reports.load_unrecorded_judgement(self._service, world.get_rollout(announcement.rollout))

        def load_facts() -> DecisionFacts:
            rollout = world.get_rollout(announcement.rollout)
            return plan_queries.load_decision_facts(self._service, rollout, entries, self._now(), self._members)

        def foresee_dates() -> LikelyDates | None:
            rollout = world.get_rollout(announcement.rollout)
            if rollout.state is not RolloutState.PLANNED:
                return None
            return find_likely_dates(plan_queries.load_rollout_outlook(self._service, rollout, self._now()))

        def find_investigation() -> Investigation | None:
            return investigation_sources.find_investigation(self._service, world.get_rollout(announcement.rollout))

        return announcement_messages.render(
            announcement,
            MessageTask.parse(row.request).position,
            world,
            entries,
            self._now(),
            MessageLookups(
                format_group=format_group,
                load_trend=load_trend,
                load_newer_look=load_newer_look,
                load_facts=load_facts,
                foresee_dates=foresee_dates,
                find_investigation=find_investigation,
            ),
        )

    def render_about_surface(self, row: OutboxRow, announcement: Announcement, world: World) -> Message | None:
        """The message about an AI feature and no rollout; None if it is no longer needed."""
        surface = world.surfaces[announcement.key.rpartition(":")[0]]
        today = world.policy.to_local_time(self._now()).date()
        match load_row_event(self._service.database, row).event:
            case OtherModelAnswered() as answered:
                return model_messages.render_other_model(surface, answered)
            case RetirementTold() as told:
                return model_messages.render_retirement(world, told, today)
            case _:
                return None

    def render_for_workspace(self, row: OutboxRow, told: WorkspaceMessage) -> Message:
        """A message that concerns the whole workspace."""
        zone = self._service.load_world().policy.timezone

        def load_digest() -> Digest:
            return digest_sources.load_digest(self._service, parse_week(told.subject, self._now(), zone), self._now())

        match told.kind:
            case WorkspaceMessageKind.DAILY_WITNESS:
                return self._render_witness(row)
            case WorkspaceMessageKind.DIGEST:
                return digest.render(load_digest(), zone)
            case WorkspaceMessageKind.DIGEST_LINE:
                return digest.render_line(load_digest())
            case _:
                assert_never(told.kind)

    def _render_witness(self, row: OutboxRow) -> Message:
        return witness.render(row.position, load_row_event(self._service.database, row).hash)
