"""From the world to what traffic gets: the live version of every surface, and the split of the current rollout."""

from datetime import datetime, timedelta
from typing import NamedTuple

from core.flags import bucketing, targeting
from core.flags import snapshot as flags
from core.flags.flows import CriticalFlow
from core.flags.placement import REPORTED_WITHIN
from core.flags.targeting import parse_conditions
from core.judging.model.evidence import exceedance_thresholds
from core.rollout.judging.judging_question import agree_caps
from core.rollout.plans.plan import Stage, StageKind
from core.rollout.serving import holdout, layering, strata
from core.rollout.serving.conversations import build_finishing
from core.rollout.state.model import Rollout, StageSpan
from core.rollout.state.sources import map_owners
from core.rollout.state.surface import Surface
from core.rollout.state.world import ENDED_KEPT_PER_SURFACE, World

SETTLES_WITHIN = timedelta(seconds=30)
"""How long applications may take to follow a driven flag system; its SDKs poll every fifteen seconds."""
SETTLING_SHARE = 4
"""At most this fraction (1 in N) of a stage's hold passes until what is reported is believed to belong to the stage."""


class CachedSnapshot(NamedTuple):
    """A world and the snapshot built from it, from which the next snapshot can reuse unchanged parts."""

    world: World
    snapshot: flags.Snapshot


def build_cached_snapshot(world: World, before: CachedSnapshot | None = None) -> CachedSnapshot:
    """The snapshot of `world` together with `world`; pass it as `before` for the next one."""
    return CachedSnapshot(world, build_snapshot(world, before))


def build_snapshot(world: World, before: CachedSnapshot | None = None) -> flags.Snapshot:
    """Everything that evaluations and observations need. Ended rollouts serve nobody: everyone gets the live version.

    Surfaces that have not changed since `before`, an earlier world of the same log, are taken from there.
    """
    started: dict[str, list[Rollout]] = {}
    for rollout in world.rollouts.values():
        if rollout.spans:
            started.setdefault(rollout.plan.surface, []).append(rollout)
    surfaces: dict[str, flags.SurfaceFlags] = {}
    for name, surface in world.surfaces.items():
        of_it = started.get(name, [])
        if before is not None and _is_unchanged(before.world, world, surface, of_it):
            surfaces[name] = before.snapshot.surfaces[name]
        else:
            surfaces[name] = _build_surface_flags(surface, of_it, world)
    return flags.Snapshot(position=world.position, surfaces=surfaces, keeps_units=world.policy.customers is not None)


def _is_unchanged(before: World, world: World, surface: Surface, started: list[Rollout]) -> bool:
    """Whether nothing changed; whatever an event changes is another object afterwards."""
    same = before.surfaces.get(surface.name) is surface and before.policy.metrics == world.policy.metrics
    return same and all(before.rollouts.get(r.id) is r for r in started)


def _build_surface_flags(surface: Surface, started: list[Rollout], world: World) -> flags.SurfaceFlags:
    live = flags.Version(surface.live, surface.live_content)
    under_way = [r for r in started if r.is_under_way]
    # Newest first: the running rollout, then those that ended last.
    newest = sorted(started, key=lambda r: r.spans[-1].since, reverse=True)[: ENDED_KEPT_PER_SURFACE + len(under_way)]
    return flags.SurfaceFlags(
        name=surface.name,
        live=flags.build_live_answer(live),
        versions=frozenset(surface.versions),
        exposure=_build_exposure(under_way[0], live) if under_way else _build_holdout(surface, started, live),
        tracked=tuple(_build_tracked(r, surface) for r in newest),
        finishing=build_finishing(started, under_way[0] if under_way else None),
        metrics=world.own_metrics.of_surface(surface.name),
        soft_errors=frozenset(surface.soft_errors.own if surface.soft_errors is not None else ()),
    )


def build_surface_flags(world: World, surface: str) -> flags.SurfaceFlags:
    """What evaluations and observations of one surface need. KeyError if there is no such surface."""
    started = [rollout for rollout in world.rollouts.values() if rollout.plan.surface == surface and rollout.spans]
    return _build_surface_flags(world.surfaces[surface], started, world)


def _build_exposure(rollout: Rollout, live: flags.Version) -> flags.Exposure:
    stage = rollout.current_stage
    return flags.build_exposure(
        rollout=rollout.id,
        live_version=live,
        to_version=flags.Version(rollout.plan.to_version, rollout.to_content),
        stage=stage.name,
        stage_index=rollout.stage_index,
        canary=bucketing.percent_to_ppm(stage.percent),
        matched=stage.has_matched_control(rollout.plan.control),
        cohort=_build_cohort(stage),
        past_cohorts=_build_past_cohorts(rollout),
        moved_back=tuple(int(one, 16) for one in rollout.moved_back),
        layer=layering.build_share(rollout),
        held=holdout.compute_held_ppm(rollout.plan),
    )


def _build_holdout(surface: Surface, started: list[Rollout], live: flags.Version) -> flags.Exposure | None:
    """Who is held back after the rollout that made the version live; None if nobody is."""
    holding = next((r for r in started if r.id == surface.live_by and holdout.is_holding(r)), None)
    return holdout.build_exposure(holding, live) if holding is not None else None


def _build_past_cohorts(rollout: Rollout) -> tuple[flags.Cohort, ...]:
    """The cohorts of the stages before, and all that were rolled back alone, in the order of the plan."""
    reached: dict[str, float] = {}
    for span in rollout.spans[:-1]:
        stage = rollout.plan.stages[span.index]
        reached[stage.audience] = max(reached.get(stage.audience, 0.0), stage.percent)
    entered = reached.keys() - {rollout.current_stage.audience}
    return tuple(
        flags.Cohort(
            name=stratum.name,
            where=targeting.parse_conditions(stratum.where),
            ppm=bucketing.percent_to_ppm(reached.get(stratum.name, 0.0)),
            is_back=strata.is_back(rollout, stratum.name),
        )
        for stratum in strata.list_strata(rollout.plan)
        if stratum.name in entered or strata.is_back(rollout, stratum.name)
    )


def _build_cohort(stage: Stage) -> flags.Cohort | None:
    if stage.kind is not StageKind.COHORT:
        return None
    return flags.Cohort(
        name=stage.audience,
        where=targeting.parse_conditions(stage.where or {}),
        ppm=bucketing.percent_to_ppm(stage.percent),
    )


def _find_counting_start(rollout: Rollout, span: StageSpan) -> datetime | None:
    """When observations start to count for this stage; None if not yet.

    Until a driven flag system has switched, users are split as in the stage before, and shortly afterwards as in
    either.
    """
    if not rollout.plan.dividing:
        return span.since
    return span.driven_since + SETTLES_WITHIN if span.driven_since is not None else None


def _build_tracked(rollout: Rollout, surface: Surface) -> flags.TrackedRollout:
    after = holdout.build_window(rollout)
    return flags.TrackedRollout(
        rollout=rollout.id,
        from_version=rollout.plan.from_version,
        to_version=rollout.plan.to_version,
        spans=(*(_build_span(rollout, span) for span in rollout.spans), *((after,) if after is not None else ())),
        is_externally_driven=bool(rollout.plan.dividing),
        bucket=bucketing.make_bucketer("expose", rollout.id),
        segments=rollout.plan.segments,
        flows=tuple(
            CriticalFlow(name=name, conditions=parse_conditions(where))
            for name, where in (rollout.plan.flows or {}).items()
        ),
        thresholds=exceedance_thresholds(rollout.plan.limits),
        caps=agree_caps(rollout),
        metrics={metric.key: metric for metric in rollout.plan.metrics or ()},
        moved_back={int(one, 16): at for one, at in rollout.moved_back.items()},
        digest=bucketing.make_digester("expose", rollout.id),
        pulled=map_owners(surface.sources or ()),
        cohort_back_at=min((one.at for one in rollout.strata_back.values()), default=None),
        unit_kind=rollout.plan.unit,
        conversations_finish=rollout.plan.finish_within is not None,
        layer=layering.build_share(rollout),
    )


def _build_span(rollout: Rollout, span: StageSpan) -> flags.StageWindow:
    stage = rollout.plan.stages[span.index]
    canary = min(bucketing.percent_to_ppm(stage.percent), bucketing.MILLION - holdout.compute_held_ppm(rollout.plan))
    everybody = stage.percent >= 100
    return flags.StageWindow(
        index=span.index,
        name=stage.name,
        since=span.since,
        until=span.until,
        counted_from=_find_counting_start(rollout, span),
        settles_until=span.since + min(REPORTED_WITHIN, stage.min_hold / SETTLING_SHARE),
        exposes=stage.has_exposure,
        control_left=stage.is_compared,
        cohort=stage.kind is StageKind.COHORT,
        audience=stage.audience,
        canary_below=canary,
        control_from=bucketing.MILLION
        if everybody
        else flags.control_start(canary, matched=stage.has_matched_control(rollout.plan.control)),
    )
