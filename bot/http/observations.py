"""From the bytes of a batch to observations in their places: what is good is kept, what is bad is named."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime, timedelta
from difflib import get_close_matches
from typing import Any

import orjson

from core.flags.placement import Misplaced, Place, place
from core.flags.snapshot import Snapshot, SurfaceFlags
from core.judging.evidence import capped, counter
from core.metrics.catalogue import readings
from core.metrics.observation import Observation
from core.store.windows import Placed

LATEST = timedelta(hours=1)
AHEAD = timedelta(minutes=1)
MOST_ITEMS = 10_000
LONGEST = 512  # characters of a unit, an id, a segment or a category
_FIELDS = ("surface", "unit", "variant", "version", "at", "id", "segments", "metrics", "error_category")
_LINES = frozenset({"application/x-ndjson", "application/ndjson", "application/jsonl", "application/x-jsonlines"})


class Malformed(ValueError):
    """A body in which no observations can be told apart."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Rejected:
    index: int
    code: str
    message: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Good:
    """An observation that is taken. `placed` is None where it is compared with nothing."""

    index: int
    surface: str
    id: str | None
    placed: Placed | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Checked:
    good: Sequence[Good]
    rejected: Sequence[Rejected]


class _Bad(ValueError):
    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code


_UNREADABLE = object()


def items(body: bytes, content_type: str = "") -> list[Any]:
    """The items of a batch: `{"observations": [...]}`, a bare list, or one JSON object a line. Malformed otherwise."""
    if content_type.partition(";")[0].strip().lower() in _LINES:
        found = _lines(body)
    else:
        try:
            found = _batch(_loads(body))
        except ValueError as error:
            if isinstance(error, Malformed) or b"\n" not in body.strip():
                raise Malformed(_why(error)) from None
            found = _lines(body)
            if found[0] is _UNREADABLE:
                raise Malformed(_why(error)) from None
    if len(found) > MOST_ITEMS:
        raise Malformed(f"{len(found):,} observations are too many for one batch; send at most {MOST_ITEMS:,}")
    return found


def check(found: Sequence[Any], snapshot: Snapshot, now: datetime) -> Checked:
    """Each item in its place, or the reason why not."""
    good: list[Good] = []
    rejected: list[Rejected] = []
    for index, item in enumerate(found):
        try:
            good.append(_good(index, item, snapshot, now))
        except (_Bad, Misplaced) as bad:
            rejected.append(Rejected(index=index, code=bad.code, message=str(bad)))
    return Checked(good=good, rejected=rejected)


def answer(accepted: int, rejected: Sequence[Rejected]) -> bytes:
    """What the sender is told, item by item."""
    ordered = sorted(rejected, key=lambda r: r.index)
    return orjson.dumps({"accepted": accepted, "rejected": [asdict(r) for r in ordered]})


def _good(index: int, item: Any, snapshot: Snapshot, now: datetime) -> Good:
    if not isinstance(item, dict):
        reason = "this line is not JSON" if item is _UNREADABLE else "an observation is an object"
        raise _Bad("malformed", f'{reason}: {{"surface", "unit", "variant", "metrics"}}')
    if unknown := [key for key in item if key not in _FIELDS]:
        raise _Bad("unknown_field", f'unknown field "{unknown[0]}".{_meant(unknown[0], _FIELDS)}')
    surface = _text(item, "surface", required=True)
    assert surface is not None
    flags = snapshot.surfaces.get(surface)
    if flags is None:
        raise _Bad("unknown_surface", f'unknown surface "{surface}".{_meant(surface, snapshot.surfaces)}')
    at = _time(item.get("at"), now)
    identity = _text(item, "id")
    observation = Observation(
        surface=surface,
        unit=_text(item, "unit", required=True) or "",
        variant=_text(item, "variant"),
        version=_text(item, "version"),
        at=at,
        id=identity,
        segments=_segments(item.get("segments")),
        readings=_readings(item.get("metrics")),
        error_category=_text(item, "error_category"),
    )
    return Good(index=index, surface=surface, id=identity, placed=_placed(flags, observation))


def _placed(flags: SurfaceFlags, seen: Observation) -> Placed | None:
    found = place(flags, unit=seen.unit, at=seen.at, variant=seen.variant, version=seen.version)
    if found is None:
        return None
    kept = {key: seen.segments[key] for key in found.tracked.segments if key in seen.segments}
    if kept != seen.segments:
        seen = Observation(
            surface=seen.surface,
            unit=seen.unit,
            variant=seen.variant,
            version=seen.version,
            at=seen.at,
            id=seen.id,
            segments=kept,
            readings=seen.readings,
            error_category=seen.error_category,
        )
    return Placed(
        rollout=found.tracked.rollout,
        stage=found.stage,
        arm=found.arm.value,
        unit=seen.unit,
        observation=seen,
        counters=_counters(found, seen.readings),
    )


def _counters(found: Place, values: Mapping[str, float]) -> Mapping[str, float]:
    """What is counted beside the readings themselves: limits that were passed, and large values cut."""
    counted = {
        counter(metric, threshold): float(values[metric] > threshold)
        for metric, thresholds in found.tracked.thresholds.items()
        if metric in values
        for threshold in thresholds
    }
    for metric, cap in found.tracked.caps.items():
        if metric in values:
            counted[counter(metric, cap)] = float(values[metric] > cap)
            counted[capped(metric, cap)] = min(values[metric], cap)
    return counted


def _readings(metrics: Any) -> Mapping[str, float]:
    if metrics is None:
        return {}
    if not isinstance(metrics, dict):
        raise _Bad("bad_metrics", '"metrics" is an object like {"latency_ms": 900, "refusal_rate": false}')
    found: dict[str, float] = {}
    for key, value in metrics.items():
        try:
            found.update(readings(key, value))
        except ValueError as error:
            code = "unknown_metric" if str(error).startswith("unknown metric") else "bad_value"
            raise _Bad(code, str(error)) from None
    return found


def _segments(segments: Any) -> Mapping[str, str]:
    if segments is None:
        return {}
    if not isinstance(segments, dict):
        raise _Bad("bad_segments", '"segments" is an object like {"language": "de"}')
    found: dict[str, str] = {}
    for key, value in segments.items():
        if isinstance(value, bool):
            found[key] = "true" if value else "false"
        elif isinstance(value, str | int | float) and len(str(value)) <= LONGEST:
            found[key] = str(value)
        else:
            raise _Bad("bad_segments", f'the segment "{key[:40]}" needs a text of at most {LONGEST} characters')
    return found


def _text(item: Mapping[str, Any], key: str, *, required: bool = False) -> str | None:
    value = item.get(key)
    if value is None and not required:
        return None
    if not isinstance(value, str) or not value:
        what = "is missing" if value is None else "needs a text that is not empty"
        raise _Bad("missing_field" if value is None else "bad_value", f'"{key}" {what}')
    if len(value) > LONGEST or "\x00" in value:
        raise _Bad("bad_value", f'"{key}" has at most {LONGEST} characters, none of them NUL')
    if not value.isascii():
        try:
            value.encode()
        except UnicodeEncodeError:
            raise _Bad("bad_value", f'"{key}" is not valid Unicode') from None
    return value


def _time(value: Any, now: datetime) -> datetime:
    if value is None:
        return now
    at = _instant(value)
    if at < now - LATEST:
        raise _Bad("too_old", f'"at" is {at.isoformat()}, more than an hour ago: its stage has been judged without it')
    if at > now + AHEAD:
        raise _Bad(
            "in_future", f'"at" is {at.isoformat()}, but here it is {now.isoformat()}: check the sender\'s clock'
        )
    return at.astimezone(UTC)


def _instant(value: Any) -> datetime:
    at: datetime | None = None
    try:
        if isinstance(value, str):
            at = datetime.fromisoformat(value)
        elif isinstance(value, int | float) and not isinstance(value, bool):
            at = datetime.fromtimestamp(value, UTC)
    except (ValueError, OverflowError, OSError):
        at = None
    if at is None:
        raise _Bad("bad_time", '"at" is a time like 2026-11-24T12:00:00Z, or seconds since 1970')
    if at.tzinfo is None:
        raise _Bad("bad_time", f'"at" has no time zone: write {at.isoformat()}Z for UTC')
    return at


def _batch(parsed: Any) -> list[Any]:
    if isinstance(parsed, dict) and "observations" not in parsed and "surface" in parsed:
        return [parsed]
    found = parsed.get("observations") if isinstance(parsed, dict) else parsed
    if not isinstance(found, list):
        raise Malformed('send {"observations": [...]}, or one JSON object a line')
    return found


def _lines(body: bytes) -> list[Any]:
    found: list[Any] = []
    for line in body.splitlines():
        if line.strip():
            try:
                found.append(_loads(line))
            except ValueError:
                found.append(_UNREADABLE)
    return found or [_UNREADABLE]


def _loads(body: bytes) -> Any:
    try:
        return orjson.loads(body)
    except orjson.JSONDecodeError:
        try:
            return json.loads(body)  # NaN is not JSON, but many write it: so that one item is refused, not its batch
        except RecursionError:
            raise Malformed("the body is nested too deeply") from None


def _why(error: ValueError) -> str:
    return str(error) if isinstance(error, Malformed) else f"the body is not JSON: {error}"


def _meant(word: str, known: Any) -> str:
    close = get_close_matches(word, list(known), n=1)
    return f' Did you mean "{close[0]}"?' if close else ""
