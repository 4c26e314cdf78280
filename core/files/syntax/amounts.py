"""Percentages and amounts as people write them: parse them, and format them without loss."""

import re
from dataclasses import dataclass
from decimal import Decimal
from enum import StrEnum
from math import isfinite
from typing import assert_never

SMALLEST_PERCENT = 0.0001
"""In percent: one in a million, the finest share that bucketing can express."""

_AMOUNT = re.compile(r"([+-]?)(\$?)(\d{1,15}(?:\.\d{1,18})?)\s*(pp|%|ms|s|x|)", re.ASCII)


class Unit(StrEnum):
    """The unit that an amount was written in."""

    POINTS = "pp"
    PERCENT = "%"
    MILLISECONDS = "ms"
    DOLLARS = "$"
    TIMES = "x"
    NONE = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Amount:
    """A number with its unit: points and percent as fractions (`2pp` is 0.02), times in ms, money in dollars."""

    value: float
    unit: Unit


def parse_amount(written: object) -> Amount:
    """Parse `2pp`, `15%`, `4000ms` (or `4s`), `$0.02`, `1.5x` or a bare number; a sign is kept. Raises ValueError."""
    text = _format_digits(Decimal(repr(written))) if _is_finite_float(written) else str(written).strip()
    found = None if isinstance(written, bool) else _AMOUNT.fullmatch(text)
    if found is None or (found[2] and found[4]):
        raise ValueError(f'"{text[:40]}" is not an amount: write 2pp, 15%, 4000ms, $0.02 or 1.5x')
    number = Decimal(found[1] + found[3])
    match found[2] or found[4]:
        case "pp" | "%" as unit:
            return Amount(value=float(number / 100), unit=Unit(unit))
        case "s":
            return Amount(value=float(number * 1000), unit=Unit.MILLISECONDS)
        case unit:
            return Amount(value=float(number), unit=Unit(unit))


def _is_finite_float(written: object) -> bool:
    """Whether Python may format the number as in 6e-05, which nobody writes."""
    return isinstance(written, float) and isfinite(written)


def format_amount(given: Amount) -> str:
    """The form that `parse_amount` reads back to exactly the same value."""
    exact = Decimal(repr(given.value))
    match given.unit:
        case Unit.POINTS | Unit.PERCENT:
            return f"{_format_digits(exact * 100)}{given.unit}"
        case Unit.DOLLARS:
            return f"{'-' if exact < 0 else ''}${_format_digits(abs(exact))}"
        case Unit.MILLISECONDS | Unit.TIMES | Unit.NONE:
            return f"{_format_digits(exact)}{given.unit}"
        case _:
            assert_never(given.unit)


def parse_percent(written: object) -> float:
    """Parse a share of traffic, `5` or `5%`, above 0 and up to 100. Returns percent. Raises ValueError."""
    given = parse_amount(written)
    if given.unit not in (Unit.PERCENT, Unit.NONE):
        raise ValueError(f'"{written}" is not a percentage: write 5 or 5%')
    number = float(Decimal(repr(given.value)) * (100 if given.unit is Unit.PERCENT else 1))
    if not 0 < number <= 100:
        raise ValueError(f"{written} is outside 0% to 100%")
    if number < SMALLEST_PERCENT:
        raise ValueError(
            f"{_format_digits(Decimal(repr(number)))}% reaches nobody: the smallest share is {SMALLEST_PERCENT:.4f}%"
        )
    return number


def parse_share(written: object) -> float:
    """Parse a percentage that must carry its sign, as a fraction: `92%` is 0.92. Raises ValueError."""
    given = parse_amount(written)
    if given.unit is Unit.NONE:
        raise ValueError(explain_bare_rate(given))
    if given.unit is not Unit.PERCENT:
        raise ValueError(f'"{written}" is not a percentage: write 92%')
    return given.value


def explain_bare_rate(given: Amount) -> str:
    """What to write instead of a rate without its sign. A number up to 1 was most likely meant as a fraction."""
    number = Decimal(repr(given.value))
    return f"{_format_digits(number)} what? write {_format_digits(number * 100 if abs(number) <= 1 else number)}%"


def parse_factor(written: object) -> float:
    """Parse a factor above 1, such as `2.5x`. Raises ValueError."""
    given = parse_amount(written)
    if given.unit is not Unit.TIMES or given.value <= 1:
        raise ValueError(f'"{written}" is not a factor above 1: write 2.5x')
    return given.value


def _format_digits(number: Decimal) -> str:
    """The number without an exponent and without trailing zeros."""
    text = f"{number:f}"
    return text.rstrip("0").rstrip(".") if "." in text else text
