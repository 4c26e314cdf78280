"""Explains one metric: what it means, the numbers behind it, what would trigger an action, and its trend."""

from collections.abc import Sequence

from bot.rendering import wording
from bot.rendering.blocks import blocks
from bot.rendering.blocks.blocks import Message
from bot.rendering.charts import charts
from bot.rendering.numbers import cause_words, measure_rows, plain_words, segments, technical_words
from bot.rendering.numbers.latest_numbers import LatestNumbers, detection_power
from core.judging.model.causes import DifferenceCauses
from core.judging.model.verdict import Measure
from core.judging.report.power import harm_direction
from core.judging.report.series import SeriesPoint
from core.reviews.complaint_comparison import ComplaintComparison
from core.rollout.state.model import Rollout

_ROLE_ACTIONS = {"rollback": "roll back", "hold": "hold"}


def render_technical(
    rollout: Rollout,
    latest: LatestNumbers,
    metric: str,
    trend: tuple[SeriesPoint, ...],
    zone: str,
    as_of: str,
    causes: tuple[DifferenceCauses, ...] = (),
    compared: ComplaintComparison | None = None,
) -> Message:
    """The explanation for engineers: a summary in words, every known number, the trigger, the causes and a chart.

    `compared` has complaints beside the baseline of these hours of the week.
    """
    rows = [m for m in latest.measures if m.metric == metric]
    if not rows:
        return _render_no_data(rollout, metric)
    out = _worse_segments(latest, metric)
    body = []
    for measure in rows:
        power = detection_power(rollout, measure, latest.at)
        facts = [f"*{label}*  {text}" for label, text in technical_words.list_facts(measure, power)]
        body += [
            blocks.section(
                " ".join((["All traffic together:"] if out else []) + plain_words.explain_measure(measure, power))
            ),
            blocks.lines_section(facts),
            blocks.section(describe_trigger(measure)),
        ]
    return blocks.build_message(
        _format_first_line(rollout, out or rows),
        blocks.lines_section([plain_words.describe_segment(m) for m in out]),
        *body,
        blocks.lines_section(cause_words.list_causes(causes, metric)),
        blocks.section(describe_complaints(compared)) if compared is not None else None,
        charts.build_chart(trend, rows[0], zone),
        blocks.context(
            f"`{wording.escape(metric, 60)}`{_label_signal(rollout, metric)} · as of {as_of} · {rollout.id}"
        ),
    )


def _label_signal(rollout: Rollout, metric: str) -> str:
    found = rollout.plan.find_metric(metric)
    return " · signal: what people do, which has many causes" if found is not None and found.is_signal else ""


def render_plain(rollout: Rollout, latest: LatestNumbers, metric: str, as_of: str) -> Message:
    """The explanation in plain words, for everyone who did not ask for numbers."""
    rows = [m for m in latest.measures if m.metric == metric]
    if not rows:
        return _render_no_data(rollout, metric)
    story = " ".join(plain_words.explain_measure(rows[0], detection_power(rollout, rows[0], latest.at)))
    out = _worse_segments(latest, metric)
    return blocks.build_message(
        _format_first_line(rollout, out or rows),
        blocks.lines_section(
            [
                *(plain_words.describe_segment(m) for m in out),
                f"All traffic together: {story}" if out else story,
                plain_words.describe_consequence(rows[0]),
            ]
        ),
        blocks.context(f"as of {as_of} · {rollout.id} · whom to ask: {wording.format_owner(rollout)}"),
    )


def describe_complaints(compared: ComplaintComparison) -> str:
    """Complaints of the new version beside the baseline of these hours of the week."""
    much = " That is beyond normal." if compared.is_beyond_baseline else ""
    return (
        f"Normal at these hours of the week: {compared.expected:.1f} complaints in "
        f"{wording.format_count(compared.requests)} requests, rarely more than "
        f"{wording.format_count(compared.at_most)}. Now: {wording.format_count(compared.complaints)}.{much}"
    )


def describe_trigger(measure: Measure) -> str:
    """What has to be observed before this measure rolls the rollout back or holds it."""
    act = _ROLE_ACTIONS.get(measure.role)
    if measure.implied and act is not None and measure.amount:
        return (
            f"No limit was agreed, but it is watched: {_format_threshold(measure)} or more, if certain, holds the "
            "rollout, and people decide."
        )
    if not measure_rows.is_agreed(measure) or act is None:
        return plain_words.ONLY_WATCHED
    limit = measure_rows.escaped_limit(measure.limit_text or "")
    if measure.absolute:
        level, unit = wording.format_value(measure.canary, measure.unit), measure.unit
        beyond = (
            f"its level beyond {wording.format_value(measure.amount, unit)} (now {level})"
            if measure.amount
            else "beyond it"
        )
    else:
        now = wording.format_difference(measure.difference, measure.unit, relative=measure.relative)
        beyond = (
            f"the difference beyond {_format_threshold(measure)} (now {now})"
            if measure.amount
            else "the difference beyond it"
        )
    evidence = (
        f"evidence of harm at 100 % (now {technical_words.format_evidence_share(measure)})"
        if measure.needed > 0
        else "evidence"
    )
    return f"To {act} (agreed: {limit}) it takes both: {beyond}, and {evidence}."


def _format_threshold(measure: Measure) -> str:
    size = wording.format_magnitude(measure.amount or 0.0, measure.unit, relative=measure.relative)
    return {"more": f"+{size}", "less": f"-{size}", "either": f"±{size}"}[harm_direction(measure)]


def _worse_segments(latest: LatestNumbers, metric: str) -> list[Measure]:
    """The segments in which this metric is worse, even if the total does not show it; worst first."""
    return [m for m in segments.sort_worst_first(latest.segments) if m.metric == metric and m.is_bad]


def _format_first_line(rollout: Rollout, rows: Sequence[Measure]) -> str:
    measure = rows[0]
    where = f" where {wording.format_segment(measure.segment)}" if measure.segment else ""
    title = measure_rows.title_in_sentence(measure.metric, measure.title)
    numbers = (
        f"{wording.format_value(measure.canary, measure.unit)} new, "
        f"{wording.format_value(measure.control, measure.unit)} old"
    )
    return f"{measure_rows.verdict_label(measure)}{where}: {title} in {wording.format_subject(rollout)}, {numbers}."


def _render_no_data(rollout: Rollout, metric: str) -> Message:
    title = measure_rows.escaped_title(metric, measure_rows.find_title(rollout, metric))
    what = f"{title} in {wording.format_subject(rollout)}"
    return blocks.build_message(
        f"No data: {what} has no limit and no expectation, or nothing has been measured yet.",
        blocks.section(f"See what is measured: `/rollout metrics {rollout.id}`"),
    )
