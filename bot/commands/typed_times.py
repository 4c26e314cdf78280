"""Parse times as people type them, `Tue 10:00`, `10:00` or `2026-11-24 10:00`, in the person's own time zone."""

import re
from datetime import UTC, datetime, time, timedelta
from zoneinfo import ZoneInfo

from bot.rendering import wording
from core.rollout.context import Actor
from core.rollout.policy import WEEKDAYS, resolve_wall_time
from core.rollout.refusal import Refused

_CLOCK = re.compile(r"(?:([A-Za-z]{3})[a-z]*\s+)?(\d{1,2}):(\d{2})")


def resolve_zone(person: Actor, default_zone: str) -> str:
    """The person's own time zone, if it is known and exists, else `default_zone`."""
    try:
        return ZoneInfo(person.zone).key if person.zone else default_zone
    except (KeyError, ValueError, OSError):  # this machine may know fewer time zones than Slack
        return default_zone


def explain_reading(typed: str, person: Actor, now: datetime, default_zone: str) -> str:
    """How the time was understood: `“Tue 10:00” was read as Tue 24 Nov 10:00 CET, in Europe/Berlin, your time zone`."""
    zone = resolve_zone(person, default_zone)
    whose = "your time zone in Slack" if person.zone == zone else "the time zone of the policy"
    at = wording.format_plain_time(parse_moment(typed, now, zone), zone)
    return f"“{wording.escape(typed, 60)}” was read as {at}, in {wording.escape(zone, 60)}, {whose}."


def parse_moment(typed: str, now: datetime, zone: str) -> datetime:
    """The next such time after `now`, in UTC. If the clocks repeat that hour, the first one still to come.

    Raises `Refused` if it is not a time, is in the past, or is skipped by the clocks.
    """
    local = now.astimezone(ZoneInfo(zone))
    meant = _parse_iso(typed) or _find_next_occurrence(typed, local)
    if meant is None:
        raise Refused(
            f'"{typed}" is not a time.',
            hint='Write --at "Tue 10:00", --at "10:00" or --at "2026-11-24 10:00".',
            code="bad_time",
        )
    moments = [meant.astimezone(UTC)] if meant.tzinfo else resolve_wall_time(meant, ZoneInfo(zone))
    if not moments:
        raise Refused(
            f"{meant:%Y-%m-%d %H:%M} does not exist in {zone}: the clocks skip it.",
            hint=f'Write the hour after it: --at "{meant + timedelta(hours=1):%Y-%m-%d %H:%M}".',
            code="bad_time",
        )
    coming = [moment for moment in moments if moment > now]
    if not coming:
        raise Refused(f'"{typed}" is in the past.', hint="Without --at it starts now.", code="bad_time")
    return coming[0]


def _parse_iso(typed: str) -> datetime | None:
    try:
        return datetime.fromisoformat(typed)
    except ValueError:
        return None


def _find_next_occurrence(typed: str, local: datetime) -> datetime | None:
    """The next occurrence after `local` of a time of day, with or without a weekday; naive. None if it is not one."""
    match = _CLOCK.fullmatch(typed.strip())
    if match is None or int(match.group(2)) > 23 or int(match.group(3)) > 59:
        return None
    clock = time(int(match.group(2)), int(match.group(3)))
    day = match.group(1)
    if day is not None and day.title() not in WEEKDAYS:
        return None
    assert isinstance(local.tzinfo, ZoneInfo)
    for ahead in range(8):
        meant = datetime.combine(local.date() + timedelta(days=ahead), clock)
        moments = resolve_wall_time(meant, local.tzinfo)
        still_to_come = not moments or moments[-1] > local.astimezone(UTC)
        if still_to_come and (day is None or meant.weekday() == WEEKDAYS.index(day.title())):
            return meant
    return None
