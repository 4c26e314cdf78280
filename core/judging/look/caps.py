"""Caps for a mean's readings: a high quantile of control's, frozen as soon as control has enough readings."""

from collections.abc import Mapping

from core.judging.look import cells
from core.judging.model.evidence import CONTROL, Sums
from core.judging.model.question import Question
from core.metrics.catalogue import CATALOGUE, Kind
from core.stats import quantile

ENOUGH = 200  # control's readings in one stage
HIGH = 0.99


def frozen(question: Question, sums: Sums) -> Mapping[str, float]:
    """New caps, by metric, for tested means without one whose control has enough readings.

    A cap applies to both arms and only to later readings, so that it never depends on the readings it caps.
    Source: winsorising at a quantile fixed beforehand (Dixon 1960).
    """
    found: dict[str, float] = {}
    for metric in sorted({limit.metric for limit in question.criteria}):
        if CATALOGUE[metric].kind is not Kind.MEAN or metric in question.caps:
            continue
        counted = cells.histogram(sums, question.compared, CONTROL, metric)
        if sum(counted.values()) < ENOUGH:
            continue
        high = quantile.quantile(counted, HIGH)
        if high is not None and high > 0:
            found[metric] = quantile.upper_edge(quantile.bin_of(high))
    return found
