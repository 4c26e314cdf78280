"""The card: one message per rollout that is edited in place and always current; its thread is the log."""

from collections.abc import Sequence
from datetime import datetime
from typing import TypeAlias, assert_never

from bot.rendering import wording
from bot.rendering.blocks import blocks, buttons
from bot.rendering.blocks.blocks import Block, Message
from bot.rendering.messages import event_words, rollback_words
from bot.rendering.messages.audience import conversation_words, holdout_words, layer_words, stratum_words
from bot.rendering.neighbours import neighbour_words
from bot.rendering.numbers import eval_words, judge_words, measure_rows, segments, tester_words
from bot.rendering.numbers.detectability import (
    blind_spot_words,
    known_areas,
    uncounted_words,
    unknown_unit_words,
    verdict_times,
)
from bot.rendering.numbers.detectability.uncounted_words import NONE_UNCOUNTED, Uncounted
from bot.rendering.sentences import driven_words, headline
from core.judging.model.judgement import Judgement
from core.judging.model.verdict import Continue, Finding
from core.rollout.concurrency.neighbours import NO_NEIGHBOURS, Neighbours
from core.rollout.decisions import approval_requests
from core.rollout.state import holds
from core.rollout.state.events import EvidenceRecorded, RolledBack
from core.rollout.state.model import TERMINAL_STATES, Rollout, RolloutState
from core.shadow_eval.spending import JudgingSpend

Newer: TypeAlias = tuple[Judgement, datetime] | None
"""What a look has shown since the last evidence, and when; None where nothing."""


def render(
    rollout: Rollout,
    zone: str,
    newer: Newer = None,
    neighbours: Neighbours = NO_NEIGHBOURS,
    spend: JudgingSpend | None = None,
    at: datetime | None = None,
    uncounted: Uncounted = NONE_UNCOUNTED,
) -> Message:
    """The card for the rollout's current state; `neighbours` is what other rollouts mean for it.

    `at` is when it is posted, where that is known, `spend` is what judging has cost, where that is newer than the
    evidence, and `uncounted` are reports that count nowhere, where no others came.
    """
    return blocks.build_message(
        headline.render(rollout, zone, neighbours.place, at, neighbours.after),
        blocks.section(headline.format_stage_progress(rollout)),
        blocks.lines_section(
            [
                *neighbour_words.list_lines(rollout, neighbours),
                *_format_state_lines(rollout, zone, newer, spend, uncounted),
            ]
        ),
        _build_buttons(rollout, neighbours),
        blocks.context(_format_footer(rollout)),
    )


def _format_footer(rollout: Rollout) -> str:
    """The fixed facts of a rollout: change, versions, surface, risk, owner, plan, ticket."""
    plan = rollout.plan
    ticket = f" · {wording.escape(plan.ticket, 200)}" if plan.ticket else ""
    baseline = f" · baseline from {wording.escape(rollout.baseline, 40)}" if rollout.baseline else ""
    drives = f" · drives {driven_words.join_titles(plan)}" if plan.driven else ""
    return (
        f"{wording.escape(rollout.kind, 80)} · {wording.format_version_change(rollout)} · "
        f"{wording.escape(plan.surface, 60)} · "
        f"risk {plan.risk} · owner {wording.format_owner(rollout)} · plan {rollout.fingerprint[:6]}"
        f"{baseline}{ticket}{drives}"
    )


def _format_state_lines(
    rollout: Rollout,
    zone: str,
    newer: Newer,
    spend: JudgingSpend | None,
    uncounted: Uncounted,
) -> list[str]:
    """What the evidence shows so far, what was accepted, and what the rollout waits for; one line each."""
    lines = []
    if rollout.plan.why and rollout.state is RolloutState.PLANNED:
        lines.append(f"Why: {wording.escape(rollout.plan.why)}")
    if rollout.state not in TERMINAL_STATES:
        lines += eval_words.format_checks(rollout)
    canary_part = newer[0] if newer is not None else rollout.evidence
    if canary_part is not None and rollout.is_under_way:
        outcome = known_areas.describe_outcome(canary_part.verdict, canary_part.measures)
        before = " before this step" if newer is None and _is_of_earlier_stage(rollout) else ""
        lines.append(f"{outcome} · {_count_requests(canary_part)}{before} · {_as_of(rollout, zone, newer)}")
        if said := uncounted_words.describe_uncounted(uncounted):
            lines.append(said)
        if canary_part.segments and (
            compared := segments.format_summary(canary_part.segments, canary_part.segments_checked)
        ):
            lines.append(compared)
        found = newer[0].pending if newer is not None else ()
        if pending := [one for one in found if holds.hold_key(one) not in rollout.overridden]:
            lines.append(_describe_pending(pending))
        if isinstance(canary_part.verdict, Continue) and (
            when := verdict_times.describe_verdict_times(
                rollout, canary_part.measures, newer[1] if newer is not None else rollout.evidence_at, zone
            )
        ):
            lines.append(when)
        if blind_spots := blind_spot_words.format_current_blind_spots(rollout, newer[1] if newer else None):
            lines.append(blind_spots)
        if unknown := unknown_unit_words.format_unknown_units(rollout.measures):
            lines.append(unknown)
    if rollout.is_under_way and (said := tester_words.describe_votes(rollout, rollout.stage_index)):
        lines.append(f"Testers say: {said}")
    if rollout.is_under_way:
        measures = newer[0].measures if newer is not None else rollout.measures
        lines += judge_words.list_lines(rollout, measures, spend)
    if finishing := conversation_words.describe_now(rollout, zone):
        lines.append(f"{conversation_words.TITLE}: {finishing}{'' if finishing.endswith('`') else '.'}")
    elif rollout.state is RolloutState.PLANNED and (planned := conversation_words.describe_plan(rollout.plan)):
        lines.append(f"{conversation_words.TITLE}: {planned}")
    is_planned = rollout.state is RolloutState.PLANNED
    if held := holdout_words.describe_plan(rollout.plan) if is_planned else holdout_words.describe_now(rollout, zone):
        lines.append(f"{holdout_words.TITLE}: {held}")
    if reach := layer_words.describe_now(rollout):
        lines.append(f"{layer_words.TITLE}: {reach}")
    lines += stratum_words.list_lines(rollout)
    if rollout.moved_back and rollout.is_under_way:
        lines.append(event_words.format_moved_back(rollout))
    lines += blind_spot_words.list_accepted_risks(rollout)
    lines += driven_words.list_troubles(rollout)
    if rollout.state is RolloutState.ON_HOLD:
        lines.append(f"Next: {_suggest_next(rollout)}")
    if rollout.request is not None and not approval_requests.is_approved(rollout) and rollout.approvals:
        lines.append(f"Approved so far: {', '.join(wording.escape(a.handle, 40) for a in rollout.approvals)}.")
    if rollout.needs_review and rollout.review_due is not None:
        due = wording.format_local_time(rollout.review_due, zone)
        lines.append(f"Needs review by {due}: `/rollout review {rollout.id}`")
    if code := rollback_words.describe_code(rollout):
        lines.append(f"Code: {code}")
    if rollout.rollback is not None:
        lines += _explain_rollback(rollout.rollback)
    return lines


def _count_requests(counted: Judgement | EvidenceRecorded) -> str:
    """The requests of the stage that was looked at, in both arms."""
    if not counted.canary_requests and not counted.control_requests:
        return "no requests in this stage yet"
    control = wording.format_count(counted.control_requests)
    old = f", {control} on the old one" if counted.control_requests else ""
    return f"{wording.pluralize(counted.canary_requests, 'request')} on the new version{old}"


def _is_of_earlier_stage(rollout: Rollout) -> bool:
    """Whether the newest evidence is that of a stage before: a step has just been taken on it."""
    evidence, at, since = rollout.evidence, rollout.evidence_at, rollout.stage_since
    if evidence is None or at is None or since is None:
        return False
    return at < since or (at == since and evidence.reason == "step")


def _describe_pending(found: Sequence[Finding]) -> str:
    """The limits that are broken, though not yet for as long as they ask."""
    limits = [
        f"{measure_rows.escaped_title(one.metric, one.title)} ({measure_rows.escaped_limit(one.limit_text)})"
        for one in found
    ]
    return (
        f"Beyond its limit, but not for long enough yet: {wording.join_limited(limits)}. "
        "Nobody else gets the new version meanwhile."
    )


def _suggest_next(rollout: Rollout) -> str:
    """What comes after a hold, or what a person can do about it, to follow `Next:`."""
    if _is_decision_open(rollout):
        return f'`/rollout decide {rollout.id} keep "why"`, or roll back.'
    key = rollout.hold.key if rollout.hold is not None else ""
    cause = holds.find_bundle_cause(key)
    resume = f'`/rollout resume {cause or rollout.id} "why"`'
    if holds.clears_itself(key) and not cause:
        return f"it continues by itself once this clears. To go on without waiting: {resume}. You can also roll back."
    return f"{resume}, or roll back."


def _is_decision_open(rollout: Rollout) -> bool:
    """Whether a person has to decide a long comparison."""
    return rollout.hold is not None and rollout.hold.key.startswith(holds.DECISION)


def _as_of(rollout: Rollout, zone: str, newer: Newer) -> str:
    """The time of the numbers, and the newest evidence in the log."""
    evidence = f"evidence #{rollout.evidence.number}" if rollout.evidence is not None else ""
    if newer is not None:
        return f"as of {wording.format_local_time(newer[1], zone)}" + (f" · last {evidence}" if evidence else "")
    return f"{evidence}, {wording.format_local_time(rollout.evidence_at, zone)}" if rollout.evidence_at else evidence


def _explain_rollback(event: RolledBack) -> list[str]:
    if event.findings:
        return [f"Why: {measure_rows.format_finding(event.findings[0])}"]
    return [f"Why: {wording.escape(event.reason)}"] if event.reason else []


def _build_buttons(rollout: Rollout, neighbours: Neighbours) -> Block | None:
    """The buttons for the actions that are possible in this state; None if there are none."""
    details = buttons.run_command("Details", f"metrics {rollout.id}")
    back = buttons.roll_back(rollout, neighbours.last_day)
    match rollout.state:
        case RolloutState.PLANNED:
            ready = (
                not rollout.live_instead
                and rollout.start is None
                and (not approval_requests.needs_start_approval(rollout) or approval_requests.is_approved(rollout))
            )
            start = buttons.run_command("Start", f"start {rollout.id}") if ready else None
            return blocks.actions(start, buttons.plan_details(rollout))
        case RolloutState.RUNNING | RolloutState.WAITING:
            return blocks.actions(buttons.pause(rollout), back, buttons.feels_off(rollout), details)
        case RolloutState.ON_HOLD if _is_decision_open(rollout):
            return blocks.actions(buttons.keep(rollout), back, details)
        case RolloutState.ON_HOLD | RolloutState.PAUSED:
            held = rollout.hold if rollout.state is RolloutState.ON_HOLD else None
            follows = held is not None and bool(holds.find_bundle_cause(held.key))  # it goes on with another one
            return blocks.actions(
                None if follows else buttons.resume(rollout),
                buttons.extend(rollout),
                back,
                details,
            )
        case RolloutState.DONE:
            is_open = neighbours.after is None or neighbours.after.can_go_back
            return blocks.actions(back) if is_open else None
        case RolloutState.ROLLED_BACK | RolloutState.ABANDONED:
            return None
        case _:
            assert_never(rollout.state)
