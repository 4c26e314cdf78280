"""What people outside engineering are told of a rollback: who had it, what was wrong, and what to say to customers."""

from collections.abc import Sequence
from datetime import datetime, timedelta

from bot.rendering import reach_words, wording
from bot.rendering.numbers import measure_rows
from core.judging.model.verdict import Finding, Hold, Measure
from core.metrics.catalogue import CATALOGUE, DesiredDirection
from core.rollout.state import events as e
from core.rollout.state import holds
from core.rollout.state.model import Rollout

FAULT_WORDS = {
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
"""What customers could have noticed of a metric that got worse, as a verb phrase."""
_ONE_DATE_WITHIN = timedelta(hours=12)


def describe(rollout: Rollout, event: e.RolledBack, audience: str, at: datetime, zone: str) -> list[str]:
    """Sentences about a rollback that was decided `at`: who had the new version, why it was switched back, and for
    support what to say to customers."""
    findings = _find_causes(rollout, event)
    told = [_describe_exposure(event, findings, rollout, at, zone), *_describe_manual_rollback(event)]
    if event.finishing:
        told.append("A conversation that had begun with the change goes on with it until it ends; new ones do not.")
    if audience == "support" and event.exposed_units and _describe_fault(rollout, findings):
        told.append(_suggest_reply(findings[0]))
    return told


def _find_causes(rollout: Rollout, event: e.RolledBack) -> tuple[Finding, ...]:
    """The limits that were broken; of what a person rolled back out of a hold, those for which it was held."""
    if event.findings or event.bundle_cause:
        return event.findings
    verdict = rollout.evidence.verdict if rollout.evidence is not None else None
    if not isinstance(verdict, Hold):
        return ()
    return tuple(found for found in verdict.findings if holds.hold_key(found) not in rollout.overridden)


def _suggest_reply(finding: Finding) -> str:
    """What support may answer customers about a fault."""
    whom = "a customer"
    if finding.segment:
        whom = f"one of the {wording.format_segment_customers(finding.segment)}"
    return (
        f"If {whom} complains about an answer from that time, you can say: “Sorry, that was a mistake on our side. "
        "Please ask again.”"
    )


def _describe_manual_rollback(event: e.RolledBack) -> list[str]:
    if event.findings:
        return []
    why = f": “{wording.escape(event.reason)}”" if event.reason else " and gave no reason."
    return [f"{wording.format_actor(event.by)} switched it back{why}"]


def _describe_fault(rollout: Rollout, findings: Sequence[Finding]) -> str:
    """What customers could have noticed of the first finding, as a verb phrase; empty if nothing."""
    for finding in findings[:1]:
        metric = rollout.plan.find_metric(finding.metric)
        desired = metric.good if metric is not None else DesiredDirection.DOWN
        if desired is DesiredDirection.UNCHANGED and (finding.difference or 0) < 0:
            return "broke a limit that was agreed beforehand"
        if finding.metric in FAULT_WORDS:
            return FAULT_WORDS[finding.metric]
    return ""


def _describe_exposure(
    event: e.RolledBack, findings: Sequence[Finding], rollout: Rollout, at: datetime, zone: str
) -> str:
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
    return f"{saw} {_describe_finding(rollout, findings, is_cause=bool(event.findings))}" if findings else saw


def _describe_finding(rollout: Rollout, findings: Sequence[Finding], *, is_cause: bool) -> str:
    """What was wrong with the new version, in sentences."""
    finding, fault = findings[0], _describe_fault(rollout, findings)
    if not fault:
        return _describe_unnoticeable(rollout, finding, is_cause=is_cause)
    counts = _format_counts(rollout, finding)
    if not finding.segment:
        return f"It {fault}{counts}."
    elsewhere = " For other customers, no fault was shown." if len(findings) == 1 else ""
    return f"For {wording.format_segment_customers(finding.segment)}, it {fault}{counts}.{elsewhere}"


def _describe_unnoticeable(rollout: Rollout, finding: Finding, *, is_cause: bool) -> str:
    """A finding by which customers are not known to have noticed anything."""
    what = measure_rows.title_in_sentence(finding.metric, finding.title)
    way = "fell" if (finding.difference or 0) < 0 else "rose"
    levels = ""
    if finding.canary is not None and finding.control is not None:
        new, old = (wording.format_level(level, finding.unit) for level in (finding.canary, finding.control))
        levels = f" ({new} instead of {old})"
    why = f"{'We switched back because its' if is_cause else 'Its'} {what} {way} too much{levels}."
    if finding.metric not in CATALOGUE:  # it is not known what a metric of the surface's own shows
        return why
    is_announced = any(not change.unchanged for change in rollout.plan.behaviour_changes)
    apart = "Apart from what was announced, we" if is_announced else "We"
    return f"{why} {apart} know of nothing that customers could have noticed."


def _format_span(began: datetime, ended: datetime, zone: str) -> str:
    """` between Tue 24 Nov 19:21 CET and 19:43 CET`, with one date for less than half a day; with both otherwise;
    ` (Tue 24 Nov 19:21 CET)` within one minute."""
    first = wording.format_local_time(began, zone)
    if began.replace(second=0, microsecond=0) == ended.replace(second=0, microsecond=0):
        return f" ({first})"
    is_short = ended - began < _ONE_DATE_WITHIN
    last = wording.format_time_of_day(ended, zone) if is_short else wording.format_local_time(ended, zone)
    return f" between {first} and {last}"


def _format_counts(rollout: Rollout, finding: Finding) -> str:
    """` (9 of 17 requests; with the old version it would have been about 1)` for what is counted; otherwise empty."""
    rows = (*rollout.measures, *(rollout.evidence.segments if rollout.evidence else ()))
    row = next((m for m in rows if (m.metric, m.segment) == (finding.metric, finding.segment)), None)
    if row is None or row.canary is None:
        return ""
    word = "of" if row.unit.startswith("%") else "in" if row.unit.startswith("per 1,000") else ""
    if word and sum(rollout.plan.stages[span.index].has_exposure for span in rollout.spans) > 1:
        word += " the last"  # those of its last stage, when more customers had met it before
    return f" ({_format_cases(row, row.canary, row.control, word)})" if word else ""


def _format_cases(row: Measure, new: float, old: float | None, word: str) -> str:
    """How many cases there were among the requests, and how many it would have been with the old version."""
    if row.harm == "less":
        new, old = 1 - new, None if old is None else 1 - old
    usual = (
        f"; with the old version it would have been {_format_expected(old * row.n_canary)}" if old is not None else ""
    )
    return f"{wording.format_count(new * row.n_canary)} {word} {wording.pluralize(row.n_canary, 'request')}{usual}"


def _format_expected(cases: float) -> str:
    """How many of as many requests it would have been with the old version: `about 3`, `almost none`."""
    return f"about {wording.format_count(cases)}" if round(cases) else "almost none"
