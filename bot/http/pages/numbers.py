"""Prepares a rollout's numbers for a page: rows of text, charts, segments and notes."""

from dataclasses import dataclass

from markupsafe import Markup

from bot.rendering import wording
from bot.rendering.charts import svg as drawing
from bot.rendering.numbers import figures, segments, technical_words
from bot.rendering.numbers.latest import Latest, power_of
from core import watch
from core.judging.model.verdict import Finding, Measure
from core.rollout.model import Rollout
from core.service import Service

CHARTS = 6  # per page


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
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
class Chart:
    """A chart of one metric's difference over time; `svg` is safe to embed."""

    title: str
    svg: Markup


@dataclass(frozen=True, slots=True, kw_only=True)
class Numbers:
    """All numbers of one page. `unjudged` are segments with too few requests, each with its count on the new
    version."""

    rows: tuple[Row, ...]
    charts: tuple[Chart, ...]
    segments: tuple[Row, ...]
    unjudged: tuple[str, ...]
    checked: int
    notes: tuple[str, ...]


def numbers(service: Service, rollout: Rollout, seen: Latest) -> Numbers:
    """Prepare the latest numbers for a page; `rollout` must be in the stage that they were measured in."""
    judged = [m for m in segments.ordered(seen.segments) if m.word not in figures.UNJUDGED]
    small = [m for m in seen.segments if m.word in figures.UNJUDGED and m.segment not in {j.segment for j in judged}]
    return Numbers(
        rows=tuple(_row(rollout, m, seen) for m in figures.ordered(seen.measures)),
        charts=_charts(service, rollout, seen),
        segments=tuple(_row(rollout, m, seen) for m in judged),
        unjudged=tuple({m.segment: f"{m.segment} ({wording.count(m.n_canary)})" for m in small}.values()),
        checked=seen.checked,
        notes=tuple(_note(x) for x in seen.notes),
    )


def _row(rollout: Rollout, measure: Measure, seen: Latest) -> Row:
    power = power_of(rollout, measure, seen.at)
    what, new, now, moved, _ = figures.row(measure)
    remarks = [
        "against the past: no control is left" if measure.weaker else "",
        "shown to be within the limit" if measure.cleared else "",
        f"expected: {measure.expected}" if measure.expected and figures.verdict(measure) != "As expected" else "",
        measure.note,
    ]
    return Row(
        title=what,
        metric=measure.metric,
        segment=measure.segment,
        new=new,
        now=now,
        moved=moved,
        limit=(measure.limit_text or "–") if not measure.implied else f"watched: {measure.limit_text}",
        evidence=technical_words.share(measure),
        noticed=technical_words.noticeable(measure, power) or "–",
        worst=technical_words.worst(measure, power) or "–",
        decided=technical_words.decided(power),
        requests=f"{wording.count(measure.n_canary)} / {wording.count(measure.n_control)}",
        verdict=figures.verdict(measure),
        kind=_kind(measure),
        remarks=tuple(x for x in remarks if x),
    )


def _kind(measure: Measure) -> str:
    """The CSS class of the measure's verdict."""
    if measure.word in figures.BADLY or measure.expected == "not as expected":
        return "badly"
    return "unsure" if measure.word in {*figures.UNJUDGED, "Slightly worse, within limit"} else "well"


def _charts(service: Service, rollout: Rollout, seen: Latest) -> tuple[Chart, ...]:
    """A chart for each metric with an agreed limit, `MAX_CHARTS` at most."""
    limited: dict[str, Measure] = {}
    for measure in figures.ordered(seen.measures):
        if figures.agreed(measure):
            limited.setdefault(measure.metric, measure)
    trends = watch.trends(service, rollout, limited)
    names = tuple(stage.name for stage in rollout.plan.stages)
    drawn: list[Chart] = []
    for metric, measure in limited.items():
        if len(drawn) == CHARTS:
            break
        until = tuple(p for p in trends[metric] if seen.at is None or p.at <= seen.at)
        svg = drawing.draw(until, measure, names, "UTC", f"chart-{len(drawn)}")
        if svg:
            title = figures.title(metric, measure.title)
            drawn.append(Chart(title=title, svg=Markup(svg)))  # noqa: S704  (every text in it is escaped)
    return tuple(drawn)


def _note(finding: Finding) -> str:
    moved = wording.difference(finding.difference, finding.unit, relative=finding.relative)
    told = [figures.title(finding.metric, finding.title), moved, finding.limit_text, finding.segment, finding.note]
    return " · ".join(x for x in told if x)
