"""Parses a batch of observations and assigns each to its rollout, stage and arm; bad items are rejected by index."""

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from difflib import get_close_matches
from typing import Any

import orjson

from core.flags.evaluation import LONGEST_UNIT
from core.flags.placement import LATEST, Misplaced, Place, Uncounted, claim, place
from core.flags.snapshot import Snapshot
from core.judging.model.evidence import capped, counter
from core.metrics.catalogue import CATALOGUE, FEEDS, UnknownMetric, readings
from core.metrics.error_text import grouped
from core.metrics.observation import Observation
from core.store.observations.windows import Placed

AHEAD = timedelta(minutes=1)
MOST_ITEMS = 10_000
MOST_HINTS = 20  # per batch
LONGEST = LONGEST_UNIT  # characters of a unit, an id, a segment or a category
_FIELDS = ("surface", "unit", "exposure", "variant", "version", "at", "id", "segments", "metrics", "error_category")
_METRICS = (*CATALOGUE, *FEEDS)
_ELSE = " The keys are the catalogue's, latency_ms and ttft_ms."
_LINES = frozenset({"application/x-ndjson", "application/ndjson", "application/jsonl", "application/x-jsonlines"})


class Malformed(ValueError):
    """The body cannot be split into observations."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Rejected:
    """An item, or a part of one, that was not counted. `index` is its place in the batch."""

    index: int
    code: str
    message: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Good:
    """An accepted observation. `placed` is None if no comparison counts it; `uncounted` then says why.

    `rejected_parts` are parts of it that were rejected while the rest counts.
    """

    index: int
    surface: str
    id: str | None
    placed: Placed | None
    uncounted: Uncounted | None = None
    parts: Sequence[Rejected] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Checked:
    """The checked items of a batch. `flaw_events` hold one event per rejected item, for the arm that it names."""

    good: Sequence[Good]
    rejected: Sequence[Rejected]
    flawed: Sequence[Placed] = ()


class _Bad(ValueError):
    """An item that is rejected, with the `code` that the sender gets."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code


_UNREADABLE = object()


def items(body: bytes, content_type: str = "") -> list[Any]:
    """The items of a batch: `{"observations": [...]}`, a bare list, or JSON lines. Raises MalformedBatch otherwise."""
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
    """Check each item and assign it to its arm, or reject it with a reason."""
    good: list[Good] = []
    rejected: list[Rejected] = []
    flawed: list[Placed] = []
    hints = _Hints()
    for index, item in enumerate(found):
        try:
            taken = _good(index, item, snapshot, now, hints)
        except (_Bad, Misplaced) as bad:
            rejected.append(Rejected(index=index, code=bad.code, message=str(bad)))
            flawed += _flaw(item, snapshot, now, _FLAWS.get(bad.code, "refused_items"))
            continue
        good.append(taken)
        if taken.parts:
            flawed += _flaw(item, snapshot, now, "refused_items")
    return Checked(good=good, rejected=rejected, flawed=flawed)


_NAMES = ("surface", "unit", "variant", "version", "exposure")
_FLAWS = {
    "too_old": "late_items",
    "in_future": "unplaced_items",
    "wrong_variant": "unplaced_items",
    "wrong_version": "unplaced_items",
    "unknown_variant": "unplaced_items",
    "unknown_version": "unplaced_items",
    "unknown_exposure": "unplaced_items",
}


def _flaw(item: Any, snapshot: Snapshot, now: datetime, metric: str) -> Sequence[Placed]:
    """One event for a rejected item, if it names a unit and an arm; none otherwise."""
    if not isinstance(item, dict):
        return ()
    named = {key: value for key in _NAMES if isinstance(value := item.get(key), str) and _is_text(value)}
    flags = snapshot.surfaces.get(named.get("surface", ""))
    if flags is None or "unit" not in named:
        return ()
    arm = claim(
        flags,
        now=now,
        variant=named.get("variant"),
        version=named.get("version"),
        exposure=named.get("exposure"),
    )
    if arm is None:
        return ()
    event = Observation(surface=flags.name, unit=named["unit"], at=now, readings={metric: 1.0})
    return (_counted_at(arm, event),)


def repeated(placed: Placed) -> Placed:
    """The event that records a duplicate of this observation."""
    seen = placed.observation
    event = Observation(surface=seen.surface, unit=seen.unit, at=seen.at, readings={"duplicate_items": 1.0})
    return replace(placed, observation=event, counters={}, splits=False)


def answer(accepted: int, rejected: Sequence[Rejected]) -> bytes:
    """The response body: the number of accepted items, and each rejection in order."""
    ordered = sorted(rejected, key=lambda r: r.index)
    # A message quotes the request, which may hold text that cannot be encoded.
    told = [r if r.message.isascii() else replace(r, message=_printable(r.message)) for r in ordered]
    return orjson.dumps({"accepted": accepted, "rejected": told})


def _good(index: int, item: Any, snapshot: Snapshot, now: datetime, hints: "_Hints") -> Good:
    """Parse, validate and place one item; raises _InvalidItem or Misplaced."""
    if not isinstance(item, dict):
        reason = "this line is not JSON" if item is _UNREADABLE else "an observation is an object"
        raise _Bad("malformed", f'{reason}: {{"surface", "unit", "variant", "metrics"}}')
    if unknown := [key for key in item if key not in _FIELDS]:
        raise _Bad("unknown_field", f'unknown field "{unknown[0]}".{hints.meant(unknown[0], _FIELDS)}')
    surface = _text(item, "surface", required=True)
    assert surface is not None
    flags = snapshot.surfaces.get(surface)
    if flags is None:
        raise _Bad("unknown_surface", f'unknown surface "{surface}".{hints.meant(surface, snapshot.surfaces)}')
    at = _time(item.get("at"), now)
    identity = _text(item, "id")
    unit, exposure = _text(item, "unit", required=True) or "", _text(item, "exposure")
    variant, version = _text(item, "variant"), _text(item, "version")
    parts: list[Rejected] = []
    observation = Observation(
        surface=surface,
        unit=unit,
        variant=variant,
        version=version,
        at=at,
        id=identity,
        segments=_segments(item.get("segments"), index, parts),
        readings=_readings(item.get("metrics"), index, parts, hints),
        error_category=_category(item, index, parts),
    )
    found = place(flags, unit=unit, at=at, variant=variant, version=version, exposure=exposure)
    if parts and not observation.readings and observation.error_category is None:
        raise _Bad(parts[0].code, parts[0].message)  # nothing is left to count
    if isinstance(found, Uncounted):
        return Good(index=index, surface=surface, id=identity, placed=None, uncounted=found, parts=parts)
    return Good(index=index, surface=surface, id=identity, placed=_counted_at(found, observation), parts=parts)


def _counted_at(found: Place, seen: Observation) -> Placed:
    """The observation at its place, with the segments and counters that its rollout tracks."""
    kept = {key: seen.segments[key] for key in found.tracked.segments if key in seen.segments}
    return Placed(
        rollout=found.tracked.rollout,
        stage=found.stage,
        arm=found.arm.value,
        unit=seen.unit,
        observation=seen if kept == seen.segments else replace(seen, segments=kept),
        counters=_counters(found, seen.readings),
        splits=found.splits,
        earlier_cohorts=found.earlier_cohorts,
    )


def _counters(found: Place, values: Mapping[str, float]) -> Mapping[str, float]:
    """Extra counters for a reading: whether it exceeds each threshold, and its value capped."""
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


def _readings(metrics: Any, index: int, parts: list[Rejected], hints: "_Hints") -> Mapping[str, float]:
    """The valid readings; null means "not measured". Invalid ones are added to `parts`."""
    if metrics is None:
        return {}
    if not isinstance(metrics, dict):
        message = '"metrics" is an object like {"latency_ms": 900, "refusal_rate": false}'
        parts.append(Rejected(index=index, code="bad_metrics", message=message))
        return {}
    found: dict[str, float] = {}
    for key, value in metrics.items():
        try:
            found.update(readings(key, value))
        except UnknownMetric as error:
            message = f"{error}{hints.meant(error.key, _METRICS) or _ELSE}"
            parts.append(Rejected(index=index, code="unknown_metric", message=message))
        except ValueError as error:
            parts.append(Rejected(index=index, code="bad_value", message=str(error)))
    return found


def _segments(segments: Any, index: int, parts: list[Rejected]) -> Mapping[str, str]:
    """The valid segments; null means "unknown". Invalid ones are added to `parts`."""
    if segments is None:
        return {}
    found: dict[str, str] = {}
    if not isinstance(segments, dict):
        parts.append(
            Rejected(index=index, code="bad_segments", message='"segments" is an object like {"language": "de"}')
        )
        return found
    for key, value in segments.items():
        text = (
            str(value).lower() if isinstance(value, bool) else str(value) if isinstance(value, int | float) else value
        )
        if text is None:
            continue
        if _is_text(key) and _is_text(text):
            found[key] = text
        else:
            message = f'the segment "{key[:40]}" needs a name and a text of at most {LONGEST} characters'
            parts.append(Rejected(index=index, code="bad_segments", message=message))
    return found


def _category(item: Mapping[str, Any], index: int, parts: list[Rejected]) -> str | None:
    try:
        text = _text(item, "error_category")
    except _Bad as bad:
        parts.append(Rejected(index=index, code=bad.code, message=str(bad)))
        return None
    return None if text is None else grouped(text)


def _text(item: Mapping[str, Any], key: str, *, required: bool = False) -> str | None:
    """The text under `key`; None if it is absent and not required. Raises _InvalidItem."""
    value = item.get(key)
    if value is None and not required:
        return None
    if not isinstance(value, str) or not value:
        what = "is missing" if value is None else "needs a text that is not empty"
        raise _Bad("missing_field" if value is None else "bad_value", f'"{key}" {what}')
    if not _is_text(value):
        raise _Bad("bad_value", f'"{key}" has at most {LONGEST} characters of valid Unicode, none of them NUL')
    return value


def _is_text(value: Any) -> bool:
    """Whether a value is a non-empty text that both databases can store."""
    if not isinstance(value, str) or not 0 < len(value) <= LONGEST or "\x00" in value:
        return False
    if not value.isascii():
        try:
            value.encode()
        except UnicodeEncodeError:
            return False
    return True


def _printable(text: str) -> str:
    return text.encode("utf-8", "replace").decode()


def _time(value: Any, now: datetime) -> datetime:
    """The observation's time in UTC, `now` if none is given; raises _InvalidItem if it is too old or in the future."""
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
    """A time with a time zone, from ISO 8601 text or seconds since 1970; raises _InvalidItem."""
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
    """The items of a parsed body: one observation, a list, or an object that holds one."""
    if isinstance(parsed, dict) and "observations" not in parsed and "surface" in parsed:
        return [parsed]
    found = parsed.get("observations") if isinstance(parsed, dict) else parsed
    if not isinstance(found, list):
        raise Malformed('send {"observations": [...]}, or one JSON object a line')
    return found


def _lines(body: bytes) -> list[Any]:
    """One item per non-empty line; a line that is not JSON becomes `_UNREADABLE`."""
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
            return json.loads(body)  # accepts NaN, which is no JSON but common, so that only that item is rejected
        except RecursionError:
            raise Malformed("the body is nested too deeply") from None


def _why(error: ValueError) -> str:
    return str(error) if isinstance(error, Malformed) else f"the body is not JSON: {error}"


class _Hints:
    """Suggests the nearest known name for a misspelt one. A suggestion takes a millisecond and a batch may hold ten
    thousand misspelt names, so only the first `MAX_HINTS` get one."""

    def __init__(self) -> None:
        self._found: dict[str, str] = {}

    def meant(self, word: str, known: Iterable[str]) -> str:
        """A sentence with the nearest known name, or an empty text."""
        if word not in self._found:
            if len(self._found) >= MOST_HINTS:
                return ""
            close = get_close_matches(word[:LONGEST], tuple(known), n=1)
            self._found[word] = f' Did you mean "{close[0]}"?' if close else ""
        return self._found[word]
