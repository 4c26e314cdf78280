"""What people say: of notices, of the new version, and in the review."""

from dataclasses import dataclass
from datetime import datetime
from typing import ClassVar, TypeAlias


@dataclass(frozen=True, slots=True, kw_only=True)
class NoticeAcknowledged:
    """A person confirmed that they have read a notice."""

    TYPE: ClassVar[str] = "rollout.notice_acknowledged"
    WRITTEN: ClassVar[tuple[str, ...]] = ("handle",)
    notice: str
    by: str
    handle: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ConcernRaised:
    """A person raised a concern about a notice."""

    TYPE: ClassVar[str] = "rollout.concern_raised"
    WRITTEN: ClassVar[tuple[str, ...]] = ("handle", "text")
    notice: str
    by: str
    handle: str
    text: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ConcernsAnswered:
    """Somebody answered all concerns that were open."""

    TYPE: ClassVar[str] = "rollout.concerns_answered"
    WRITTEN: ClassVar[tuple[str, ...]] = ("handle", "text")
    by: str
    handle: str
    text: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ReminderRequested:
    """A person wants a direct message when watching is over, or once it is clear that it will not get there."""

    TYPE: ClassVar[str] = "rollout.reminder_requested"
    LATER: ClassVar[tuple[str, ...]] = ("next_step",)
    notice: str  # key of the notice whose audience the message is worded for; may be empty
    by: str
    next_step: bool | None = None  # True: as soon as it grows, stops or waits for somebody


@dataclass(frozen=True, slots=True, kw_only=True)
class FeltOff:
    """A user of the new version reports that it feels off. Two different people hold the rollout."""

    TYPE: ClassVar[str] = "rollout.felt_off"
    WRITTEN: ClassVar[tuple[str, ...]] = ("handle", "text")
    by: str
    handle: str
    text: str


@dataclass(frozen=True, slots=True, kw_only=True)
class VoteCast:
    """A tester said how the version is that they get in this stage. Their last vote in a stage counts.

    `arm` is empty where it is not known which version they get. `voter` is who they are among the testers.
    """

    TYPE: ClassVar[str] = "rollout.vote_cast"
    WRITTEN: ClassVar[tuple[str, ...]] = ("handle", "text")
    by: str
    handle: str
    voter: str  # a Slack user id
    stage: int
    arm: str  # canary | control | ""
    choice: str  # one of `commands.VOTE_CHOICES`
    text: str


@dataclass(frozen=True, slots=True, kw_only=True)
class VoteWithdrawn:
    """A tester took their vote of this stage back."""

    TYPE: ClassVar[str] = "rollout.vote_withdrawn"
    by: str
    voter: str
    stage: int


@dataclass(frozen=True, slots=True, kw_only=True)
class ComplaintReported:
    """Somebody reported that a customer complained about an AI answer.

    `arm` is the arm in which it counts and `version` the version that the customer got; both are empty if that is not
    known. `unit_hash` is the customer's 64-bit number as in `UnitMovedBack`, empty if the customer is not known.
    """

    TYPE: ClassVar[str] = "rollout.complaint_reported"
    WRITTEN: ClassVar[tuple[str, ...]] = ("handle", "text")
    by: str
    handle: str
    text: str
    arm: str
    version: str
    unit_hash: str
    message: str  # the message in Slack that it is about, as channel/ts; may be empty


@dataclass(frozen=True, slots=True, kw_only=True)
class ReviewRequested:
    """The rollout ended, and its review is due. One that is rolled back after it was done is reviewed again."""

    TYPE: ClassVar[str] = "rollout.review_requested"
    due_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class ReviewSubmitted:
    """A person answered the four questions of the review, and perhaps what to learn from it.

    `keeps_baseline`: what was measured became the baseline of the surface; False, too, where too little was measured.
    """

    TYPE: ClassVar[str] = "rollout.review_submitted"
    WRITTEN: ClassVar[tuple[str, ...]] = (
        "handle",
        "numbers",
        "unexpected",
        "behaviour",
        "cost",
        "worked",
        "failed",
        "next_time",
    )
    by: str
    handle: str
    numbers: str  # did the numbers match the expectations
    unexpected: str  # was anything unexpected
    behaviour: str  # do people behave differently
    cost: str  # is the cost where it was expected
    worked: str
    failed: str
    next_time: str
    keeps_baseline: bool


FeedbackEvent: TypeAlias = (
    NoticeAcknowledged
    | ConcernRaised
    | ConcernsAnswered
    | ReminderRequested
    | FeltOff
    | VoteCast
    | VoteWithdrawn
    | ComplaintReported
    | ReviewRequested
    | ReviewSubmitted
)
