"""Which answers are judged: a fixed share of the new version's, and as many of the current one's."""

from hashlib import sha256

from core.flags.snapshot import StageWindow, Variant

_BUCKETS = 1_000_000  # of `StageWindow`
SECOND_OPINIONS = 0.05  # share of the judged answers that are judged twice


def is_sampled(rollout: str, answer: str, arm: Variant, stage: StageWindow, share: float) -> bool:
    """Whether the answer with this id is judged; the same answer is always treated alike.

    `share` is a fraction of the new version's answers. Of the current version's answers such a share is taken that
    both arms have about as many.
    """
    canary, control = stage.canary_below / _BUCKETS, 1 - stage.control_from / _BUCKETS
    rate = share if arm is Variant.CANARY else share * canary / control if control else 0.0
    return _draw(f"sample:{rollout}:{answer}") < rate


def wants_second_opinion(rollout: str, answer: str) -> bool:
    """Whether this answer is judged twice, so that it is known how far the judge agrees with itself."""
    return _draw(f"second:{rollout}:{answer}") < SECOND_OPINIONS


def _draw(text: str) -> float:
    """A number in [0, 1) that follows from the text."""
    return int.from_bytes(sha256(text.encode()).digest()[:8]) / 2**64
