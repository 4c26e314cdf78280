"""What a layer leaves of a rollout's reach, in plain words."""

from bot.rendering import reach_words, wording
from core.rollout.plans.plan import Plan
from core.rollout.serving import layering
from core.rollout.state.model import Rollout

TITLE = "Layer"


def describe_plan(plan: Plan, reach: tuple[str, float] | None) -> str:
    """Whom the new version can reach, what its first stage is of everybody, and that all get it in the end; empty
    without a layer."""
    if reach is None:
        return ""
    layer, share = reach
    first = next((s for s in plan.stages if s.is_compared and s.where is None), None)
    of_all = (
        f"; {wording.format_percent(first.percent)} of them in {wording.escape(first.name, 40)} are "
        f"{wording.format_percent(first.percent * share)} of everyone"
        if first is not None
        else ""
    )
    return (
        f"{wording.format_percent(100 * share)} of the users in {wording.escape(layer, 40)} can get "
        f"{wording.escape(plan.to_version, 40)} until it is done{of_all}. Then everyone gets it."
    )


def describe_now(rollout: Rollout) -> str:
    """The same of a rollout under way: what its stage is of everybody; empty without a layer."""
    reach = layering.find_reach_now(rollout)
    if reach is None or not rollout.is_under_way or not rollout.percent:
        return ""
    layer, share = reach
    if rollout.current_stage.audience:
        return (
            f"{reach_words.format_share(rollout)}, of those whom {wording.escape(layer, 40)} leaves to it: "
            f"{wording.format_percent(100 * share)} of the users. The others get "
            f"{wording.escape(rollout.plan.from_version, 40)} until it is done."
        )
    served = rollout.cap_by_holdout(rollout.percent)
    return (
        f"{wording.format_percent(served)} of its {wording.format_percent(100 * share)} of the users in "
        f"{wording.escape(layer, 40)}, {wording.format_percent(served * share)} of everyone. The others get "
        f"{wording.escape(rollout.plan.from_version, 40)} until it is done."
    )
