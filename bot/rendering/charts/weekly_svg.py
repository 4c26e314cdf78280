"""A number per week as SVG bars; what it says is also in words, and no information is carried by colour."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from html import escape
from itertools import pairwise
from math import ceil

WIDTH, HEIGHT = 720, 180
LEFT, RIGHT, TOP, BOTTOM = 64, 8, 16, 28
_TICKS = 3
_WEEKS_PER_LABEL = 8


@dataclass(frozen=True, slots=True, kw_only=True)
class WeeklySeries:
    """A value for each of several weeks, oldest first; None where nothing is known. `format_value` writes one, and
    `is_count` says that all are whole numbers."""

    title: str
    weeks: Sequence[str]
    values: Sequence[float | None]
    format_value: Callable[[float], str]
    is_count: bool = False


def draw_bars(series: WeeklySeries, id_prefix: str) -> str:
    """An SVG element, safe to embed; empty where no week has a value. `id_prefix` must be unique on its page."""
    known = [value for value in series.values if value is not None]
    if not known:
        return ""
    ticks = min(_TICKS, max(1, ceil(max(known)))) if series.is_count else _TICKS
    top = ceil(max(*known, 1.0) / ticks) * ticks if series.is_count else max(*known, 1e-9)
    step = (WIDTH - LEFT - RIGHT) / len(series.values)
    return "\n".join(
        [
            f'<svg class="chart" viewBox="0 0 {WIDTH} {HEIGHT}" role="img" '
            f'aria-labelledby="{id_prefix}-t {id_prefix}-d">',
            f'<title id="{id_prefix}-t">{escape(series.title)}</title>',
            f'<desc id="{id_prefix}-d">{escape(describe_series(series))}</desc>',
            *_draw_grid(series, top, ticks),
            *_draw_each(series, top, step),
            *_draw_weeks(series, step),
            "</svg>",
        ]
    )


def describe_series(series: WeeklySeries) -> str:
    """The newest known value, the one of the week before it that is known, and the largest, in words."""
    known = [(week, value) for week, value in zip(series.weeks, series.values, strict=True) if value is not None]
    if not known:
        return "No week has a value."
    last_week, last = known[-1]
    most_week, most = max(known, key=lambda pair: pair[1])
    before = ""
    if len(known) > 1:
        (week, value), _ = list(pairwise(known))[-1]
        before = f", {series.format_value(value)} in {week}"
    return (
        f"{series.format_value(last)} in {last_week}{before}. "
        f"The most was {series.format_value(most)} in {most_week}. "
        f"{len(known)} of {len(series.values)} weeks have a value."
    )


def _draw_grid(series: WeeklySeries, top: float, ticks: int) -> list[str]:
    drawn = []
    for n in range(ticks + 1):
        y = _to_y(top * n / ticks, top)
        drawn.append(
            f'<line class="{"grid" if n else "zero"}" x1="{LEFT}" x2="{WIDTH - RIGHT}" y1="{y:.1f}" y2="{y:.1f}"/>'
        )
        label = escape(series.format_value(top * n / ticks)) if n else "0"
        drawn.append(f'<text class="tick" x="{LEFT - 8}" y="{y + 4:.1f}" text-anchor="end">{label}</text>')
    return drawn


def _draw_each(series: WeeklySeries, top: float, step: float) -> list[str]:
    drawn = []
    for n, (week, value) in enumerate(zip(series.weeks, series.values, strict=True)):
        if not value:
            continue
        x, y = LEFT + n * step, _to_y(value, top)
        shown = escape(f"{week}: {series.format_value(value)}")
        drawn.append(
            f'<rect class="bar" x="{x + step * 0.15:.1f}" y="{y:.1f}" width="{step * 0.7:.1f}" '
            f'height="{HEIGHT - BOTTOM - y:.1f}"><title>{shown}</title></rect>'
        )
    return drawn


def _draw_weeks(series: WeeklySeries, step: float) -> list[str]:
    """The names of every eighth week, so that the last one still fits on the right."""
    return [
        f'<text class="tick" x="{LEFT + (n + 0.5) * step:.1f}" y="{HEIGHT - 8}" text-anchor="middle">'
        f"{escape(series.weeks[n])}</text>"
        for n in range(len(series.weeks) - 3, 0, -_WEEKS_PER_LABEL)
    ]


def _to_y(value: float, top: float) -> float:
    return TOP + (HEIGHT - TOP - BOTTOM) * (1 - value / top)
