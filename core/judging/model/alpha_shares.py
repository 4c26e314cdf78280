"""How the chance of a false alarm is shared out before the start: every share adds up to at most one."""

from math import pi

from core.judging.model.question import Question

EVERYBODY = 0.8
"""Of a limit's weight, the part for everybody where segments are judged as well; each slot has a part of the rest."""

FROM_THE_START = 0.72
LATER_STAGES = 0.10
ANY_TIME = 0.10
WITHOUT_CONTROL = 0.08
"""Parts of a comparison: since the first stage, since each later one, since an unknown time, and for the time without
a control. An absolute limit needs none: it has `FROM_THE_START` and `WITHOUT_CONTROL` together for its first stage."""

AS_IT_IS, CAPPED, TAIL = 0.15, 0.60, 0.25
"""Parts of a mean: its readings as they are, with the largest ones capped, and the share of readings above the cap."""

SINCE_FIRST, LATER_IN_SEGMENT = 0.7, 0.3
"""Parts of a segment's comparison: since the first stage, and since each later one while it is under way."""


def of_everybody(question: Question) -> float:
    """The part of a limit's weight that is everybody's."""
    return EVERYBODY if question.cuts else 1.0


def of_stage(order: int, *, absolute: bool) -> float:
    """The part for the e-process begun with the `order`-th exposed stage, from 1; the later ones share theirs."""
    if order == 1:
        return FROM_THE_START + (WITHOUT_CONTROL if absolute else 0.0)
    return LATER_STAGES * fading(order - 1)


def of_segment(order: int) -> float:
    """The part of a segment's slot for the e-process begun with the `order`-th compared stage, from 1.

    A stage that is over has lost its part for good: giving it to the next one would spend it once a stage.
    """
    return SINCE_FIRST if order == 1 else LATER_IN_SEGMENT * fading(order - 1)


def fading(order: int) -> float:
    """6 / (pi^2 j^2): shares of a sequence without an end."""
    return 6 / (pi**2 * order**2)
