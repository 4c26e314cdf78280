"""Limits as null hypotheses that the kernels can test, and whether an estimate lies beyond a limit."""

from dataclasses import dataclass
from functools import lru_cache
from math import inf

from core.judging.limits.limits import Limit, LimitKind, LimitScale
from core.stats.input_checks import Side


@dataclass(frozen=True, slots=True, kw_only=True)
class Hypothesis:
    """H0: canary <= ratio * control + shift (side "greater"), or >= (side "less"). `share` is its part of the weight.

    `bound_ratio` and `bound_shift` always include the limit's amount; they are used when no control is left.
    """

    side: Side
    ratio: float
    shift: float
    bound_ratio: float
    bound_shift: float
    share: float

    @property
    def sign(self) -> int:
        """+1 for side "greater", -1 for side "less"."""
        return 1 if self.side == "greater" else -1


def build_harm_hypotheses(limit: Limit) -> tuple[Hypothesis, ...]:
    """Null hypotheses "no harm": one per direction of the limit; `changes_by` gives two with half the weight each.

    Without `strict` the null is "no change for the worse at all" (any-harm); with it, the limit's own amount.
    """
    return _harm_hypotheses(limit.kind, limit.amount, limit.scale, limit.strict)


def build_noninferiority_hypotheses(limit: Limit) -> tuple[Hypothesis, ...]:
    """Non-inferiority nulls: the limit is violated or just reached. Rejecting all of them shows that it is kept."""
    return tuple(
        Hypothesis(
            side="less" if harm.side == "greater" else "greater",
            ratio=harm.bound_ratio,
            shift=harm.bound_shift,
            bound_ratio=harm.bound_ratio,
            bound_shift=harm.bound_shift,
            share=1.0,
        )
        for harm in build_harm_hypotheses(limit)
    )


@lru_cache(maxsize=1024)  # a look asks for those of each limit hundreds of times
def _harm_hypotheses(kind: LimitKind, amount: float, scale: LimitScale, strict: bool) -> tuple[Hypothesis, ...]:
    sides: tuple[Side, ...] = ("greater",)
    if kind is LimitKind.DROPS_BY:
        sides = ("less",)
    elif kind is LimitKind.CHANGES_BY:
        sides = ("greater", "less")
    return tuple(_build_harm_hypothesis(amount, scale, strict, side, 1 / len(sides)) for side in sides)


def _build_harm_hypothesis(amount: float, scale: LimitScale, strict: bool, side: Side, share: float) -> Hypothesis:
    signed = amount if side == "greater" else -amount
    relative = scale is LimitScale.RELATIVE
    # A fall by 100 % or more leaves no rate to test, so use the smallest positive ratio.
    ratio, shift = (max(1 + signed, 1e-6), 0.0) if relative else (1.0, signed)
    any_harm = not strict
    return Hypothesis(
        side=side,
        ratio=1.0 if any_harm else ratio,
        shift=0.0 if any_harm else shift,
        bound_ratio=ratio,
        bound_shift=shift,
        share=share,
    )


def measure_effect(limit: Limit, canary: float, control: float) -> float:
    """Canary minus control as the limit measures it: relative to control, or in the metric's own unit."""
    if limit.scale is not LimitScale.RELATIVE:
        return canary - control
    if control > 0:
        return canary / control - 1
    return inf if canary > control else 0.0


def is_beyond_limit(limit: Limit, side: Side, canary: float | None, control: float | None) -> bool:
    """Whether the estimate lies beyond the limit on that side; False when a level is unknown."""
    if canary is None or control is None:
        return False
    difference = measure_effect(limit, canary, control)
    return (difference if side == "greater" else -difference) > limit.amount
