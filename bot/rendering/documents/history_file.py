"""The history of a rollout as a file: every entry, delivered messages included, as CSV."""

import csv
from collections.abc import Sequence
from io import StringIO
from zoneinfo import ZoneInfo

from bot.rendering import wording
from bot.rendering.messages import event_lines
from core.rollout.state.evolve import evolve
from core.rollout.state.history import HistoryEntry
from core.rollout.state.model import Rollout

COLUMNS = ("position", "time", "who", "what", "type")
_FORMULA_STARTS = ("=", "+", "-", "@", "\t", "\r")


def format_csv(entries: Sequence[HistoryEntry], zone: str) -> str:
    """One row per entry, oldest first; times are ISO 8601 in `zone` with their offset.

    What a spreadsheet would run as a formula begins with an apostrophe.
    """
    written = StringIO()
    table = csv.writer(written, lineterminator="\r\n")
    table.writerow(COLUMNS)
    rollout: Rollout | None = None
    for entry in entries:
        rollout = evolve(rollout, entry.event, entry.at)
        row = (
            str(entry.position),
            entry.at.astimezone(ZoneInfo(zone)).isoformat(timespec="seconds"),
            wording.to_plain_text(wording.format_actor(entry.actor)),
            wording.to_plain_text(event_lines.describe_event(rollout, entry.event, zone)),
            type(entry.event).TYPE,
        )
        table.writerow([defuse_formula(cell) for cell in row])
    return written.getvalue()


def defuse_formula(cell: str) -> str:
    """The cell, with an apostrophe before what a spreadsheet would run as a formula."""
    return f"'{cell}" if cell.startswith(_FORMULA_STARTS) else cell
