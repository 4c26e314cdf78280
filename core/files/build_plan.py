"""Build the plan that a rollout file asks for: fill in the template, and name every stage and version."""

from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import datetime
from typing import Any

from core.files.choose_template import with_chosen_template
from core.files.find_changes import find_changes
from core.files.foresight import known_traffic, prefill
from core.files.foresight.detection import design_from_plan
from core.files.foresight.layer_reach import narrow_traffic
from core.files.kinds.rollout_file import RolloutFile
from core.files.sections.drives_terms import to_drives
from core.files.sections.limit_terms import LimitTerms
from core.files.sections.tester_terms import build_testers
from core.files.syntax.problems import UnreadableFile
from core.files.templates import TEMPLATES, NoticeLead, Template
from core.flags.flows import FLOW
from core.judging.limits.limits import Limit, LimitRole
from core.judging.model.question import ALL_SEGMENTS
from core.judging.report.horizon import has_fixed_test
from core.metrics.catalogue import Metric
from core.rollout.plans.plan import NoticePlan, Plan, Risk, Stage, StageKind, Tester
from core.rollout.plans.policy import Policy
from core.rollout.state.surface import Surface, is_version_taken, next_version


def build(
    file: RolloutFile,
    surface: Surface,
    policy: Policy,
    *,
    resolve_handle: Callable[[str], str],
    resolve_tester: Callable[[str], str] | None = None,
    to_version: str | None = None,
    sample_sizes: Mapping[str, int] | None = None,
    metrics: tuple[Metric, ...] | None = None,
) -> Plan:
    """The plan of `file` on `surface`. Where the file leaves the stages to its template, the baseline of the surface
    fills in the sample sizes, or `sample_sizes` does, by name of the stage.

    `resolve_handle` returns the Slack user id of an @handle, or the handle itself. `to_version` names the new version
    if the file does not (for a file that is applied again), unless that name has another content by now.
    `resolve_tester` is `resolve_handle` for testers, if it differs. `metrics` are the own ones that the plan freezes;
    None: those that surface and policy define today.

    Raises UnreadableFile if no plan is possible. What is merely unwise is reported by `checks`.
    """
    file = with_chosen_template(file, surface)
    risk = file.effective_risk
    from_version, change = find_changes(file, surface)
    owner = file.owner or surface.owner
    plan = Plan(
        name=file.rollout,
        surface=file.surface,
        owner=resolve_handle(owner),
        owner_handle=owner,
        risk=risk,
        template=file.template,
        from_version=from_version,
        to_version=file.change.to.version or _choose_version_name(surface, from_version, change, to_version),
        change=change,
        why=file.change.why,
        ticket=file.change.ticket,
        deadline=file.change.deadline,
        rollback_until=file.change.rollback_to_available_until,
        behaviour_changes=tuple(behaviour.to_behaviour_change() for behaviour in file.behaviour_changes),
        expectations=tuple(expected.to_expectation(metric) for metric, expected in file.expectations.items()),
        stages=build_stages(file),
        unit=file.assignment.unit,
        control=file.assignment.control,
        segments=(*select_segments(file), *((FLOW,) if surface.flows else ())),
        flows=surface.flows,
        metrics=(*(policy.metrics or ()), *(surface.metrics or ())) or None if metrics is None else metrics or None,
        approvals=file.approvals.to_approvals(policy.risk[risk].approvals),
        limits=build_limits(file),
        notices=_add_engineering_notices(file, surface),
        start=_require_start(file, policy),
        drives=to_drives(file.drives) if file.drives is not None else None,
        strata=file.assignment.strata or None,
        finish_within=file.assignment.conversations_finish_within,
        reverts=file.reverts.to_reverts() if file.reverts is not None else None,
        holdout=file.holdout.to_holdout() if file.holdout is not None else None,
        testers=build_testers(select_testers(file, surface), resolve_tester or resolve_handle),
    )
    return replace(plan, stages=_fill_sample_sizes(file, plan, surface, policy, sample_sizes))


def select_testers(file: RolloutFile, surface: Surface | None) -> tuple[Tester, ...] | None:
    """The testers as written: those of the rollout file, or else those of the surface."""
    if file.testers is not None:
        return tuple(terms.to_tester() for terms in file.testers)
    return surface.testers if surface is not None else None


def find_baseline_used(file: RolloutFile, surface: Surface) -> str:
    """The id of the rollout whose baseline fills in the sample sizes of this file's plan; empty if none does."""
    known = known_traffic.recall_traffic(surface) if file.stages is None else None
    return known.measured if known is not None and known.daily_requests else ""


def _fill_sample_sizes(
    file: RolloutFile, plan: Plan, surface: Surface, policy: Policy, given: Mapping[str, int] | None
) -> tuple[Stage, ...]:
    if file.stages is not None:
        return plan.stages
    if given is not None:
        return tuple(replace(s, min_samples=given.get(s.name, s.min_samples)) for s in plan.stages)
    known = known_traffic.recall_traffic(surface)
    if known is None:
        return plan.stages
    return prefill.fill_sample_sizes(design_from_plan(plan, policy), narrow_traffic(known, surface, policy))


def _choose_version_name(surface: Surface, from_version: str, change: Mapping[str, Any], preferred: str | None) -> str:
    """The name of the new version: `before`, unless it is unset or has another content, else the next free one."""
    content = {**surface.versions[from_version], **change}
    return next_version(surface) if preferred is None or is_version_taken(surface, preferred, content) else preferred


def build_stages(file: RolloutFile) -> tuple[Stage, ...]:
    """Every stage in order. A ramp becomes one stage per step.

    A long comparison that names no metrics is decided on those of the rollback limits that it can test. Where a
    template compares extensively, it takes at least twice the canary's sample.
    """
    stages = [stage for entry in file.stage_entries for stage in entry.to_stages()]
    canary = max((stage.min_samples for stage in stages if stage.kind is StageKind.CANARY), default=0)
    least = 2 * canary if TEMPLATES[file.template].compares_extensively else 0
    return tuple(
        replace(
            stage,
            decide_on=stage.decide_on or _choose_deciding_metrics(file),
            min_samples=max(stage.min_samples, least),
        )
        if stage.kind is StageKind.AB
        else stage
        for stage in stages
    )


def _choose_deciding_metrics(file: RolloutFile) -> tuple[str, ...]:
    limits = [limit for limit in build_limits(file) if limit.role is LimitRole.ROLLBACK and limit.can_act]
    compared = [limit for limit in limits if not (limit.is_absolute or limit.is_per_category)]
    return tuple(dict.fromkeys(limit.metric for limit in compared if has_fixed_test(limit.entry)))


def select_segments(file: RolloutFile) -> tuple[str, ...]:
    """The dimensions that are kept of observations: the file's, or else the template's."""
    written = file.assignment.segments
    if written == "all":
        return (ALL_SEGMENTS,)
    return TEMPLATES[file.template].segments if written is None else written


def build_limits(file: RolloutFile) -> tuple[Limit, ...]:
    """The rollback limits of the file, then those the template adds, then the hold limits."""
    named = {terms.metric for terms in file.rollback_when}
    added = [LimitTerms.model_validate(terms) for terms in TEMPLATES[file.template].rollback_when]
    rollback = [*file.rollback_when, *(terms for terms in added if terms.metric not in named)]
    return (
        *(terms.to_limit(LimitRole.ROLLBACK) for terms in rollback),
        *(terms.to_limit(LimitRole.HOLD) for terms in file.hold_when),
    )


def build_notices(file: RolloutFile, surface: Surface | None) -> tuple[NoticePlan, ...]:
    """Whom to notify: the file's list, else the surface's channels with the lead times of the template.

    For a low-risk change that nobody will notice, only engineering is notified.
    """
    if file.notify is not None:
        return tuple(notice.to_notice_plan() for notice in file.notify)
    if surface is None:
        return ()
    template = TEMPLATES[file.template]
    silent = file.effective_risk is Risk.LOW and not file.is_noticeable
    return tuple(
        _apply_lead_time(notice, template)
        for notice in surface.notices
        if notice.audience == "engineering" or not silent
    )


def find_start_problem(file: RolloutFile, policy: Policy) -> str | None:
    """Why the written start does not exist (the clocks skip it); None if it does."""
    try:
        _resolve_start(file, policy)
    except ValueError as error:
        return str(error)
    return None


def _resolve_start(file: RolloutFile, policy: Policy) -> datetime | None:
    """The start in UTC; None if the file has none. ValueError if the clocks skip it."""
    return None if file.start is None else file.start.to_utc(policy.timezone)


def _require_start(file: RolloutFile, policy: Policy) -> datetime | None:
    """The start in UTC; None if the file has none. UnreadableFile if the clocks skip it."""
    try:
        return _resolve_start(file, policy)
    except ValueError as error:
        raise UnreadableFile([file.source.problem_at(("start",), str(error))]) from error


def _apply_lead_time(notice: NoticePlan, template: Template) -> NoticePlan:
    """The notice with what it leaves out taken from the template."""
    lead = template.leads.get(notice.audience, NoticeLead())
    return replace(notice, before=notice.before or lead.before, acknowledge=notice.acknowledge or lead.acknowledge)


def _add_engineering_notices(file: RolloutFile, surface: Surface) -> tuple[NoticePlan, ...]:
    """The notices, with the surface's engineering channels added if the file names none."""
    planned = build_notices(file, surface)
    if any(notice.audience == "engineering" for notice in planned):
        return planned
    engineering = tuple(notice for notice in surface.notices if notice.audience == "engineering")
    if not engineering:
        message = (
            'no channel is notified "as: engineering", so the rollout would have no card: '
            "add one here or to the surface"
        )
        raise UnreadableFile([file.source.problem_at(("notify",), message, at_key=True)])
    return (*engineering, *planned)
