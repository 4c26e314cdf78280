"""Says that reports come of which none counts: what an application that reports in a wrong form sees first."""

from collections.abc import Mapping
from typing import TypeAlias

from bot.rendering import wording

Uncounted: TypeAlias = Mapping[str, Mapping[str, int]]
"""By arm and by the metric that says why."""
NONE_UNCOUNTED: Uncounted = {}

_WHY = {"refused_items": "refused", "unplaced_items": "of neither version", "late_items": "too late"}
_ARMS = {"canary": " on the new version", "control": " on the old version"}


def describe_uncounted(uncounted: Uncounted) -> str:
    """A sentence on reports that count nowhere; empty if there are none."""
    counts = {why: sum(of_arm.get(why, 0) for of_arm in uncounted.values()) for why in _WHY}
    total = sum(counts.values())
    if not total:
        return ""
    where = _ARMS[next(iter(uncounted))] if len(uncounted) == 1 else ""
    parts = ", ".join(f"{wording.format_count(count)} {_WHY[why]}" for why, count in counts.items() if count)
    return (
        f"None of {wording.pluralize(total, 'report')}{where} counts: {parts}. The answers of "
        "`POST /api/v1/observations` say why, under `rejected`."
    )
