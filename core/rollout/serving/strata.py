"""Strata of a plan: the audiences that get the new version one after the other, each of which can go back alone."""

from collections.abc import Mapping
from dataclasses import dataclass

from core.rollout.context import Context
from core.rollout.plans.plan import Plan, StageKind
from core.rollout.refusal import Refused
from core.rollout.state import events as e
from core.rollout.state.model import Rollout, RolloutState

EMPTY_STAGE, LEFT_AT_END = "stratum:", "strata_left:"
"""Keys of the holds: the stage under way serves a stratum that went back; at the end some have not got the version."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Stratum:
    """An audience, by conditions on the evaluation's context. Where several fit, the first one counts."""

    name: str
    where: Mapping[str, str | tuple[str, ...]]


def list_strata(plan: Plan) -> tuple[Stratum, ...]:
    """The strata in order: those that have a stage, as their stages come, then those that the plan only names."""
    staged = {
        stage.audience: Stratum(name=stage.audience, where=stage.where or {})
        for stage in plan.stages
        if stage.kind is StageKind.COHORT
    }
    return (*staged.values(), *(Stratum(name=name, where=where) for name, where in (plan.strata or {}).items()))


def find_stratum(plan: Plan, name: str) -> Stratum | None:
    """The stratum of this name, in upper or lower case; None if there is none."""
    wanted = name.strip().casefold()
    return next((one for one in list_strata(plan) if one.name.casefold() == wanted), None)


def is_back(rollout: Rollout, stratum: str) -> bool:
    """Whether this stratum was rolled back alone."""
    return stratum in rollout.strata_back


def roll_back_stratum(rollout: Rollout, stratum: Stratum, context: Context, reason: str) -> list[e.RolloutEvent]:
    """That the members of one stratum get the previous version again while the others stay; none if they do already."""
    if rollout.state is RolloutState.ABANDONED or is_back(rollout, stratum.name):
        return []
    if rollout.state is RolloutState.DONE:
        raise Refused(
            f"Everyone gets {rollout.plan.to_version} by now, so {stratum.name} cannot be rolled back alone.",
            hint=f"To give everyone {rollout.plan.from_version} again: /rollout rollback {rollout.id}.",
        )
    if rollout.state is RolloutState.PLANNED:
        raise Refused(
            f"{rollout.id} has not started, so nobody has {rollout.plan.to_version} yet.",
            hint=f"To give it up: /rollout rollback {rollout.id}. To leave {stratum.name} out, change its file.",
        )
    return [
        e.StratumRolledBack(by=context.by.id, reason=reason, stratum=stratum.name, version=rollout.plan.from_version)
    ]


def hold_for_empty_stage(rollout: Rollout) -> e.Held | None:
    """The hold of a stage whose only audience has gone back: nobody can be compared in it; None otherwise."""
    stage = rollout.stage
    if stage is None or stage.kind is not StageKind.COHORT or not is_back(rollout, stage.audience):
        return None
    key = f"{EMPTY_STAGE}{stage.audience}"
    if rollout.state not in {RolloutState.RUNNING, RolloutState.WAITING} or key in rollout.overridden:
        return None
    following = find_stage_after(rollout)
    then = f"goes on to {rollout.plan.stages[following].name}" if following < len(rollout.plan.stages) else "ends it"
    return e.Held(key=key, text=f"{stage.audience} was rolled back alone; resuming {then} without it")


def find_stage_after(rollout: Rollout) -> int:
    """The index of the first stage after those of the audience under way; one too many if there is none."""
    stages, audience = rollout.plan.stages, rollout.current_stage.audience
    later = range(rollout.stage_index + 1, len(stages))
    return next((index for index in later if stages[index].audience != audience), len(stages))


def hold_at_end(rollout: Rollout) -> e.Held | None:
    """The hold before the end while a stratum has the previous version, as the end gives everyone the new one."""
    left = ", ".join(rollout.strata_back)
    key = f"{LEFT_AT_END}{left}"
    if not left or key in rollout.overridden:
        return None
    new, old = rollout.plan.to_version, rollout.plan.from_version
    text = f"{left} went back to {old} alone; resuming ends {rollout.id}, which gives them {new} too"
    return e.Held(key=key, text=text)
