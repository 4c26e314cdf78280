"""Parts that reports on every kind of source share, as lines and as JSON."""

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from core.rollout.state.sources import SourceTerms
    from core.store.observations.pulled_sums import PullState


def ago(moment: datetime | None, now: datetime) -> str:
    """As in `3 min old`; `unknown` where there is none."""
    from core.durations import format_rounded

    if moment is None:
        return "unknown"
    seconds = (now - moment).total_seconds()
    return f"{format_rounded(timedelta(seconds=max(0, round(seconds))))} old"


def describe_newest(newest: datetime | None, now: datetime) -> str:
    """The end of a line that says how old the newest reading is; empty where there is none."""
    return f"; the newest is {ago(newest, now)}" if newest else ""


def describe_counted(state: "PullState", terms: "SourceTerms | None") -> str:
    """How much of what the last pull read counts. Samples of counters are read again, and only their growth counts."""
    if terms is not None and terms.prometheus is not None:
        return f"{state.read_rows:,} samples, in which counters grew {state.counted_rows:,} times for a side"
    what = "traces" if terms is not None and terms.traces is not None else "rows"
    return f"{state.counted_rows:,} of {state.read_rows:,} {what} count"


def newest_to_json(newest: datetime | None, now: datetime) -> dict[str, Any]:
    """When the newest reading was made, and how long ago."""
    return {
        "newest": newest.isoformat() if newest else None,
        "lag_seconds": (now - newest).total_seconds() if newest else None,
    }


def describe_failure(name: str, failure: str) -> list[str]:
    """That a source cannot be read, and why."""
    return [f"{name}: cannot be read", f"  ! {failure}"]


def list_segments(segments: Mapping[str, tuple[tuple[str, int], ...]]) -> list[str]:
    """A line for each segment, with how often each of its values came."""
    return [
        f"  segment {name}: {', '.join(f'{value} {number:,}' for value, number in values) or 'no value'}"
        for name, values in segments.items()
    ]
