"""A plan on the calendar, and what its limits could detect at the traffic that is known."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from core.evals.coverage import EvalCoverage, SegmentTraffic
from core.files.foresight import detection, timeline
from core.files.foresight.comparison_power import ComparisonPower, foresee_comparisons
from core.files.foresight.detection import LimitForesight
from core.files.foresight.known_traffic import KnownTraffic
from core.files.foresight.strata_traffic import StratumTraffic, estimate_strata
from core.files.foresight.timeline import TimelineRow
from core.rollout.models.way_back import WayBackEnd, foresee_end
from core.rollout.plans.plan import Plan
from core.rollout.plans.policy import Policy
from core.rollout.serving import layering
from core.rollout.state.surface import Surface


@dataclass(frozen=True, slots=True, kw_only=True)
class PlanOutlook:
    """A plan on the calendar, and what its limits could detect: per compared stage, one forecast per limit."""

    plan: Plan
    rows: Sequence[TimelineRow]
    foreseen: Sequence[Sequence[LimitForesight]]
    known: KnownTraffic
    warnings: Sequence[str] = ()  # what the checks of files say
    coverage: EvalCoverage | None = None  # what the evals leave out of live traffic; None: nobody has looked it up
    strata: Sequence[StratumTraffic] = ()  # how much of the traffic each has
    # its layer, and the share of all users that it can reach until it is done, 0 to 1; None: it is in no layer
    reach: tuple[str, float] | None = None
    comparisons: Sequence[ComparisonPower] = ()  # long ones, and the holdout: what they could notice
    way_back: WayBackEnd | None = None  # until when one can go back; None: nobody says that the old version ends


def build_outlook(
    plan: Plan,
    surface: Surface,
    policy: Policy,
    known: KnownTraffic,
    now: datetime,
    *,
    begin: datetime | None = None,
    warnings: Sequence[str] = (),
    coverage: EvalCoverage | None = None,
    traffic: SegmentTraffic | None = None,
) -> PlanOutlook:
    """The outlook of a plan; `begin` is the earliest start if it is known, else it follows from the notices."""
    design, reach = detection.design_from_plan(plan, policy), layering.find_planned_reach(plan, policy)
    foreseen = [detection.foresee_limits(design, stage, known) for stage in design.compared_stages]
    expected_times = {
        stage.name: of[0].expected
        for stage, of in zip(design.compared_stages, foreseen, strict=True)
        if of and not stage.is_decided_at_end  # that one lasts as long as it says
    }
    return PlanOutlook(
        plan=plan,
        rows=timeline.build_timeline(plan, surface, policy, now, begin=begin, expected_times=expected_times),
        foreseen=foreseen,
        known=known,
        warnings=warnings,
        coverage=coverage,
        strata=estimate_strata(plan, traffic),
        reach=reach,
        comparisons=foresee_comparisons(plan, known, reach[1] if reach is not None else 1.0),
        way_back=foresee_end(plan, surface),
    )
