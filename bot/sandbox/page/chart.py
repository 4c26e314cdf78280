"""Draws a chart block as SVG for the page: one line per series, labelled at its end."""

from html import escape
from typing import Any

from markupsafe import Markup

Json = dict[str, Any]
WIDTH, HEIGHT, LEFT, RIGHT, TOP, BOTTOM = 560, 220, 44, 110, 12, 26


def draw_chart(block: Json) -> Markup:
    """The chart as SVG: every series as a line with its name at its end, and the first and last category."""
    chart = block["chart"]
    series, labels = chart["series"], chart["axis_config"]["categories"]
    values: list[float] = [point["value"] for one in series for point in one["data"]]
    low, high = min([*values, 0.0]), max([*values, 0.0])
    span = (high - low) or 1.0

    def x(index: int) -> float:
        return LEFT + (WIDTH - LEFT - RIGHT) * (index / max(len(labels) - 1, 1))

    def y(value: float) -> float:
        return TOP + (HEIGHT - TOP - BOTTOM) * (high - value) / span

    drawn = [
        f'<svg class="chart" viewBox="0 0 {WIDTH} {HEIGHT}" role="img">',
        f"<title>{escape(block['title'])}</title>",
        *(_text_element("tick", LEFT - 6, y(v) + 4, f"{v:g}", "end") for v in sorted({low, 0, high})),
        *(
            f'<line class="grid" x1="{LEFT}" x2="{WIDTH - RIGHT}" y1="{y(v):.1f}" y2="{y(v):.1f}"/>'
            for v in sorted({low, 0, high})
        ),
        _text_element("tick", LEFT, HEIGHT - 8, labels[0], "start"),
        _text_element("tick", WIDTH - RIGHT, HEIGHT - 8, labels[-1], "end"),
    ]
    names = _spread_labels([(y(one["data"][-1]["value"]) + 4, one["name"]) for one in series])
    for number, one in enumerate(series):
        path = " ".join(f"{x(i):.1f},{y(point['value']):.1f}" for i, point in enumerate(one["data"]))
        drawn.append(f'<polyline class="s{number}" points="{path}"/>')
    drawn += [_text_element("name", WIDTH - RIGHT + 6, at, name, "start") for at, name in names]
    return Markup("\n".join([*drawn, "</svg>"]))  # noqa: S704  (every text in it is escaped)


def _spread_labels(names: list[tuple[float, str]]) -> list[tuple[float, str]]:
    """Move labels down so that they do not overlap."""
    placed: list[tuple[float, str]] = []
    for at, name in sorted(names):
        placed.append((max(at, placed[-1][0] + 14) if placed else at, name))
    return placed


def _text_element(kind: str, x: float, y: float, text: str, anchor: str) -> str:
    return f'<text class="{kind}" x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}">{escape(str(text))}</text>'
