"""How old the newest thing of a source is, in words."""

from datetime import datetime, timedelta


def ago(moment: datetime | None, now: datetime) -> str:
    """As in `3 min old`; `unknown` where there is none."""
    from core.durations import format_rounded

    if moment is None:
        return "unknown"
    seconds = (now - moment).total_seconds()
    return f"{format_rounded(timedelta(seconds=max(0, round(seconds))))} old"
