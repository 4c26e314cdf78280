"""Prepares a rollout's numbers for a page: rows of text, charts, segments and notes."""

from dataclasses import dataclass

from markupsafe import Markup

from bot.rendering import wording
from bot.rendering.charts import svg as drawing
from bot.rendering.neighbours import shared_words
from bot.rendering.numbers import measure_rows, segments, technical_words
from bot.rendering.numbers.detectability import verdict_times
from bot.rendering.numbers.latest_numbers import LatestNumbers, detection_power
from core.judging.limits.limits import phrase_limit
from core.judging.model.verdict import Finding, Measure
from core.report_sources import look_reports
from core.rollout.concurrency import shared_parts
from core.rollout.state.model import Rollout
from core.rollout.state.world import World
from core.service.service import RolloutService

MAX_CHARTS = 6  # per page


@dataclass(frozen=True, slots=True, kw_only=True)
class MeasureRow:
    """One measure as text; unknown values are a dash, never a zero."""

    title: str
    metric: str
    segment: str
    new: str
    now: str
    moved: str
    limit: str
    evidence: str
    noticed: str
    worst: str
    decided: str
    requests: str
    verdict: str
    kind: str  # CSS class of the verdict: well | unsure | badly
    remarks: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class MetricChart:
    """A chart of one metric's difference over time; `svg` is safe to embed."""

    title: str
    svg: Markup


@dataclass(frozen=True, slots=True, kw_only=True)
class RolloutNumbers:
    """All numbers of one page. `unjudged` are segments with too few requests, each with its count on the new
    version; `when` says by what time more is known, empty where all is decided."""

    rows: tuple[MeasureRow, ...]
    charts: tuple[MetricChart, ...]
    segments: tuple[MeasureRow, ...]
    unjudged: tuple[str, ...]
    checked: int
    notes: tuple[str, ...]
    when: str


def build_numbers(service: RolloutService, rollout: Rollout, latest: LatestNumbers) -> RolloutNumbers:
    """Prepare the latest numbers for a page; `rollout` must be in the stage that they were measured in."""
    zone = service.cached_world().policy.timezone
    judged = [m for m in segments.sort_worst_first(latest.segments) if m.is_judged]
    small = [m for m in latest.segments if not m.is_judged and m.segment not in {j.segment for j in judged}]
    return RolloutNumbers(
        rows=tuple(_build_row(rollout, m, latest) for m in measure_rows.sort_by_urgency(latest.measures)),
        charts=_draw_charts(service, rollout, latest, zone),
        segments=tuple(_build_row(rollout, m, latest) for m in judged),
        unjudged=tuple({m.segment: f"{m.segment} ({wording.format_count(m.n_canary)})" for m in small}.values()),
        checked=segments.count_checked(latest.segments_checked, latest.segments),
        notes=tuple(_format_note(x) for x in latest.notes),
        when=wording.to_plain_text(verdict_times.describe_verdict_times(rollout, latest.measures, latest.at, zone)),
    )


def _build_row(rollout: Rollout, measure: Measure, latest: LatestNumbers) -> MeasureRow:
    power = detection_power(rollout, measure, latest.at)
    cells = measure_rows.build_row(measure)
    limit = phrase_limit(measure.limit_text or "–")
    metric = rollout.plan.find_metric(measure.metric)
    remarks = [
        "signal: what people do" if metric is not None and metric.is_signal else "",
        "against the past: no control is left" if measure.weaker else "",
        "shown to be within the limit" if measure.cleared else "",
        f"expected: {measure.expected}"
        if measure.expected and measure_rows.verdict_label(measure) != "As expected"
        else "",
        measure_rows.phrase_note(measure.note, measure.unit),
    ]
    return MeasureRow(
        title=cells.what,
        metric=measure.metric,
        segment=measure.segment,
        new=cells.new,
        now=cells.old,
        moved=cells.difference,
        limit=f"watched: {limit}" if measure.implied else limit,
        evidence=technical_words.format_evidence_share(measure),
        noticed=technical_words.format_noticeable(measure, power) or "–",
        worst=technical_words.format_worst_case(measure, power) or "–",
        decided=technical_words.format_time_to_decision(power),
        requests=f"{wording.format_count(measure.n_canary)} / {wording.format_count(measure.n_control)}",
        verdict=measure_rows.verdict_label(measure),
        kind=_classify_verdict(measure),
        remarks=tuple(x for x in remarks if x),
    )


def _classify_verdict(measure: Measure) -> str:
    """The CSS class of the measure's verdict."""
    if measure.is_bad or measure.expected == "not as expected":
        return "badly"
    return "well" if measure.word in {"Fine", "Better"} else "unsure"


def build_marks(world: World, rollout: Rollout) -> tuple[drawing.ChartMark, ...]:
    """The moments at which rollouts that change the same part moved."""
    moves = shared_parts.list_moves(shared_parts.find_shared_with(world, rollout, is_over_too=True))
    return tuple(drawing.ChartMark(at=move.at, label=shared_words.format_mark(move)) for move in moves)


def _draw_charts(
    service: RolloutService, rollout: Rollout, latest: LatestNumbers, zone: str
) -> tuple[MetricChart, ...]:
    """A chart for each metric with an agreed limit, `MAX_CHARTS` at most."""
    limited: dict[str, Measure] = {}
    for measure in measure_rows.sort_by_urgency(latest.measures):
        if measure_rows.is_agreed(measure):
            limited.setdefault(measure.metric, measure)
    trends = look_reports.load_trends(service, rollout, limited)
    names = tuple(stage.name for stage in rollout.plan.stages)
    marks = build_marks(service.cached_world(), rollout)
    drawn: list[MetricChart] = []
    for metric, measure in limited.items():
        if len(drawn) == MAX_CHARTS:
            break
        until = tuple(p for p in trends[metric] if latest.at is None or p.at <= latest.at)
        svg = drawing.draw_chart(until, measure, names, zone, f"chart-{len(drawn)}", marks)
        if svg:
            title = measure_rows.metric_title(metric, measure.title)
            drawn.append(MetricChart(title=title, svg=Markup(svg)))  # noqa: S704  (every text in it is escaped)
    return tuple(drawn)


def _format_note(finding: Finding) -> str:
    moved = wording.format_difference(finding.difference, finding.unit, relative=finding.relative)
    parts = [
        measure_rows.metric_title(finding.metric, finding.title),
        moved,
        phrase_limit(finding.limit_text),
        finding.segment,
        measure_rows.phrase_note(finding.note, finding.unit),
    ]
    return " · ".join(x for x in parts if x)
