"""What judging costs: what was spent on a rollout, and how many more judgements its cap leaves."""

from dataclasses import dataclass
from math import floor

MICROS = 1_000_000
"""Of a dollar: stored sums are whole numbers, so that adding many small ones loses nothing."""
MOST_TOLD = 1000.0
"""Dollars that a judge may say one judgement cost; more than that is taken for a mistake."""


@dataclass(frozen=True, slots=True, kw_only=True)
class JudgingSpend:
    """What was spent on judging the answers of a rollout, in dollars, and the cap; None: there is none.

    `judged` counts verdicts, those on anchors and second opinions included. `leased` is what tasks that a judge has
    now are expected to cost; it is part of `spent`.
    """

    spent: float
    judged: int
    cap: float | None = None

    @property
    def is_capped(self) -> bool:
        """Whether the cap is reached, so that no more is judged."""
        return self.cap is not None and self.spent >= self.cap


@dataclass(frozen=True, slots=True, kw_only=True)
class JudgingAccount:
    """What one rollout has spent, in millionths of a dollar. `told` is what the judge itself said of `told_of`
    judgements; `spent` holds the expected cost of those that it did not speak of."""

    spent: int = 0
    judged: int = 0
    told: int = 0
    told_of: int = 0

    def expect_cost(self, stated: float | None) -> int:
        """What the next judgement will probably cost: the mean of what the judge told, or else what the file states."""
        if self.told_of:
            return round(self.told / self.told_of)
        return to_micros(stated) if stated is not None else 0

    def count_room(self, stated: float | None, cap: float | None) -> int | None:
        """How many more judgements the cap leaves; None if it leaves any number."""
        if cap is None:
            return None
        left, each = to_micros(cap) - self.spent, self.expect_cost(stated)
        if each <= 0:
            return None if left > 0 else 0
        return max(floor(left / each), 0)


@dataclass(frozen=True, slots=True, kw_only=True)
class HandOutTerms:
    """What limits the tasks of a rollout: dollars per judgement and for all of them, and whether only anchors go out.

    `cost` and `cap` are None where they are not known or not limited.
    """

    cost: float | None = None
    cap: float | None = None
    only_anchors: bool = False


def to_micros(dollars: float) -> int:
    """An amount in millionths of a dollar."""
    return round(dollars * MICROS)
