"""The history of a rollout as a file: every entry, delivered messages included, as CSV."""

from collections.abc import Sequence
from zoneinfo import ZoneInfo

from bot.rendering import csv_text, wording
from bot.rendering.messages import event_words
from core.rollout.state.evolve import evolve
from core.rollout.state.history import HistoryEntry
from core.rollout.state.model import Rollout

COLUMNS = ("position", "time", "who", "what", "type")


def format_csv(entries: Sequence[HistoryEntry], zone: str) -> str:
    """One row per entry, oldest first; times are ISO 8601 in `zone` with their offset.

    What a spreadsheet would run as a formula begins with an apostrophe.
    """
    rows = [COLUMNS]
    rollout: Rollout | None = None
    for entry in entries:
        rollout = evolve(rollout, entry.event, entry.at)
        row = (
            str(entry.position),
            entry.at.astimezone(ZoneInfo(zone)).isoformat(timespec="seconds"),
            wording.to_plain_text(wording.format_actor(entry.actor)),
            wording.to_plain_text(event_words.describe_event(rollout, entry.event, zone)),
            type(entry.event).TYPE,
        )
        rows.append(row)
    return csv_text.format_csv(rows)
