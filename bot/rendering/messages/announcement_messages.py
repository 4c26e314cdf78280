"""Turns an announcement into the message to send, using the state at the time of sending."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import assert_never

from bot.rendering import wording
from bot.rendering.blocks import blocks
from bot.rendering.blocks.blocks import Message
from bot.rendering.messages import approval, card, decision, event_lines, feedback, review, summary
from bot.rendering.messages.alerts import glass_broken, investigation, rollback_alert
from bot.rendering.messages.audience import holdout_words
from bot.rendering.messages.notices import follow_up, notice, notice_note, subscription_messages
from bot.rendering.messages.plan_facts import DecisionFacts
from bot.rendering.sentences.schedule import LikelyDates
from core.reviews import draft
from core.reviews.investigation import Investigation
from core.rollout.concurrency.neighbours import find_neighbours
from core.rollout.decisions import approval_requests
from core.rollout.models.way_back import is_way_back_closed
from core.rollout.notifications import direct_messages
from core.rollout.notifications.announcement import NEXT_STEP, Announcement, notice_key
from core.rollout.notifications.announcement_kinds import AnnouncementKind
from core.rollout.plans.plan import NoticePlan
from core.rollout.serving import layering
from core.rollout.state import events as e
from core.rollout.state import holds
from core.rollout.state.evolve import evolve
from core.rollout.state.history import HistoryEntry
from core.rollout.state.model import TERMINAL_STATES, Rollout, RolloutState
from core.rollout.state.world import World


@dataclass(frozen=True, slots=True, kw_only=True)
class MessageLookups:
    """What some messages of a rollout need besides the world, each looked up only for those."""

    format_group: Callable[[str], str] = wording.escape  # the name of a user group, as a mention
    load_trend: summary.Trend = lambda _: ()  # the points of a metric
    load_newer_look: Callable[[], card.Newer] = lambda: None  # the newest look, if newer than the last evidence
    load_facts: Callable[[], DecisionFacts] = DecisionFacts  # what an approver has to know
    foresee_dates: Callable[[], LikelyDates | None] = lambda: None  # of a rollout that has not started
    find_investigation: Callable[[], Investigation | None] = lambda: None  # what a rollback can be investigated by


NOTHING_TO_LOOK_UP = MessageLookups()


def render(
    announcement: Announcement,
    position: int,
    world: World,
    entries: Sequence[HistoryEntry],
    at: datetime,
    lookups: MessageLookups = NOTHING_TO_LOOK_UP,
) -> Message | None:
    """The message to post or edit at `at`; None if the announcement no longer applies.

    `position` is the log position of the event that caused it, and `entries` is the history of its rollout.
    """
    rollout = layering.foresee_slots(world.get_rollout(announcement.rollout), world.policy)
    zone = world.policy.timezone
    match announcement.kind:
        case AnnouncementKind.CARD:
            return card.render(rollout, zone, lookups.load_newer_look(), find_neighbours(world, rollout, at), at=at)
        case AnnouncementKind.NOTICE | AnnouncementKind.NOTICE_EDIT:
            return _render_notice(announcement, rollout, world, at, lookups.foresee_dates())
        case AnnouncementKind.DIRECT_NOTICE:
            return _render_direct_notice(announcement, rollout, world, at, lookups.foresee_dates())
        case AnnouncementKind.START_REMINDER:
            is_current = rollout.start is not None and rollout.start.isoformat() in announcement.key
            return (
                notice_note.render_start_reminder(rollout, _name_feature(world, rollout), zone) if is_current else None
            )
        case AnnouncementKind.APPROVAL if not _is_request_open(announcement, rollout):
            return None
        case AnnouncementKind.APPROVAL | AnnouncementKind.APPROVAL_CLOSED:
            return _render_approval(announcement, rollout, entries, zone, lookups)
        case AnnouncementKind.DECISION | AnnouncementKind.DECISION_CLOSED:
            return _render_decision(announcement, rollout)
        case AnnouncementKind.ALERT | AnnouncementKind.ALERT_EDIT:
            return _render_alert(rollout, entries, zone)
        case AnnouncementKind.INVESTIGATION:
            found = lookups.find_investigation()
            return investigation.render(found, zone) if found is not None else None
        case AnnouncementKind.REVIEW:
            return _render_review(rollout, entries, world, zone)
        case AnnouncementKind.REVIEW_REMINDER:
            return review.render_reminder(rollout, at, zone) if _is_newest_request(entries, position) else None
        case AnnouncementKind.FEEDBACK:
            return _render_feedback(announcement, rollout, world)
        case AnnouncementKind.WITNESS:
            return None  # a witness shows the head of the log, which is not known here: see `witness`
        case AnnouncementKind.OTHER_MODEL | AnnouncementKind.RETIREMENT:
            return None  # they concern no rollout: see `model_messages`
        case (
            AnnouncementKind.LINE
            | AnnouncementKind.SUMMARY
            | AnnouncementKind.NOT_CONFIRMED
            | AnnouncementKind.GLASS_BROKEN
            | AnnouncementKind.FOLLOW_UP
            | AnnouncementKind.DIRECT_FOLLOW_UP
            | AnnouncementKind.NOTICE_NOTE
            | AnnouncementKind.REMINDER
            | AnnouncementKind.HOLDOUT
        ):
            entry = next((x for x in entries if x.position == position), None)
            if entry is None or _is_overtaken(announcement, rollout, entry.event):
                return None
            return _render_event(announcement, entry, rollout, world, entries, at, lookups)
        case _:
            assert_never(announcement.kind)


def _render_event(
    announcement: Announcement,
    entry: HistoryEntry,
    rollout: Rollout,
    world: World,
    entries: Sequence[HistoryEntry],
    at: datetime,
    lookups: MessageLookups,
) -> Message | None:
    """What is told of the event itself. One that this kind has no text for gets its line: better than nothing."""
    zone, position = world.policy.timezone, entry.position
    match announcement.kind, entry.event:
        case AnnouncementKind.SUMMARY, e.EvidenceRecorded() as event:
            shown = _rollout_at(entries, position) if event.reason == "step" and rollout.request is None else rollout
            return summary.render(shown, event, entry.at, zone, lookups.load_trend)
        case AnnouncementKind.NOT_CONFIRMED, e.FlipUnconfirmed() as event:
            kind = e.RolledBack if event.stratum is None else e.StratumRolledBack
            decided = next((x.at for x in reversed(entries) if isinstance(x.event, kind)), None)
            confirmed = rollout.flip if event.stratum is None else rollout.strata_back[event.stratum].flip
            return rollback_alert.render_unconfirmed(rollout, event, decided, zone) if confirmed is None else None
        case AnnouncementKind.HOLDOUT, e.HoldoutCompared() as event:
            return holdout_words.render_comparison(rollout, event.found)
        case AnnouncementKind.GLASS_BROKEN, e.GlassBroken() as event:
            return glass_broken.render(rollout, event, zone, lookups.format_group)
        case AnnouncementKind.NOTICE_NOTE, event if isinstance(event, notice_note.NotedEvent):
            before, after = _rollout_at(entries, position - 1), _rollout_at(entries, position)
            name, is_closed = _name_feature(world, rollout), _is_way_back_closed(world, rollout, at)
            return notice_note.render(before, after, event, name, zone, is_closed=is_closed)
        case AnnouncementKind.REMINDER, event if announcement.key.startswith(NEXT_STEP):
            after = _rollout_at(entries, position)
            asked = f"You asked to be told of the next step of {after.id}."
            return blocks.append_blocks(event_lines.render(after, event, zone), blocks.context(asked))
        case (
            AnnouncementKind.FOLLOW_UP | AnnouncementKind.DIRECT_FOLLOW_UP | AnnouncementKind.REMINDER,
            event,
        ) if isinstance(event, follow_up.FollowedUp):
            title, others = _feature_title(world, rollout), _other_rollouts(world, rollout)
            keeps, audience = world.policy.customers is not None, announcement.audience
            told = follow_up.render(rollout, event, audience, title, entry.at, zone, others, keeps_customers=keeps)
            if announcement.kind is not AnnouncementKind.DIRECT_FOLLOW_UP:
                return told
            reason = subscription_messages.describe_reason(rollout, announcement, _name_feature(world, rollout))
            return blocks.append_blocks(told, blocks.context(reason))
        case _, event:
            return event_lines.render(rollout, event, zone)


def _is_overtaken(announcement: Announcement, rollout: Rollout, event: e.RolloutEvent) -> bool:
    """Whether a message that waited behind others would tell as news what is no longer so: that it has started, that it
    is on hold or fine, after it has ended; or a stage that has been left."""
    match announcement.kind:
        case AnnouncementKind.LINE | AnnouncementKind.NOTICE_NOTE if isinstance(event, e.StageEntered):
            return rollout.ended_at is not None or rollout.stage_index != event.index
        case AnnouncementKind.LINE | AnnouncementKind.NOTICE_NOTE:
            return isinstance(event, e.Held) and rollout.ended_at is not None
        case AnnouncementKind.SUMMARY:
            return rollout.state is RolloutState.ROLLED_BACK
        case AnnouncementKind.FOLLOW_UP | AnnouncementKind.DIRECT_FOLLOW_UP:
            return isinstance(event, e.Started) and rollout.ended_at is not None
        case _:
            return False


def _rollout_at(entries: Sequence[HistoryEntry], position: int) -> Rollout:
    """The rollout as of a log position: a step's summary describes the stage that ended, not the one that begins."""
    rollout: Rollout | None = None
    for entry in entries:
        if entry.position <= position:
            rollout = evolve(rollout, entry.event, entry.at)
    assert rollout is not None
    return rollout


def _feature_title(world: World, rollout: Rollout) -> str:
    surface = world.surfaces.get(rollout.plan.surface)
    return surface.title if surface is not None and surface.title else rollout.plan.surface


def _name_feature(world: World, rollout: Rollout) -> str:
    return wording.title_in_sentence(_feature_title(world, rollout))


def _other_rollouts(world: World, rollout: Rollout) -> list[Rollout]:
    """The other rollouts that are planned or under way on the same AI feature."""
    return [r for r in world.open_rollouts if r.plan.surface == rollout.plan.surface and r.id != rollout.id]


def _is_way_back_closed(world: World, rollout: Rollout, at: datetime) -> bool:
    return is_way_back_closed(rollout.plan, world.surfaces.get(rollout.plan.surface), world.policy, at)


def _render_notice(
    announcement: Announcement, rollout: Rollout, world: World, now: datetime, likely: LikelyDates | None
) -> Message | None:
    title, key = _feature_title(world, rollout), announcement.key
    planned = next((n for n in rollout.plan.stakeholder_notices if key == notice_key(rollout, n.key)), None)
    if planned is None:
        if announcement.kind is AnnouncementKind.NOTICE:
            return None  # the plan has changed and gets a notice of its own
        channel = announcement.channel
        successor = next((n for n in rollout.plan.stakeholder_notices if n.channel == channel), None)
        return notice.render_replaced(rollout, successor, title)
    if (
        announcement.kind is AnnouncementKind.NOTICE
        and rollout.state in TERMINAL_STATES
        and rollout.state is not RolloutState.DONE
    ):
        return None
    posted_at, zone = rollout.notice_posted_at(planned.key) or now, world.policy.timezone
    others, is_closed = _other_rollouts(world, rollout), _is_way_back_closed(world, rollout, now)
    return notice.render(rollout, planned, title, posted_at, now, zone, others, is_closed=is_closed, likely=likely)


def _render_review(rollout: Rollout, entries: Sequence[HistoryEntry], world: World, zone: str) -> Message | None:
    if rollout.ended_at is None:
        return None
    return review.render(draft.draft_review(rollout, entries, world.surfaces.get(rollout.plan.surface)), zone)


def _render_feedback(announcement: Announcement, rollout: Rollout, world: World) -> Message | None:
    """The question to testers; None if its stage was over before it could be asked."""
    stage = int(announcement.key.split(":")[1])
    is_over = not rollout.is_under_way or rollout.stage_index != stage
    if is_over and announcement.key not in rollout.messages:
        return None
    return feedback.render(rollout, stage, announcement.channel, _feature_title(world, rollout))


def _is_newest_request(entries: Sequence[HistoryEntry], position: int) -> bool:
    """Whether no other review was requested after this one, as after a rollback of what was done."""
    return not any(isinstance(x.event, e.ReviewRequested) and x.position > position for x in entries)


def _render_decision(announcement: Announcement, rollout: Rollout) -> Message | None:
    stage = int(announcement.key.partition(":")[2])
    ended, decided = rollout.comparisons.get(stage), rollout.decisions.get(stage)
    if ended is None:
        return None
    if decided is None and rollout.is_under_way:
        return decision.render(rollout, ended)
    return decision.render_closed(rollout, ended, decided)


def _render_direct_notice(
    announcement: Announcement, rollout: Rollout, world: World, at: datetime, likely: LikelyDates | None
) -> Message | None:
    """The notice to a person who follows the AI feature: the one that the channel of that audience gets, if there is
    one, with its buttons; else the same text without them."""
    if announcement.key != direct_messages.notice_key(rollout, announcement.audience, announcement.channel):
        return None  # the plan has changed and gets a notice of its own
    is_posted = announcement.key in rollout.messages
    if not is_posted and rollout.state in TERMINAL_STATES and rollout.state is not RolloutState.DONE:
        return None
    known = next((n for n in rollout.plan.stakeholder_notices if n.audience == announcement.audience), None)
    audience = "downstream" if announcement.audience == "engineering" else announcement.audience
    planned = known or NoticePlan(channel=announcement.channel, audience=audience)
    title, zone, others = _feature_title(world, rollout), world.policy.timezone, _other_rollouts(world, rollout)
    since = rollout.messages[announcement.key].at if is_posted else at
    is_closed = _is_way_back_closed(world, rollout, at)
    shown = notice.render(rollout, planned, title, since, at, zone, others, is_closed=is_closed, likely=likely)
    if known is None:  # there is no channel whose readers could be counted
        left = tuple(block for block in shown.blocks if block["type"] not in {"actions", "context"})
        owner = blocks.context(f"{rollout.id} · Owner: {wording.format_owner(rollout)}")
        shown = replace(shown, blocks=(*left, owner))
    reason = subscription_messages.describe_reason(rollout, announcement, _name_feature(world, rollout))
    return blocks.append_blocks(shown, blocks.context(reason))


def _is_request_open(announcement: Announcement, rollout: Rollout) -> bool:
    return rollout.request is not None and announcement.key == f"approval:{rollout.request.request}"


def _render_approval(
    announcement: Announcement,
    rollout: Rollout,
    entries: Sequence[HistoryEntry],
    zone: str,
    lookups: MessageLookups,
) -> Message | None:
    name = announcement.key.partition(":")[2]
    asked = next((x for x in entries if isinstance(x.event, e.ApprovalRequested) and x.event.request == name), None)
    if asked is None:
        return None
    request = asked.event
    assert isinstance(request, e.ApprovalRequested)
    after = [x.event for x in entries if x.position > asked.position]
    given = tuple(x for x in after if isinstance(x, e.Approved) and x.request == name)
    if _is_request_open(announcement, rollout) and not approval_requests.is_approved(rollout):
        return approval.render(rollout, request, given, asked.at, zone, lookups.format_group, lookups.load_facts())
    return approval.render_closed(rollout, request, given, _approval_outcome(request, after, given))


def _approval_outcome(
    request: e.ApprovalRequested, after: Sequence[e.RolloutEvent], given: tuple[e.Approved, ...]
) -> str:
    for event in after:
        match event:
            case e.Rejected() if event.request == request.request:
                return "rejected"
            case e.ApprovalExpired() if event.request == request.request:
                return "expired"
            case e.Held() if holds.clears_itself(event.key):
                continue
            case e.ApprovalRequested() | e.RolledBack() | e.Abandoned() | e.Planned() | e.Held():
                return "lapsed"
            case e.Started() | e.StageEntered():
                return "approved"
    return "approved" if len(given) >= request.needed else "lapsed"


def _render_alert(rollout: Rollout, entries: Sequence[HistoryEntry], zone: str) -> Message | None:
    decided = next((x for x in reversed(entries) if isinstance(x.event, e.RolledBack)), None)
    if decided is None:
        return None
    assert isinstance(decided.event, e.RolledBack)
    return rollback_alert.render(rollout, decided.event, decided.at, rollout.flip, zone)
