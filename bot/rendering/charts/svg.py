"""The trend of a difference as SVG for the web pages; no information is carried by colour alone."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from html import escape
from itertools import pairwise
from zoneinfo import ZoneInfo

from bot.rendering import wording
from bot.rendering.charts import chart_data
from bot.rendering.numbers import measure_rows
from core.judging.model.verdict import Measure
from core.judging.report.series import SeriesPoint

SHORT_UNIT_LENGTH = 3  # units up to this many characters are repeated at every tick
MAX_MARKS = 12
MAX_POINTS = 240  # a page has no room for more
WIDTH, HEIGHT = 720, 260
LABEL_HEIGHT = 16  # pixels
LEFT, RIGHT, TOP, BOTTOM = 64, 132, 16, 32


@dataclass(frozen=True, slots=True, kw_only=True)
class ChartMark:
    """A moment at which something happened elsewhere, with its label."""

    at: datetime
    label: str


def draw_chart(
    points: tuple[SeriesPoint, ...],
    measure: Measure,
    stages: tuple[str, ...],
    zone: str,
    id_prefix: str,
    marks: tuple[ChartMark, ...] = (),
) -> str:
    """An SVG element, safe to embed; empty with fewer than two measured points. `id_prefix` must be unique on its page.

    `marks` are moments to mark, such as steps of another rollout; those outside of the time shown are left out.

    It is readable without colour: the limit is dashed and labelled, the range is a band, and `<desc>` states
    everything in words.
    """
    known = chart_data.sample_evenly(chart_data.measured_points(points), MAX_POINTS)
    if len(known) < 2:
        return ""
    plot = _build_plot(known, measure)
    shown_marks = tuple(mark for mark in marks if known[0].at <= mark.at <= known[-1].at)[:MAX_MARKS]
    title = f"{measure_rows.metric_title(measure.metric, measure.title)}: difference of new and old version over time"
    return "\n".join(
        [
            f'<svg class="chart" viewBox="0 0 {WIDTH} {HEIGHT}" role="img" aria-labelledby="{id_prefix}-t '
            f'{id_prefix}-d">',
            f'<title id="{id_prefix}-t">{escape(title)}</title>',
            f'<desc id="{id_prefix}-d">{escape(_describe_chart(known, measure, zone, shown_marks))}</desc>',
            *_draw_grid(plot, measure),
            *_draw_stages(plot, known, stages),
            *_draw_marks(plot, shown_marks),
            *_draw_band(plot, known),
            *_draw_limits(plot, measure),
            *_draw_line(plot, known, measure),
            *_draw_times(plot, known, zone),
            "</svg>",
        ]
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class _Plot:
    """Maps times and values to pixels."""

    since: datetime
    until: datetime
    low: float
    high: float

    def x(self, at: datetime) -> float:
        return LEFT + (WIDTH - LEFT - RIGHT) * ((at - self.since) / (self.until - self.since))

    def y(self, value: float) -> float:
        inside = min(max(value, self.low), self.high)
        return TOP + (HEIGHT - TOP - BOTTOM) * (self.high - inside) / (self.high - self.low)

    @property
    def right(self) -> float:
        return WIDTH - RIGHT


def _build_plot(known: tuple[SeriesPoint, ...], measure: Measure) -> _Plot:
    """Scale the plot to differences and limits; a wide range is clipped so that it does not flatten them."""
    marks = [p.difference for p in known if p.difference is not None] + [*chart_data.limit_levels(measure), 0.0]
    span = max(max(marks) - min(marks), 1e-9)
    ends = [e for p in known for e in (p.low, p.high) if e is not None]
    low = max(min([*marks, *ends]), min(marks) - span)
    high = min(max([*marks, *ends]), max(marks) + span)
    room = max((high - low) * 0.08, 1e-9)  # all values may be alike
    since, until = known[0].at, known[-1].at
    return _Plot(since=since, until=max(until, since + timedelta(seconds=1)), low=low - room, high=high + room)


def _draw_grid(plot: _Plot, measure: Measure) -> list[str]:
    drawn = []
    for value in _tick_values(plot.low, plot.high):
        y = plot.y(value)
        kind = "zero" if value == 0 else "grid"
        drawn.append(f'<line class="{kind}" x1="{LEFT}" x2="{plot.right}" y1="{y:.1f}" y2="{y:.1f}"/>')
        drawn.append(_text_element("tick", LEFT - 8, y + 4, _format_tick(value, measure), "end"))
    return drawn


def _tick_values(low: float, high: float) -> list[float]:
    raw = (high - low) / 4
    size = 10.0 ** len(f"{int(raw)}") if raw >= 1 else 1.0
    while size > raw:
        size /= 10
    step = next(size * m for m in (1, 2, 5, 10) if size * m >= raw)
    first = int(low / step) - 1
    return [round(n * step, 12) for n in range(first, first + 12) if low <= n * step <= high]


def _draw_stages(plot: _Plot, known: tuple[SeriesPoint, ...], stages: tuple[str, ...]) -> list[str]:
    drawn = []
    for before, after in pairwise(known):
        if after.stage != before.stage:
            x = plot.x(after.at)
            drawn.append(f'<line class="stage" x1="{x:.1f}" x2="{x:.1f}" y1="{TOP}" y2="{HEIGHT - BOTTOM}"/>')
            if 0 <= after.stage < len(stages):
                drawn.append(_text_element("stage", x + 4, TOP + 10, stages[after.stage]))
    return drawn


def _draw_marks(plot: _Plot, marks: tuple[ChartMark, ...]) -> list[str]:
    drawn = []
    for number, mark in enumerate(marks):
        x, y = plot.x(mark.at), HEIGHT - BOTTOM - 6 - LABEL_HEIGHT * (number % 3)  # labels of one moment do not overlap
        drawn.append(f'<line class="other" x1="{x:.1f}" x2="{x:.1f}" y1="{TOP}" y2="{HEIGHT - BOTTOM}"/>')
        drawn.append(_text_element("other", x + 4, y, mark.label))
    return drawn


def _draw_band(plot: _Plot, known: tuple[SeriesPoint, ...]) -> list[str]:
    """One band per unbroken run of points with a known range."""
    runs: list[list[SeriesPoint]] = [[]]
    for point in known:
        if point.low is None or point.high is None:
            runs.append([])
        else:
            runs[-1].append(point)
    drawn = []
    for run in runs:
        if len(run) > 1:
            upper = [f"{plot.x(p.at):.1f},{plot.y(p.high or 0.0):.1f}" for p in run]
            lower = [f"{plot.x(p.at):.1f},{plot.y(p.low or 0.0):.1f}" for p in reversed(run)]
            drawn.append(f'<polygon class="band" points="{" ".join([*upper, *lower])}"/>')
    return drawn


def _draw_limits(plot: _Plot, measure: Measure) -> list[str]:
    drawn = []
    for edge in chart_data.limit_levels(measure):
        y = plot.y(edge)
        drawn.append(f'<line class="limit" x1="{LEFT}" x2="{plot.right}" y1="{y:.1f}" y2="{y:.1f}"/>')
        shown = wording.format_difference(edge, measure.unit, relative=measure.relative)
        drawn.append(_text_element("limit", plot.right + 8, y + 4, f"limit {shown}"))
    return drawn


def _draw_line(plot: _Plot, known: tuple[SeriesPoint, ...], measure: Measure) -> list[str]:
    path = " ".join(f"{plot.x(p.at):.1f},{plot.y(p.difference or 0.0):.1f}" for p in known)
    last = known[-1]
    assert last.difference is not None
    x, y = plot.x(last.at), plot.y(last.difference)
    shown = wording.format_difference(last.difference, measure.unit, relative=measure.relative)
    # A label that would overlap the limit's label moves away from it, towards the side of the line.
    near = next(
        (plot.y(edge) for edge in chart_data.limit_levels(measure) if abs(plot.y(edge) - y) < LABEL_HEIGHT), None
    )
    label = y if near is None else near + (LABEL_HEIGHT if y >= near else -LABEL_HEIGHT)
    return [
        f'<polyline class="difference" points="{path}"/>',
        f'<circle class="difference" cx="{x:.1f}" cy="{y:.1f}" r="4"/>',
        _text_element("difference", plot.right + 8, label + 4, f"now {shown}"),
    ]


def _draw_times(plot: _Plot, known: tuple[SeriesPoint, ...], zone: str) -> list[str]:
    format_ = chart_data.choose_time_format(known[-1].at - known[0].at, 3)
    middle = plot.since + (plot.until - plot.since) / 2
    marks = ((plot.since, "start"), (middle, "middle"), (plot.until, "end"))
    y = HEIGHT - BOTTOM + 18
    return [
        _text_element("tick", plot.x(at), y, f"{at.astimezone(ZoneInfo(zone)):{format_} %Z}", side)
        for at, side in marks
    ]


def _text_element(kind: str, x: float, y: float, text: str, anchor: str = "start") -> str:
    shown = escape(wording.to_single_line(text, 80))
    return f'<text class="{kind}" x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}">{shown}</text>'


def _describe_chart(known: tuple[SeriesPoint, ...], measure: Measure, zone: str, marks: tuple[ChartMark, ...]) -> str:
    last = known[-1]
    moved = wording.format_difference(last.difference, measure.unit, relative=measure.relative)
    span = wording.format_interval(last.low, last.high, measure.unit, relative=measure.relative)
    edges = [
        wording.format_difference(e, measure.unit, relative=measure.relative) for e in chart_data.limit_levels(measure)
    ]
    limit = f" The limit is {' and '.join(edges)}." if edges else " There is no limit."
    first = wording.format_difference(known[0].difference, measure.unit, relative=measure.relative)
    since, until = (wording.format_plain_time(p.at, zone) for p in (known[0], last))
    told = [f"{mark.label} at {wording.format_plain_time(mark.at, zone)}" for mark in marks]
    meanwhile = f" Meanwhile: {', '.join(told)}." if told else ""
    return f"{first} at {since}, {moved} {span} at {until}.{limit}{meanwhile}"


def _format_tick(value: float, measure: Measure) -> str:
    unit = chart_data.axis_unit(measure)
    shown = f"{chart_data.scale_to_unit(value, measure):+g}" if value else "0"
    return f"{shown} {unit}" if len(unit) <= SHORT_UNIT_LENGTH else shown
