"""Widens the range of control's past by how much units differ now: the few that matter most may not have been seen."""

from collections.abc import Mapping
from dataclasses import replace

from core.judging.look.arm_comparison import ArmComparison
from core.judging.look.look import Look
from core.judging.look.past_control import bound_past_rate
from core.judging.model.question import Question
from core.judging.model.state import PastLevel


def widen_past_levels(question: Question, look: Look, levels: Mapping[str, PastLevel]) -> Mapping[str, PastLevel]:
    """The past levels of rates with the larger of two design effects: control's in the past, and the present one.

    A few busy units that control happened not to have, or that were quieter, show in the present spread alone. A wider
    range can only take evidence away: with alternatives at fixed odds of the bound, the likelihood ratio falls as the
    bound moves outward. A mean's present spread is in the error of its level already. Source: Kish (1965), as between
    two arms.
    """
    if not question.stages_without_control:
        return levels
    since = question.stages_without_control[0]
    return {metric: _widen(one, look.find_comparison(metric, since)) for metric, one in levels.items()}


def _widen(past: PastLevel, now: ArmComparison | None) -> PastLevel:
    if now is None or past.readings is None or past.design_effect is None:
        return past
    effect = max(past.design_effect, now.design_effect)
    low, high = bound_past_rate(past.value, past.readings, effect)
    return replace(past, low=low, high=high)
