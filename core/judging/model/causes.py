"""Why a cost or a time differs between the arms: the parts of a difference, which add up to it."""

from dataclasses import dataclass
from typing import Literal, TypeAlias

CauseFactor: TypeAlias = Literal[
    "calls", "call_cost", "input_tokens", "output_tokens", "cache_hits", "price", "tools", "first_word", "rest"
]
"""What a difference may come from: factors of the cost of a request, then parts of its time."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Cause:
    """One factor: its level in each arm, and how much of the difference comes from it.

    `contribution`, `low` and `high` are in the unit of the metric. (low, high) is its 95 % range at this look alone:
    causes explain a verdict and never lead to one. None is unknown.
    """

    factor: CauseFactor
    canary: float
    control: float
    contribution: float
    low: float | None
    high: float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class DifferenceCauses:
    """The difference of a metric's means in the current stage, canary minus control, and its causes, largest first.

    The contributions of the causes add up to `difference`. `metrics` are the metrics whose change this explains.
    """

    metrics: tuple[str, ...]
    unit: str
    difference: float
    causes: tuple[Cause, ...]
