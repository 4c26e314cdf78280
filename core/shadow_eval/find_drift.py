"""Whether a judge has moved: its verdicts on the anchors, round by round, tested item by item."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import log

from core.stats.fixed_horizon.stratified import ItemCounts, compute_change_p

Verdicts = Mapping[str, bool]
"""What a judge said in one round, by the id of the anchor; those that it did not judge are left out."""

DRIFT_ALPHA = 0.05
"""The chance that a judge that never moves is ever said to have moved, in one rollout."""
LATE_ROUNDS = (1, 2, 4, 8)
"""How many of the newest rounds are compared with all before them."""
GOOD_ABOVE = 0.2
"""A round is good if no comparison has a smaller p-value: nothing hints that the judge has moved."""
COMPLETE = 0.8
"""Share of the anchors that a judge has to judge for a round to count."""
ROUNDS_BACK = 2
"""A judge is back once so many rounds together differ from those before it moved by no more than a good round does."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DriftTest:
    """What the newest round says: the smallest p-value, and how many comparisons it is the smallest of."""

    p: float
    comparisons: int

    @property
    def is_good(self) -> bool:
        """Whether nothing hints that the judge has moved."""
        return self.p > GOOD_ABOVE

    def is_moved(self, number: int) -> bool:
        """Whether the judge has moved, at the `number`-th test of a rollout, counted from 1."""
        return self.p * self.comparisons <= DRIFT_ALPHA * share_of_test(number)


def share_of_test(number: int) -> float:
    """The part of `DRIFT_ALPHA` that the `number`-th test may use; all of them add up to one."""
    return 1 / (1.07 * (number + 2) * log(number + 2) ** 2)


def is_complete(verdicts: Verdicts, anchors: int) -> bool:
    """Whether enough of the anchors were judged for the round to count."""
    return len(verdicts) >= COMPLETE * anchors


def compare_rounds(rounds: Sequence[Verdicts]) -> DriftTest:
    """Compare the newest rounds with all before them; `rounds` begins with the first and has at least two."""
    tested = [late for late in LATE_ROUNDS if late < len(rounds)]
    return DriftTest(p=min(compute_change_p(_count(rounds, late)) for late in tested), comparisons=len(tested))


def is_back(before: Sequence[Verdicts], since: Sequence[Verdicts]) -> bool:
    """Whether the newest rounds `since` a judge moved are as those `before` it did."""
    if len(since) < ROUNDS_BACK:
        return False
    return compute_change_p(_count([*before, *since[-ROUNDS_BACK:]], ROUNDS_BACK)) > GOOD_ABOVE


def count_passes(verdicts: Verdicts) -> tuple[int, int]:
    """(anchors that passed, anchors that were judged) of one round."""
    return sum(verdicts.values()), len(verdicts)


def _count(rounds: Sequence[Verdicts], late: int) -> list[ItemCounts]:
    found = []
    for anchor in sorted({anchor for one in rounds for anchor in one}):
        everything = [one[anchor] for one in rounds if anchor in one]
        newest = [one[anchor] for one in rounds[-late:] if anchor in one]
        found.append(
            ItemCounts(seen=len(everything), passed=sum(everything), late_seen=len(newest), late_passed=sum(newest))
        )
    return found
