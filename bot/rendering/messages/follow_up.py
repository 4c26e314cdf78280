"""Follow-ups to notices: the change started, reached everyone, was switched back, or was cancelled."""

from collections.abc import Sequence
from datetime import datetime
from zoneinfo import ZoneInfo

from bot.rendering import schedule, wording
from bot.rendering.blocks import blocks
from bot.rendering.blocks.blocks import Message
from bot.rendering.messages import notice
from bot.rendering.numbers import figures, segments
from core.judging.model.verdict import Finding
from core.metrics.catalogue import CATALOGUE, Good
from core.rollout import events as e
from core.rollout.model import Rollout

_NOTICED = {
    "refusal_rate": "declined too often",
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
    "escalation_rate": "handed people over more often",
    "thumbs_down_rate": "drew more thumbs down",
    "groundedness_rate": "gave answers without sources more often",
    "eval_score": "gave worse answers",
    "fallback_rate": "fell back to a backup answer more often",
    "truncation_rate": "cut answers off more often",
    "tool_error_rate": "failed with its tools more often",
    "schema_invalid_rate": "answered in the wrong format more often",
    "abuse_signal_rate": "showed more signs of misuse",
    "conversation_turns": "needed more messages",
}


def render(
    rollout: Rollout,
    event: e.RolloutEvent,
    audience: str,
    title: str,
    at: datetime,
    zone: str,
    others: Sequence[Rollout] = (),
) -> Message:
    """One plain message about `event`, which happened `at`; ValueError for an event that has no follow-up.

    `others` are the rollouts that are planned or under way on the same AI feature.
    """
    name = wording.in_a_sentence(title)
    match event:
        case e.RolledBack():
            return _switched_back(rollout, event, audience, name, at, zone, others)
        case e.Started():
            known = schedule.dates(rollout, at)
            all_of_them = schedule.everyone(known, zone)
            first = f"Started: the new version of the {name} is on its way, {all_of_them} if all goes well."
            body = ["Customers get it in steps, a few first. What they may notice is in the notice above."]
        case e.Completed():
            first = f"Reached everyone: the {name} answers with the new version for all customers."
            quotes = [f"“{wording.escape(b.text)}”" for b in notice.noticed(rollout, audience) if not b.unchanged]
            body = _publicly(rollout, quotes) if audience == "marketing" else []
        case e.Abandoned():
            first = f"Cancelled: {notice.cancelled(name, others)}."
            body = ["Nothing was changed, and nothing needs to be done.", *notice.elsewhere(others)]
        case _:
            raise ValueError(f"nobody outside is told about {type(event).__name__}")
    return blocks.message(first, blocks.lines(body), blocks.context(_footer(rollout)))


def _footer(rollout: Rollout) -> str:
    return f"Owner: {wording.owner(rollout)} · Questions in thread · {rollout.id}"


def _switched_back(
    rollout: Rollout, event: e.RolledBack, audience: str, name: str, at: datetime, zone: str, others: Sequence[Rollout]
) -> Message:
    first = f"Switched back: the {name} answers as before again (since {wording.when(at, zone)})."
    body = [_saw(event, rollout, at, zone), *_by_a_person(event)]
    if event.exposed_units and _fault(event.findings[:1]):
        body += _to_be_said(audience, event.findings[0])
    body += notice.elsewhere(others) or ["Nothing more will change until you get a new notice."]
    return blocks.message(first, blocks.lines(body), blocks.context(_footer(rollout)))


def _to_be_said(audience: str, finding: Finding) -> list[str]:
    """What the audience may say about a fault: support a reply to customers, marketing nothing."""
    match audience:
        case "support":
            whom = f" (where {segments.place(finding.segment)})" if finding.segment else ""
            return [f"If they write in{whom}: “That was a fault on our side, please ask again.”"]
        case "marketing":
            return ["Please say nothing of the change in public."]
        case _:
            return []


def _by_a_person(event: e.RolledBack) -> list[str]:
    if event.findings:
        return []
    why = f": “{wording.escape(event.reason)}”" if event.reason else ", without a reason"
    return [f"{wording.person(event.by)} switched it back{why}"]


def _fault(findings: Sequence[Finding]) -> str:
    """What customers could have noticed, as a verb phrase; empty if nothing."""
    for finding in findings:
        usual = CATALOGUE[finding.metric].good if finding.metric in CATALOGUE else Good.DOWN
        if usual is Good.UNCHANGED and (finding.difference or 0) < 0:
            return "did not behave as agreed"
        if finding.metric in _NOTICED:
            return _NOTICED[finding.metric]
    return ""


def _saw(event: e.RolledBack, rollout: Rollout, at: datetime, zone: str) -> str:
    if not event.exposed_units:
        return "No customer saw the new version."
    people, began = f"About {wording.plural(event.exposed_units, 'customer')} saw", rollout.started_at
    span = f" between {_moment(began, at, zone)} and {_moment(at, began, zone)}" if began else ""
    if not event.findings:
        return f"{people} the new version{span}."
    finding, fault = event.findings[0], _fault(event.findings[:1])
    if not fault:
        what = wording.in_a_sentence(figures.title(finding.metric, finding.title))
        unseen = f"They will not have noticed a fault: it was switched back for its {what}"
        return f"{people} the new version{span}. {unseen}."
    if finding.segment:
        hit = f"Where {segments.place(finding.segment)} it {fault}{_counted(rollout, finding)}"
        return f"{people} the new version{span}. {hit}; elsewhere we saw no fault."
    return f"{people} a version that {fault}{span}."


def _moment(at: datetime, other: datetime, zone: str) -> str:
    """The time of day, with the date if `reference` lies on a different day."""
    same = at.astimezone(ZoneInfo(zone)).date() == other.astimezone(ZoneInfo(zone)).date()
    return wording.clock_time(at, zone) if same else wording.when(at, zone)


def _counted(rollout: Rollout, finding: Finding) -> str:
    """`(9 of 17 requests)` for a metric that is a share of requests; otherwise empty."""
    rows = rollout.evidence.segments if rollout.evidence else ()
    row = next((m for m in rows if (m.metric, m.segment) == (finding.metric, finding.segment)), None)
    if row is None or row.canary is None or not row.unit.startswith("%"):
        return ""
    bad = row.canary if row.harm != "less" else 1 - row.canary
    return f" ({wording.count(bad * row.n_canary)} of {wording.plural(row.n_canary, 'request')})"


def _publicly(rollout: Rollout, quotes: list[str]) -> list[str]:
    """What marketing may say: quotes from the plan, kept apart from measured improvements."""
    said = []
    if quotes:
        said.append(
            f"You may say so now: {' '.join(quotes)} That is how it was described; Rampart has not measured it."
        )
    better = _better(rollout)
    if better:
        said.append(f"Measured beside it: {'; '.join(better)}.")
    elif rollout.measures:
        said.append("Measured: no difference that we would put in public.")
    return said


def _better(rollout: Rollout) -> list[str]:
    told = []
    for measure in rollout.measures:
        noticed = measure.metric in _NOTICED
        if noticed and measure.word == "Better" and measure.canary is not None and measure.control is not None:
            title = CATALOGUE[measure.metric].title if measure.metric in CATALOGUE else measure.title
            new, old = _plain(measure.canary, measure.unit), _plain(measure.control, measure.unit)
            told.append(f"{wording.escape(title, 60)}: {new}, before {old}")
    return told


def _plain(number: float, unit: str) -> str:
    return wording.in_a_thousand(number) if unit.startswith("%") else wording.value(number, unit)
