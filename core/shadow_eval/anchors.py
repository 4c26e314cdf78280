"""Anchors of a judge: questions with fixed answers that it is given again every few hours, to notice when it moves."""

from dataclasses import dataclass
from datetime import timedelta
from hashlib import sha256
from typing import Literal, TypeAlias

AnchorLabel: TypeAlias = Literal["pass", "fail"]
"""What people say of an anchor's answer."""

ANCHOR_ARM = "anchor"
"""Stored in place of an arm: an anchor is no answer of either version, and counts in neither."""
LEAST_ANCHORS, MOST_ANCHORS = 10, 200
EVERY = timedelta(hours=4)
SHORTEST_EVERY, LONGEST_EVERY = timedelta(minutes=15), timedelta(days=7)


@dataclass(frozen=True, slots=True, kw_only=True)
class JudgeAnchor:
    """One anchor. `label` is what people say of the answer; None if nobody has said."""

    id: str
    question: str
    answer: str
    label: AnchorLabel | None = None


def build_task_id(rollout: str, round_number: int, anchor: str) -> str:
    """The id under which a judge gets an anchor in one round; it looks like that of any other answer."""
    return sha256(f"anchor:{rollout}:{round_number}:{anchor}".encode()).hexdigest()[:32]
