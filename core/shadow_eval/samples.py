"""Sampled answers, what a judge said of them, and how far the judging is."""

from dataclasses import dataclass
from datetime import datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class ShadowSample:
    """One sampled answer and where it was served. `id` is random and says nothing about it.

    An `anchor` of the judge is handed out in the same way, once in each `round`, with `ANCHOR_ARM` as its arm.
    """

    id: str
    rollout: str
    surface: str
    stage: int
    arm: str
    judge: str
    at: datetime
    expires_at: datetime
    is_judged_twice: bool
    unit: str
    question: str
    answer: str
    segments: dict[str, str]
    anchor: str | None = None
    round: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class LeasedSamples:
    """What a judge gets now, and the answers of earlier leases that ended without a verdict: asked again, or failed."""

    samples: tuple[ShadowSample, ...]
    unanswered: tuple[ShadowSample, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class AnchorProgress:
    """How far one round of anchors is: when it began, the verdicts so far by anchor, and how many still wait."""

    began_at: datetime
    verdicts: dict[str, bool]
    waiting: int


@dataclass(frozen=True, slots=True, kw_only=True)
class JudgedSample:
    """A sampled answer with what the judge said. `score` lies between 0 and 1; None if the judge gave none."""

    sample: ShadowSample
    passed: bool
    score: float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class ArmProgress:
    """How many answers of one arm were sampled, judged, wait, and could not be judged."""

    sampled: int = 0
    judged: int = 0
    waiting: int = 0
    failed: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class JudgingProgress:
    """How far the judging of a rollout is. Of the `repeated` answers, judged twice, `agreed` got the same verdict."""

    arms: dict[str, ArmProgress]
    repeated: int
    agreed: int
