"""Follow-ups to notices: the change started, is no longer watched, was switched back, or was cancelled."""

from collections.abc import Sequence
from datetime import datetime
from typing import TypeAlias, assert_never

from bot.rendering import reach_words, wording
from bot.rendering.blocks import blocks, buttons
from bot.rendering.blocks.blocks import Message
from bot.rendering.messages.notices import change_status, notice
from bot.rendering.numbers import measure_rows
from bot.rendering.sentences import schedule
from core.judging.model.verdict import Finding
from core.metrics.catalogue import CATALOGUE, DesiredDirection
from core.rollout.state import events as e
from core.rollout.state.model import Rollout

FollowedUp: TypeAlias = e.Started | e.Completed | e.Abandoned | e.RolledBack
"""The events of which a channel hears that got a notice."""

_FAULT_WORDS = {
    "refusal_rate": "refused to answer too often",
    "eval_pass_rate": "gave worse answers more often",
    "critical_fail_rate": "made serious mistakes more often",
    "hard_error_rate": "failed more often",
    "new_error_category": "failed in new ways",
    "latency_p95": "was slower than agreed",
    "latency_p50": "was slower than agreed",
    "ttft_p95": "was slower than agreed",
    "complaint_rate": "drew more complaints",
    "moderation_flag_rate": "gave answers that our checks flagged",
    "retry_rate": "made people ask again more often",
    "abandonment_rate": "made people give up more often",
    "escalation_rate": "handed customers to a person more often",
    "thumbs_down_rate": "got more thumbs-down ratings",
    "groundedness_rate": "gave answers without sources more often",
    "eval_score": "gave worse answers",
    "fallback_rate": "fell back to a backup answer more often",
    "truncation_rate": "cut answers off more often",
    "tool_error_rate": "failed to use its tools more often",
    "schema_invalid_rate": "answered in the wrong format more often",
    "abuse_signal_rate": "showed more signs of misuse",
    "conversation_turns": "took more messages",
}


def render(
    rollout: Rollout,
    event: FollowedUp,
    audience: str,
    title: str,
    at: datetime,
    zone: str,
    others: Sequence[Rollout] = (),
    *,
    keeps_customers: bool = False,
) -> Message:
    """One plain message about `event`, which happened `at`.

    `others` are the rollouts that are planned or under way on the same AI feature. `keeps_customers`: the policy keeps
    the ids of customers, so that those affected can be listed.
    """
    name = wording.title_in_sentence(title)
    match event:
        case e.RolledBack():
            told = _render_switch_back(rollout, event, audience, name, at, zone, others)
            is_listed = keeps_customers and audience == "support" and event.exposed_units
            button = buttons.run_command("Customers affected", f"customers {rollout.id}")
            return blocks.append_blocks(
                told,
                blocks.actions(button) if is_listed else None,
                blocks.context(change_status.format_contact(rollout)),
            )
        case e.Started():
            first, body = _render_start(rollout, name, at, zone)
        case e.Completed():
            first = change_status.describe_end(rollout, name, zone)
            quotes = [
                f"“{wording.escape(b.text)}”"
                for b in notice.changes_for_audiences(rollout, audience)
                if not b.unchanged
            ]
            body = _list_public_claims(rollout, quotes) if audience == "marketing" else []
        case e.Abandoned():
            first = f"Cancelled: {notice.describe_cancellation(name, others)}."
            body = ["Nothing changed, and you don't need to do anything.", *notice.describe_other_rollouts(others)]
        case _:
            assert_never(event)
    return blocks.build_message(
        first, blocks.lines_section(body), blocks.context(change_status.format_contact(rollout))
    )


def _render_start(rollout: Rollout, name: str, at: datetime, zone: str) -> tuple[str, list[str]]:
    """The first line and the rest. A plan may begin with checks, or with people who were chosen."""
    known = schedule.estimate_dates(rollout, at)
    all_of_them = f"If all goes well, {schedule.format_completion(known, zone)}."
    begins = rollout.plan.stages[0]
    if schedule.is_customer_stage(begins):
        first = f"Started: the first customers now get the new version of the {name}. {all_of_them}"
        return first, ["More get it step by step. The notice above says what they may notice."]
    if begins.has_exposure:
        first = f"Started: {change_status.describe_selected(rollout, now=f'now get the new version of the {name}')}."
    else:
        first = f"Starting: the new version of the {name} is being checked; nobody has it yet."
    when = known.first_customers_at
    if when is None:
        return first, [all_of_them]
    others = (
        f"on {wording.format_local_day(when, zone)} at the earliest" if when > at else "once the checks have passed"
    )
    return first, [f"The first customers get it {others}.{schedule.describe_chosen(known, zone)} {all_of_them}"]


def _render_switch_back(
    rollout: Rollout, event: e.RolledBack, audience: str, name: str, at: datetime, zone: str, others: Sequence[Rollout]
) -> Message:
    first = f"Switched back: the {name} answers as before again (since {wording.format_local_time(at, zone)})."
    body = [_describe_exposure(event, rollout, at, zone), *_describe_manual_rollback(event)]
    if event.finishing:
        body.append("A conversation that had begun with the change goes on with it until it ends; new ones do not.")
    if audience == "marketing":
        body += notice.list_withdrawn(rollout)
    elif audience == "support" and event.exposed_units and _describe_fault(rollout, event.findings[:1]):
        body.append(_suggest_reply(event.findings[0]))
    body += notice.describe_other_rollouts(others) or ["Nothing else changes until you get a new notice."]
    return blocks.build_message(first, blocks.lines_section(body))


def _suggest_reply(finding: Finding) -> str:
    """What support may answer customers about a fault."""
    whom = f" ({wording.format_segment_customers(finding.segment)})" if finding.segment else ""
    return f"If they write in{whom}, you can say: “Sorry, that was a mistake on our side. Please ask again.”"


def _describe_manual_rollback(event: e.RolledBack) -> list[str]:
    if event.findings:
        return []
    why = f": “{wording.escape(event.reason)}”" if event.reason else " and gave no reason."
    return [f"{wording.format_actor(event.by)} switched it back{why}"]


def _describe_fault(rollout: Rollout, findings: Sequence[Finding]) -> str:
    """What customers could have noticed, as a verb phrase; empty if nothing."""
    for finding in findings:
        metric = rollout.plan.find_metric(finding.metric)
        desired = metric.good if metric is not None else DesiredDirection.DOWN
        if desired is DesiredDirection.UNCHANGED and (finding.difference or 0) < 0:
            return "broke a limit that was agreed beforehand"
        if finding.metric in _FAULT_WORDS:
            return _FAULT_WORDS[finding.metric]
    return ""


def _describe_exposure(event: e.RolledBack, rollout: Rollout, at: datetime, zone: str) -> str:
    if not rollout.was_exposed:
        return "No customer saw the new version."
    done = rollout.completed_at if event.after_done else None  # people are counted until then
    span = _format_span(rollout.started_at, done or at, zone) if rollout.started_at else ""
    everyone = f" After that, {reach_words.name_planned_everyone(rollout.plan, 1)} had it." if done else ""
    if not event.exposed_units:
        unseen = "nobody has been reported to have had it so far"
        return f"Customers could have seen the new version{span}; {unseen}.{everyone}"
    # A person's rollback goes by the last evidence, which is older.
    roughly = "About" if event.findings else "At least"
    saw = f"{roughly} {wording.pluralize(event.exposed_units, 'customer')} saw the new version{span}.{everyone}"
    if not event.findings:
        return saw
    finding, fault = event.findings[0], _describe_fault(rollout, event.findings[:1])
    if not fault:
        what = measure_rows.title_in_sentence(finding.metric, finding.title)
        explanation = (
            f"We know of nothing that they could have noticed: we switched back because of the new version's {what}"
        )
        if finding.metric not in CATALOGUE:  # it is not known what a metric of the surface's own shows
            explanation = f"We switched back because of its {what}"
        return f"{saw} {explanation}."
    counts = _format_counts(rollout, finding)
    if finding.segment:
        where = f"For {wording.format_segment_customers(finding.segment)}, it {fault}{counts}"
        return f"{saw} {where}; we saw no fault elsewhere."
    return f"{saw} It {fault}{counts}."


def _format_span(began: datetime, ended: datetime, zone: str) -> str:
    """` between Tue 24 Nov 19:21 CET and Tue 24 Nov 19:43 CET`, with both dates, as readers are in other zones and read
    it on other days; ` (Tue 24 Nov 19:21 CET)` within one minute."""
    first, last = wording.format_local_time(began, zone), wording.format_local_time(ended, zone)
    is_short = began.replace(second=0, microsecond=0) == ended.replace(second=0, microsecond=0)
    return f" ({first})" if is_short else f" between {first} and {last}"


def _format_counts(rollout: Rollout, finding: Finding) -> str:
    """`(9 of 17 requests; usually about 1)` for a metric that is a share of requests; otherwise empty."""
    rows = (*rollout.measures, *(rollout.evidence.segments if rollout.evidence else ()))
    row = next((m for m in rows if (m.metric, m.segment) == (finding.metric, finding.segment)), None)
    if row is None or row.canary is None or not row.unit.startswith("%"):
        return ""
    bad, control = (share if share is None or row.harm != "less" else 1 - share for share in (row.canary, row.control))
    assert bad is not None, "there is a reading"
    usually = "" if control is None else f"; usually {_format_expected_count(control * row.n_canary)}"
    return f" ({wording.format_count(bad * row.n_canary)} of {wording.pluralize(row.n_canary, 'request')}{usually})"


def _format_expected_count(cases: float) -> str:
    """How many of as many requests it would have been with the old version: `about 3`, `almost none`."""
    return f"about {wording.format_count(cases)}" if round(cases) else "almost none"


def _list_public_claims(rollout: Rollout, quotes: list[str]) -> list[str]:
    """What marketing may say: quotes from the plan, kept apart from measured improvements."""
    claims = []
    if quotes:
        claims.append(
            f"You may now say: {' '.join(quotes)} This is how the plan describes it; Rampart has not measured it."
        )
    better = _list_improvements(rollout)
    if better:
        claims.append(f"For your information, not for public use: {'; '.join(better)}.")
    elif rollout.measures:
        claims.append("Measured: no difference worth quoting in public.")
    return claims


def _list_improvements(rollout: Rollout) -> list[str]:
    improvements = []
    for measure in rollout.measures:
        noticed = measure.metric in _FAULT_WORDS
        if noticed and measure.word == "Better" and measure.canary is not None and measure.control is not None:
            title = CATALOGUE[measure.metric].title if measure.metric in CATALOGUE else measure.title
            new, old = (
                wording.format_level(measure.canary, measure.unit),
                wording.format_level(measure.control, measure.unit),
            )
            improvements.append(f"{wording.escape(title, 60)}: {new} (before: {old})")
    return improvements
