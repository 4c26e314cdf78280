"""What somebody has to know who decides on a rollout: what changes, what stops it, when, for and against, who knows."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import TypeAlias
from zoneinfo import ZoneInfo

from bot.rendering import reach_words, wording
from bot.rendering.messages.audience import conversation_words, holdout_words, layer_words, stratum_words
from bot.rendering.neighbours import neighbour_words
from bot.rendering.numbers import eval_words, measure_rows, noticed_words, segments, technical_words
from bot.rendering.numbers.detectability import blind_spot_words, power_words, unknown_unit_words, unseen_by_evals
from bot.rendering.numbers.latest_numbers import detection_power
from bot.rendering.sentences import difference_words, driven_words, headline, schedule, way_back_words
from core.files.foresight.detection import LimitForesight
from core.files.foresight.outlook import PlanOutlook
from core.judging.limits import limits
from core.judging.limits.limits import Limit, LimitKind, LimitRole
from core.judging.model.verdict import Measure
from core.rollout.concurrency.neighbours import NO_NEIGHBOURS, Neighbours
from core.rollout.models.way_back import WayBackEnd, foresee_end
from core.rollout.permissions.approvers import ApproverRule
from core.rollout.plans.plan import NoticePlan, Plan, StageKind, content_hash
from core.rollout.state.events import ConcernRaised, EvalRecorded
from core.rollout.state.model import Rollout
from core.versions.content_difference import compare_contents

ListMembers: TypeAlias = Callable[[str], Mapping[str, str]]
"""A user group as written -> its members, as Slack user id -> handle; empty if they are not known."""

MAX_LIMITS, MAX_NAMES = 14, 6


@dataclass(frozen=True, slots=True, kw_only=True)
class FactSection:
    """One heading with its lines, escaped mrkdwn; `is_list`: each line is an item of its own."""

    title: str
    lines: tuple[str, ...]
    is_list: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class DecisionFacts:
    """What is known besides the rollout itself; everything that is missing is left out of the text.

    `outlook` is that of a plan before its start, `concerns` are those raised about the notices of this plan.
    """

    outlook: PlanOutlook | None = None
    rule: ApproverRule | None = None
    concerns: tuple[ConcernRaised, ...] = ()
    members: ListMembers = lambda _: {}
    neighbours: Neighbours = NO_NEIGHBOURS
    way_back: WayBackEnd | None = None


def list_sections(rollout: Rollout, facts: DecisionFacts, zone: str, at: datetime | None = None) -> list[FactSection]:
    """Every section that says something, in reading order; times in each reader's own time zone. `at` is when it is
    asked or read, where that is known."""
    started = rollout.started_at is not None
    against = tuple(_list_reasons_against(rollout, facts, zone))
    found = [
        FactSection(title="Why", lines=_list_sentence(wording.escape(rollout.plan.why, 300))),
        FactSection(title="What changes", lines=(describe_change(rollout),)),
        FactSection(
            title="Other rollouts", lines=tuple(neighbour_words.list_lines(rollout, facts.neighbours)), is_list=True
        ),
        *list_plan_sections(rollout.plan, None if started else facts.outlook, zone),
        FactSection(title="Limits so far", lines=tuple(_list_measured_limits(rollout)), is_list=True),
        FactSection(title="Checks", lines=tuple(_list_checks(rollout)), is_list=True),
        FactSection(title=unseen_by_evals.TITLE, lines=tuple(_list_unseen(rollout, facts.outlook)), is_list=True),
        FactSection(
            title=noticed_words.TITLE, lines=tuple(noticed_words.list_lines(rollout, rollout.measures)), is_list=True
        ),
        FactSection(title="In favour", lines=tuple(_list_reasons_for(rollout, facts.outlook))),
        FactSection(title="Against", lines=against, is_list=len(against) > 1),
        FactSection(title="If it goes wrong", lines=(_describe_way_back(rollout, facts.way_back, at, zone),)),
        FactSection(title="Who was told", lines=tuple(_list_told(rollout, zone)), is_list=True),
        FactSection(title="Who can approve", lines=tuple(_list_approvers(facts))),
    ]
    if started:
        found = [section for section in found if section.title not in {"Limits", schedule.PLAN_DATES_TITLE}]
    return [section for section in found if section.lines]


def _list_flows(plan: Plan) -> list[str]:
    return [wording.escape(", ".join(plan.flows), 300)] if plan.flows else []


def list_plan_sections(plan: Plan, outlook: PlanOutlook | None, zone: str) -> list[FactSection]:
    """What follows from the plan and its outlook alone: what people notice, its limits, its dates."""
    several = len(plan.driven) > 1
    return [
        FactSection(
            title="Flags it drives" if several else "Flag it drives",
            lines=tuple(driven_words.list_driven(plan)),
            is_list=several,
        ),
        FactSection(title="What people will notice", lines=tuple(list_noticed(plan)), is_list=True),
        FactSection(title="Who is asked how it is", lines=tuple(_list_testers(plan))),
        FactSection(title="Limits", lines=tuple(_list_limits(plan, outlook)), is_list=True),
        FactSection(title="Flows that are judged by themselves", lines=tuple(_list_flows(plan))),
        FactSection(title=conversation_words.TITLE, lines=_list_sentence(conversation_words.describe_plan(plan))),
        FactSection(title=holdout_words.TITLE, lines=_list_sentence(holdout_words.describe_plan(plan))),
        FactSection(
            title=layer_words.TITLE,
            lines=_list_sentence(layer_words.describe_plan(plan, outlook.reach if outlook is not None else None)),
        ),
        FactSection(
            title=power_words.TITLE,
            lines=tuple(power_words.list_lines(outlook.comparisons, outlook.known) if outlook is not None else ()),
            is_list=True,
        ),
        FactSection(title=schedule.PLAN_DATES_TITLE, lines=tuple(_list_dates(outlook, zone))),
    ]


def _list_sentence(text: str) -> tuple[str, ...]:
    return (text,) if text else ()


def _list_testers(plan: Plan) -> list[str]:
    """The testers in one line; empty if there are none."""
    names = [wording.escape(tester.channel or tester.handle, 80) for tester in plan.testers or ()]
    return [wording.join_limited(names, MAX_NAMES)] if names else []


def describe_change(rollout: Rollout) -> str:
    """The difference in one line, and the content that the new version stands for."""
    difference = compare_contents(rollout.from_content, rollout.to_content)
    new, known = wording.escape(rollout.plan.to_version, 40), content_hash(rollout.to_content)
    content = f"{new} stands for exactly this content, in `/rollout versions` as {known}"
    is_whole = difference.change_count <= difference_words.MAX_IN_LINE
    rest = f"Nothing else changes. {content}" if is_whole else content
    return f"{difference_words.format_in_line(difference)}. {rest}."


def list_noticed(plan: Plan) -> list[str]:
    """What people will notice, for whom; what stays the same is said too."""
    changed = [_format_behaviour(b.text, b.audience) for b in plan.behaviour_changes if not b.unchanged]
    same = [f"Not changing: {wording.escape(b.text, 200)}" for b in plan.behaviour_changes if b.unchanged]
    return [*changed, *same] or ["Nothing, as the plan says: it lists no change of behaviour."]


def _format_behaviour(text: str, audience: Sequence[str]) -> str:
    readers = [who for who in audience if who != "all"]
    return wording.escape(text, 300) + (f" (for {wording.escape(' and '.join(readers), 80)})" if readers else "")


def _list_limits(plan: Plan, outlook: PlanOutlook | None) -> list[str]:
    """Each limit, what it does, and how soon it would notice a change of its size."""
    foreseen = {one.limit: one for one in (outlook.foreseen[0] if outlook is not None and outlook.foreseen else ())}
    lines = [_describe_limit(limit, foreseen.get(limit), plan) for limit in plan.limits[:MAX_LIMITS]]
    if len(plan.limits) > MAX_LIMITS:
        lines.append(wording.format_remainder(len(plan.limits) - MAX_LIMITS))
    if outlook is not None and outlook.known.daily_requests is None:
        lines.append("How soon they would notice it is not known: the surface file says nothing of `daily_requests`.")
    elif foreseen and outlook is not None:
        pace = wording.format_count(outlook.known.daily_requests or 0)
        known = wording.escape(outlook.known.levels_from, 80)
        is_assumed = outlook.known.levels_from.startswith("assumed")
        levels = "estimates from usual levels, nothing measured yet" if is_assumed else f"levels {known}"
        lines.append(f"_At {pace} requests a day; {levels}._")
    return lines


def _describe_limit(limit: Limit, foreseen: LimitForesight | None, plan: Plan) -> str:
    title = measure_rows.escaped_title(limit.metric, limit.entry.title)
    name = f"{title}, {measure_rows.escaped_limit(limits.format_limit(limit))}"
    does = (
        "is only reported"
        if not limit.can_act
        else "rolls back"
        if limit.role is LimitRole.ROLLBACK
        else "stops growth"
    )
    return f"{name}: {does}{f'; {_describe_notice_time(foreseen, plan)}' if foreseen is not None else ''}"


def _describe_notice_time(one: LimitForesight, plan: Plan) -> str:
    """How soon the first compared stage would notice a change of the limit's size, or what it could notice instead."""
    stage = headline.name_stage_of(plan, one.stage)
    if one.noticed is not None and one.is_noticed_in_time:
        noticed = f"noticed after about {wording.format_duration(one.noticed)} in {stage}"
        if one.is_noticed_as_expected:
            return noticed
        left = f"{noticed}, which may be left after {wording.format_duration(one.expected)}"
        return left if one.smallest_by_then is None else f"{left}: by then, {_format_change(one, one.smallest_by_then)}"
    if one.smallest is None:
        return f"{stage} is too short to notice it"
    return f"{stage} could notice only {_format_change(one, one.smallest)} or more"


def _format_change(one: LimitForesight, size: float) -> str:
    word = {LimitKind.DROPS_BY: "a drop of ", LimitKind.RISES_BY: "a rise of "}.get(one.limit.kind, "")
    return f"{word}{limits.format_rounded(one.limit, size)}"


def _list_dates(outlook: PlanOutlook | None, zone: str) -> list[str]:
    """One line with the date of each stage that reaches people, and of the end."""
    if outlook is None:
        return []
    stages = outlook.rows[-len(outlook.plan.stages) - 1 : -1]
    everyone = reach_words.name_planned_everyone(outlook.plan, outlook.reach[1] if outlook.reach is not None else 1)
    dates = [
        f"{headline.stage_label(stage, everyone)} {wording.format_local_time(row.when_earliest, zone)}"
        for stage, row in zip(outlook.plan.stages, stages, strict=True)
        if stage.has_exposure and stage.kind is not StageKind.BAKE
    ]
    end = f"done {_format_end(outlook, zone)}"
    return [wording.join_phrases([*dates, end], 12)]


def _format_end(outlook: PlanOutlook, zone: str) -> str:
    return wording.format_local_time(outlook.rows[-1].when_earliest, zone)


def _list_unseen(rollout: Rollout, outlook: PlanOutlook | None) -> list[str]:
    """What no eval shows, before the start: later the canary shows it."""
    if rollout.started_at is not None:
        return []
    return unseen_by_evals.list_lines(rollout.plan, rollout.evals, outlook.coverage if outlook is not None else None)


def _list_checks(rollout: Rollout) -> list[str]:
    """Everything that the results of offline evals say, gate by gate, with the ids of cases."""
    by_gate = zip(sorted(rollout.evals), eval_words.format_checks(rollout), strict=True)
    return [line for index, first in by_gate for line in (first, *eval_words.list_report_lines(rollout.evals[index]))]


def _list_measured_limits(rollout: Rollout) -> list[str]:
    """Each agreed limit with what was measured, and the smallest harm that would have been noticed by now."""
    found = [m for m in rollout.measures if measure_rows.is_agreed(m)]
    lines = [_describe_measured(rollout, measure) for measure in measure_rows.sort_by_urgency(tuple(found))]
    if len(lines) <= MAX_LIMITS:
        return lines
    return [*lines[:MAX_LIMITS], wording.format_remainder(len(lines) - MAX_LIMITS)]


def _describe_measured(rollout: Rollout, measure: Measure) -> str:
    name = measure_rows.escaped_title(measure.metric, measure.title)
    power = detection_power(rollout, measure, rollout.evidence_at)
    noticed = wording.escape(technical_words.format_noticed_change(measure, power), 80)
    could = f"; {noticed} would have been noticed" if noticed else ""
    moved = measure_rows.format_difference_with_range(measure)
    limit = measure_rows.escaped_limit(measure.limit_text or "")
    return f"{name}: {measure_rows.verdict_label(measure)}, {moved} (limit: {limit}){could}"


def _list_reasons_for(rollout: Rollout, outlook: PlanOutlook | None) -> list[str]:
    reasons = [
        f"{_name_run(rollout, run)} passed: {run.passed} of {run.passed + run.failed + run.errors}"
        for run in rollout.evals.values()
        if run.ok
    ]
    if rollout.measures:
        fine = sum(m.word in {"Fine", "Better"} for m in rollout.measures)
        known = sum(m.word != "No data" for m in rollout.measures)
        better = [_format_measure(m) for m in rollout.measures if m.word == "Better"]
        gains = f"; {', '.join(better[:3])}" if better else ""
        reasons.append(f"{fine} of {known} measures fine or better{gains}")
    checked = rollout.evidence.segments_checked if rollout.evidence is not None else 0
    if checked and not _describe_worst_segment(rollout):
        reasons.append(f"nothing stands out in {wording.pluralize(checked, 'segment')}")
    if rollout.started_at is None and outlook is not None and outlook.foreseen and outlook.foreseen[0]:
        acting = [one for one in outlook.foreseen[0] if one.limit.role is LimitRole.ROLLBACK]
        if acting:
            stage = headline.name_stage_of(rollout.plan, acting[0].stage)
            if all(one.is_noticed_as_expected for one in acting):
                reasons.append(f"every rollback limit would notice a change as large as the limit within {stage}")
            elif all(one.needs_sight and not one.is_blind for one in acting):
                reasons.append(f"{stage} is not left before every rollback limit would notice twice its size")
    if rollout.drilled:
        took = wording.format_duration(max(rollout.drilled.values()))
        reasons.append(f"the switch back took {took} in the drill")
    return [wording.join_phrases(reasons, 6)] if reasons else []


def _name_run(rollout: Rollout, run: EvalRecorded) -> str:
    """The suite of an offline run or, where it names none, its gate: `safety checks`."""
    return wording.escape(run.suite, 60) or eval_words.name_gate(rollout, run).lower()


def _list_reasons_against(rollout: Rollout, facts: DecisionFacts, zone: str) -> list[str]:
    """What speaks against it, one line each; that nothing does is said only where something was measured."""
    reasons = [
        f"{_name_run(rollout, run)} failed: {wording.escape(' '.join(run.reasons[:1]), 200)}"
        for run in rollout.evals.values()
        if not run.ok
    ]
    if rollout.measures:
        worse = [m for m in rollout.measures if m.is_bad or m.word == "Slightly worse, within limit"]
        if worse:
            reasons.append(", ".join(_format_measure(m) for m in worse[:3]))
        if blind_spots := blind_spot_words.format_current_blind_spots(rollout):
            reasons.append(blind_spots)
        if unknown := unknown_unit_words.format_unknown_units(rollout.measures):
            reasons.append(unknown)
        if worse_segment := _describe_worst_segment(rollout):
            reasons.append(worse_segment)
    elif facts.outlook is not None and facts.outlook.foreseen:
        unnoticed = [one for one in facts.outlook.foreseen[0] if not one.is_noticed_as_expected]
        if unnoticed:
            names = wording.join_limited([wording.title_in_sentence(one.limit.entry.title) for one in unnoticed], 4)
            stage = headline.name_stage_of(rollout.plan, unnoticed[0].stage)
            reasons.append(f"{stage} may end before a change as large as the limit is noticed: {names}")
    if facts.outlook is not None:
        reasons += stratum_words.list_empty(facts.outlook.strata)
        reasons += power_words.list_warnings(facts.outlook.comparisons)
        reasons += [late] if (late := way_back_words.describe_late_end(facts.outlook, zone)) else []
    reasons += [
        f"{wording.escape(one.handle, 80)} has a concern: “{wording.escape(one.text, 300)}”" for one in facts.concerns
    ]
    if rollout.skipped:
        reasons.append(f"Wait skipped: “{wording.escape(rollout.skipped, 300)}”")
    reasons += blind_spot_words.list_accepted_risks(rollout)
    return reasons or (["nothing so far"] if rollout.measures else [])


def _describe_worst_segment(rollout: Rollout) -> str:
    """The segment that differs beyond chance; empty where none does."""
    evidence = rollout.evidence
    if evidence is None or segments.find_worst(evidence.segments) is None:
        return ""
    return segments.format_summary(evidence.segments, evidence.segments_checked)


def _format_measure(measure: Measure) -> str:
    moved = wording.format_difference(measure.difference, measure.unit, relative=measure.relative)
    return f"{measure_rows.title_in_sentence(measure.metric, measure.title)} {moved}"


def _describe_way_back(rollout: Rollout, end: WayBackEnd | None, at: datetime | None, zone: str) -> str:
    acting = len([x for x in rollout.plan.limits if x.can_act])
    limits_named = "the agreed limit is broken" if acting == 1 else f"one of {acting} agreed limits is broken"
    acts = "Rampart rolls back or stops growth by itself, as listed"
    by_itself = f"If {limits_named}, {acts}. " if acting else "No limit acts by itself. "
    old = wording.escape(rollout.plan.from_version, 40)
    end = end or foresee_end(rollout.plan, None)
    if end is not None and at is not None and at.astimezone(ZoneInfo(zone)).date() > end.last.day:
        holds = f"If {limits_named}, Rampart stops growth. " if acting else ""
        return f"{holds}{old} can no longer be called, so nobody is moved back to it: {wording.escape(end.later, 300)}"
    last = way_back_words.describe_end(rollout.plan, end)
    return f"{by_itself}Any full member can also switch back to {old} in seconds.{f' {last}' if last else ''}"


def _list_told(rollout: Rollout, zone: str) -> list[str]:
    """Each notice: when it was posted, and who has read it."""
    return [describe_notice(rollout, planned, zone) for planned in rollout.plan.stakeholder_notices]


def describe_notice(rollout: Rollout, planned: NoticePlan, zone: str) -> str:
    """Where one notice stands: not yet posted (and when it is due), or posted and read by whom."""
    channel = wording.escape(planned.channel, 60)
    lead = f", {wording.format_duration(planned.before)} before the start" if planned.before else ""
    posted = rollout.notice_posted_at(planned.key)
    if posted is None:
        due = (
            f"due {wording.format_local_time(rollout.start - planned.before, zone)}"
            if rollout.start and planned.before
            else "not yet"
        )
        return f"{channel} ({planned.audience}{lead}): {due}"
    read = rollout.acknowledged.get(planned.key, ())
    who = "it has to be confirmed, and nobody has yet" if planned.acknowledge else "it need not be confirmed"
    if read:
        who = f"read by {wording.join_limited([wording.escape(r, 40) for r in read])}"
    return f"{channel} ({planned.audience}{lead}): posted {wording.format_local_time(posted, zone)}, {who}"


def _list_approvers(facts: DecisionFacts) -> list[str]:
    """By name who may approve; the groups' names where their members are not known."""
    rule = facts.rule
    if rule is None:
        return []
    if rule.groups:
        return [_name_group(group, facts.members(group), rule) for group in rule.groups]
    if rule.people:
        return [wording.join_limited([wording.escape(who, 80) for who in rule.people], MAX_NAMES)]
    return ["every full member but the owner and the authors"]


def _name_group(group: str, members: Mapping[str, str], rule: ApproverRule) -> str:
    named = wording.escape(group, 80)
    if not members:
        return named
    may = [wording.escape(handle, 40) for user, handle in members.items() if user not in rule.excluded]
    return f"{named}: {wording.join_limited(may, MAX_NAMES) if may else 'nobody but those whose own change it is'}"
