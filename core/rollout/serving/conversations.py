"""Conversations under way while a rollout changes versions: which versions they finish on, and until when (pure)."""

from collections.abc import Iterable, Mapping
from datetime import datetime

from core.flags import bucketing
from core.flags import snapshot as flags
from core.flags.targeting import parse_conditions
from core.rollout.context import Context
from core.rollout.plans.plan import StageKind
from core.rollout.serving import holdout, layering, strata
from core.rollout.state import events as e
from core.rollout.state import holds
from core.rollout.state.model import Rollout, RolloutState

HARMFUL_CAUSES = frozenset({"answers", "slow", "errors", "complaints"})
"""The causes of a rollback, of those that a person may give afterwards, by which no conversation goes on."""


def is_finishing(rollout: Rollout) -> bool:
    """Whether conversations under way still go on with the version that they began with."""
    if not _has_terms(rollout) or rollout.conversations_moved_at is not None:
        return False
    if rollout.state is RolloutState.ROLLED_BACK:
        return bool(rollout.rollback is not None and rollout.rollback.finishing)
    return rollout.is_under_way or rollout.state is RolloutState.DONE


def _has_terms(rollout: Rollout) -> bool:
    """Whether the plan lets conversations finish, and anybody got the new version."""
    return rollout.plan.finish_within is not None and rollout.was_exposed


def finish_by(rollout: Rollout) -> datetime | None:
    """When the last conversation changes that went on after the rollout ended; None while no end is set."""
    if rollout.plan.finish_within is None or rollout.ended_at is None or not is_finishing(rollout):
        return None
    return rollout.ended_at + rollout.plan.finish_within


def may_finish_after(rollout: Rollout, *, findings: bool) -> bool:
    """Whether conversations may go on with the new version after a rollback now, as the plan says.

    Not if anything speaks against the version: a broken limit, a hold, or somebody whom it felt off to. In doubt
    everybody gets the previous version at once.
    """
    hold = rollout.hold.key if rollout.hold is not None else ""
    doubted = bool(hold) and not hold.startswith(holds.DECISION)
    return _has_terms(rollout) and not (findings or doubted or rollout.felt_off)


def move(rollout: Rollout, context: Context, reason: str = "") -> list[e.RolloutEvent]:
    """The event after which conversations under way get what everybody gets, as a person wants; none if they do."""
    return [e.ConversationsMoved(by=context.by.id, reason=reason, is_due=False)] if is_finishing(rollout) else []


def move_when_due(rollout: Rollout, context: Context) -> list[e.RolloutEvent]:
    """The event by which they move once the time that the plan gives them after the rollout is over."""
    due = finish_by(rollout)
    if due is None or context.at < due:
        return []
    return [e.ConversationsMoved(by=context.by.id, reason="", is_due=True)]


def build_finishing(rollouts: Iterable[Rollout], current: Rollout | None) -> Mapping[str, flags.FinishingVersion]:
    """The versions of a surface on which conversations finish, by name; `current` is the rollout under way, if any.

    `rollouts` are those of the surface that have started. A version that one of them took back at once is not among
    them, unless it is being rolled out again.
    """
    rollouts = tuple(rollouts)
    contents: dict[str, Mapping[str, object]] = {}
    served: dict[str, tuple[flags.ServedUnits, ...] | None] = {}
    for rollout in filter(is_finishing, rollouts):
        old, new = rollout.plan.from_version, rollout.plan.to_version
        contents.setdefault(old, rollout.from_content)
        contents.setdefault(new, rollout.to_content)
        served[old] = None
        known = served.get(new, ())
        served[new] = None if known is None or _had_everybody(rollout) else (*known, _build_served(rollout))
    tried = current.plan.to_version if current is not None else ""
    harmful = {r.plan.to_version for r in rollouts if _was_taken_back(r) and r.plan.to_version != tried}
    return {
        name: flags.FinishingVersion(
            answer=_build_answer(flags.Version(name, contents[name]), current), served_to=served[name]
        )
        for name in served
        if name not in harmful
    }


def _had_everybody(rollout: Rollout) -> bool:
    """Whether everybody got the new version at its end, without any exception."""
    return rollout.completed_at is not None and not rollout.strata_back and not holdout.is_holding(rollout)


def _was_taken_back(rollout: Rollout) -> bool:
    return rollout.state is RolloutState.ROLLED_BACK and rollout.was_exposed and not is_finishing(rollout)


def _build_served(rollout: Rollout) -> flags.ServedUnits:
    """Whom the rollout has served its new version in the stages so far."""
    stages = [rollout.plan.stages[index] for index in dict.fromkeys(span.index for span in rollout.spans)]
    shares = [
        flags.ServedShare(
            where=parse_conditions(stage.where or {}) if stage.kind is StageKind.COHORT else None,
            below=min(
                bucketing.percent_to_ppm(stage.percent), bucketing.MILLION - holdout.compute_held_ppm(rollout.plan)
            ),
        )
        for stage in stages
        if stage.has_exposure
    ]
    everybody = max((share.below for share in shares if share.where is None), default=0)
    largest = (flags.ServedShare(where=None, below=everybody),) if everybody else ()
    return flags.ServedUnits(
        rollout=rollout.id,
        shares=(*largest, *(share for share in shares if share.where is not None)),
        moved_back=frozenset(int(one, 16) for one in rollout.moved_back),
        taken_back=tuple(
            parse_conditions(stratum.where)
            for stratum in strata.list_strata(rollout.plan)
            if strata.is_back(rollout, stratum.name)
        ),
        digest=bucketing.make_digester("expose", rollout.id),
        layer=layering.build_share(rollout),
    )


def _build_answer(version: flags.Version, current: Rollout | None) -> flags.FlagAnswer:
    """The answer in a conversation that goes on: it is not compared."""
    variant, reason = flags.Variant.STABLE, flags.Reason.TARGETING_MATCH
    if current is None:
        return flags.FlagAnswer(version=version, variant=variant, reason=reason)
    return flags.FlagAnswer(
        version=version,
        variant=variant,
        reason=reason,
        rollout=current.id,
        stage=current.current_stage.name,
        exposure=flags.format_exposure_token(current.id, current.stage_index, variant),
    )
