"""The checklist after a rollback: what to look into, each step with what the log already says."""

from dataclasses import dataclass
from datetime import datetime

from bot.rendering import reach_words, wording
from bot.rendering.blocks import blocks, buttons
from bot.rendering.blocks.blocks import Block, Message
from bot.rendering.charts import chart_data
from bot.rendering.numbers import measure_rows, segments
from bot.rendering.sentences import difference_words
from core.judging.limits import limits
from core.judging.model.verdict import Measure
from core.judging.report.series import SeriesPoint
from core.reviews.investigation import Investigation, OtherChange
from core.versions.content_difference import compare_contents

_INTAKE = ("refused_items", "unplaced_items", "late_items", "duplicate_items", "unjudged_rate")  # how reports arrive


@dataclass(frozen=True, slots=True, kw_only=True)
class InvestigationStep:
    """One question of the checklist, and what is known about it; escaped mrkdwn."""

    question: str
    known: str


@dataclass(frozen=True, slots=True, kw_only=True)
class FirstSeen:
    """A measure that was beyond its limit at the end, and the first look from which on it stayed there."""

    measure: Measure
    at: datetime

    @property
    def limit(self) -> str:
        """The limit in plain words, not escaped."""
        return limits.phrase_limit(self.measure.limit_text or "")


def render(found: Investigation, zone: str) -> Message:
    """The checklist for the thread."""
    rollout = found.rollout
    first = f"Investigate: {wording.format_subject(rollout)}. What is known so far, step by step."
    lines = [f"☐ *{step.question}*  {step.known}" for step in list_steps(found, zone)]
    return blocks.build_message(first, *(blocks.section(line) for line in lines), build_buttons(found))


def build_buttons(found: Investigation) -> Block | None:
    """Ways on: the evidence as a file, the words that changed, a new rollout from this one."""
    plan = found.rollout.plan
    return blocks.actions(
        buttons.get_evidence(found.rollout),
        buttons.view_difference(plan.surface, plan.from_version, plan.to_version),
        buttons.plan_again(found.rollout),
    )


def list_steps(found: Investigation, zone: str) -> list[InvestigationStep]:
    """Every step in the order in which it helps, with times in each reader's own zone."""
    return [
        InvestigationStep(question="What moved first?", known=_describe_first_moves(found, zone)),
        InvestigationStep(question="For whom?", known=_describe_segments(found)),
        InvestigationStep(question="What did the version change?", known=_describe_change(found)),
        InvestigationStep(question="What else changed in that time?", known=_describe_others(found, zone)),
        InvestigationStep(question="Could the numbers be wrong?", known=_describe_intake(found)),
        InvestigationStep(question="What did the checks miss?", known=_describe_checks(found)),
        InvestigationStep(question="What do the answers look like?", known=_describe_where_to_look(found, zone)),
        InvestigationStep(question="Who has to know?", known=_describe_told(found)),
        InvestigationStep(question="What now?", known=_describe_next(found)),
    ]


def list_first_seen(found: Investigation) -> list[FirstSeen]:
    """The limits that were violated at the end, with the first look from which on they were; the earliest first."""
    seen = []
    for measure in found.measures:
        if measure.segment or not measure_rows.is_agreed(measure):
            continue
        points = tuple(p for p in found.trends.get(measure.metric, ()) if p.at <= found.decided_at)
        at = find_first_beyond(points, chart_data.limit_levels(measure))
        if at is not None:
            seen.append(FirstSeen(measure=measure, at=at))
    return sorted(seen, key=lambda one: one.at)


def find_first_beyond(points: tuple[SeriesPoint, ...], levels: tuple[float, ...]) -> datetime | None:
    """The first look from which on the difference stayed beyond one of the levels; None if the last one is not."""
    first = None
    for point in reversed([p for p in points if p.difference is not None]):
        if not any(_is_beyond(point.difference or 0.0, level) for level in levels):
            break
        first = point.at
    return first


def _is_beyond(difference: float, level: float) -> bool:
    return difference >= level if level >= 0 else difference <= level


def _describe_first_moves(found: Investigation, zone: str) -> str:
    """Why a person rolled back, if one did; then which limits were exceeded from when on, or what was worse."""
    event = found.event
    by = wording.format_actor(event.by)
    asked = f"{by} rolled it back: “{wording.escape(event.reason)}”. " if not event.findings and event.reason else ""
    return asked + _describe_measured_moves(found, zone)


def _describe_measured_moves(found: Investigation, zone: str) -> str:
    seen = list_first_seen(found)
    decided = f"Decided {wording.format_local_time(found.decided_at, zone)}."
    if seen:
        moves = [
            f"{measure_rows.escaped_title(one.measure.metric, one.measure.title)} was beyond its limit from "
            f"{wording.format_local_time(one.at, zone)} on, {measure_rows.format_difference_with_range(one.measure)}"
            for one in seen[:4]
        ]
        return f"{wording.join_phrases(moves, 4)}. {decided}"
    worse = [m for m in found.measures if m.is_bad and not m.segment]
    if worse:
        named = [f"{measure_rows.escaped_title(m.metric, m.title)} {_describe_difference(m)}" for m in worse[:4]]
        return f"No agreed limit was violated at the last look; worse were {', '.join(named)}. {decided}"
    if not found.measures:
        return f"Nothing had been measured yet. {decided}"
    if found.event.findings:
        fired = "; ".join(measure_rows.format_finding(finding) for finding in found.event.findings[:4])
        return f"{fired}. {decided}"
    return f"No limit was violated at the last look, and nothing was worse. {decided}"


def _describe_difference(measure: Measure) -> str:
    """The difference with its range, or both levels where none can be told: relative to nothing."""
    if measure.difference is not None:
        return measure_rows.format_difference_with_range(measure)
    new, old = (wording.format_value(level, measure.unit) for level in (measure.canary, measure.control))
    return f"{new} instead of {old}"


def _list_worse_segments(found: Investigation) -> list[Measure]:
    """Those that are worse beyond chance: among many, some always look bad."""
    return [m for m in found.segments if m.is_bad and segments.evidence_share(m) >= 1]


def _describe_segments(found: Investigation) -> str:
    worst = sorted(_list_worse_segments(found), key=lambda m: -m.log_e)[:3]
    count = segments.count_checked(found.segments_checked, found.segments)
    checked = f"{wording.pluralize(count, 'segment')} checked"
    if not worst:
        return (
            f"No segment is worse beyond chance; {checked}."
            if count
            else "Too little data to compare groups of customers."
        )
    named = [
        f"{wording.format_segment(m.segment)}: {measure_rows.title_in_sentence(m.metric, m.title)} "
        f"{measure_rows.format_difference_with_range(m)}"
        for m in worst
    ]
    return f"{wording.join_phrases(named, 3)}; {checked}."


def _describe_change(found: Investigation) -> str:
    difference = compare_contents(found.rollout.from_content, found.rollout.to_content)
    return f"{difference_words.format_in_line(difference)}. Which of it can explain what moved?"


def _describe_others(found: Investigation, zone: str) -> str:
    if not found.others:
        return "No other rollout changed anything. Deployments and outages elsewhere are not known here."
    named = [_describe_other(other, zone) for other in found.others[:4]]
    left = f" {wording.format_remainder(len(found.others) - 4)}" if len(found.others) > 4 else ""
    return f"{wording.join_phrases(named, 4)}{left}. Deployments and outages elsewhere are not known here."


def _describe_other(other: OtherChange, zone: str) -> str:
    return (
        f"{wording.format_subject(other.rollout)} on {wording.escape(other.rollout.plan.surface, 60)} went to "
        f"{reach_words.format_share_of(other.percent, other.audience)} ({wording.format_local_time(other.at, zone)})"
    )


def _describe_intake(found: Investigation) -> str:
    """Whether reports of the arms arrived alike, and which limits had no reading."""
    if not found.measures:
        return "Nothing was measured, so that is not known."
    unlike = [m for m in found.measures if m.metric in _INTAKE and m.is_bad]
    blind = found.rollout.evidence.blind or () if found.rollout.evidence is not None else ()
    unread = [spot for spot in blind if spot.unread]
    parts = []
    if unlike:
        names = ", ".join(measure_rows.title_in_sentence(m.metric, m.title) for m in unlike)
        parts.append(f"Reports of the two versions arrived differently: {names}")
    if unread:
        names = wording.join_limited([measure_rows.title_in_sentence(spot.metric, spot.title) for spot in unread])
        parts.append(f"No reading has ever arrived of {names}")
    if not parts:
        return "Reports of the two versions arrived alike, and every rollback limit was read."
    return f"{'. '.join(parts)}."


def _describe_checks(found: Investigation) -> str:
    runs = list(found.rollout.evals.values())
    if not runs:
        return "No evals ran for this version."
    named = [
        f"{wording.escape(run.suite, 60) or 'checks'} {run.passed} of {run.passed + run.failed + run.errors}"
        for run in runs[:4]
    ]
    return f"Passed: {', '.join(named)}. Add a case that would have failed."


def _describe_where_to_look(found: Investigation, zone: str) -> str:
    """Where answers are to be found: those sampled for a judge here, all of them in an application's own traces."""
    plan = found.rollout.plan
    since, until = wording.format_local_time(found.since, zone), wording.format_local_time(found.decided_at, zone)
    fired = next((f.segment for f in found.event.findings if f.segment), "")
    worst = fired or next((m.segment for m in _list_worse_segments(found)), "")
    where = f", {wording.escape(worst, 60)}" if worst else ""
    evidence = found.rollout.evidence
    is_judged = evidence is not None and evidence.judging is not None
    judged = (
        f"Those that a judge rated worst: `/rollout samples {found.rollout.id}`. All of them, in" if is_judged else "In"
    )
    return (
        f"{judged} your traces: {wording.escape(plan.surface, 60)}, version "
        f"{wording.escape(plan.to_version, 40)}, {since} to {until}{where}."
    )


def _describe_told(found: Investigation) -> str:
    rollout = found.rollout
    told = [n.channel for n in rollout.plan.stakeholder_notices if rollout.notice_posted_at(n.key)]
    missed = [n.channel for n in rollout.plan.stakeholder_notices if not rollout.notice_posted_at(n.key)]
    parts = [
        f"Told: {', '.join(wording.escape(channel, 60) for channel in told)}" if told else "",
        f"not told, as they got no notice: {', '.join(wording.escape(channel, 60) for channel in missed)}"
        if missed
        else "",
    ]
    return f"{'; '.join(part for part in parts if part)}." if told or missed else "The plan names nobody else."


def _describe_next(found: Investigation) -> str:
    return (
        f"Write down what you found in the review of {found.rollout.id}. To try again, take the plan of this one as a "
        "file, correct it and apply it: a new attempt is a new rollout."
    )
