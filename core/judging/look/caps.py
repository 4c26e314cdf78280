"""Where a mean's readings are cut: at a high quantile of control's, frozen as soon as control shows one."""

from collections.abc import Mapping

from core.judging.look import cells
from core.judging.model.evidence import CONTROL, Sums
from core.judging.model.question import Question
from core.metrics.catalogue import CATALOGUE, Kind
from core.stats import quantile

ENOUGH = 200  # control's readings in one stage
HIGH = 0.99


def frozen(question: Question, sums: Sums) -> Mapping[str, float]:
    """Caps of the tested means that have none yet and whose control has shown enough, by metric.

    What is counted from then on is cut there, in both arms alike, so that a cap never depends on what it cuts.
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
