"""Widens the range of control's past by how much units differ now: the few that matter most may not have been seen."""

from collections.abc import Mapping
from dataclasses import replace

from core.judging.look.arm_comparison import ArmComparison
from core.judging.look.control_baselines import bound_past_rate
from core.judging.look.look import Look
from core.judging.model.question import Question
from core.judging.model.state import Baseline


def widen_baselines(question: Question, look: Look, baselines: Mapping[str, Baseline]) -> Mapping[str, Baseline]:
    """The baselines of rates with the larger of two design effects: control's in the past, and the present one.

    A few busy units that control happened not to have, or that were quieter, show in the present spread alone. A wider
    range can only take evidence away: with alternatives at fixed odds of the bound, the likelihood ratio falls as the
    bound moves outward. A mean's present spread is in the error of its level already. Source: Kish (1965), as between
    two arms.
    """
    if not question.stages_without_control:
        return baselines
    since = question.stages_without_control[0]
    return {metric: _widen(one, look.find_comparison(metric, since)) for metric, one in baselines.items()}


def _widen(baseline: Baseline, now: ArmComparison | None) -> Baseline:
    if now is None or baseline.readings is None or baseline.design_effect is None:
        return baseline
    effect = max(baseline.design_effect, now.design_effect)
    low, high = bound_past_rate(baseline.value, baseline.readings, effect)
    return replace(baseline, low=low, high=high)
