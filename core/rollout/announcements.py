"""What is told to whom after an event: the core says what and where, rendering says how it looks."""

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from core.rollout import events as e
from core.rollout.model import Rollout, State


class Kind(StrEnum):
    CARD = "card"  # the one message per rollout, edited in place
    LINE = "line"  # what happened, in the thread under the card
    APPROVAL = "approval"  # the request with its buttons, in the thread
    APPROVAL_CLOSED = "approval_closed"  # the same message, edited: who decided, no buttons
    NOTICE = "notice"  # before anything changes, in plain words, to one channel
    NOTICE_EDIT = "notice_edit"  # the same message, kept true: who has read it, another date, who is affected
    FOLLOW_UP = "follow_up"  # to a noticed channel: started, reached everyone, switched back
    SUMMARY = "summary"  # canary against control, in the thread
    ALERT = "alert"  # rolled back: broadcast
    ALERT_EDIT = "alert_edit"  # the same message, with the seconds as observed
    NOT_CONFIRMED = "not_confirmed"  # the switch back could not be observed: broadcast
    WITNESS = "witness"  # position and hash of the event that ended a rollout, in the thread
    DAILY_WITNESS = "daily_witness"  # of the newest event, on a day on which the log has grown


@dataclass(frozen=True, slots=True, kw_only=True)
class Announcement:
    """One message to be posted or edited. `key` is where its channel and ts are remembered (`Rollout.messages`)."""

    kind: Kind
    rollout: str
    channel: str  # as written in the plan: #support
    key: str
    audience: str = "engineering"
    due_at: datetime | None = None  # None: at once

    def fields(self) -> dict[str, str | None]:
        """As it is kept in the outbox."""
        return {
            "kind": self.kind,
            "rollout": self.rollout,
            "channel": self.channel,
            "key": self.key,
            "audience": self.audience,
            "due_at": self.due_at.isoformat() if self.due_at is not None else None,
        }

    @property
    def supersedes(self) -> bool:
        """Whether an unsent one of the same key makes this one unnecessary: it is rendered from the fold."""
        return self.kind in {Kind.CARD, Kind.NOTICE_EDIT, Kind.ALERT_EDIT}

    @property
    def urgent(self) -> bool:
        return self.kind in {Kind.ALERT, Kind.ALERT_EDIT, Kind.NOT_CONFIRMED}


CARD_KEY = "card"
ALERT_KEY = "alert"  # a rollout is rolled back once


def announce(event: e.RolloutEvent, position: int, before: Rollout | None, after: Rollout) -> tuple[Announcement, ...]:
    """What follows from `event`, in the order in which it should be read."""
    if isinstance(event, e.TailsFrozen) or (isinstance(event, e.MessagePosted) and not _starts_a_wait(event, after)):
        return ()
    told: list[Announcement] = []
    where = after.plan.engineering_channel

    def here(kind: Kind, key: str) -> Announcement:
        return Announcement(kind=kind, rollout=after.id, channel=where, key=key)

    if isinstance(event, e.NoticeAcknowledged):
        return _notice_edit(after, event.notice)
    told.append(here(Kind.CARD, CARD_KEY))
    if before is not None and before.request is not None and after.request != before.request:
        told.append(here(Kind.APPROVAL_CLOSED, f"approval:{before.request.request}"))
    elif isinstance(event, e.Approved) and after.request is not None:
        told.append(here(Kind.APPROVAL_CLOSED, f"approval:{after.request.request}"))
    match event:
        case e.MessagePosted():
            pass  # the card says from when on it may start
        case e.Planned():
            told.append(here(Kind.LINE, f"line:{position}"))
            told += _notices(after)
        case e.ApprovalRequested():
            told.append(here(Kind.APPROVAL, f"approval:{event.request}"))
        case e.EvidenceRecorded():
            if event.reason in {"summary", "step", "hold"}:
                told.append(here(Kind.SUMMARY, f"summary:{event.number}"))
        case e.RolledBack():
            told.append(here(Kind.ALERT, ALERT_KEY))
            told += _follow_ups(after, position)
            told += _notice_edits(after)
            told.append(here(Kind.WITNESS, f"witness:{position}"))
        case e.FlipConfirmed():
            told.append(here(Kind.ALERT_EDIT, ALERT_KEY))
        case e.FlipUnconfirmed():
            told.append(here(Kind.NOT_CONFIRMED, f"not_confirmed:{position}"))
        case e.Started():
            told.append(here(Kind.LINE, f"line:{position}"))
            told += _follow_ups(after, position)
        case e.StageEntered():
            told.append(here(Kind.LINE, f"line:{position}"))
            told += _notice_edits(after)
        case e.Completed() | e.Abandoned():
            told.append(here(Kind.LINE, f"line:{position}"))
            told += _follow_ups(after, position)
            told += _notice_edits(after)
            told.append(here(Kind.WITNESS, f"witness:{position}"))
        case e.StartScheduled():
            told.append(here(Kind.LINE, f"line:{position}"))
            told += _notice_edits(after)
        case _:
            told.append(here(Kind.LINE, f"line:{position}"))
    return tuple(told)


def notice_key(rollout: Rollout, notice: str) -> str:
    """Where a notice is remembered: bound to the plan, so that a changed plan is told anew."""
    return f"notice:{rollout.fingerprint}:{notice}"


def _starts_a_wait(event: e.MessagePosted, after: Rollout) -> bool:
    """Whether a notice went out, on which the start waits."""
    return after.state is State.PLANNED and event.key in {notice_key(after, n.key) for n in after.plan.told_before}


def _notices(after: Rollout) -> list[Announcement]:
    told = []
    for notice in after.plan.told_before:
        due = after.start - notice.before if after.start is not None and notice.before is not None else None
        told.append(
            Announcement(
                kind=Kind.NOTICE,
                rollout=after.id,
                channel=notice.channel,
                key=notice_key(after, notice.key),
                audience=notice.audience,
                due_at=due,
            )
        )
    return told


def _notice_edits(after: Rollout) -> list[Announcement]:
    """Who is affected, and from when on, stands in every notice."""
    return [edit for notice in after.plan.told_before for edit in _notice_edit(after, notice.key)]


def _notice_edit(after: Rollout, notice: str) -> tuple[Announcement, ...]:
    key = notice_key(after, notice)
    if key not in after.messages:
        return ()
    audience, _, channel = notice.partition(":")
    return (Announcement(kind=Kind.NOTICE_EDIT, rollout=after.id, channel=channel, key=key, audience=audience),)


def _follow_ups(after: Rollout, position: int) -> list[Announcement]:
    return [
        Announcement(
            kind=Kind.FOLLOW_UP,
            rollout=after.id,
            channel=notice.channel,
            key=f"follow_up:{position}:{notice.key}",
            audience=notice.audience,
        )
        for notice in after.plan.told_before
        if notice_key(after, notice.key) in after.messages  # who was never told has nothing to be corrected
    ]
