"""Which messages follow from an event of a rollout, and where each goes; rendering decides how they look."""

from collections.abc import Iterator
from dataclasses import replace
from datetime import datetime, timedelta
from typing import assert_never

from core.rollout.context import slack_user_in
from core.rollout.decisions import reviewing
from core.rollout.notifications.announcement import (
    ALERT_KEY,
    CARD_KEY,
    NEXT_STEP,
    REVIEW_KEY,
    Announcement,
    notice_key,
)
from core.rollout.notifications.announcement_kinds import AnnouncementKind
from core.rollout.plans.plan import NoticePlan
from core.rollout.state import events as e
from core.rollout.state import holds, next_step
from core.rollout.state.model import Rollout, RolloutState

START_REMINDER_BEFORE = timedelta(hours=2)
OVERDUE_AFTER = timedelta(minutes=1)  # by then, what was due has happened or will not happen by itself


def announce(event: e.RolloutEvent, position: int, before: Rollout | None, after: Rollout) -> tuple[Announcement, ...]:
    """The announcements that follow from `event`, in reading order."""
    if isinstance(event, e.TailsFrozen | e.ReminderRequested):
        return ()
    if isinstance(event, e.MessagePosted) and not _starts_lead_time(event, after):
        return ()
    if isinstance(event, e.NoticeAcknowledged):
        return (*_build_notice_edit(after, event.notice), *_build_request_edit(after))
    reminders = _build_next_step_reminders(before, position) if before and next_step.is_next_step(event) else ()
    return (
        build_card(after),
        *reminders,
        *_build_request_change(event, before, after),
        *_build_for_event(event, position, before, after),
    )


def build_card(rollout: Rollout) -> Announcement:
    """An edit of the card."""
    return _announce_to_engineers(rollout, AnnouncementKind.CARD, CARD_KEY)


def build_overdue_edits(rollout: Rollout, now: datetime) -> tuple[str, list[Announcement]]:
    """Edits of the notices if the date that they give for the next step has passed, and a key for that date."""
    date = rollout.next_step_at
    if date is None or now < date + OVERDUE_AFTER:
        return "", []
    return f"{rollout.id}:overdue:{date.isoformat()}", build_notice_edits(rollout)


def _build_for_event(
    event: e.RolloutEvent, position: int, before: Rollout | None, after: Rollout
) -> Iterator[Announcement]:
    """What is announced besides the card, the open request and reminders of the next step."""
    line = _announce_to_engineers(after, AnnouncementKind.LINE, f"line:{position}")
    alert_edit = _announce_to_engineers(after, AnnouncementKind.ALERT_EDIT, ALERT_KEY)
    review = _announce_to_engineers(after, AnnouncementKind.REVIEW, REVIEW_KEY)
    witness = _announce_to_engineers(after, AnnouncementKind.WITNESS, f"witness:{position}")
    match event:
        case e.MessagePosted() | e.VoteWithdrawn() | e.AnchorsJudged() | e.JudgeMoved():
            pass  # the card shows it: the earliest start, the votes, how the judge stands
        case e.Planned():
            yield line
            if event.renewal is None:
                yield from _build_replaced_notice_edits(before, after)
                yield from _build_notices(after)
                yield from _build_start_reminders(after)
            else:
                yield from (one for one in _build_notices(after) if one.key not in after.messages)
                yield from build_notice_edits(after)
        case e.ApprovalRequested():
            yield _announce_to_engineers(after, AnnouncementKind.APPROVAL, _request_key(event.request))
        case e.ComparisonEnded():
            yield _announce_to_engineers(after, AnnouncementKind.DECISION, f"decision:{event.stage}")
        case e.ComparisonDecided():
            yield line
            yield _announce_to_engineers(after, AnnouncementKind.DECISION_CLOSED, f"decision:{event.stage}")
        case e.EvidenceRecorded():
            if event.reason in {"summary", "step", "hold"}:
                yield _announce_to_engineers(after, AnnouncementKind.SUMMARY, f"summary:{event.number}")
        case e.RolledBack():
            yield _announce_to_engineers(after, AnnouncementKind.ALERT, ALERT_KEY)
            for stage in after.comparisons:
                if stage not in after.decisions:
                    yield _announce_to_engineers(after, AnnouncementKind.DECISION_CLOSED, f"decision:{stage}")
            if after.was_exposed:
                yield _announce_to_engineers(after, AnnouncementKind.INVESTIGATION, f"investigation:{position}")
            yield from _build_follow_ups(after, position)
            yield from build_notice_edits(after)
            yield from _build_reminders(after, position)
            yield witness
        case e.ConversationsMoved():
            yield line
            if after.rollback is not None:
                yield alert_edit
                yield from build_notice_edits(after)
        case e.HoldoutEnded() | e.HoldCleared():
            yield line
            yield from build_notice_edits(after)
        case e.HoldoutCompared():
            yield _announce_to_engineers(after, AnnouncementKind.HOLDOUT, f"holdout:{position}")
            yield review
        case e.FlipConfirmed(stratum=str()):
            yield line
        case e.RollbackExplained() | e.FlipConfirmed():
            yield alert_edit
        case e.StratumRolledBack():
            yield line
            yield from build_notice_edits(after)
            yield from _build_notice_notes(after, position)
        case e.FlipUnconfirmed():
            yield _announce_to_engineers(after, AnnouncementKind.NOT_CONFIRMED, f"not_confirmed:{position}")
        case e.Started():
            yield line
            yield from _build_follow_ups(after, position)
        case e.StageEntered():
            yield line
            yield from build_notice_edits(after)
            if before is not None and before.spans:  # the first stage is told with the start
                yield from _build_notice_notes(after, position)
        case e.Completed() | e.Abandoned():
            yield line
            yield from _build_follow_ups(after, position)
            yield from build_notice_edits(after)
            yield from _build_reminders(after, position)
            yield witness
        case e.ReviewRequested():
            yield review
            yield from _build_review_reminders(after, position)
        case e.ReviewSubmitted():
            yield review
            yield line
        case e.StartScheduled():
            yield line
            yield from build_notice_edits(after)
            yield from _build_notice_notes(after, position)
            yield from _build_start_reminders(after)
        case e.BaseChanged() | e.Paused() | e.Resumed() | e.StageExtended() | e.Held():
            yield line
            yield from build_notice_edits(after)
            if not (isinstance(event, e.Held) and holds.clears_itself(event.key)):
                yield from _build_notice_notes(after, position)
        case e.GlassBroken():
            yield _announce_to_engineers(after, AnnouncementKind.GLASS_BROKEN, f"glass_broken:{position}")
        case e.ConcernsAnswered():
            yield line
            assert before is not None
            for note in _build_notice_notes(after, position):
                if f"{note.audience}:{note.channel}" in before.open_concerns:
                    yield note
        case e.VoteCast():
            if event.text:
                yield line
        case (
            e.ApprovalExpired()
            | e.Approved()
            | e.Rejected()
            | e.EvalRecorded()
            | e.DrillFinished()
            | e.BlindSpotsAccepted()
            | e.ConcernRaised()
            | e.FeltOff()
            | e.UnitMovedBack()
            | e.GrowthFrozen()
            | e.GrowthUnfrozen()
            | e.ComplaintReported()
            | e.MessageFailed()
            | e.JudgeSettled()
            | e.JudgingCapReached()
            | e.Bundled()
            | e.Unbundled()
            | e.BundleNotFollowed()
        ):
            yield line
        case e.FlagSet() | e.FlagNotSet():
            yield line
            if after.rollback is not None:
                yield alert_edit
        case e.RevertRequested() | e.RevertNotRequested() | e.CodeReverted():
            yield line
            yield alert_edit
        case e.TailsFrozen() | e.ReminderRequested() | e.NoticeAcknowledged():
            pass  # `announce` has dealt with them
        case _:
            assert_never(event)


def _announce_to_engineers(rollout: Rollout, kind: AnnouncementKind, key: str) -> Announcement:
    return Announcement(kind=kind, rollout=rollout.id, channel=rollout.plan.engineering_channel, key=key)


def _announce_to_stakeholders(
    rollout: Rollout, kind: AnnouncementKind, notice: NoticePlan, key: str, due_at: datetime | None = None
) -> Announcement:
    return Announcement(
        kind=kind, rollout=rollout.id, channel=notice.channel, key=key, audience=notice.audience, due_at=due_at
    )


def _request_key(request: str) -> str:
    return f"approval:{request}"


def _starts_lead_time(event: e.MessagePosted, after: Rollout) -> bool:
    """Whether a notice was posted whose lead time the start waits for."""
    return after.state is RolloutState.PLANNED and event.key in {
        notice_key(after, n.key) for n in after.plan.stakeholder_notices
    }


def _build_request_change(event: e.RolloutEvent, before: Rollout | None, after: Rollout) -> tuple[Announcement, ...]:
    """The edit of the approval request that was closed, or of the open one if the event is shown in it."""
    if before is not None and before.request is not None and after.request != before.request:
        key = _request_key(before.request.request)
        return (_announce_to_engineers(after, AnnouncementKind.APPROVAL_CLOSED, key),)
    if isinstance(event, e.Approved | e.ConcernRaised | e.EvalRecorded | e.StartScheduled) or (
        isinstance(event, e.MessagePosted) and _is_request_posted(after)
    ):
        return _build_request_edit(after)
    return ()


def _is_request_posted(rollout: Rollout) -> bool:
    return rollout.request is not None and _request_key(rollout.request.request) in rollout.messages


def _build_request_edit(after: Rollout) -> tuple[Announcement, ...]:
    """The edit of the open approval request, which shows who was told, who has read it, and what speaks against it.

    It waits behind the request itself, which may be on its way: as it is not known to be posted yet, it may have been
    written before this happened.
    """
    if after.request is None:
        return ()
    key = _request_key(after.request.request)
    return (_announce_to_engineers(after, AnnouncementKind.APPROVAL_CLOSED, key),)


def _build_notices(after: Rollout) -> Iterator[Announcement]:
    """The notices to everyone but engineering, each due at its lead time before a fixed start."""
    for notice in after.plan.stakeholder_notices:
        due = after.start - notice.before if after.start is not None and notice.before is not None else None
        key = notice_key(after, notice.key)
        yield _announce_to_stakeholders(after, AnnouncementKind.NOTICE, notice, key, due)


def _list_posted_notices(rollout: Rollout) -> list[NoticePlan]:
    return [one for one in rollout.plan.stakeholder_notices if notice_key(rollout, one.key) in rollout.messages]


def build_notice_edits(after: Rollout) -> list[Announcement]:
    """Edits of all posted notices, as each shows who is affected and from when."""
    return [edit for notice in after.plan.stakeholder_notices for edit in _build_notice_edit(after, notice.key)]


def _build_notice_edit(after: Rollout, notice: str) -> tuple[Announcement, ...]:
    """The edit of one notice; empty if it was not posted."""
    key = notice_key(after, notice)
    if key not in after.messages:
        return ()
    audience, _, channel = notice.partition(":")
    return (
        Announcement(kind=AnnouncementKind.NOTICE_EDIT, rollout=after.id, channel=channel, key=key, audience=audience),
    )


def _build_replaced_notice_edits(before: Rollout | None, after: Rollout) -> list[Announcement]:
    """Edits of the notices that were posted for an earlier plan of the same rollout, which no longer hold."""
    if before is None or before.fingerprint == after.fingerprint:
        return []
    return build_notice_edits(before)


def _build_notice_notes(after: Rollout, position: int) -> Iterator[Announcement]:
    """A note in the thread of each posted notice."""
    for notice in _list_posted_notices(after):
        key = f"note:{position}:{notice.key}"
        yield _announce_to_stakeholders(after, AnnouncementKind.NOTICE_NOTE, notice, key)


def _build_follow_ups(after: Rollout, position: int) -> Iterator[Announcement]:
    """A follow-up to each channel whose notice was posted; without a notice there is nothing to follow up on."""
    for notice in _list_posted_notices(after):
        key = f"follow_up:{position}:{notice.key}"
        yield _announce_to_stakeholders(after, AnnouncementKind.FOLLOW_UP, notice, key)


def _build_start_reminders(after: Rollout) -> Iterator[Announcement]:
    """With a fixed start: a reminder on its day to each channel that was told earlier than that."""
    for notice in after.plan.stakeholder_notices:
        if after.start is not None and notice.before is not None and notice.before > START_REMINDER_BEFORE:
            key, due = f"start:{after.start.isoformat()}:{notice.key}", after.start - START_REMINDER_BEFORE
            yield _announce_to_stakeholders(after, AnnouncementKind.START_REMINDER, notice, key, due)


def _build_review_reminders(after: Rollout, position: int) -> Iterator[Announcement]:
    """The reminders of a review that was requested at `position`; one that is no longer needed is not posted."""
    assert after.ended_at is not None, "a review is requested when a rollout ends"
    for wait in reviewing.REMINDERS:
        key = f"review_reminder:{position}:{wait.days}"
        reminder = _announce_to_engineers(after, AnnouncementKind.REVIEW_REMINDER, key)
        yield replace(reminder, due_at=after.ended_at + wait)


def _build_reminders(after: Rollout, position: int) -> Iterator[Announcement]:
    """A direct message to everyone who asked to be told how it ends."""
    for person, notice in after.reminders.items():
        yield Announcement(
            kind=AnnouncementKind.REMINDER,
            rollout=after.id,
            channel=slack_user_in(person),
            key=f"reminder:{position}:{person}",
            audience=notice.partition(":")[0],
        )


def _build_next_step_reminders(before: Rollout, position: int) -> Iterator[Announcement]:
    """A direct message to everyone who asked to be told of the next step."""
    for person in before.next_step_reminders:
        yield Announcement(
            kind=AnnouncementKind.REMINDER,
            rollout=before.id,
            channel=slack_user_in(person),
            key=f"{NEXT_STEP}:{position}:{person}",
        )
