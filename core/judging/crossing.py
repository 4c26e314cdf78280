"""Quantiles compared through what crosses a threshold that was set at the look before."""

from collections.abc import Iterator, Mapping

from core.judging import cells
from core.judging.evidence import CANARY, CONTROL, Sums
from core.judging.hypothesis import Hypothesis, hypotheses
from core.judging.limits import Limit
from core.judging.question import Question
from core.judging.state import Baseline, Threshold
from core.judging.step import Step
from core.metrics.catalogue import CATALOGUE, Kind
from core.stats import quantile

ENOUGH = 50  # of control's values, before its quantile becomes a threshold


def is_crossed(limit: Limit) -> bool:
    """Whether a limit compares quantiles of canary and control."""
    return CATALOGUE[limit.metric].kind is Kind.QUANTILE and not limit.absolute


def metric_of(position: int, side: str) -> str:
    """The name under which a limit's crossings are counted."""
    return f"crossing:{position}:{side}"


def thresholds(question: Question, sums: Sums, known: Mapping[str, Baseline]) -> tuple[Threshold, ...]:
    """What the next look counts above: control's own quantile up to now, or where none is left its past one."""
    return tuple(_thresholds(question, sums, known))


def steps(sums: Sums, before: tuple[Threshold, ...]) -> tuple[Step, ...]:
    """What crossed the thresholds of the look before since then."""
    return tuple(step for threshold in before if (step := _step(sums, threshold)).counted)


def _thresholds(question: Question, sums: Sums, known: Mapping[str, Baseline]) -> Iterator[Threshold]:
    for position, limit in enumerate(question.limits):
        if not is_crossed(limit):
            continue
        metric = limit.metric
        q = CATALOGUE[metric].quantile
        assert q is not None
        for hypothesis in hypotheses(limit):
            for stage in question.exposed:
                paired = stage in question.compared
                canary, control = (cells.histogram(sums, (stage,), arm, metric) for arm in (CANARY, CONTROL))
                if paired and sum(control.values()) >= ENOUGH:
                    base = quantile.quantile(control, q)
                elif not paired and stage in question.alone and metric in known:
                    base = known[metric].value
                else:
                    continue
                assert base is not None
                own = quantile.upper_edge(quantile.bin_of(base))
                ratio, shift = (
                    (hypothesis.ratio, hypothesis.shift) if paired else (hypothesis.bound_ratio, hypothesis.bound_shift)
                )
                theirs = own if (ratio, shift) == (1.0, 0.0) else _edge(ratio * own + shift, hypothesis)
                yield Threshold(
                    limit=position,
                    side=hypothesis.side,
                    stage=stage,
                    metric=metric,
                    canary=theirs,
                    control=own,
                    canary_above=quantile.exceedance(canary, theirs),
                    canary_total=sum(canary.values()),
                    control_above=quantile.exceedance(control, own),
                    control_total=sum(control.values()),
                )


def _edge(value: float, hypothesis: Hypothesis) -> float:
    # Rounded away from harm, so that what is counted never overstates it.
    position = quantile.bin_of(max(value, 0.0))
    return quantile.upper_edge(position if hypothesis.side == "greater" else position - 1)


def _step(sums: Sums, threshold: Threshold) -> Step:
    canary, control = (cells.histogram(sums, (threshold.stage,), arm, threshold.metric) for arm in (CANARY, CONTROL))
    return Step(
        stage=threshold.stage,
        metric=metric_of(threshold.limit, threshold.side),
        canary_trials=sum(canary.values()) - threshold.canary_total,
        canary_events=quantile.exceedance(canary, threshold.canary) - threshold.canary_above,
        control_trials=sum(control.values()) - threshold.control_total,
        control_events=quantile.exceedance(control, threshold.control) - threshold.control_above,
        aside_trials=threshold.control_total,
        aside_events=threshold.control_above,
    )
