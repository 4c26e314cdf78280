"""What no eval can show, with an estimate of each: traffic without a case, load, what people notice, rare cases."""

from collections.abc import Mapping

from bot.rendering import wording
from bot.rendering.numbers import measure_rows
from core.evals.coverage import EvalCoverage, UncoveredSegment
from core.judging.limits import limits
from core.rollout.plans.plan import Plan
from core.rollout.state.events import EvalRecorded

TITLE = "What evals cannot show"
MAX_SEGMENTS = 5
CONFIDENCE = 0.95
_COST_AND_SPEED = frozenset({"cost_per_request", "cost_per_conversation", "latency_p50", "latency_p95", "ttft_p95"})
_MEASURES = {"cost": "cost", "latency_p50": "typical response time", "latency_p95": "slow responses"}


def list_lines(plan: Plan, evals: Mapping[int, EvalRecorded], coverage: EvalCoverage | None) -> list[str]:
    """Four lines, one for each thing that an eval misses; `evals` are the results for this plan so far.

    Empty for a plan without an eval stage.
    """
    if not any(stage.terms is not None for stage in plan.stages):
        return []
    return [
        f"Traffic: {_describe_coverage(coverage or EvalCoverage())}.",
        f"Cost and speed under load: {_describe_replay(evals)}. {_describe_limits(plan)}.",
        f"What people notice: {_describe_notices(plan)}.",
        f"Rare cases: {_describe_rare_cases(evals)}.",
    ]


def coverage_to_json(coverage: EvalCoverage) -> dict[str, object]:
    """For programs: the segments without a case, with their shares from 0 to 1; `known` is false without results."""
    return {
        "known": coverage.is_known,
        "traffic_of": coverage.traffic.rollout if coverage.traffic else None,
        "uncovered": [{"segment": one.segment, "share": one.share} for one in coverage.uncovered],
        "at_least": coverage.at_least,
        "unlabelled": list(coverage.unlabelled),
    }


def _describe_coverage(coverage: EvalCoverage) -> str:
    if coverage.traffic is None:
        return "not known what the evals leave out, as no rollout on this feature has reported segments yet"
    seen = f"as seen in {coverage.traffic.rollout}, {wording.pluralize(coverage.traffic.requests, 'request')}"
    if not coverage.is_known:
        return "not known what the evals leave out before there are results of this suite"
    if coverage.suite_from:
        seen += f"; the suite as in {coverage.suite_from}"
    silent = (
        f"; no eval case says its {' or '.join(wording.escape(name, 40) for name in coverage.unlabelled)}"
        if coverage.unlabelled
        else ""
    )
    if coverage.uncovered:
        named = wording.join_limited([_format_segment(one) for one in coverage.uncovered], MAX_SEGMENTS)
        least = "" if len(coverage.uncovered) == 1 else "at least "
        return f"{least}{_format_share(coverage.at_least)} has no eval case: {named} ({seen}){silent}"
    if len(coverage.unlabelled) == len({name.partition("=")[0] for name in coverage.traffic.shares}):
        return f"not known what the evals leave out{silent} ({seen})"
    return f"every segment with 1 % of it or more has an eval case ({seen}){silent}"


def _format_segment(one: UncoveredSegment) -> str:
    return f"{wording.escape(one.segment, 80)} {_format_share(one.share)}"


def _format_share(share: float) -> str:
    return f"{share * 100:.0f} %" if share >= 0.095 else f"{share * 100:.1f} %"


def _describe_replay(evals: Mapping[int, EvalRecorded]) -> str:
    """What a replay measured, or that none did."""
    changes = [change for event in evals.values() if event.report for change in event.report.replay]
    found = {
        change.measure: f"{_MEASURES[change.measure]} {change.rise * 100:+.1f} %"
        for change in changes
        if change.rise is not None
    }
    if not found:
        return "not measured by any eval so far"
    return f"measured one case after another ({', '.join(found.values())}), not under live load"


def _describe_limits(plan: Plan) -> str:
    watched = [
        f"{measure_rows.title_in_sentence(one.metric)} ({measure_rows.escaped_limit(limits.format_limit(one))})"
        for one in plan.limits
        if one.metric in _COST_AND_SPEED
    ]
    return f"Watched live: {wording.join_limited(watched, 4)}" if watched else "No limit watches them"


def _describe_notices(plan: Plan) -> str:
    changed = [change for change in plan.behaviour_changes if not change.unchanged]
    told = wording.join_limited([wording.escape(notice.channel, 60) for notice in plan.stakeholder_notices], 4)
    what = f"{wording.pluralize(len(changed), 'change')} of behaviour announced" if changed else "no change announced"
    return f"{what}{f' in {told}' if told else ''}; two people who say that it feels off hold it"


def _describe_rare_cases(evals: Mapping[int, EvalRecorded]) -> str:
    """The largest share of faulty answers that a suite without one failure could still have missed."""
    cases = max((event.passed + event.failed + event.errors for event in evals.values()), default=0)
    if not cases:
        return "how rare a fault may be and still pass depends on the number of cases; there are no results yet"
    share = 1 - (1 - CONFIDENCE) ** (1 / cases)
    return (
        f"a fault in up to {_format_share(share)} of answers can pass {wording.pluralize(cases, 'case')} unseen (95 % "
        "confidence), and more where the cases do not look like live traffic"
    )
