"""Parse times as people write them: a start, a date, a time of day, an hour of the week; and format them."""

import re
from dataclasses import dataclass
from datetime import UTC, date, datetime, time
from zoneinfo import ZoneInfo

from core.rollout.plans.policy import WEEKDAYS

_START = re.compile(
    r"(\d{4}-\d\d-\d\d)[ T](\d\d:\d\d(?::\d\d)?)\s*(Z|[+-]\d\d:\d\d|[A-Za-z][A-Za-z0-9_+/-]*)?", re.ASCII
)
_WEEKLY = re.compile(r"([A-Za-z]{3})[a-z]*\s+(\d\d:\d\d)", re.ASCII)


@dataclass(frozen=True, slots=True, kw_only=True)
class WrittenStart:
    """A start as written; without a zone of its own, it is in the policy's."""

    local: datetime  # naive
    zone: str = ""

    def to_utc(self, default_zone: str) -> datetime:
        """The start in UTC. An hour that the clocks repeat means the first; one that they skip raises ValueError."""
        if self.zone[:1] in ("+", "-"):
            try:
                return datetime.fromisoformat(f"{self.local.isoformat()}{self.zone}").astimezone(UTC)
            except ValueError as error:
                raise ValueError(f'"{self.zone}" is not an offset: write one such as +01:00') from error
        name = self.zone or default_zone
        aware = self.local.replace(tzinfo=parse_zone(name))
        moment = aware.astimezone(UTC)
        if moment.astimezone(aware.tzinfo).replace(tzinfo=None) != self.local:
            exists = moment.astimezone(aware.tzinfo)
            raise ValueError(
                f"{self.local:%Y-%m-%d %H:%M} does not exist in {name}: the clocks skip it. "
                f"Write {exists:%Y-%m-%d %H:%M}"
            )
        return moment


@dataclass(frozen=True, slots=True, kw_only=True)
class HourOfWeek:
    """A weekday (Monday is 0) and a time."""

    weekday: int
    at: time


def parse_start(written: object) -> WrittenStart:
    """Parse `2026-11-24 10:00 Europe/Berlin`, or ISO 8601 with an offset. Raises ValueError."""
    text = str(written).strip()
    found = _START.fullmatch(text)
    if found is None:
        raise ValueError(f'"{text[:60]}" is not a start: write "2026-11-24 10:00 Europe/Berlin"')
    try:
        local = datetime.fromisoformat(f"{found[1]}T{found[2]}")
    except ValueError as error:
        raise ValueError(f'"{text}": there is no such day or hour') from error
    _require_year(text, local)
    name = {"Z": "UTC", None: ""}.get(found[3], found[3]) or ""
    given = WrittenStart(local=local, zone=name)
    given.to_utc("UTC")
    return given


def parse_date(written: object) -> date:
    """Parse `2027-01-04`. Raises ValueError."""
    try:
        day = date.fromisoformat(str(written).strip())
    except ValueError as error:
        raise ValueError(f'"{str(written)[:40]}" is not a date: write one such as 2027-01-04') from error
    _require_year(str(written), day)
    return day


def _require_year(text: str, day: date) -> None:
    """Raise ValueError for a year in which the days before and after may have no date."""
    if not 2000 <= day.year < 3000:
        raise ValueError(f'"{text}": write a year from 2000 to 2999')


def parse_time_of_day(written: object) -> time:
    """Parse `20:00`. Raises ValueError."""
    text = str(written).strip()
    if re.fullmatch(r"\d\d:\d\d", text, re.ASCII) is None:
        raise ValueError(f'"{text[:40]}" is not a time of day: write "20:00"')
    try:
        return time.fromisoformat(text)
    except ValueError as error:
        raise ValueError(f'"{text}": there is no such hour') from error


def parse_freeze_edge(written: object) -> HourOfWeek | date:
    """Parse the start or end of a freeze: `Fri 16:00` (every week) or a date. Raises ValueError."""
    text = str(written).strip()
    found = _WEEKLY.fullmatch(text)
    if found is not None and found[1].capitalize() in WEEKDAYS:
        return HourOfWeek(weekday=WEEKDAYS.index(found[1].capitalize()), at=parse_time_of_day(found[2]))
    try:
        return date.fromisoformat(text)
    except ValueError as error:
        raise ValueError(
            f'"{text[:40]}" is neither an hour of the week nor a date: write "Fri 16:00" or 2027-01-04'
        ) from error


def parse_zone(name: object) -> ZoneInfo:
    """Parse a zone name such as `Europe/Berlin`. Raises ValueError."""
    try:
        return ZoneInfo(str(name))
    except (KeyError, ValueError, OSError) as error:
        raise ValueError(f'"{name}" is not a time zone: write one such as Europe/Berlin') from error


def format_moment(moment: datetime) -> str:
    """Format a time with its weekday, in the zone it carries: `Tue 24 Nov 2026 10:00 CET`."""
    return f"{WEEKDAYS[moment.weekday()]} {moment.day} {moment:%b %Y %H:%M %Z}".rstrip()
