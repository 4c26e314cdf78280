"""What the log says to each of the four questions of a review, in words."""

from collections.abc import Mapping
from dataclasses import dataclass

from bot.rendering import wording
from bot.rendering.markup import Markup
from bot.rendering.numbers import judge_words, measure_rows, tester_words
from core.judging.model.verdict import Finding, Measure, is_beyond_chance
from core.metrics.money import rounded_dollars
from core.reviews.draft import CostChange, ExpectationOutcome, ExpectationRow, ReviewDraft, UnexpectedChange
from core.reviews.shortcuts import Shortcut, ShortcutKind
from core.rollout.decisions.reviewing import QUESTIONS
from core.rollout.plans.plan import Expectation

MAX_LINES = 8
"""Lines per question; the rest is counted."""
MANY_CASES = 10
"""Complaints and the like from which on a rate and its change in per cent are told; fewer are counted."""
MAX_DOUBTS = 3
"""People who felt that it was off and are quoted; all of them are counted."""


@dataclass(frozen=True, slots=True, kw_only=True)
class AnsweredQuestion:
    """One question, with what the log says to it, one line each."""

    name: str  # key of `QUESTIONS`
    question: str
    lines: tuple[str, ...]


def list_questions(draft: ReviewDraft, markup: Markup, zone: str) -> tuple[AnsweredQuestion, ...]:
    """The four questions in order, each with what the log says."""
    said = {
        "numbers": _describe_expectations(draft, markup),
        "unexpected": _describe_unexpected(draft, markup, zone),
        "behaviour": _describe_behaviour(draft, markup),
        "cost": _describe_cost(draft.cost, markup),
    }
    return tuple(
        AnsweredQuestion(name=name, question=question, lines=tuple(_limit_lines(said[name])))
        for name, question in QUESTIONS.items()
    )


def describe_shortcuts(draft: ReviewDraft, markup: Markup) -> list[str]:
    """One line per shortcut that people took in this rollout; empty if there was none."""
    return _limit_lines([describe_shortcut(shortcut, markup) for shortcut in draft.shortcuts])


def describe_shortcut(shortcut: Shortcut, markup: Markup) -> str:
    """What was cut short, by whom, and why: `Skipped ramp 25% at canary, by @tom: “copy fix”`."""
    at = f" at {markup.escape(shortcut.stage)}" if shortcut.stage else ""
    match shortcut.kind:
        case ShortcutKind.WAIT_SKIPPED:
            what = f"Wait skipped{at}"
        case ShortcutKind.STAGES_SKIPPED:
            what = f"Skipped {markup.escape(', '.join(shortcut.skipped))}{at}"
        case ShortcutKind.BREAK_GLASS:
            what = f"Break-glass{at or ' at the start'}: it went on although something was missing"
        case ShortcutKind.HOLD_OVERRIDDEN:
            what = f"Hold overridden{at}"
        case ShortcutKind.BLIND_SPOTS_ACCEPTED:
            what = f"Risk accepted{at}: harm could have been missed"
    why = f": “{markup.escape(shortcut.reason)}”" if shortcut.reason else ""
    return f"{what}, by {markup.person(shortcut.by)}{why}"


def format_expectation(stated: Expectation) -> str:
    """What the plan expects of a metric: `lower, -20 … -5 %`, `the same`."""
    if stated.direction == "same":
        return "the same"
    word = "higher" if stated.direction == "up" else "lower"
    bounds = [edge for edge in (stated.low, stated.high) if edge is not None]
    if not bounds:
        return word
    unit = "pp" if stated.points else "%"
    return f"{word}, {' … '.join(f'{edge * 100:+g}' for edge in bounds)} {unit}"


def format_row(row: ExpectationRow) -> str:
    """One metric against its expectation: `Cost per request: -11.0 % (expected lower, -20 … -5 %): met`."""
    title = measure_rows.metric_title(row.metric, row.final.measure.title if row.final is not None else "")
    moved = _format_move(row.final.measure) if row.final is not None else "not measured"
    if row.expectation is None:
        return f"{title}: {moved}, no expectation stated"
    return f"{title}: {moved} (expected {format_expectation(row.expectation)}): {row.outcome}"


def count_outcomes(draft: ReviewDraft) -> str:
    """The expectations by outcome: `2 met, 1 missed`; says so if none was stated."""
    counted = [
        f"{number} {outcome}"
        for outcome in (ExpectationOutcome.MET, ExpectationOutcome.MISSED, ExpectationOutcome.NOT_SHOWN)
        if (number := draft.count_outcomes(outcome))
    ]
    return ", ".join(counted) or "no expectations stated"


def _describe_expectations(draft: ReviewDraft, markup: Markup) -> list[str]:
    stated = [markup.escape(format_row(row)) for row in draft.rows if row.expectation is not None]
    others = [row for row in draft.rows if row.expectation is None]
    if not stated:
        measured = f"; {wording.pluralize(len(others), 'metric was', 'metrics were')} measured" if others else ""
        return [f"The plan stated no expectations{measured}."]
    if others:
        counted = wording.pluralize(len(others), "other metric")
        stated.append(f"{counted} measured, with no expectation stated.")
    return stated


def _describe_unexpected(draft: ReviewDraft, markup: Markup, zone: str) -> list[str]:
    lines = [_describe_change(change, markup, zone) for change in draft.unexpected]
    complaints = draft.complaints
    if complaints.felt_off:
        said = [
            f"{markup.escape(doubt.handle)}{f': “{markup.escape(doubt.text)}”' if doubt.text else ''}"
            for doubt in complaints.doubts
        ]
        who = f": {'; '.join(said[:MAX_DOUBTS])}" if said else ""
        lines.append(f"{wording.pluralize(complaints.felt_off, 'person', 'people')} said that it feels off{who}.")
    if complaints.concerns:
        lines.append(f"{wording.pluralize(complaints.concerns, 'concern')} raised about its notices.")
    return lines or ["Nothing was found automatically."]


def _describe_change(change: UnexpectedChange, markup: Markup, zone: str) -> str:
    when = markup.time(change.at, zone)
    if change.finding is None:
        return f"On hold {when}: {markup.escape(change.text)}"
    found = change.finding
    where = f", where {markup.escape(found.segment.replace('=', ' is ', 1))}" if found.segment else ""
    title = markup.escape(measure_rows.metric_title(found.metric, found.title))
    return f"{title}: {_format_found(found)}{where}"


def _describe_behaviour(draft: ReviewDraft, markup: Markup) -> list[str]:
    lines = [markup.escape(_format_final(final.measure)) for final in draft.behaviour]
    if draft.complaints.final is not None:
        lines.append(markup.escape(_format_final(draft.complaints.final.measure)))
    lines += [markup.escape(line) for line in _describe_votes(draft)]
    lines += judge_words.list_lines(draft.rollout, draft.rollout.measures)
    return lines or ["Nothing that people do was measured."]


def _describe_votes(draft: ReviewDraft) -> list[str]:
    """What testers said, stage by stage."""
    rollout = draft.rollout
    return [
        f"Testers at {rollout.plan.stages[stage].name}: {said}."
        for stage in sorted(rollout.votes)
        if (said := tester_words.describe_votes(rollout, stage))
    ]


def _describe_cost(cost: CostChange | None, markup: Markup) -> list[str]:
    if cost is None:
        return ["The cost was not measured."]
    measure = cost.final.measure
    lines = [markup.escape(_format_final(measure))]
    if cost.per_month is not None and cost.daily_requests is not None:
        traffic = f"at {wording.format_count(cost.daily_requests)} requests a day"
        if cost.least is not None and cost.most is not None and cost.least <= 0 <= cost.most:
            ends = f"{rounded_dollars(cost.least)} and {rounded_dollars(cost.most)}"
            lines.append(f"No change shown; it could be anything between {ends} a month {traffic}.")
        else:
            size = rounded_dollars(abs(cost.per_month)).removeprefix("+")
            told = f"Saves about {size} a month" if cost.per_month < 0 else f"Costs about {size} more a month"
            lines.append(f"{told} {traffic}.")
    else:
        lines.append("Per month: unknown, as the surface's traffic is not known.")
    return lines


def _format_final(measure: Measure) -> str:
    title = measure_rows.metric_title(measure.metric, measure.title)
    past = ", compared with the past" if measure.weaker else ""
    if (counted := _count_few(measure)) is not None:
        return f"{title}: {counted}{past}"
    new, old = wording.format_value(measure.canary, measure.unit), wording.format_value(measure.control, measure.unit)
    return f"{title}: {new}, before {old}{_describe_move(measure)}{past}"


def _describe_move(measure: Measure) -> str:
    """The difference, or its range where it may be chance: ` (+4.5 pp (+2.4 … +6.5))`,
    `; no difference shown (-4 … +14 pp)`."""
    if measure.low is None or measure.high is None or is_beyond_chance(measure):
        return f" ({_format_move(measure)})"
    span = wording.format_interval(measure.low, measure.high, measure.unit, relative=measure.relative)
    unit = " %" if measure.relative else " pp" if measure.unit.startswith("%") else ""
    return f"; no difference shown ({span.strip('()')}{unit})"


def _count_few(measure: Measure) -> str | None:
    """`1 in 2,100 requests, before 9 in 2,300`: what is counted per 1,000 where a version has fewer than `MANY_CASES`,
    of which a percentage would say too much; None for any other measure."""
    if not measure.unit.startswith("per 1,000") or measure.canary is None or measure.control is None:
        return None
    if not measure.n_control:  # compared with the past, of which only the rate is known
        return None
    new, old = measure.canary * measure.n_canary, measure.control * measure.n_control
    if min(new, old) >= MANY_CASES:
        return None
    requests = wording.pluralize(measure.n_canary, "request")
    return (
        f"{wording.format_count(new)} in {requests}, before {wording.format_count(old)} in "
        f"{wording.format_count(measure.n_control)}"
    )


def _format_found(found: Measure | Finding) -> str:
    """The difference with its range; both levels where none can be told, as beside none at all."""
    if found.difference is not None:
        return _format_move(found)
    if isinstance(found, Measure) and (counted := _count_few(found)) is not None:
        return counted
    return f"{wording.format_value(found.canary, found.unit)}, before {wording.format_value(found.control, found.unit)}"


def _format_move(measure: Measure | Finding) -> str:
    return measure_rows.format_difference_with_range(measure) if measure.difference is not None else "unknown"


def _limit_lines(lines: list[str]) -> list[str]:
    if len(lines) <= MAX_LINES:
        return lines
    return [*lines[: MAX_LINES - 1], wording.format_remainder(len(lines) - MAX_LINES + 1)]


def list_lessons(answers: Mapping[str, str]) -> list[tuple[str, str]]:
    """(heading, text) of what a review says is to be learned; empty texts are left out."""
    headings = {"worked": "What worked", "failed": "What did not", "next_time": "Do differently next time"}
    return [(heading, answers[name]) for name, heading in headings.items() if answers.get(name)]
