"""Slack's rules for line, bar and area charts, such as unique series names and one value for every category."""

from collections.abc import Iterator
from typing import Any

from bot.sandbox.rules import limits

Json = dict[str, Any]
BrokenRule = tuple[str, str, str]
MODELLED_TYPES = ("line", "bar", "area")


def check_chart(block: Json, where: str) -> Iterator[BrokenRule]:
    """Yield (rule, JSON pointer, message) for everything wrong with a chart block."""
    chart = block.get("chart")
    if not isinstance(chart, dict) or chart.get("type") not in MODELLED_TYPES:
        yield "chart.type", f"{where}/chart/type", f"must be one of {', '.join(MODELLED_TYPES)} (pies are not modelled)"
        return
    for unknown in chart.keys() - {"type", "series", "axis_config"}:
        yield "unknown_field", f"{where}/chart/{unknown}", f"invalid additional property: {unknown}"
    axis, series = chart.get("axis_config"), chart.get("series")
    if not isinstance(axis, dict) or not isinstance(series, list):
        yield "chart.required", f"{where}/chart", "needs series and axis_config"
        return
    yield from _check_axis(axis, f"{where}/chart/axis_config")
    yield from _check_count(series, "data_visualization.lines.max_items", f"{where}/chart/series")
    names = [one.get("name") for one in series if isinstance(one, dict)]
    if len(set(names)) != len(series):
        yield "chart.series.unique", f"{where}/chart/series", "every series has a name of its own"
    for index, one in enumerate(series):
        if isinstance(one, dict):
            yield from _check_series(one, axis.get("categories"), f"{where}/chart/series/{index}")


def _check_axis(axis: Json, where: str) -> Iterator[BrokenRule]:
    for unknown in axis.keys() - {"categories", "x_label", "y_label"}:
        yield "unknown_field", f"{where}/{unknown}", f"invalid additional property: {unknown}"
    categories = axis.get("categories")
    if not isinstance(categories, list) or len({str(c) for c in categories}) != len(categories):
        yield "chart.categories.unique", f"{where}/categories", "must be labels, no two alike"
        return
    yield from _check_count(categories, "data_visualization.categories.max_items", f"{where}/categories")
    for label in categories:
        yield from _check_text(label, "data_visualization.category_label.max_length", f"{where}/categories")
    for name in ("x_label", "y_label"):
        if name in axis:
            yield from _check_text(axis[name], "data_visualization.axis_label.max_length", f"{where}/{name}")


def _check_series(one: Json, categories: Any, where: str) -> Iterator[BrokenRule]:
    yield from _check_text(one.get("name"), "data_visualization.series_name.max_length", f"{where}/name")
    data = one.get("data")
    points = [p for p in data if isinstance(p, dict)] if isinstance(data, list) else []
    if [p.get("label") for p in points] != categories:
        yield "chart.data.categories", f"{where}/data", "exactly one point for every category, in order"
    if any(isinstance(p.get("value"), bool) or not isinstance(p.get("value"), int | float) for p in points):
        yield "chart.data.value", f"{where}/data", "every value is a number"
    if any(p.keys() - {"label", "value"} for p in points):
        yield "unknown_field", f"{where}/data", "a point has a label and a value"


def _check_count(items: list[Any], limit: str, where: str) -> Iterator[BrokenRule]:
    if not 1 <= len(items) <= limits.value(limit):
        yield limit, where, f"between 1 and {limits.value(limit)} items allowed, there are {len(items)}"


def _check_text(value: Any, limit: str, where: str) -> Iterator[BrokenRule]:
    if not isinstance(value, str) or not 1 <= len(value) <= limits.value(limit):
        yield limit, where, f"must be a string of 1 to {limits.value(limit)} characters"
