"""The weeks of a digest: ISO weeks (ISO 8601), from Monday 00:00 in the time zone of the policy."""

import re
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta
from zoneinfo import ZoneInfo

_WEEK = re.compile(r"(?:(\d{4})-?)?W?(\d{1,2})", re.IGNORECASE)
DAYS_PER_WEEK = 7


@dataclass(frozen=True, slots=True, kw_only=True)
class Week:
    """One week in a time zone, by its Monday."""

    monday: date
    zone: str

    @property
    def id(self) -> str:
        """As in `2026-W48`."""
        year, number, _ = self.monday.isocalendar()
        return f"{year}-W{number:02}"

    @property
    def begins(self) -> datetime:
        """Monday 00:00 in the zone."""
        return datetime.combine(self.monday, time(0), ZoneInfo(self.zone))

    @property
    def ends(self) -> datetime:
        """The Monday after, 00:00, which no longer belongs to it."""
        return self.shift(1).begins

    def contains(self, at: datetime) -> bool:
        """Whether a moment lies in the week."""
        return self.begins <= at < self.ends

    def shift(self, weeks: int) -> "Week":
        """The week that many weeks later, or earlier if negative."""
        return Week(monday=self.monday + timedelta(days=DAYS_PER_WEEK * weeks), zone=self.zone)


def week_of(at: datetime, zone: str) -> Week:
    """The week that a moment lies in."""
    local = at.astimezone(ZoneInfo(zone)).date()
    return Week(monday=local - timedelta(days=local.weekday()), zone=zone)


def list_weeks(last: Week, count: int) -> tuple[Week, ...]:
    """The `count` weeks up to `last`, oldest first."""
    return tuple(last.shift(n - count + 1) for n in range(count))


def parse_week(text: str, now: datetime, zone: str) -> Week:
    """`2026-W48`, `W48` or `48` (the newest one so far), `last`, `this`; empty is the last full week.

    ValueError with the forms that are understood.
    """
    this, written = week_of(now, zone), text.strip().lower()
    if written in {"", "last"}:
        return this.shift(-1)
    if written == "this":
        return this
    found = _WEEK.fullmatch(written)
    if found is None:
        raise ValueError(f'"{text[:40]}" is not a week: write 2026-W48, W48, last or this.')
    year = int(found[1]) if found[1] else this.monday.isocalendar()[0]
    try:
        monday = date.fromisocalendar(year, int(found[2]), 1)
    except ValueError:
        raise ValueError(f'There is no week "{text[:40]}": write 2026-W48, W48, last or this.') from None
    if found[1] is None and monday > this.monday:
        monday = date.fromisocalendar(year - 1, int(found[2]), 1)
    if monday > this.monday:
        raise ValueError(f"{year}-W{int(found[2]):02} has not begun yet.")
    return Week(monday=monday, zone=zone)
