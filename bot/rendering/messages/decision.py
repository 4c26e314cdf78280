"""The result of a long comparison with its two buttons, and the same message once a person has decided."""

from bot.rendering import reach_words, wording
from bot.rendering.blocks import blocks, buttons
from bot.rendering.blocks.blocks import Message
from bot.rendering.numbers import measure_rows, segments
from bot.rendering.numbers.detectability import blind_spot_words, unknown_unit_words
from core.judging.model.comparison import Advice, MetricCourse
from core.judging.model.verdict import Cleared, Measure
from core.judging.report.course import EARLY_DAYS
from core.rollout.plans.policy import WEEKDAYS
from core.rollout.state.events import ComparisonDecided, ComparisonEnded
from core.rollout.state.model import Rollout

_ADVICE: dict[Advice, str] = {
    "keep": "Every measure it is decided on is as good as agreed, or better.",
    "go back": "At least one measure it is decided on is worse.",
    "cannot tell": "The measures do not settle it.",
}
MAX_COURSES = 3


def render(rollout: Rollout, ended: ComparisonEnded) -> Message:
    """The open decision: what the comparison showed, and both ways to go on."""
    return blocks.build_message(
        f"Decide: {wording.format_subject(rollout)}, the comparison is over. {_ADVICE[ended.advice]}",
        measure_rows.build_table(ended.measures),
        blocks.lines_section(_list_findings(rollout, ended)),
        blocks.actions(
            buttons.keep(rollout),
            buttons.go_back(rollout),
            buttons.run_command("All measures", f"metrics {rollout.id}"),
        ),
        blocks.context(
            f"{wording.format_owner(rollout)} to decide; it stays {reach_words.format_position(rollout)} until "
            "then. These ranges hold together, for one look at a time that was fixed before the start."
        ),
    )


def render_closed(rollout: Rollout, ended: ComparisonEnded, decided: ComparisonDecided | None) -> Message:
    """The message without buttons: what was decided, by whom and why."""
    subject = wording.format_subject(rollout)
    if decided is None:
        first = f"No longer open: {subject} was rolled back before anybody decided."
    else:
        first = f"Decided by {wording.format_actor(decided.by)}: {subject}, {_describe_choice(rollout, decided)}."
    return blocks.build_message(
        first,
        blocks.lines_section([f"Why: “{wording.escape(decided.reason, 500)}”"] if decided is not None else []),
        measure_rows.build_table(ended.measures),
        blocks.lines_section([_ADVICE[ended.advice], *_list_courses(ended)]),
    )


def format_line(rollout: Rollout, decided: ComparisonDecided) -> str:
    """The decision in one sentence."""
    against = {("keep", False), ("go back", True)}
    aside = " The measures said otherwise." if (decided.advice, decided.keep) in against else ""
    return (
        f"Decided by {wording.format_actor(decided.by)}: {rollout.id}, {_describe_choice(rollout, decided)}: "
        f"“{wording.escape(decided.reason, 300)}”.{aside}"
    )


def describe_advice(ended: ComparisonEnded) -> str:
    """What the deciding measures say together, as a sentence."""
    return _ADVICE[ended.advice]


def _describe_choice(rollout: Rollout, decided: ComparisonDecided) -> str:
    plan = rollout.plan
    if decided.keep:
        return f"{wording.escape(plan.to_version, 40)} is kept and goes on to the next step"
    return f"back to {wording.escape(plan.from_version, 40)}"


def _list_findings(rollout: Rollout, ended: ComparisonEnded) -> list[str]:
    lines = [*_list_courses(ended), _describe_weekdays(ended.weekdays)]
    evidence = rollout.evidence
    if evidence is not None:
        decisive = {measure.metric for measure in ended.measures}
        others = [m for m in evidence.measures if m.metric not in decisive and m.is_bad]
        if others:
            lines.append(f"Also worse or changed: {wording.join_limited([_format_moved(m) for m in others])}.")
        if evidence.segments:
            lines.append(segments.format_summary(evidence.segments, evidence.segments_checked))
        if not isinstance(evidence.verdict, Cleared):
            lines.append("Not every limit is shown to hold.")
        lines.append(blind_spot_words.format_blind_spots(blind_spot_words.select_open(rollout, evidence)))
        lines.append(unknown_unit_words.format_unknown_units(evidence.measures))
    return [line for line in lines if line]


def _list_courses(ended: ComparisonEnded) -> list[str]:
    """How each deciding measure developed: day by day, and the first days against the rest."""
    rows = {measure.metric: measure for measure in ended.measures}
    return [_describe_course(rows[one.metric], one) for one in ended.courses[:MAX_COURSES] if one.days]


def _describe_course(row: Measure, course: MetricCourse) -> str:
    title = measure_rows.escaped_title(row.metric, row.title)
    days = ", ".join(_format_difference(row, day.difference) for day in course.days)
    parts = [f"{title}, day by day: {days}."]
    if course.is_novelty is not None:
        early, late = _format_difference(row, course.early), _format_difference(row, course.late)
        if course.is_novelty:
            parts.append(f"The first {EARLY_DAYS} days ({early}) differ from the rest ({late}): trust the rest.")
        else:
            parts.append(f"The first {EARLY_DAYS} days ({early}) are like the rest ({late}).")
    if course.trend in {"rising", "falling"}:
        parts.append(f"The difference keeps {course.trend}.")
    return " ".join(parts)


def _describe_weekdays(counts: tuple[int, ...]) -> str:
    if not counts:
        return ""
    if len(set(counts)) == 1:
        times = "once" if counts[0] == 1 else "twice" if counts[0] == 2 else f"{counts[0]} times"
        return f"Every weekday is in it {times}."
    named = ", ".join(f"{day} {count}" for day, count in zip(WEEKDAYS, counts, strict=True))
    return f"Weekdays do not count equally (days with requests of both versions: {named})."


def _format_moved(measure: Measure) -> str:
    title = measure_rows.title_in_sentence(measure.metric, measure.title)
    return f"{title} {_format_difference(measure, measure.difference)}"


def _format_difference(measure: Measure, difference: float | None) -> str:
    return wording.format_difference(difference, measure.unit, relative=measure.relative)
