"""Who gets the new version, said of whom: of everyone, of a cohort, or of the users that a layer leaves to it."""

from bot.rendering import wording
from core.rollout.plans.plan import Plan, Stage
from core.rollout.serving import holdout
from core.rollout.state.model import Rollout, RolloutState


def format_state(rollout: Rollout) -> str:
    """The state word with where the stage stands in brackets: `Small test (5 %)`, `Small test (internal 1 %)`."""
    stage = rollout.stage
    if rollout.state is not RolloutState.RUNNING or stage is None:
        return wording.state_word(rollout)
    where = _format_short_share(rollout, stage) if stage.has_exposure else wording.escape(stage.name, 40)
    return f"{wording.state_word(rollout)} ({where})"


def format_share(rollout: Rollout) -> str:
    """The share that gets the new version now: `5 %`, `50 % of internal`, `25 % of its 30 % of the users`,
    `95 % (5 % held back)`, also of one that is done."""
    stage = rollout.stage
    if holdout.is_holding(rollout):
        held = wording.format_percent(rollout.held_percent)
        return f"{wording.format_percent(rollout.cap_by_holdout(rollout.percent))} ({held} held back)"
    if stage is None or not rollout.is_under_way:
        return wording.format_percent(rollout.percent)
    if stage.audience in rollout.strata_back:
        return f"0 % of {wording.escape(stage.audience, 20)} (rolled back)"
    left = ", ".join(wording.escape(name, 20) for name in rollout.strata_back)
    without = f", without {left}" if left and not stage.audience else ""
    return f"{format_stage_share(rollout, stage)}{without}"


def format_position(rollout: Rollout, *, briefly: bool = False) -> str:
    """Where it stands, to follow `stays`: `at 5 %`, `with 50 % of internal`; briefly `at 95 % of its 50 %`."""
    is_cohort = rollout.is_under_way and rollout.stage is not None and bool(rollout.stage.audience)
    if briefly and not is_cohort and rollout.stage is not None:
        return f"at {_format_short_share(rollout, rollout.stage)}"
    return f"{'with' if is_cohort else 'at'} {format_share(rollout)}"


def format_stage_share(rollout: Rollout, stage: Stage) -> str:
    """`format_share` of any stage of its plan, whoever has been rolled back alone since."""
    served = rollout.cap_by_holdout(stage.percent)
    held = f" ({wording.format_percent(rollout.held_percent)} held back)" if served < stage.percent else ""
    whole = f" of {wording.escape(stage.audience, 20)}" if stage.audience else format_layer_part(rollout)
    return f"{wording.format_percent(served)}{whole}{held}"


def format_share_of(percentage: float, audience: str) -> str:
    """A share of a cohort, escaped: `50 % of internal`; of everyone if it has no name: `5 %`."""
    whole = f" of {wording.escape(audience, 40)}" if audience else ""
    return f"{wording.format_percent(percentage)}{whole}"


def format_layer_part(rollout: Rollout) -> str:
    """Of whom its shares are, if a layer leaves it some of the users only: ` of its 30 % of the users`."""
    share = _format_layer_share(rollout)
    return f" of its {share} of the users" if share else ""


def name_everyone(rollout: Rollout) -> str:
    """Whom a stage of 100 % reaches: `everyone`, `its 60 % of the users`, `everyone but 5 % held back`."""
    share = rollout.layer.share if rollout.layer is not None else 1.0
    back = [wording.escape(name, 40) for name in rollout.strata_back] if rollout.is_under_way else []
    return _name_everyone_but(rollout.plan, share, back)


def name_planned_everyone(plan: Plan, share: float) -> str:
    """`name_everyone` before the start; `share` is what its layer leaves it of the users, 0 to 1."""
    return _name_everyone_but(plan, share, [])


def _name_everyone_but(plan: Plan, share: float, back: list[str]) -> str:
    whole = f"its {wording.format_percent(100 * share)} of the users" if share < 1 else "everyone"
    held = [f"{wording.format_percent(plan.holdout.percent)} held back"] if plan.holdout is not None else []
    left = [*held, *back]
    return f"{whole} but {' and '.join(left)}" if left else whole


def format_step(rollout: Rollout, stage: Stage) -> str:
    """A step ahead, in a few words: `25 %`, `25 % of its 30 %`, `everyone`."""
    return name_everyone(rollout) if stage.percent >= 100 else _format_short_share(rollout, stage)


def _format_short_share(rollout: Rollout, stage: Stage) -> str:
    """The share in brackets, without who is held back: `internal 50 %`, `25 % of its 30 %`."""
    share = wording.format_percent(rollout.cap_by_holdout(stage.percent))
    if stage.audience:
        return f"{wording.escape(stage.audience, 40)} {share}"
    layer_share = _format_layer_share(rollout)
    return f"{share} of its {layer_share}" if layer_share else share


def _format_layer_share(rollout: Rollout) -> str:
    """What a layer leaves it of the users, `30 %`, also once it is done; empty if that is all of them."""
    if rollout.layer is None or rollout.layer.share >= 1:
        return ""
    return wording.format_percent(100 * rollout.layer.share)
