"""What comparisons that are read once could notice at their end, and how long they would have to be."""

from collections.abc import Sequence
from typing import Any

from bot.rendering import wording
from core.files.foresight.comparison_power import ComparisonPower, MetricPower, describe_short, format_size
from core.files.foresight.known_traffic import KnownTraffic
from core.rollout.serving import holdout

TITLE = "What is compared over a long time"


def list_lines(comparisons: Sequence[ComparisonPower], known: KnownTraffic) -> list[str]:
    """Each comparison with the smallest difference that it notices by metric, then what the figures rest on."""
    if not comparisons:
        return []
    pace = wording.format_count(known.daily_requests or 0)
    basis = (
        f"At {pace} requests a day, levels {wording.escape(known.levels_from, 80)}. Requests of the same people over a "
        "long time say less than others: take it as the least."
    )
    return [*(_describe(one) for one in comparisons), basis]


def list_warnings(comparisons: Sequence[ComparisonPower]) -> list[str]:
    """One for each comparison that is too short, with what would do."""
    return [f"Too short: {describe_short(one)}." for one in comparisons if one.short]


def to_json(one: ComparisonPower) -> dict[str, Any]:
    """One comparison as JSON: durations in seconds, sizes as fractions (0.01 is 1 pp or 1 %)."""
    needed = one.length_needed
    return {
        "name": one.name,
        "percent": one.percent,
        "lasts_seconds": one.lasts.total_seconds(),
        "length_needed_seconds": needed.total_seconds() if needed is not None else None,
        "percent_needed": one.percent_needed,
        "metrics": [
            {
                "metric": each.metric.key,
                "relative": each.is_relative,
                "smallest": each.smallest,
                "wanted": each.wanted,
                "needed_seconds": each.needed.total_seconds() if each.needed is not None else None,
            }
            for each in one.metrics
        ],
    }


def _describe(one: ComparisonPower) -> str:
    held = " of the units held back" if one.name == holdout.STAGE else ""
    metrics = wording.join_limited([_describe_metric(each) for each in one.metrics], 6)
    return (
        f"{wording.escape(one.name, 40)}, {wording.format_duration(one.lasts)} at "
        f"{wording.format_percent(one.percent)}{held}: noticed at its end, four times in five: {metrics}."
    )


def _describe_metric(one: MetricPower) -> str:
    title = wording.title_in_sentence(one.metric.title)
    found = f"{title} from {format_size(one, one.smallest)}"
    if one.wanted is None:
        return found
    if one.needed is None:
        return f"{found} ({format_size(one, one.wanted)} never)"
    return f"{found} ({format_size(one, one.wanted)} after {wording.format_duration(one.needed)})"
