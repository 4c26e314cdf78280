"""The trend of a difference with its limit as a Slack line chart, and as text where charts are not supported."""

from zoneinfo import ZoneInfo

from bot.rendering import wording
from bot.rendering.blocks.blocks import Block
from bot.rendering.charts import chart_data
from bot.rendering.numbers import measure_rows
from core.judging.model.verdict import Measure
from core.judging.report.series import SeriesPoint

MAX_POINTS = 20  # Slack accepts no more categories
TITLE_LIMIT = 50


def build_chart(points: tuple[SeriesPoint, ...], measure: Measure, zone: str) -> Block | None:
    """A Slack line chart of difference, range and limit; None with fewer than two measured points."""
    known = chart_data.sample_evenly(chart_data.measured_points(points), MAX_POINTS)
    if len(known) < 2:
        return None
    labels = _unique_time_labels(known, zone)
    lines = [
        ("Difference", [p.difference for p in known]),
        ("Range from", [p.low for p in known]),
        ("Range to", [p.high for p in known]),
    ]
    lines = [(name, values) for name, values in lines if all(v is not None for v in values)]
    edges = chart_data.limit_levels(measure)
    names = ("Limit",) if len(edges) == 1 else ("Limit above", "Limit below")
    lines += [(name, [edge] * len(known)) for name, edge in zip(names, edges, strict=False)]
    return {
        "type": "data_visualization",
        "title": wording.shorten(
            wording.to_single_line(f"{measure_rows.metric_title(measure.metric, measure.title)}: new − old"),
            TITLE_LIMIT,
        ),
        "chart": {
            "type": "line",
            "series": [
                {
                    "name": name,
                    "data": [
                        {"label": label, "value": chart_data.scale_to_unit(value or 0.0, measure)}
                        for label, value in zip(labels, values, strict=True)
                    ],
                }
                for name, values in lines
            ],
            "axis_config": {"categories": labels, "x_label": f"Time, {zone}", "y_label": chart_data.axis_unit(measure)},
        },
    }


def describe_chart(chart: Block) -> str:
    """A chart block as one line of text, for terminals and for workspaces that reject charts."""
    parts = []
    for series in chart["chart"]["series"]:
        values = [point["value"] for point in series["data"]]
        is_flat = series["name"].startswith("Limit")
        parts.append(f"{series['name'].lower()} {values[-1]:+g}" if is_flat else _format_course(series["name"], values))
    labels = chart["chart"]["axis_config"]["categories"]
    unit = chart["chart"]["axis_config"]["y_label"]
    zone = chart["chart"]["axis_config"].get("x_label", "").removeprefix("Time, ")
    span = f"{labels[0]} to {labels[-1]} {zone}".rstrip()
    return f"{chart['title']}, {span} ({unit}): {'; '.join(parts)}"


def _unique_time_labels(points: tuple[SeriesPoint, ...], zone: str) -> list[str]:
    """One time label per point, made unique because Slack rejects duplicate categories."""
    format_ = chart_data.choose_time_format(points[-1].at - points[0].at, len(points))
    found: list[str] = []
    for point in points:
        label = f"{point.at.astimezone(ZoneInfo(zone)):{format_}}"
        number = 2
        while label in found:
            label = f"{label.partition(' (')[0]} ({number})"
            number += 1
        found.append(label)
    return found


def _format_course(name: str, values: list[float]) -> str:
    return f"{name.lower()} {values[0]:+g} … {values[-1]:+g}"
