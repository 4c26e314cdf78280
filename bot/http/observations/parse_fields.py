"""Reads the fields of one observation. What cannot be read is rejected, alone where the rest can count."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from bot.http.observations.spelling_hints import SpellingHints
from core.flags.evaluation import MAX_UNIT_LENGTH
from core.flags.placement import MAX_LATENESS
from core.flags.snapshot import SurfaceFlags
from core.metrics.catalogue import CATALOGUE, FEEDS, USER_VOTE, Metric, UnknownMetric, parse_readings
from core.metrics.error_text import group_error_text
from core.metrics.soft_errors import OTHER, SOFT_ERRORS

UNKNOWN_SOFT_ERROR = "unknown_soft_error"
MAX_CLOCK_LEAD = timedelta(minutes=1)
MAX_TEXT_LENGTH = MAX_UNIT_LENGTH  # characters of a unit, an id, a segment or a category
_METRICS = (*CATALOGUE, *FEEDS, USER_VOTE)
_METRICS_HINT = " The keys are the catalogue's, latency_ms, ttft_ms, and what the surface file defines under metrics."


@dataclass(frozen=True, slots=True, kw_only=True)
class RejectedItem:
    """An item, or a part of one, that was not counted. `index` is its place in the batch."""

    index: int
    code: str
    message: str


class InvalidItem(ValueError):
    """An item that is rejected, with the `code` that the sender gets."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code


def parse_metrics(
    metrics: Any, own: Mapping[str, Metric], index: int, parts: list[RejectedItem], hints: SpellingHints
) -> Mapping[str, float]:
    """The valid readings, of built-in metrics and of the surface's `own`; null means "not measured".

    Invalid ones are added to `parts`.
    """
    if metrics is None:
        return {}
    if not isinstance(metrics, dict):
        message = '"metrics" must be an object like {"latency_ms": 900, "refusal_rate": false}'
        parts.append(RejectedItem(index=index, code="bad_metrics", message=message))
        return {}
    found: dict[str, float] = {}
    for key, value in metrics.items():
        try:
            found.update(parse_readings(key, value, own))
        except UnknownMetric as error:
            known = (*_METRICS, *own) if own else _METRICS
            message = f"{error}{hints.suggest(error.key, known) or _METRICS_HINT}"
            parts.append(RejectedItem(index=index, code="unknown_metric", message=message))
        except ValueError as error:
            parts.append(RejectedItem(index=index, code="bad_value", message=str(error)))
    return found


def parse_segments(segments: Any, index: int, parts: list[RejectedItem]) -> Mapping[str, str]:
    """The valid segments; null means "unknown". Invalid ones are added to `parts`."""
    if segments is None:
        return {}
    found: dict[str, str] = {}
    if not isinstance(segments, dict):
        parts.append(
            RejectedItem(
                index=index, code="bad_segments", message='"segments" must be an object like {"language": "de"}'
            )
        )
        return found
    for key, value in segments.items():
        if value is None:
            continue
        text = value
        if isinstance(value, int | float):
            text = str(value).lower() if isinstance(value, bool) else str(value)
        if is_storable_text(key) and is_storable_text(text):
            found[key] = text
        else:
            message = f'the segment "{key[:40]}" needs a name and a text of at most {MAX_TEXT_LENGTH} characters'
            parts.append(RejectedItem(index=index, code="bad_segments", message=message))
    return found


def parse_category(item: Mapping[str, Any], index: int, parts: list[RejectedItem]) -> str | None:
    try:
        text = parse_text(item, "error_category")
    except InvalidItem as bad:
        parts.append(RejectedItem(index=index, code=bad.code, message=str(bad)))
        return None
    return None if text is None else group_error_text(text)


def parse_soft_errors(
    given: Any, flags: SurfaceFlags, index: int, parts: list[RejectedItem], hints: SpellingHints
) -> tuple[str, ...]:
    """The soft errors of an answer, each once. Unknown ones are counted as other, and named once for each batch."""
    if given is None:
        return ()
    named = [given] if isinstance(given, str) else given
    if not isinstance(named, list) or not all(isinstance(one, str) and is_storable_text(one) for one in named):
        message = '"soft_errors" is a list of categories, such as ["refusal"]'
        parts.append(RejectedItem(index=index, code="bad_value", message=message))
        return ()
    known = SOFT_ERRORS.keys() | flags.soft_errors | {OTHER}
    for unknown in dict.fromkeys(one for one in named if one not in known):
        if hints.is_first(unknown):
            message = (
                f'"{unknown}" is no soft error of {flags.name}, so it counts as other.'
                f"{hints.suggest(unknown, sorted(known))} The surface file names its own under soft_errors."
            )
            parts.append(RejectedItem(index=index, code=UNKNOWN_SOFT_ERROR, message=message))
    return tuple(dict.fromkeys(one if one in known else OTHER for one in named))


def parse_request_flag(value: Any) -> bool:
    """Whether the item is a request, which it is unless it says no; raises InvalidItem."""
    if value is None or isinstance(value, bool):
        return value is not False
    raise InvalidItem("bad_value", '"request" is true or false: false if the request was reported before')


def parse_text(item: Mapping[str, Any], key: str, *, required: bool = False) -> str | None:
    """The text under `key`; None if it is absent and not required. Raises InvalidItem."""
    value = item.get(key)
    if value is None and not required:
        return None
    if not isinstance(value, str) or not value:
        what = "is missing" if value is None else "needs a text that is not empty"
        raise InvalidItem("missing_field" if value is None else "bad_value", f'"{key}" {what}')
    if not is_storable_text(value):
        raise InvalidItem(
            "bad_value", f'"{key}" must have at most {MAX_TEXT_LENGTH} characters of valid Unicode, none of them NUL'
        )
    return value


def is_storable_text(value: Any) -> bool:
    """Whether a value is a non-empty text that both databases can store."""
    if not isinstance(value, str) or not 0 < len(value) <= MAX_TEXT_LENGTH or "\x00" in value:
        return False
    if not value.isascii():
        try:
            value.encode()
        except UnicodeEncodeError:
            return False
    return True


def parse_time(value: Any, now: datetime) -> datetime:
    """The observation's time in UTC, `now` if none is given; raises InvalidItem if it is too old or in the future."""
    if value is None:
        return now
    at = _parse_instant(value)
    if at < now - MAX_LATENESS:
        raise InvalidItem(
            "too_old", f'"at" is {at.isoformat()}, more than an hour ago: its stage has been judged without it'
        )
    if at > now + MAX_CLOCK_LEAD:
        raise InvalidItem(
            "in_future", f'"at" is {at.isoformat()}, but here it is {now.isoformat()}: check the sender\'s clock'
        )
    return at.astimezone(UTC)


def _parse_instant(value: Any) -> datetime:
    """A time with a time zone, from ISO 8601 text or seconds since 1970; raises InvalidItem."""
    at: datetime | None = None
    try:
        if isinstance(value, str):
            at = datetime.fromisoformat(value)
        elif isinstance(value, int | float) and not isinstance(value, bool):
            at = datetime.fromtimestamp(value, UTC)
    except (ValueError, OverflowError, OSError):
        at = None
    if at is None:
        raise InvalidItem("bad_time", '"at" must be a time like 2026-11-24T12:00:00Z, or seconds since 1970')
    if at.tzinfo is None:
        raise InvalidItem("bad_time", f'"at" has no time zone: write {at.isoformat()}Z for UTC')
    return at
