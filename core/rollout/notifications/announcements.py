"""What is announced to whom after an event. This decides what is said and where; rendering decides how it looks."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import assert_never

from core.rollout.context import slack_user_in
from core.rollout.decisions import reviewing
from core.rollout.notifications.announcement_kinds import AnnouncementKind, Place
from core.rollout.state import events as e
from core.rollout.state import holds, next_step
from core.rollout.state.model import Rollout, RolloutState


@dataclass(frozen=True, slots=True, kw_only=True)
class Announcement:
    """One message to post or edit. `key` is where its channel and ts are stored (`Rollout.messages`)."""

    kind: AnnouncementKind
    rollout: str
    channel: str  # as written in the plan: #support
    key: str
    audience: str = "engineering"
    due_at: datetime | None = None  # None: immediately

    def to_json(self) -> dict[str, str | None]:
        """The fields as JSON types, as stored in the outbox."""
        return {
            "kind": self.kind,
            "rollout": self.rollout,
            "channel": self.channel,
            "key": self.key,
            "audience": self.audience,
            "due_at": self.due_at.isoformat() if self.due_at is not None else None,
        }

    def parent_key(self, rollout: Rollout) -> str | None:
        """Key of the message in whose thread it goes; None for a message of its own."""
        match self.kind.delivery.place:
            case Place.CARD_THREAD:
                return CARD_KEY
            case Place.NOTICE_THREAD:
                return notice_key(rollout, f"{self.audience}:{self.channel}")
            case Place.TESTERS:
                return None if self.is_direct else self._find_first_question(rollout)
            case Place.CHANNEL | Place.PERSON | Place.ENGINEERS:
                return None

    @property
    def is_direct(self) -> bool:
        """Whether it goes to one person; `channel` is then their Slack user id."""
        place = self.kind.delivery.place
        return place is Place.PERSON or (place is Place.TESTERS and not self.channel.startswith("#"))

    def _find_first_question(self, rollout: Rollout) -> str | None:
        """The key of the first question in this channel, in whose thread the later ones go; None if this is it."""
        asked = [key for key in rollout.messages if key.startswith("feedback:") and key.endswith(f":{self.channel}")]
        return asked[0] if asked and asked[0] != self.key else None


CARD_KEY = "card"
ALERT_KEY = "alert"  # one per rollout, which is rolled back only once
REVIEW_KEY = "review"
NEXT_STEP = "next_step"  # how the key of a reminder of the next step begins
START_REMINDER_BEFORE = timedelta(hours=2)
OVERDUE_AFTER = timedelta(minutes=1)  # by then, what was due has happened or will not happen by itself


def announce(event: e.RolloutEvent, position: int, before: Rollout | None, after: Rollout) -> tuple[Announcement, ...]:
    """The announcements that follow from `event`, in reading order."""
    if isinstance(event, e.TailsFrozen) or (isinstance(event, e.MessagePosted) and not _starts_lead_time(event, after)):
        return ()
    result: list[Announcement] = []
    where = after.plan.engineering_channel

    def announce_here(kind: AnnouncementKind, key: str) -> Announcement:
        return Announcement(kind=kind, rollout=after.id, channel=where, key=key)

    if isinstance(event, e.NoticeAcknowledged):
        return (*_build_notice_edit(after, event.notice), *_build_request_edit(after))
    if isinstance(event, e.ReminderRequested):
        return ()
    result.append(announce_here(AnnouncementKind.CARD, CARD_KEY))
    if before is not None and next_step.is_next_step(event):
        result += _build_next_step_reminders(before, position)
    if before is not None and before.request is not None and after.request != before.request:
        result.append(announce_here(AnnouncementKind.APPROVAL_CLOSED, f"approval:{before.request.request}"))
    elif isinstance(event, e.Approved) and after.request is not None:
        result.append(announce_here(AnnouncementKind.APPROVAL_CLOSED, f"approval:{after.request.request}"))
    elif isinstance(event, e.ConcernRaised | e.EvalRecorded | e.StartScheduled) or (
        isinstance(event, e.MessagePosted) and _is_request_posted(after)
    ):
        result += _build_request_edit(after)
    match event:
        case e.MessagePosted():
            pass  # the card shows the earliest start
        case e.Planned():
            result.append(announce_here(AnnouncementKind.LINE, f"line:{position}"))
            if event.renewal is None:
                result += _build_replaced_notice_edits(before, after)
                result += _build_notices(after)
                result += _build_start_reminders(after)
            else:
                result += [one for one in _build_notices(after) if one.key not in after.messages]
                result += _build_notice_edits(after)
        case e.ApprovalRequested():
            result.append(announce_here(AnnouncementKind.APPROVAL, f"approval:{event.request}"))
        case e.ComparisonEnded():
            result.append(announce_here(AnnouncementKind.DECISION, f"decision:{event.stage}"))
        case e.ComparisonDecided():
            result.append(announce_here(AnnouncementKind.LINE, f"line:{position}"))
            result.append(announce_here(AnnouncementKind.DECISION_CLOSED, f"decision:{event.stage}"))
        case e.EvidenceRecorded():
            if event.reason in {"summary", "step", "hold"}:
                result.append(announce_here(AnnouncementKind.SUMMARY, f"summary:{event.number}"))
        case e.RolledBack():
            result.append(announce_here(AnnouncementKind.ALERT, ALERT_KEY))
            result += [
                announce_here(AnnouncementKind.DECISION_CLOSED, f"decision:{stage}")
                for stage in after.comparisons
                if stage not in after.decisions
            ]
            if after.was_exposed:
                result.append(announce_here(AnnouncementKind.INVESTIGATION, f"investigation:{position}"))
            result += _build_follow_ups(after, position)
            result += _build_notice_edits(after)
            result += _build_reminders(after, position)
            result.append(announce_here(AnnouncementKind.WITNESS, f"witness:{position}"))
        case e.ConversationsMoved():
            result.append(announce_here(AnnouncementKind.LINE, f"line:{position}"))
            if after.rollback is not None:
                result.append(announce_here(AnnouncementKind.ALERT_EDIT, ALERT_KEY))
                result += _build_notice_edits(after)
        case e.HoldoutEnded():
            result.append(announce_here(AnnouncementKind.LINE, f"line:{position}"))
            result += _build_notice_edits(after)
        case e.HoldoutCompared():
            result.append(announce_here(AnnouncementKind.HOLDOUT, f"holdout:{position}"))
            result.append(announce_here(AnnouncementKind.REVIEW, REVIEW_KEY))
        case e.RollbackExplained():
            result.append(announce_here(AnnouncementKind.ALERT_EDIT, ALERT_KEY))
        case e.FlipConfirmed(stratum=str()):
            result.append(announce_here(AnnouncementKind.LINE, f"line:{position}"))
        case e.StratumRolledBack():
            result.append(announce_here(AnnouncementKind.LINE, f"line:{position}"))
            result += _build_notice_edits(after)
            result += _build_notice_notes(after, position)
        case e.FlipConfirmed():
            result.append(announce_here(AnnouncementKind.ALERT_EDIT, ALERT_KEY))
        case e.FlipUnconfirmed():
            result.append(announce_here(AnnouncementKind.NOT_CONFIRMED, f"not_confirmed:{position}"))
        case e.Started():
            result.append(announce_here(AnnouncementKind.LINE, f"line:{position}"))
            result += _build_follow_ups(after, position)
        case e.StageEntered():
            result.append(announce_here(AnnouncementKind.LINE, f"line:{position}"))
            result += _build_notice_edits(after)
            if before is not None and before.spans:  # the first stage is told with the start
                result += _build_notice_notes(after, position)
        case e.Completed() | e.Abandoned():
            result.append(announce_here(AnnouncementKind.LINE, f"line:{position}"))
            result += _build_follow_ups(after, position)
            result += _build_notice_edits(after)
            result += _build_reminders(after, position)
            result.append(announce_here(AnnouncementKind.WITNESS, f"witness:{position}"))
        case e.ReviewRequested():
            result.append(announce_here(AnnouncementKind.REVIEW, REVIEW_KEY))
            result += _build_review_reminders(after, position)
        case e.ReviewSubmitted():
            result.append(announce_here(AnnouncementKind.REVIEW, REVIEW_KEY))
            result.append(announce_here(AnnouncementKind.LINE, f"line:{position}"))
        case e.StartScheduled():
            result.append(announce_here(AnnouncementKind.LINE, f"line:{position}"))
            result += _build_notice_edits(after)
            result += _build_notice_notes(after, position)
            result += _build_start_reminders(after)
        case e.BaseChanged() | e.Paused() | e.Resumed() | e.StageExtended() | e.Held():
            result.append(announce_here(AnnouncementKind.LINE, f"line:{position}"))
            result += _build_notice_edits(after)
            if not (isinstance(event, e.Held) and holds.clears_itself(event.key)):
                result += _build_notice_notes(after, position)
        case e.GlassBroken():
            result.append(announce_here(AnnouncementKind.GLASS_BROKEN, f"glass_broken:{position}"))
        case e.HoldCleared():
            result.append(announce_here(AnnouncementKind.LINE, f"line:{position}"))
            result += _build_notice_edits(after)
        case e.ConcernsAnswered():
            result.append(announce_here(AnnouncementKind.LINE, f"line:{position}"))
            assert before is not None
            result += [
                note
                for note in _build_notice_notes(after, position)
                if f"{note.audience}:{note.channel}" in before.open_concerns
            ]
        case e.VoteCast():
            if event.text:
                result.append(announce_here(AnnouncementKind.LINE, f"line:{position}"))
        case e.VoteWithdrawn():
            pass  # the card shows what is left
        case e.AnchorsJudged() | e.JudgeMoved():
            pass  # the card shows how the judge stands, and a hold says that it moved
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
            result.append(announce_here(AnnouncementKind.LINE, f"line:{position}"))
        case e.FlagSet() | e.FlagNotSet():
            result.append(announce_here(AnnouncementKind.LINE, f"line:{position}"))
            if after.rollback is not None:
                result.append(announce_here(AnnouncementKind.ALERT_EDIT, ALERT_KEY))
        case e.RevertRequested() | e.RevertNotRequested() | e.CodeReverted():
            result.append(announce_here(AnnouncementKind.LINE, f"line:{position}"))
            result.append(announce_here(AnnouncementKind.ALERT_EDIT, ALERT_KEY))
        case _:
            assert_never(event)
    return tuple(result)


def build_card(rollout: Rollout) -> Announcement:
    """An edit of the card, because something beside the rollout changed."""
    where = rollout.plan.engineering_channel
    return Announcement(kind=AnnouncementKind.CARD, rollout=rollout.id, channel=where, key=CARD_KEY)


def notice_key(rollout: Rollout, notice: str) -> str:
    """The message key of a notice. It contains the plan fingerprint, so that a changed plan sends a new notice."""
    return f"notice:{rollout.fingerprint}:{notice}"


def _build_review_reminders(after: Rollout, position: int) -> list[Announcement]:
    """The reminders of a review that was requested at `position`; one that is no longer needed is not posted."""
    assert after.ended_at is not None, "a review is requested when a rollout ends"
    return [
        Announcement(
            kind=AnnouncementKind.REVIEW_REMINDER,
            rollout=after.id,
            channel=after.plan.engineering_channel,
            key=f"review_reminder:{position}:{wait.days}",
            due_at=after.ended_at + wait,
        )
        for wait in reviewing.REMINDERS
    ]


def _starts_lead_time(event: e.MessagePosted, after: Rollout) -> bool:
    """Whether a notice was posted whose lead time the start waits for."""
    return after.state is RolloutState.PLANNED and event.key in {
        notice_key(after, n.key) for n in after.plan.stakeholder_notices
    }


def _is_request_posted(rollout: Rollout) -> bool:
    return rollout.request is not None and f"approval:{rollout.request.request}" in rollout.messages


def _build_request_edit(after: Rollout) -> tuple[Announcement, ...]:
    """The edit of the open approval request, which shows who was told, who has read it, and what speaks against it.

    It waits behind the request itself, which may be on its way: as it is not known to be posted yet, it may have been
    written before this happened.
    """
    if after.request is None:
        return ()
    where, key = after.plan.engineering_channel, f"approval:{after.request.request}"
    return (Announcement(kind=AnnouncementKind.APPROVAL_CLOSED, rollout=after.id, channel=where, key=key),)


def _build_notices(after: Rollout) -> list[Announcement]:
    """The notices to everyone but engineering, each due at its lead time before a fixed start."""
    result = []
    for notice in after.plan.stakeholder_notices:
        due = after.start - notice.before if after.start is not None and notice.before is not None else None
        result.append(
            Announcement(
                kind=AnnouncementKind.NOTICE,
                rollout=after.id,
                channel=notice.channel,
                key=notice_key(after, notice.key),
                audience=notice.audience,
                due_at=due,
            )
        )
    return result


def _build_notice_edits(after: Rollout) -> list[Announcement]:
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
    return [edit for notice in before.plan.stakeholder_notices for edit in _build_notice_edit(before, notice.key)]


def _build_notice_notes(after: Rollout, position: int) -> list[Announcement]:
    """A note in the thread of each posted notice."""
    return [
        Announcement(
            kind=AnnouncementKind.NOTICE_NOTE,
            rollout=after.id,
            channel=notice.channel,
            key=f"note:{position}:{notice.key}",
            audience=notice.audience,
        )
        for notice in after.plan.stakeholder_notices
        if notice_key(after, notice.key) in after.messages
    ]


def _build_start_reminders(after: Rollout) -> list[Announcement]:
    """With a fixed start: a reminder on its day to each channel that was told earlier than that."""
    return [
        Announcement(
            kind=AnnouncementKind.START_REMINDER,
            rollout=after.id,
            channel=notice.channel,
            key=f"start:{after.start.isoformat()}:{notice.key}",
            audience=notice.audience,
            due_at=after.start - START_REMINDER_BEFORE,
        )
        for notice in after.plan.stakeholder_notices
        if after.start is not None and notice.before is not None and notice.before > START_REMINDER_BEFORE
    ]


def build_overdue_edits(rollout: Rollout, now: datetime) -> tuple[str, list[Announcement]]:
    """Edits of the notices if the date that they give for the next step has passed, and a key for that date."""
    date = rollout.next_step_at
    if date is None or now < date + OVERDUE_AFTER:
        return "", []
    return f"{rollout.id}:overdue:{date.isoformat()}", _build_notice_edits(rollout)


def _build_reminders(after: Rollout, position: int) -> list[Announcement]:
    """A direct message to everyone who asked to be told how it ends."""
    return [
        Announcement(
            kind=AnnouncementKind.REMINDER,
            rollout=after.id,
            channel=slack_user_in(person),
            key=f"reminder:{position}:{person}",
            audience=notice.partition(":")[0],
        )
        for person, notice in after.reminders.items()
    ]


def _build_next_step_reminders(before: Rollout, position: int) -> list[Announcement]:
    """A direct message to everyone who asked to be told of the next step."""
    return [
        Announcement(
            kind=AnnouncementKind.REMINDER,
            rollout=before.id,
            channel=slack_user_in(person),
            key=f"{NEXT_STEP}:{position}:{person}",
        )
        for person in before.next_step_reminders
    ]


def _build_follow_ups(after: Rollout, position: int) -> list[Announcement]:
    """A follow-up to each channel whose notice was posted."""
    return [
        Announcement(
            kind=AnnouncementKind.FOLLOW_UP,
            rollout=after.id,
            channel=notice.channel,
            key=f"follow_up:{position}:{notice.key}",
            audience=notice.audience,
        )
        for notice in after.plan.stakeholder_notices
        if notice_key(after, notice.key) in after.messages  # without a notice there is nothing to follow up on
    ]
