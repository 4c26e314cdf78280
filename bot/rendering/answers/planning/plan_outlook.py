"""A plan before its start, for people: what happens when, who is told, what could be noticed, and what is unwise."""

from collections.abc import Mapping

from bot.rendering import wording
from bot.rendering.answers.planning import plan_foresight
from bot.rendering.blocks import blocks
from bot.rendering.blocks.blocks import Message
from bot.rendering.messages.audience import conversation_words, holdout_words, layer_words, stratum_words
from bot.rendering.numbers.detectability import power_words, unseen_by_evals
from bot.rendering.sentences import schedule, way_back_words
from core import durations
from core.files.foresight.detection import LimitForesight
from core.files.foresight.known_traffic import KnownTraffic
from core.files.foresight.outlook import PlanOutlook
from core.files.foresight.timeline import TimelineRow
from core.rollout.plans.plan import Plan
from core.rollout.state.events import EvalRecorded

MAX_WARNINGS = 8
_NO_RESULTS: Mapping[int, EvalRecorded] = {}
_WARNING_LIMIT = 500


def render(
    outlook: PlanOutlook, zone: str, subject: str = "", evals: Mapping[int, EvalRecorded] = _NO_RESULTS
) -> Message:
    """The plan, its calendar, its foresight and its warnings. `subject` names the rollout once it has an id; `evals`
    are its eval results so far."""
    plan = outlook.plan
    change = f"{wording.escape(plan.from_version, 40)} -> {wording.escape(plan.to_version, 40)}"
    what = f"{subject or wording.escape(plan.name, 40)}, {wording.escape(plan.surface, 60)} {change}"
    return blocks.build_message(
        f"Plan: {what}, {plan.risk} risk.",
        blocks.lines_section(
            [
                f"What changes: {wording.escape(', '.join(plan.change), 200)}.",
                *_list_conversations(plan),
                *_list_layer(outlook),
                *_list_holdout(plan),
                *_list_way_back(outlook),
            ]
        ),
        blocks.lines_section(_list_dates(outlook, zone)),
        blocks.lines_section(_list_strata(outlook)),
        blocks.lines_section(_describe_foresight(outlook)),
        blocks.lines_section(_list_comparisons(outlook)),
        blocks.lines_section(_list_unseen(outlook, evals)),
        blocks.lines_section(_list_warnings(outlook)),
    )


def _list_conversations(plan: Plan) -> list[str]:
    planned = conversation_words.describe_plan(plan)
    return [f"{conversation_words.TITLE}: {planned}"] if planned else []


def _list_holdout(plan: Plan) -> list[str]:
    planned = holdout_words.describe_plan(plan)
    return [f"{holdout_words.TITLE}: {planned}"] if planned else []


def _list_way_back(outlook: PlanOutlook) -> list[str]:
    end = way_back_words.describe_end(outlook.plan, outlook.way_back)
    return [f"{way_back_words.TITLE}: {end}"] if end else []


def _list_layer(outlook: PlanOutlook) -> list[str]:
    reach = layer_words.describe_plan(outlook.plan, outlook.reach)
    return [f"{layer_words.TITLE}: {reach}"] if reach else []


def _list_strata(outlook: PlanOutlook) -> list[str]:
    lines = stratum_words.list_planned(outlook.strata)
    return ["*Who gets it first, and can go back alone*", *(f" • {line}" for line in lines)] if lines else []


def _list_dates(outlook: PlanOutlook, zone: str) -> list[str]:
    rows = [f" • {_format_row(row, zone)}" for row in outlook.rows]
    return [f"*{schedule.PLAN_DATES_TITLE}*", *rows] if rows else []


def _format_row(row: TimelineRow, zone: str) -> str:
    """One line of the calendar: when, and what."""
    since = "from " if row.when_latest is None else ""
    requests = f", about {wording.pluralize(row.requests_expected, 'request')}" if row.requests_expected else ""
    return f"{since}{wording.format_local_time(row.when_earliest, zone)}: {wording.escape(row.what, 200)}{requests}"


def _describe_foresight(outlook: PlanOutlook) -> list[str]:
    """What the first compared stage could notice, in sentences; empty if nothing is compared or its traffic unknown."""
    if not outlook.foreseen or not outlook.foreseen[0]:
        if outlook.known.daily_requests is None:
            return ["*What it could notice* is not known: the surface file says nothing of `daily_requests`."]
        return []
    foreseen = outlook.foreseen[0]
    first = foreseen[0]
    share = round((outlook.known.daily_requests or 0) * first.percent / 100)
    return [
        f"*What you could notice* in {wording.escape(first.stage, 40)}: at {wording.format_percent(first.percent)} "
        f"about {wording.pluralize(share, 'request')} a day, for {wording.format_duration(first.expected)}"
        + (f" to {wording.format_duration(first.within)}" if first.within != first.expected else ""),
        *(f" • {_describe_detection(one)}" for one in foreseen),
        _describe_basis(outlook.known),
    ]


def _list_comparisons(outlook: PlanOutlook) -> list[str]:
    """What long comparisons and the holdout could notice; empty where there are none."""
    lines = power_words.list_lines(outlook.comparisons, outlook.known)
    return [f"*{power_words.TITLE}*", *(f" • {line}" for line in lines[:-1]), lines[-1]] if lines else []


def _list_unseen(outlook: PlanOutlook, evals: Mapping[int, EvalRecorded]) -> list[str]:
    lines = unseen_by_evals.list_lines(outlook.plan, evals, outlook.coverage)
    return [f"*{unseen_by_evals.TITLE}*", *(f" • {line}" for line in lines)] if lines else []


def _describe_detection(one: LimitForesight) -> str:
    """`Cost per request: 15 % more is noticed after about 3 h`."""
    title = one.limit.entry.title
    size = plan_foresight.format_amount(one.limit, one.size)
    if one.noticed is None:
        return f"{title}: {size} would not be noticed at this traffic"
    late = "" if one.is_noticed_in_time else f", which is longer than {wording.escape(one.stage, 40)} lasts"
    return f"{title}: {size} would be noticed after about {wording.format_duration(one.noticed)}{late}"


def _describe_basis(known: KnownTraffic) -> str:
    source = wording.escape(known.pace_from.replace("daily_requests", "as its surface file says", 1), 200)
    pace = f"{wording.format_count(known.daily_requests or 0)} requests a day ({source})"
    return f"Based on {pace} and levels {wording.escape(known.levels_from, 80)}."


def _list_warnings(outlook: PlanOutlook) -> list[str]:
    """What is unwise, with what would help; the first few in full."""
    found = [*outlook.warnings, *power_words.list_warnings(outlook.comparisons)]
    if outlook.foreseen and outlook.foreseen[0]:
        found += plan_foresight.render_warnings(outlook.foreseen[0], outlook.plan.risk, outlook.foreseen[1:])
    empty = [f" • {text}." for text in stratum_words.list_empty(outlook.strata)]
    if not found and not empty:
        return []
    shown = [*empty, *(f" • {wording.escape(text, _WARNING_LIMIT)}" for text in found[:MAX_WARNINGS])]
    left = [wording.format_remainder(len(found) - MAX_WARNINGS)] if len(found) > MAX_WARNINGS else []
    return ["*Think about this before you start*", *shown, *left]


def describe_approvals(plan: Plan) -> str:
    """Who has to approve before the start: `1 person`, `2 people, one of each of @ai-leads`; empty if nobody."""
    if not plan.approvals.needed:
        return ""
    groups = f", one of each of {' and '.join(plan.approvals.groups)}" if plan.approvals.groups else ""
    return f"{wording.pluralize(plan.approvals.needed, 'person', 'people')}{wording.escape(groups, 200)}"


def describe_longest_notice(plan: Plan) -> str:
    """The longest lead time and its channel: `#support needs 24 h notice`; empty if there is none."""
    leads = [(n.before, n.channel) for n in plan.stakeholder_notices if n.before is not None]
    if not leads:
        return ""
    lead, channel = max(leads)
    return f"{wording.escape(channel, 80)} needs {durations.format_exact(lead)} notice"
