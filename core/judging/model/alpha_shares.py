"""How the false-alarm budget alpha is split between e-processes before the start. Shares sum to at most 1."""

from math import pi

from core.judging.model.question import Question

OVERALL_SHARE = 0.8
"""Share of a limit's weight for the overall comparison when segments are judged too. The segments share the rest."""
MAX_JUDGED_SEGMENTS = 12
"""Segments that are judged per rollout at most; each has an equal share of the weight, judged or not."""

FROM_THE_START = 0.72
LATER_STAGES = 0.10
ANY_TIME = 0.10
WITHOUT_CONTROL = 0.08
"""Shares of a comparison's weight, by when its e-process starts: at the first stage, at each later stage, at an unknown
time (onset), and once no control is left. An absolute limit needs no control, so its first stage gets
`FROM_THE_START` and `WITHOUT_CONTROL` together."""

LATE_LEVEL = 0.5
"""Share of `ANY_TIME` for the level of a mean's readings where the share above its cap is watched beside it."""

UNCAPPED, CAPPED, TAIL = 0.15, 0.60, 0.25
"""Shares of a mean's weight: for the raw readings, the capped ones, and the proportion of readings above the cap."""

SINCE_FIRST, LATER_IN_SEGMENT = 0.7, 0.3
"""Shares of a segment's comparison: since the first stage, and since each later stage while it is current."""


def overall_share(question: Question) -> float:
    """Share of a limit's weight that belongs to the overall comparison: below 1 only when segments are judged."""
    return OVERALL_SHARE if question.cuts else 1.0


def one_segment_share(question: Question) -> float:
    """Share of a limit's weight that belongs to the comparison in each segment."""
    return (1 - overall_share(question)) / MAX_JUDGED_SEGMENTS


def stage_share(order: int, *, absolute: bool) -> float:
    """Share of the e-process that starts with the `order`-th exposed stage (from 1). Later stages split one share."""
    if order == 1:
        return FROM_THE_START + (WITHOUT_CONTROL if absolute else 0.0)
    return LATER_STAGES * infinite_series_share(order - 1)


def segment_share(order: int) -> float:
    """Share of a segment's weight for the e-process that starts with the `order`-th compared stage (from 1).

    The share of a finished stage is not reused: passing it on would spend the same alpha once per stage.
    """
    return SINCE_FIRST if order == 1 else LATER_IN_SEGMENT * infinite_series_share(order - 1)


def infinite_series_share(position: int) -> float:
    """6 / (pi^2 position^2): shares of an infinite sequence that sum to 1. `position` counts from 1."""
    return 6 / (pi**2 * position**2)
