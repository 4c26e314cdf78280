"""Says of which metrics nobody knows whose requests they count, and what that means."""

from collections.abc import Sequence

from bot.rendering import wording
from core.judging.model.verdict import Measure
from core.judging.report.measures import UNITS_UNKNOWN

MAX_NAMED = 4


def format_unknown_units(measures: Sequence[Measure]) -> str:
    """`Units unknown (declined to answer): 10 requests count as one. The split cannot be checked …`; empty if known."""
    found = {m.title: part for m in measures for part in m.note.split("; ") if part.startswith(UNITS_UNKNOWN)}
    if not found:
        return ""
    named = wording.join_limited([wording.escape(wording.title_in_sentence(title), 80) for title in found], MAX_NAMED)
    counted = " or ".join(dict.fromkeys(part.removeprefix(f"{UNITS_UNKNOWN}: ") for part in found.values()))
    return f"Units unknown ({named}): {counted}. Whose they are cannot be checked."
