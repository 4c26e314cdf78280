"""The table of messages: what each kind is in words, where it goes, and what becomes of one that was posted."""

from dataclasses import dataclass
from enum import Enum, StrEnum


class Place(Enum):
    """Where a message goes."""

    CARD_THREAD = "the thread of the card"
    CHANNEL = "a channel, as a message of its own"
    NOTICE_THREAD = "the thread of the notice to its channel"
    PERSON = "a direct message"
    TESTERS = "a direct message, or a channel with one thread"
    ENGINEERS = "the channels of the engineers of an AI feature, for no rollout"


class Edits(Enum):
    """What becomes of a message that was posted under the same key."""

    NEVER = "it is posted once"
    LATER = "it is posted, and edited from then on"
    ONLY = "it is edited, and nothing is posted"


@dataclass(frozen=True, slots=True)
class DeliveryTerms:
    """How a kind of message is delivered. `words` names it in a dry run."""

    words: str
    place: Place = Place.CARD_THREAD
    edits: Edits = Edits.NEVER
    is_superseding: bool = False  # replaces an unsent one with the same key: it is rendered from the newest state
    is_broadcast: bool = False  # from a thread, it is shown in the channel, too
    is_urgent: bool = False  # must not wait behind other messages
    is_reposted: bool = False  # one that was deleted is posted again


class AnnouncementKind(StrEnum):
    """A kind of message: its name in the outbox, with its `delivery`."""

    delivery: DeliveryTerms

    def __new__(cls, name: str, delivery: DeliveryTerms) -> "AnnouncementKind":
        kind = str.__new__(cls, name)
        kind._value_ = name
        kind.delivery = delivery
        return kind

    CARD = (
        "card",
        DeliveryTerms("the card is edited", Place.CHANNEL, Edits.LATER, is_superseding=True, is_reposted=True),
    )
    LINE = "line", DeliveryTerms("a line in the thread")
    APPROVAL = "approval", DeliveryTerms("an approval request in the thread")
    APPROVAL_CLOSED = "approval_closed", DeliveryTerms("the approval request is edited", edits=Edits.ONLY)
    DECISION = "decision", DeliveryTerms("the result of the comparison, shown in the channel", is_broadcast=True)
    DECISION_CLOSED = "decision_closed", DeliveryTerms("the result of the comparison is edited", edits=Edits.ONLY)
    NOTICE = "notice", DeliveryTerms("the notice", Place.CHANNEL)
    NOTICE_EDIT = (
        "notice_edit",
        DeliveryTerms("the notice is edited", Place.CHANNEL, Edits.ONLY, is_superseding=True, is_reposted=True),
    )
    DIRECT_NOTICE = (
        "direct_notice",
        DeliveryTerms("the notice, as a direct message", Place.PERSON, Edits.LATER, is_superseding=True),
    )
    DIRECT_FOLLOW_UP = "direct_follow_up", DeliveryTerms("what became of it, as a direct message", Place.PERSON)
    NOTICE_NOTE = "notice_note", DeliveryTerms("what changed, in the thread of the notice", Place.NOTICE_THREAD)
    START_REMINDER = (
        "start_reminder",
        DeliveryTerms("a reminder on the day of the start", Place.NOTICE_THREAD, is_broadcast=True),
    )
    REMINDER = "reminder", DeliveryTerms("a reminder, as a direct message", Place.PERSON)
    FOLLOW_UP = "follow_up", DeliveryTerms("what became of it", Place.CHANNEL)
    SUMMARY = "summary", DeliveryTerms("a summary in the thread")
    ALERT = (
        "alert",
        DeliveryTerms("the rollback alert, shown in the channel", edits=Edits.LATER, is_broadcast=True, is_urgent=True),
    )
    ALERT_EDIT = (
        "alert_edit",
        DeliveryTerms("the rollback alert is edited", edits=Edits.ONLY, is_superseding=True, is_urgent=True),
    )
    GLASS_BROKEN = (
        "glass_broken",
        DeliveryTerms("the alert of an emergency start or step, shown in the channel", is_broadcast=True),
    )
    NOT_CONFIRMED = (
        "not_confirmed",
        DeliveryTerms("an alert that the rollback is not confirmed", is_broadcast=True, is_urgent=True),
    )
    WITNESS = "witness", DeliveryTerms("the log witness in the thread")
    INVESTIGATION = "investigation", DeliveryTerms("the checklist for the investigation, in the thread")
    REVIEW = "review", DeliveryTerms("the review in the thread", edits=Edits.LATER, is_superseding=True)
    REVIEW_REMINDER = "review_reminder", DeliveryTerms("a reminder of the review")
    FEEDBACK = "feedback", DeliveryTerms("a question to testers", Place.TESTERS, Edits.LATER, is_superseding=True)
    HOLDOUT = "holdout", DeliveryTerms("what those held back showed, shown in the channel", is_broadcast=True)
    OTHER_MODEL = "other_model", DeliveryTerms("an alert that another model answers", Place.ENGINEERS)
    RETIREMENT = "retirement", DeliveryTerms("a warning that a model will be switched off", Place.ENGINEERS)
