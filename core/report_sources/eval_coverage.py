"""Reads from the database what is needed to tell which traffic the evals of a plan leave out."""

from collections.abc import Iterable, Mapping

from core.evals.coverage import EvalCoverage, SegmentTraffic, find_coverage
from core.judging.model.evidence import EVERYONE, OTHER_NAME
from core.rollout.plans.plan import Plan
from core.rollout.state.events import EvalRecorded
from core.rollout.state.model import Rollout
from core.rollout.state.world import World
from core.service.service import RolloutService
from core.store.observations import observation_sums

ENOUGH_REQUESTS = 200  # below that, shares are too uncertain to be shown
_NO_RESULTS: Mapping[int, EvalRecorded] = {}


def load_coverage(
    service: RolloutService, plan: Plan, world: World, evals: Mapping[int, EvalRecorded] = _NO_RESULTS
) -> EvalCoverage:
    """`find_plan_coverage` of the traffic that the database knows."""
    return find_plan_coverage(load_segment_traffic(service, plan, world), plan, world, evals)


def find_plan_coverage(
    traffic: SegmentTraffic | None, plan: Plan, world: World, evals: Mapping[int, EvalRecorded]
) -> EvalCoverage:
    """What the suites of `plan` leave out of the traffic of its surface, as `load_segment_traffic` gives it.

    `evals` are the results for this plan. Without any, the newest results of the same suites on the surface tell what
    they hold: that does not depend on the version.
    """
    covers, suite_from = _find_covered(plan, evals, _list_on_surface(plan, world))
    return find_coverage(traffic, covers, suite_from)


def load_segment_traffic(service: RolloutService, plan: Plan, world: World) -> SegmentTraffic | None:
    """How the traffic of the plan's surface was divided in the newest rollout that saw enough; None if none did."""
    return _load_traffic(service, _list_on_surface(plan, world))


def _list_on_surface(plan: Plan, world: World) -> list[Rollout]:
    """The rollouts of the plan's surface, newest first."""
    return [r for r in reversed([*world.rollouts.values()]) if r.plan.surface == plan.surface]


def _find_covered(
    plan: Plan, evals: Mapping[int, EvalRecorded], on_surface: Iterable[Rollout]
) -> tuple[tuple[str, ...], str]:
    """(categories and labels, the other rollout whose results hold them); both empty if there are no results."""
    if found := _join_covered(evals.values()):
        return found, ""
    suites = {stage.terms.suite for stage in plan.stages if stage.terms is not None}
    for rollout in on_surface:
        if found := _join_covered(event for event in rollout.evals.values() if event.suite in suites):
            return found, rollout.id
    return (), ""


def _join_covered(events: Iterable[EvalRecorded]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(name for event in events if event.report for name in event.report.covers))


def _load_traffic(service: RolloutService, on_surface: Iterable[Rollout]) -> SegmentTraffic | None:
    """The segments of the newest rollout with enough requests outside cohorts, whose people were chosen."""
    for rollout in on_surface:
        stages = {span.index for span in rollout.spans if _is_open_to_all(rollout, span.index)}
        if not stages:
            continue
        with service.database.reading() as connection:
            counted = observation_sums.count_requests(connection, rollout.id, stages)
            selected = {span.index for span in rollout.spans} - stages
            elsewhere = observation_sums.count_requests(connection, rollout.id, selected) if selected else {}
        total = counted.pop(EVERYONE, 0.0)
        if total >= ENOUGH_REQUESTS and counted:
            return SegmentTraffic(
                rollout=rollout.id,
                requests=round(total),
                shares={
                    name: count / total
                    for name, count in sorted(counted.items())
                    if name.partition("=")[2] != OTHER_NAME
                },
                unnamed=frozenset(
                    name.partition("=")[0] for name in (*counted, *elsewhere) if name.partition("=")[2] == OTHER_NAME
                ),
                elsewhere=frozenset(elsewhere) - {EVERYONE},
            )
    return None


def _is_open_to_all(rollout: Rollout, index: int) -> bool:
    stage = rollout.plan.stages[index]
    return stage.has_exposure and stage.where is None
