"""From the world to what traffic gets: the live version of every surface, and the split of the current rollout."""

from datetime import datetime, timedelta
from typing import NamedTuple

from core.flags import bucketing, targeting
from core.flags import snapshot as flags
from core.judging.model.evidence import derived_metrics
from core.rollout.model import Rollout, StageSpan
from core.rollout.plan import Stage, StageKind
from core.rollout.surface import Surface
from core.rollout.world import KEPT_OF_A_SURFACE, World

SETTLES_WITHIN = timedelta(seconds=30)
"""How long applications may take to follow a driven flag system; its SDKs poll every fifteen seconds."""
REPORTED_WITHIN = timedelta(minutes=15)
"""How long after an evaluation its observation may arrive: ten minutes in a client's cache, two for a slow model, the
rest in a batch."""
SETTLING_SHARE = 4
"""At most this fraction (1 in N) of a stage's hold passes until every report is sure to belong to the stage."""


class Seen(NamedTuple):
    """A world and the snapshot built from it, from which the next snapshot can reuse unchanged parts."""

    world: World
    snapshot: flags.Snapshot


def seen(world: World, before: Seen | None = None) -> Seen:
    """The snapshot of `world` together with `world`; pass it as `before` for the next one."""
    return Seen(world, snapshot(world, before))


def snapshot(world: World, before: Seen | None = None) -> flags.Snapshot:
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
        if before is not None and _unchanged(before.world, surface, of_it):
            surfaces[name] = before.snapshot.surfaces[name]
        else:
            surfaces[name] = _surface(surface, of_it)
    return flags.Snapshot(position=world.position, surfaces=surfaces)


def _unchanged(before: World, surface: Surface, started: list[Rollout]) -> bool:
    """Whether nothing changed; whatever an event changes is another object afterwards."""
    return before.surfaces.get(surface.name) is surface and all(before.rollouts.get(r.id) is r for r in started)


def _surface(surface: Surface, started: list[Rollout]) -> flags.SurfaceFlags:
    live = flags.Version(surface.live, surface.live_content)
    under_way = [r for r in started if r.under_way]
    # Newest first: the running rollout, then those that ended last.
    newest = sorted(started, key=lambda r: r.spans[-1].since, reverse=True)[: KEPT_OF_A_SURFACE + len(under_way)]
    return flags.SurfaceFlags(
        name=surface.name,
        live=flags.live(live),
        versions=frozenset(surface.versions),
        exposure=_exposure(under_way[0], live) if under_way else None,
        tracked=tuple(_tracked(r) for r in newest),
    )


def _exposure(rollout: Rollout, live: flags.Version) -> flags.Exposure:
    stage = rollout.stage
    assert stage is not None
    entered = {span.index for span in rollout.spans[:-1]}
    past = (_cohort(s) for i, s in enumerate(rollout.plan.stages) if i in entered and i != rollout.stage_index)
    return flags.exposure(
        rollout=rollout.id,
        live_version=live,
        to_version=flags.Version(rollout.plan.to_version, rollout.to_content),
        stage=stage.name,
        stage_index=rollout.stage_index,
        canary=bucketing.share(stage.percent),
        matched=rollout.plan.control == "matched",
        cohort=_cohort(stage),
        past=tuple(c for c in past if c is not None),
    )


def _cohort(stage: Stage) -> flags.Cohort | None:
    if stage.kind is not StageKind.COHORT:
        return None
    return flags.Cohort(name=stage.name, where=targeting.where(stage.where or {}), ppm=bucketing.share(stage.percent))


def _counted_from(rollout: Rollout, span: StageSpan) -> datetime | None:
    """When observations start to count for this stage; None if not yet.

    Until a driven flag system has switched, users are split as in the stage before, and shortly afterwards as in
    either.
    """
    if rollout.plan.drives is None:
        return span.since
    return span.driven_since + SETTLES_WITHIN if span.driven_since is not None else None


def _tracked(rollout: Rollout) -> flags.Tracked:
    return flags.Tracked(
        rollout=rollout.id,
        from_version=rollout.plan.from_version,
        to_version=rollout.plan.to_version,
        spans=tuple(_span(rollout, span) for span in rollout.spans),
        driven=rollout.plan.drives is not None,
        bucket=bucketing.bucketer("expose", rollout.id),
        segments=rollout.plan.segments,
        thresholds=derived_metrics(rollout.plan.limits),
        caps=rollout.caps,
    )


def _span(rollout: Rollout, span: StageSpan) -> flags.Span:
    stage = rollout.plan.stages[span.index]
    canary = bucketing.share(stage.percent)
    return flags.Span(
        index=span.index,
        name=stage.name,
        since=span.since,
        until=span.until,
        counted_from=_counted_from(rollout, span),
        settles_until=span.since + min(REPORTED_WITHIN, stage.min_hold / SETTLING_SHARE),
        exposes=stage.exposes,
        control_left=stage.compared,
        cohort=stage.kind is StageKind.COHORT,
        canary_below=canary,
        control_from=flags.control_starts(canary, matched=rollout.plan.control == "matched"),
    )
