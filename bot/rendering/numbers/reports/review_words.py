"""What the log says to each of the four questions of a review, in words."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from bot.rendering import wording
from bot.rendering.markup import Markup
from bot.rendering.numbers import judge_words, measure_rows, tester_words
from bot.rendering.sentences import headline
from core.judging.model.verdict import Finding, Measure, is_beyond_chance
from core.metrics.money import rounded_dollars
from core.reviews.draft import CostChange, ExpectationOutcome, ExpectationRow, ReviewDraft, UnexpectedChange
from core.reviews.final_measures import FinalMeasure
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
        "cost": _describe_cost(draft, markup),
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
        return [f"The plan stated no expectations, so only you can say{measured}."]
    if others:
        counted = wording.pluralize(len(others), "other metric")
        stated.append(f"{counted} measured, with no expectation stated.")
    return stated


def _describe_unexpected(draft: ReviewDraft, markup: Markup, zone: str) -> list[str]:
    lines = [_describe_change(draft, change, markup, zone) for change in draft.unexpected]
    if draft.unjudged:
        titles = [measure_rows.metric_title(one.metric, one.title) for one in draft.unjudged]
        lines.append(f"Could not be judged: {markup.escape(', '.join(dict.fromkeys(titles)))}.")
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


def _describe_change(draft: ReviewDraft, change: UnexpectedChange, markup: Markup, zone: str) -> str:
    when = markup.time(change.at, zone)
    if change.finding is None:
        return f"On hold {when}: {markup.escape(change.text)}"
    found = change.finding
    where = f", where {markup.escape(_name_segment(found.segment))}" if found.segment else ""
    title = markup.escape(measure_rows.metric_title(found.metric, found.title))
    said = markup.escape(measure_rows.phrase_note(found.note, found.unit)) if isinstance(found, Finding) else ""
    note = f"; {said}" if said else ""
    return f"{title}: {_format_found(found)}{where}{note}{_describe_overlap(draft, found, markup)}"


def _name_segment(segment: str) -> str:
    return segment.replace("=", " is ", 1)


def _describe_overlap(draft: ReviewDraft, found: Measure | Finding, markup: Markup) -> str:
    """That customers of a segment may be those of another for which a rollback was decided; otherwise empty."""
    decided = draft.rollout.rollback.findings if draft.rollout.rollback is not None else ()
    others = [one.segment for one in decided if one.metric == found.metric and one.segment]
    if not found.segment or not others or found.segment in others:
        return ""
    return f"; these may be the same customers as where {markup.escape(_name_segment(others[0]))}"


def _describe_behaviour(draft: ReviewDraft, markup: Markup) -> list[str]:
    measured = [*draft.behaviour, *([draft.complaints.final] if draft.complaints.final is not None else [])]
    lines = [*_name_stage(draft, measured), *(markup.escape(_format_final(draft, final.measure)) for final in measured)]
    lines += [markup.escape(line) for line in _describe_votes(draft)]
    lines += judge_words.list_lines(draft.rollout, draft.rollout.measures)
    return lines or ["Nothing that people do was measured."]


def _name_stage(draft: ReviewDraft, measured: Sequence[FinalMeasure]) -> list[str]:
    """In which stage both versions were compared last, where that was not the last stage."""
    stages = {final.stage for final in measured if final.is_compared and 0 <= final.stage < draft.rollout.stage_index}
    if not stages:
        return []
    label = headline.stage_label(draft.rollout.plan.stages[max(stages)])
    return [f"Measured at {wording.to_plain_text(label)}, while both versions ran:"]


def _describe_votes(draft: ReviewDraft) -> list[str]:
    """What testers said, stage by stage."""
    rollout = draft.rollout
    return [
        f"Testers at {rollout.plan.stages[stage].name}: {said}."
        for stage in sorted(rollout.votes)
        if (said := tester_words.describe_votes(rollout, stage))
    ]


def _describe_cost(draft: ReviewDraft, markup: Markup) -> list[str]:
    cost = draft.cost
    if cost is None:
        return ["The cost was not measured."]
    lines = [*_name_stage(draft, [cost.final]), markup.escape(_format_final(draft, cost.final.measure))]
    if cost.per_month is None or cost.daily_requests is None:
        return [*lines, "Per month: unknown, as the surface's traffic is not known."]
    return [*lines, _describe_month(draft, cost, cost.per_month, cost.daily_requests)]


def _describe_month(draft: ReviewDraft, cost: CostChange, per_month: float, daily_requests: float) -> str:
    """What the difference means in a month, or would have meant; no amount where too little is known."""
    traffic = f"at {wording.format_count(daily_requests)} requests a day"
    if _is_too_little(cost.final.measure):
        few = wording.pluralize(cost.final.measure.n_canary, "request")
        return f"{few} with a known cost are too few to tell whether the cost per month changes."
    if cost.least is not None and cost.most is not None and cost.least <= 0 <= cost.most:
        ends = f"{rounded_dollars(cost.least)} and {rounded_dollars(cost.most)}"
        return f"No change shown; it could be anything between {ends} a month {traffic}."
    size, saves = rounded_dollars(abs(per_month)).removeprefix("+"), per_month < 0
    if draft.is_rolled_back:
        would = f"saved about {size}" if saves else f"cost about {size} more"
        return f"With everyone on it, it would have {would} a month {traffic}."
    return f"{f'Saves about {size}' if saves else f'Costs about {size} more'} a month {traffic}."


def _is_too_little(measure: Measure) -> bool:
    """Whether there was not enough to judge, or a range in which there may be no difference could hide one as large as
    the limit, agreed or default, either way."""
    if not measure.is_judged:
        return True
    if measure.low is None or measure.high is None or measure.amount is None or measure.absolute:
        return False
    return not is_beyond_chance(measure) and measure.high - measure.low > 2 * measure.amount


def _format_final(draft: ReviewDraft, measure: Measure) -> str:
    """A measure with both levels and its move, and from where on values are cut off if a rollback told it in full."""
    title = measure_rows.metric_title(measure.metric, measure.title)
    past = ", compared with the past" if measure.weaker else ""
    if (counted := _count_few(measure)) is not None:
        return f"{title}: {counted}{past}"
    new, old = wording.format_value(measure.canary, measure.unit), wording.format_value(measure.control, measure.unit)
    back = draft.rollout.rollback
    is_told_in_full = back is not None and any(found.metric == measure.metric for found in back.findings)
    cap = draft.rollout.caps.get(measure.metric) if is_told_in_full else None
    capped = f", values above {wording.format_value(cap, measure.unit)} count as that" if cap is not None else ""
    return f"{title}: {new} new vs {old} old{_describe_move(measure)}{capped}{past}"


def _describe_move(measure: Measure) -> str:
    """The difference, or its range where it may be chance: ` (+4.5 pp (+2.4 … +6.5))`,
    `; no difference shown (-4 … +14 pp)`, `; too few requests to tell`."""
    if _is_too_little(measure):
        return "; too few requests to tell a difference"
    if measure.low is None or measure.high is None or is_beyond_chance(measure):
        return f" ({_format_move(measure)})"
    span = wording.format_interval(measure.low, measure.high, measure.unit, relative=measure.relative)
    unit = " %" if measure.relative else " pp" if measure.unit.startswith("%") else ""
    return f"; no difference shown ({span.strip('()')}{unit})"


def _count_few(measure: Measure) -> str | None:
    """`1 in 2,100 requests (new) vs 9 in 2,300 (old)`: what is counted per 1,000 where a version has fewer than
    `MANY_CASES`, of which a percentage would say too much; None for any other measure."""
    if not measure.unit.startswith("per 1,000") or measure.canary is None or measure.control is None:
        return None
    if not measure.n_control:  # compared with the past, of which only the rate is known
        return None
    new, old = measure.canary * measure.n_canary, measure.control * measure.n_control
    if min(new, old) >= MANY_CASES:
        return None
    requests = wording.pluralize(measure.n_canary, "request")
    return (
        f"{wording.format_count(new)} in {requests} (new) vs {wording.format_count(old)} in "
        f"{wording.format_count(measure.n_control)} (old)"
    )


def _format_found(found: Measure | Finding) -> str:
    """The difference with its range; both levels where none can be told, as beside none at all."""
    if found.difference is not None:
        return _format_move(found)
    if isinstance(found, Measure) and (counted := _count_few(found)) is not None:
        return counted
    levels = [wording.format_value(level, found.unit) for level in (found.canary, found.control)]
    return f"{levels[0]} new vs {levels[1]} old"


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
