"""Parse times as people type them, `Tue 10:00`, `10:00` or `2026-11-24 10:00`, in the person's own time zone."""

import re
from datetime import UTC, datetime, time, timedelta
from zoneinfo import ZoneInfo

from bot.rendering import wording
from core.rollout.context import Actor
from core.rollout.plans.policy import WEEKDAYS, resolve_wall_time
from core.rollout.refusal import Refused

_AHEAD, _BACK = range(8), range(0, -8, -1)  # days from today
_CLOCK = re.compile(r"(?:([A-Za-z]{3})[a-z]*\s+)?(\d{1,2}):(\d{2})")


def explain_reading(typed: str, person: Actor, now: datetime, default_zone: str) -> str:
    """How the time was understood: `“Tue 10:00” was read as Tue 24 Nov 10:00 CET, in Europe/Berlin, your time zone`."""
    zone = person.find_zone(default_zone)
    whose = "your time zone in Slack" if person.zone == zone else "the time zone of the policy"
    at = wording.format_plain_time(parse_moment(typed, now, zone), zone)
    return f"“{wording.escape(typed, 60)}” was read as {at}, in {wording.escape(zone, 60)}, {whose}."


def parse_moment(typed: str, now: datetime, zone: str) -> datetime:
    """The next such time after `now`, in UTC. If the clocks repeat that hour, the first one still to come.

    Raises `Refused` if it is not a time, is in the past, or is skipped by the clocks.
    """
    coming = [moment for moment in _find_moments(typed, now, zone, _AHEAD) if moment > now]
    if not coming:
        raise Refused(f'"{typed}" is in the past.', hint="Without --at it starts now.", code="bad_time")
    return coming[0]


def parse_past_moment(typed: str, now: datetime, zone: str) -> datetime:
    """The last such time before `now`, in UTC. If the clocks repeat that hour, the last one that has passed.

    Raises `Refused` if it is not a time, has not come yet, or is skipped by the clocks.
    """
    passed = [moment for moment in _find_moments(typed, now, zone, _BACK) if moment <= now]
    if not passed:
        raise Refused(f'"{typed}" has not come yet.', hint="Name a time in the past.", code="bad_time")
    return passed[-1]


def _find_moments(typed: str, now: datetime, zone: str, days: range) -> list[datetime]:
    """The moments, in UTC, that `typed` may mean: one, or two if the clocks repeat that hour."""
    local = now.astimezone(ZoneInfo(zone))
    meant = _parse_iso(typed) or _find_nearest_occurrence(typed, local, days)
    if meant is None:
        raise Refused(
            f'"{typed}" is not a time.',
            hint='Write "Tue 10:00", "10:00" or "2026-11-24 10:00".',
            code="bad_time",
        )
    moments = [meant.astimezone(UTC)] if meant.tzinfo else resolve_wall_time(meant, ZoneInfo(zone))
    if not moments:
        raise Refused(
            f"{meant:%Y-%m-%d %H:%M} does not exist in {zone}: the clocks skip it.",
            hint=f'Write the hour after it: "{meant + timedelta(hours=1):%Y-%m-%d %H:%M}".',
            code="bad_time",
        )
    return moments


def _parse_iso(typed: str) -> datetime | None:
    try:
        return datetime.fromisoformat(typed)
    except ValueError:
        return None


def _find_nearest_occurrence(typed: str, local: datetime, days: range) -> datetime | None:
    """The first occurrence of a time of day on these days, counted from that of `local`, that lies in their direction;
    naive. With or without a weekday; None if it is not one."""
    match = _CLOCK.fullmatch(typed.strip())
    if match is None or int(match.group(2)) > 23 or int(match.group(3)) > 59:
        return None
    clock = time(int(match.group(2)), int(match.group(3)))
    day = match.group(1)
    if day is not None and day.title() not in WEEKDAYS:
        return None
    assert isinstance(local.tzinfo, ZoneInfo)
    now = local.astimezone(UTC)
    for distance in days:
        meant = datetime.combine(local.date() + timedelta(days=distance), clock)
        moments = resolve_wall_time(meant, local.tzinfo)
        fits = not moments or (moments[-1] > now if days.step > 0 else moments[0] <= now)
        if fits and (day is None or meant.weekday() == WEEKDAYS.index(day.title())):
            return meant
    return None
