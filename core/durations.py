"""Durations as text: read as people type them, and written as typed, exactly, or rounded for what was measured."""

import re
from datetime import timedelta
from decimal import Decimal

LONGEST_DURATION = timedelta(days=366)
_UNITS = (("d", 86_400_000_000), ("h", 3_600_000_000), ("min", 60_000_000))  # microseconds
_TYPED = re.compile(r"(\d{1,30}(?:\.\d{1,6})?)\s*(ms|s|m|h|d)", re.ASCII)
_SECONDS = {"ms": Decimal("0.001"), "s": Decimal(1), "m": Decimal(60), "h": Decimal(3600), "d": Decimal(86400)}


def parse_duration(written: object) -> timedelta:
    """Parse `2s`, `15m`, `6h` or `7d`. Raises ValueError that says what to write."""
    text = str(written).strip()
    if isinstance(written, int | float) and not isinstance(written, bool):
        raise ValueError(f"{text} what? write {text}s, {text}m, {text}h or {text}d")  # noqa: TRY004
    if text.startswith("-"):
        raise ValueError(f'"{text[:40]}" is negative: write 2s, 15m, 6h or 7d')
    found = _TYPED.fullmatch(text)
    if found is None:
        raise ValueError(f'"{text[:40]}" is not a duration: write 2s, 15m, 6h or 7d')
    microseconds = int(Decimal(found[1]) * _SECONDS[found[2]] * 1_000_000)
    if microseconds > LONGEST_DURATION // timedelta(microseconds=1):
        raise ValueError(f'"{text[:40]}" is longer than a year: write at most {LONGEST_DURATION.days}d')
    return timedelta(microseconds=microseconds)


def split_exact(span: timedelta) -> tuple[Decimal, str]:
    """(number, unit) in the largest of `d`, `h` and `min` of which the span is a whole number, else in `s`."""
    micro = span // timedelta(microseconds=1)
    for unit, size in _UNITS:
        if micro and micro % size == 0:
            return Decimal(micro // size), unit
    return Decimal(micro) / 1_000_000, "s"


def format_typed(span: timedelta) -> str:
    """The shortest form that `parse_duration` reads back to the same duration: `6h`, `90m`, `0.5s`."""
    number, unit = split_exact(span)
    return f"{number:f}{unit.removesuffix('in')}"


def format_exact(span: timedelta) -> str:
    """Nothing is lost: `40 s`, `15 min`, `24 h`, `2 days`. One day is 24 h, as in rollout files."""
    number, unit = split_exact(span)
    if unit != "d":
        return f"{float(number):g} {unit}"
    return "24 h" if number == 1 else f"{number} days"


def format_hours(span: timedelta) -> str:
    """In hours from an hour on, as people say how long they wait: `96 h`; below that as `format_exact`."""
    hours = span / timedelta(hours=1)
    return f"{round(hours, 1):g} h" if hours >= 1 else format_exact(span)


def format_rounded(span: timedelta) -> str:
    """As exact as people need: `0.41 s`, `4.1 s`, `18 min`, `6 h`, `2.5 days`."""
    seconds = span / timedelta(seconds=1)
    if not seconds:
        return "0 s"
    if 0 < seconds < 0.01:
        return "under 0.01 s"
    if seconds < 10:
        return f"{seconds:.2f} s" if seconds < 1 else f"{seconds:.1f} s"
    if seconds < 120:
        return f"{seconds:.0f} s"
    if seconds < 2 * 3600:
        return f"{seconds / 60:.0f} min"
    return f"{_round(seconds / 3600)} h" if seconds < 48 * 3600 else f"{_round(seconds / 86_400)} days"


def _round(number: float) -> str:
    return f"{number:.1f}".removesuffix(".0") if number < 9.95 else f"{number:,.0f}"
