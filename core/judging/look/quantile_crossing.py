"""Compare quantiles by counting the values above thresholds that were set at the previous look."""

from collections.abc import Iterator, Mapping, Sequence

from core.judging.look import cells
from core.judging.model.evidence import CANARY, CONTROL, EVERYONE, Sums
from core.judging.model.hypothesis import Hypothesis, clearing, hypotheses
from core.judging.model.increment import Step
from core.judging.model.limits import Limit
from core.judging.model.question import Question
from core.judging.model.state import Baseline, Threshold
from core.metrics.catalogue import CATALOGUE, Kind
from core.stats import quantile

ENOUGH = 50  # control values needed before its quantile becomes a threshold


def is_crossed(limit: Limit) -> bool:
    """Whether a limit compares a quantile of the canary with control's."""
    return CATALOGUE[limit.metric].kind is Kind.QUANTILE and not limit.absolute


def metric_of(position: int, side: str, *, clear: bool = False) -> str:
    """Metric name under which a limit's crossings are counted; `clear` is the non-inferiority test."""
    return f"{'kept' if clear else 'crossing'}:{position}:{side}"


def thresholds(
    question: Question, sums: Sums, known: Mapping[str, Baseline], segments: Sequence[str]
) -> tuple[Threshold, ...]:
    """Thresholds for the next look: control's quantile up to now, or its past one if no control is left.

    Segments use the overall threshold, and only in the current stage.
    """
    found = []
    for position, limit in enumerate(question.criteria):
        if not is_crossed(limit) or not _has_values(sums, question, limit):
            continue
        sides = [(hypothesis, False) for hypothesis in hypotheses(limit)]
        if not question.is_implied(position) and limit.acts:
            sides += [(hypothesis, True) for hypothesis in clearing(limit)]
        for hypothesis, clear in sides:
            for stage in question.exposed:
                values = _values(question, sums, known, limit, hypothesis, stage, clear=clear)
                if values is None:
                    continue
                here = segments if stage == question.current and not clear else ()
                for segment in (EVERYONE, *here):
                    counted = _counted(sums, stage, limit.metric, segment, values)
                    found.append(
                        Threshold(
                            limit=position,
                            side=hypothesis.side,
                            stage=stage,
                            metric=limit.metric,
                            canary=values[0],
                            control=values[1],
                            canary_above=counted[0],
                            canary_total=counted[1],
                            control_above=counted[2],
                            control_total=counted[3],
                            segment=segment,
                            clear=clear,
                        )
                    )
    return tuple(found)


def steps(sums: Sums, before: Sequence[Threshold]) -> Iterator[Step]:
    """Yield the counts above the previous look's thresholds since that look."""
    for threshold in before:
        values = (threshold.canary, threshold.control)
        above, total, control_above, control_total = _counted(
            sums, threshold.stage, threshold.metric, threshold.segment, values
        )
        step = Step(
            stage=threshold.stage,
            metric=metric_of(threshold.limit, threshold.side, clear=threshold.clear),
            segment=threshold.segment,
            canary_trials=total - threshold.canary_total,
            canary_events=above - threshold.canary_above,
            control_trials=control_total - threshold.control_total,
            control_events=control_above - threshold.control_above,
            aside_trials=threshold.control_total,
            aside_events=threshold.control_above,
        )
        if step.counted:
            yield step


def _values(
    question: Question,
    sums: Sums,
    known: Mapping[str, Baseline],
    limit: Limit,
    hypothesis: Hypothesis,
    stage: int,
    *,
    clear: bool,
) -> tuple[float, float] | None:
    """(threshold for the canary, threshold for control); None if there is no quantile to set them by."""
    paired = stage in question.compared
    if paired:
        q = CATALOGUE[limit.metric].quantile
        assert q is not None
        control = cells.histogram(sums, (stage,), CONTROL, limit.metric)
        base = quantile.quantile(control, q) if sum(control.values()) >= ENOUGH else None
    elif stage in question.alone and limit.metric in known and not clear:
        base = known[limit.metric].edge(hypothesis.side)
    else:
        base = None
    if base is None:
        return None
    own = quantile.upper_edge(quantile.bin_of(base))
    ratio, shift = (hypothesis.ratio, hypothesis.shift) if paired else (hypothesis.bound_ratio, hypothesis.bound_shift)
    return own if (ratio, shift) == (1.0, 0.0) else _edge(ratio * own + shift, hypothesis), own


def _counted(
    sums: Sums, stage: int, metric: str, segment: str, values: tuple[float, float]
) -> tuple[int, int, int, int]:
    canary, control = (cells.histogram(sums, (stage,), arm, metric, segment) for arm in (CANARY, CONTROL))
    return (
        quantile.exceedance(canary, values[0]),
        sum(canary.values()),
        quantile.exceedance(control, values[1]),
        sum(control.values()),
    )


def _has_values(sums: Sums, question: Question, limit: Limit) -> bool:
    return any(cells.histogram(sums, (stage,), CANARY, limit.metric) for stage in question.exposed) or any(
        cells.histogram(sums, (stage,), CONTROL, limit.metric) for stage in question.exposed
    )


def _edge(value: float, hypothesis: Hypothesis) -> float:
    # Rounded to a bin edge against the hypothesis to be shown, so that the count never overstates the evidence.
    position = quantile.bin_of(max(value, 0.0))
    return quantile.upper_edge(position if hypothesis.side == "greater" else position - 1)
