"""When more is known: by what time a change as large as each agreed limit would show, at the traffic of the look."""

from collections.abc import Sequence
from datetime import datetime, timedelta

from bot.rendering import wording
from bot.rendering.numbers import measure_rows, technical_words
from bot.rendering.numbers.latest_numbers import detection_power
from core.judging.model.verdict import Measure
from core.rollout.state.model import Rollout

MAX_NAMED = 3
"""This many changes are named, the soonest first; the rest is only counted."""
FARTHEST = timedelta(days=90)
"""Times beyond this are not named as a date: no traffic stays as it is for so long."""
_ROUNDED_TO = timedelta(minutes=15)
_ACTING = frozenset({"rollback", "hold"})


def describe_verdict_times(rollout: Rollout, measures: Sequence[Measure], at: datetime | None, zone: str) -> str:
    """`At this traffic, this would show: a drop of 2 pp in answers that pass by Thu 26 Nov 14:00.`

    `measures` are those of a look `at` that time. Empty where every agreed limit is decided: nothing is said of a limit
    that is broken or shown to hold, nor of one whose size would have been noticed by now.
    """
    waits = _list_waits(rollout, measures, at)
    if at is None or not waits:
        return ""
    soonest = sorted(waits, key=lambda pair: pair[1])
    named = wording.join_limited([f"{change} {_format_time(at, wait, zone)}" for change, wait in soonest], MAX_NAMED)
    would = "this would show" if len(waits) == 1 else "these would show"
    return f"At this traffic, {would}: {named}."


def _list_waits(rollout: Rollout, measures: Sequence[Measure], at: datetime | None) -> list[tuple[str, timedelta]]:
    if not rollout.is_under_way:
        return []
    found: list[tuple[str, timedelta]] = []
    for measure in measures:
        if not measure_rows.is_agreed(measure) or measure.role not in _ACTING:
            continue
        if measure.cleared or measure.is_bad:
            continue
        wait = detection_power(rollout, measure, at).decided_in
        change = technical_words.format_limit_change(measure)
        if wait and change:
            title = measure_rows.title_in_sentence(measure.metric, measure.title)
            found.append((f"{change} in {title}", wait))
    return found


def _format_time(at: datetime, wait: timedelta, zone: str) -> str:
    """The time, rounded up to a quarter of an hour, so that it does not change with every request."""
    if wait > FARTHEST:
        return f"only after more than {wording.format_duration(FARTHEST)}"
    seconds = _ROUNDED_TO.total_seconds()
    due = (at + wait).timestamp()
    rounded = datetime.fromtimestamp(-(-due // seconds) * seconds, at.tzinfo)
    return f"by {wording.format_local_time(rounded, zone)}"
