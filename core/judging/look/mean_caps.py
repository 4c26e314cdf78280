"""Caps for a mean's readings: a high quantile of control's, frozen as soon as control has enough readings."""

from collections.abc import Mapping

from core.judging.look import bucket_sums
from core.judging.model.evidence import CONTROL, EvidenceSums
from core.judging.model.question import Question
from core.metrics.catalogue import MetricKind
from core.stats import quantile

MIN_READINGS = 200  # control's readings in one stage
CAP_QUANTILE = 0.99


def freeze_caps(question: Question, sums: EvidenceSums) -> Mapping[str, float]:
    """New caps, by metric, for tested means without one whose control has enough readings.

    A cap applies to both arms and only to later readings, so that it never depends on the readings it caps.
    Source: winsorising at a quantile fixed beforehand (Dixon 1960).
    """
    found: dict[str, float] = {}
    for metric in sorted({limit.metric for limit in question.criteria}):
        if question.entry_of(metric).kind is not MetricKind.MEAN or metric in question.caps:
            continue
        counted = bucket_sums.merge_histograms(sums, question.compared_stages, CONTROL, metric)
        if sum(counted.values()) < MIN_READINGS:
            continue
        high = quantile.estimate_quantile(counted, CAP_QUANTILE)
        if high is not None and high > 0:
            found[metric] = quantile.upper_edge(quantile.bin_index(high))
    return found
