"""A moment as people type it: `Tue 10:00`, `10:00`, `2026-11-24 10:00`, in the workspace's zone."""

import re
from datetime import datetime, time, timedelta
from zoneinfo import ZoneInfo

from core.rollout.policy import WEEKDAYS
from core.rollout.refusal import Refused

_CLOCK = re.compile(r"(?:([A-Za-z]{3})[a-z]*\s+)?(\d{1,2}):(\d{2})")


def read(typed: str, now: datetime, zone: str) -> datetime:
    """The next such moment after `now`; `Refused` where it is none, or lies in the past."""
    local = now.astimezone(ZoneInfo(zone))
    moment = _full(typed, zone) or _next(typed, local)
    if moment is None:
        raise Refused(
            f'"{typed}" is not a time that I know.',
            hint='Write --at "Tue 10:00", --at "10:00" or --at "2026-11-24 10:00".',
            code="bad_time",
        )
    if moment <= now:
        raise Refused(f'"{typed}" is in the past.', hint="Without --at it starts now.", code="bad_time")
    return moment


def _full(typed: str, zone: str) -> datetime | None:
    try:
        moment = datetime.fromisoformat(typed)
    except ValueError:
        return None
    return moment if moment.tzinfo else moment.replace(tzinfo=ZoneInfo(zone))


def _next(typed: str, local: datetime) -> datetime | None:
    match = _CLOCK.fullmatch(typed.strip())
    if match is None or int(match.group(2)) > 23 or int(match.group(3)) > 59:
        return None
    clock = time(int(match.group(2)), int(match.group(3)))
    day = match.group(1)
    if day is not None and day.title() not in WEEKDAYS:
        return None
    for ahead in range(8):
        moment = datetime.combine(local.date() + timedelta(days=ahead), clock, local.tzinfo)
        if moment > local and (day is None or moment.weekday() == WEEKDAYS.index(day.title())):
            return moment
    return None
