"""Parses a batch of observations and assigns each to its rollout, stage and arm; bad items are rejected by index."""

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from difflib import get_close_matches
from typing import Any, NamedTuple

import orjson

from core.flags.evaluation import MAX_UNIT_LENGTH
from core.flags.flows import FLOW, find_flow
from core.flags.placement import (
    MAX_LATENESS,
    MisplacedObservation,
    Placement,
    UncountedReason,
    claimed_placement,
    place_observation,
)
from core.flags.snapshot import Snapshot, SurfaceFlags, Variant
from core.judging.model.evidence import REQUESTS, capped_cell, exceedance_cell
from core.judging.model.question import ALL_SEGMENTS
from core.metrics.catalogue import (
    CATALOGUE,
    DENOMINATOR,
    FEEDS,
    USER_VOTE,
    Metric,
    UnknownMetric,
    parse_readings,
)
from core.metrics.error_text import group_error_text
from core.metrics.observation import Observation
from core.metrics.soft_errors import OTHER, SOFT_ERRORS
from core.rollout.models.called_model import may_answer
from core.store.observations.observation_sums import PlacedObservation

PULLED = "pulled_metric"
"""The code of a part that a source counts. It tells nothing of the quality of what is sent."""
MAX_CLOCK_LEAD = timedelta(minutes=1)
MAX_ITEMS = 10_000
MAX_HINTS = 20  # per batch
UNKNOWN_SOFT_ERROR = "unknown_soft_error"
MAX_TEXT_LENGTH = MAX_UNIT_LENGTH  # characters of a unit, an id, a segment or a category
_FIELDS = (
    "surface",
    "unit",
    "exposure",
    "variant",
    "version",
    "at",
    "id",
    "segments",
    "metrics",
    "error_category",
    "soft_errors",
    "request",
    "model",
)
_METRICS = (*CATALOGUE, *FEEDS, USER_VOTE)
_METRICS_HINT = " The keys are the catalogue's, latency_ms, ttft_ms, and what the surface file defines under metrics."
_JSON_LINES_TYPES = frozenset(
    {"application/x-ndjson", "application/ndjson", "application/jsonl", "application/x-jsonlines"}
)


class MalformedBatch(ValueError):
    """The body cannot be split into observations."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RejectedItem:
    """An item, or a part of one, that was not counted. `index` is its place in the batch."""

    index: int
    code: str
    message: str


class OtherModel(NamedTuple):
    """A model that answered for a version which is configured to call another one."""

    surface: str
    version: str
    answered: str


@dataclass(frozen=True, slots=True, kw_only=True)
class AcceptedItem:
    """An accepted observation. `placed` is None if no comparison counts it; `uncounted` then says why.

    `rejected_parts` are parts of it that were rejected while the rest counts.
    """

    index: int
    surface: str
    id: str | None
    placed: PlacedObservation | None
    uncounted: UncountedReason | None = None
    rejected_parts: Sequence[RejectedItem] = ()
    other_model: OtherModel | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class CheckedBatch:
    """The checked items of a batch. `flaw_events` hold one event per rejected item, for the arm that it names."""

    accepted: Sequence[AcceptedItem]
    rejected: Sequence[RejectedItem]
    flaw_events: Sequence[PlacedObservation] = ()


class _InvalidItem(ValueError):
    """An item that is rejected, with the `code` that the sender gets."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code


_UNREADABLE = object()


def parse_items(body: bytes, content_type: str = "") -> list[Any]:
    """The items of a batch: `{"observations": [...]}`, a bare list, or JSON lines. Raises MalformedBatch otherwise."""
    if content_type.partition(";")[0].strip().lower() in _JSON_LINES_TYPES:
        found = _parse_lines(body)
    else:
        try:
            found = _list_items(_load_json(body))
        except ValueError as error:
            if isinstance(error, MalformedBatch) or b"\n" not in body.strip():
                raise MalformedBatch(_format_reason(error)) from None
            found = _parse_lines(body)
            if found[0] is _UNREADABLE:
                raise MalformedBatch(_format_reason(error)) from None
    if len(found) > MAX_ITEMS:
        raise MalformedBatch(f"{len(found):,} observations are too many for one batch; send at most {MAX_ITEMS:,}")
    return found


def check_items(items: Sequence[Any], snapshot: Snapshot, now: datetime) -> CheckedBatch:
    """Check each item and assign it to its arm, or reject it with a reason."""
    good: list[AcceptedItem] = []
    rejected: list[RejectedItem] = []
    flawed: list[PlacedObservation] = []
    hints, models = _SpellingHints(), _ModelCheck()
    for index, item in enumerate(items):
        try:
            taken = _check_item(index, item, snapshot, now, hints, models)
        except (_InvalidItem, MisplacedObservation) as bad:
            rejected.append(RejectedItem(index=index, code=bad.code, message=str(bad)))
            flawed += build_flaw_events(item, snapshot, now, _FLAW_METRICS.get(bad.code, "refused_items"))
            continue
        good.append(taken)
        # what a source counts is no flaw, and an unknown soft error is counted, only not under its name
        if any(part.code not in {PULLED, UNKNOWN_SOFT_ERROR} for part in taken.rejected_parts):
            flawed += build_flaw_events(item, snapshot, now, "refused_items")
    return CheckedBatch(accepted=good, rejected=rejected, flaw_events=flawed)


_PLACEMENT_FIELDS = ("surface", "unit", "variant", "version", "exposure")
_FLAW_METRICS = {
    "too_old": "late_items",
    "in_future": "unplaced_items",
    "wrong_variant": "unplaced_items",
    "wrong_version": "unplaced_items",
    "unknown_variant": "unplaced_items",
    "unknown_version": "unplaced_items",
    "unknown_exposure": "unplaced_items",
}


def build_flaw_events(item: Any, snapshot: Snapshot, now: datetime, metric: str) -> Sequence[PlacedObservation]:
    """One event of data quality, such as `late_items`, for a rejected item that names a unit and an arm."""
    if not isinstance(item, dict):
        return ()
    named = {
        key: value for key in _PLACEMENT_FIELDS if isinstance(value := item.get(key), str) and _is_storable_text(value)
    }
    flags = snapshot.surfaces.get(named.get("surface", ""))
    if flags is None or "unit" not in named:
        return ()
    arm = claimed_placement(
        flags,
        now=now,
        variant=named.get("variant"),
        version=named.get("version"),
        exposure=named.get("exposure"),
    )
    if arm is None:
        return ()
    event = Observation(surface=flags.name, unit=named["unit"], at=now, readings={metric: 1.0})
    return (build_placed_observation(arm, event),)


def build_duplicate_event(placed: PlacedObservation) -> PlacedObservation:
    """The event that records a duplicate of this observation."""
    original = placed.observation
    event = Observation(surface=original.surface, unit=original.unit, at=original.at, readings={"duplicate_items": 1.0})
    return replace(placed, observation=event, counters={}, counts_for_split=False)


def encode_answer(accepted: int, rejected: Sequence[RejectedItem]) -> bytes:
    """The response body: the number of accepted items, and each rejection in order."""
    ordered = sorted(rejected, key=lambda r: r.index)
    # A message quotes the request, which may hold text that cannot be encoded.
    rejections = [r if r.message.isascii() else replace(r, message=_make_encodable(r.message)) for r in ordered]
    return orjson.dumps({"accepted": accepted, "rejected": rejections})


def _check_item(
    index: int, item: Any, snapshot: Snapshot, now: datetime, hints: "_SpellingHints", models: "_ModelCheck"
) -> AcceptedItem:
    """Parse, validate and place one item; raises _InvalidItem or Misplaced."""
    if not isinstance(item, dict):
        reason = "this line is not JSON" if item is _UNREADABLE else "an observation must be an object"
        raise _InvalidItem("malformed", f'{reason}: {{"surface", "unit", "variant", "metrics"}}')
    if unknown := [key for key in item if key not in _FIELDS]:
        raise _InvalidItem("unknown_field", f'unknown field "{unknown[0]}".{hints.suggest(unknown[0], _FIELDS)}')
    surface = _parse_text(item, "surface", required=True)
    assert surface is not None
    flags = snapshot.surfaces.get(surface)
    if flags is None:
        raise _InvalidItem(
            "unknown_surface", f'unknown surface "{surface}".{hints.suggest(surface, snapshot.surfaces)}'
        )
    at = _parse_time(item.get("at"), now)
    identity = _parse_text(item, "id")
    unit, exposure = _parse_text(item, "unit", required=True) or "", _parse_text(item, "exposure")
    variant, version = _parse_text(item, "variant"), _parse_text(item, "version")
    arm_place = place_observation(flags, unit=unit, at=at, variant=variant, version=version, exposure=exposure)
    counted = arm_place.tracked.metrics if isinstance(arm_place, Placement) else {}
    parts: list[RejectedItem] = []
    observation = Observation(
        surface=surface,
        unit=unit,
        variant=variant,
        version=version,
        at=at,
        id=identity,
        segments=_parse_segments(item.get("segments"), index, parts),
        readings=_parse_readings(item.get("metrics"), {**flags.metrics, **counted}, index, parts, hints),
        error_category=_parse_category(item, index, parts),
        soft_errors=_parse_soft_errors(item.get("soft_errors"), flags, index, parts, hints),
        is_request=_parse_request_flag(item.get("request")),
    )
    holds_anything = observation.readings or observation.soft_errors or observation.error_category is not None
    if parts and not holds_anything:
        raise _InvalidItem(parts[0].code, parts[0].message)  # nothing is left to count
    answered = _parse_text(item, "model") or observation.segments.get("model")
    other_model = models.find_other(flags, observation, arm_place, answered) if answered else None
    if isinstance(arm_place, UncountedReason):
        return AcceptedItem(
            index=index,
            surface=surface,
            id=identity,
            placed=None,
            uncounted=arm_place,
            rejected_parts=parts,
            other_model=other_model,
        )
    return AcceptedItem(
        index=index,
        surface=surface,
        id=identity,
        placed=build_placed_observation(arm_place, observation),
        rejected_parts=(*parts, *_refuse_pulled(arm_place.tracked.pulled, observation, index)),
        other_model=other_model,
    )


def _refuse_pulled(pulled: Mapping[str, str], observation: Observation, index: int) -> Iterator[RejectedItem]:
    """What another source counts on this surface; the rest of the observation counts."""
    if not pulled:
        return
    if REQUESTS in pulled and observation.is_request:
        message = f'requests are counted by the source "{pulled[REQUESTS]}": write "request": false'
        yield RejectedItem(index=index, code=PULLED, message=message)
    for metric in sorted(observation.readings.keys() & pulled.keys()):
        message = f'"{metric}" comes from the source "{pulled[metric]}", and counts only once: leave it out'
        yield RejectedItem(index=index, code=PULLED, message=message)


def build_placed_observation(arm_place: Placement, observation: Observation) -> PlacedObservation:
    """The observation at its place, with the segments, own metrics and counters that its rollout tracks, and without
    what a source counts."""
    judged, pulled = arm_place.tracked.segments, arm_place.tracked.pulled
    if pulled:
        observation = replace(
            observation,
            readings={metric: value for metric, value in observation.readings.items() if metric not in pulled},
            is_request=observation.is_request and REQUESTS not in pulled,
        )
    readings = _select_tracked(observation.readings, arm_place.tracked.metrics)
    if len(readings) < len(observation.readings):
        observation = replace(observation, readings=readings)
    flow = find_flow(arm_place.tracked.flows, observation.segments)
    if flow is not None:
        observation = replace(observation, segments={**observation.segments, FLOW: flow})
    kept = (
        observation.segments
        if ALL_SEGMENTS in judged
        else {key: observation.segments[key] for key in judged if key in observation.segments}
    )
    return PlacedObservation(
        rollout=arm_place.tracked.rollout,
        stage=arm_place.stage,
        arm=arm_place.arm.value,
        unit=observation.unit,
        observation=observation if kept == observation.segments else replace(observation, segments=kept),
        counters=_count_threshold_passes(arm_place, observation.readings),
        metrics=arm_place.tracked.metrics,
        counts_for_split=arm_place.counts_for_split,
        earlier_cohorts=arm_place.earlier_cohorts,
    )


def _select_tracked(readings: Mapping[str, float], own: Mapping[str, Metric]) -> Mapping[str, float]:
    """The readings without those of own metrics that the rollout's plan does not have, as they are newer than it."""
    return {key: value for key, value in readings.items() if key in CATALOGUE or key.removesuffix(DENOMINATOR) in own}


def _count_threshold_passes(arm_place: Placement, values: Mapping[str, float]) -> Mapping[str, float]:
    """Extra counters for a reading: whether it exceeds each threshold, and its value capped."""
    counted = {
        exceedance_cell(metric, threshold): float(values[metric] > threshold)
        for metric, thresholds in arm_place.tracked.thresholds.items()
        if metric in values
        for threshold in thresholds
    }
    for metric, cap in arm_place.tracked.caps.items():
        if metric in values:
            counted[exceedance_cell(metric, cap)] = float(values[metric] > cap)
            counted[capped_cell(metric, cap)] = min(values[metric], cap)
    return counted


def _parse_readings(
    metrics: Any, own: Mapping[str, Metric], index: int, parts: list[RejectedItem], hints: "_SpellingHints"
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


def _parse_segments(segments: Any, index: int, parts: list[RejectedItem]) -> Mapping[str, str]:
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
        text = (
            str(value).lower() if isinstance(value, bool) else str(value) if isinstance(value, int | float) else value
        )
        if text is None:
            continue
        if _is_storable_text(key) and _is_storable_text(text):
            found[key] = text
        else:
            message = f'the segment "{key[:40]}" needs a name and a text of at most {MAX_TEXT_LENGTH} characters'
            parts.append(RejectedItem(index=index, code="bad_segments", message=message))
    return found


def _parse_category(item: Mapping[str, Any], index: int, parts: list[RejectedItem]) -> str | None:
    try:
        text = _parse_text(item, "error_category")
    except _InvalidItem as bad:
        parts.append(RejectedItem(index=index, code=bad.code, message=str(bad)))
        return None
    return None if text is None else group_error_text(text)


def _parse_soft_errors(
    given: Any, flags: SurfaceFlags, index: int, parts: list[RejectedItem], hints: "_SpellingHints"
) -> tuple[str, ...]:
    """The soft errors of an answer, each once. Unknown ones are counted as other, and named once for each batch."""
    if given is None:
        return ()
    named = [given] if isinstance(given, str) else given
    if not isinstance(named, list) or not all(isinstance(one, str) and _is_storable_text(one) for one in named):
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


def _parse_request_flag(value: Any) -> bool:
    """Whether the item is a request, which it is unless it says no; raises _InvalidItem."""
    if value is None or isinstance(value, bool):
        return value is not False
    raise _InvalidItem("bad_value", '"request" is true or false: false if the request was reported before')


def _parse_text(item: Mapping[str, Any], key: str, *, required: bool = False) -> str | None:
    """The text under `key`; None if it is absent and not required. Raises _InvalidItem."""
    value = item.get(key)
    if value is None and not required:
        return None
    if not isinstance(value, str) or not value:
        what = "is missing" if value is None else "needs a text that is not empty"
        raise _InvalidItem("missing_field" if value is None else "bad_value", f'"{key}" {what}')
    if not _is_storable_text(value):
        raise _InvalidItem(
            "bad_value", f'"{key}" must have at most {MAX_TEXT_LENGTH} characters of valid Unicode, none of them NUL'
        )
    return value


def _is_storable_text(value: Any) -> bool:
    """Whether a value is a non-empty text that both databases can store."""
    if not isinstance(value, str) or not 0 < len(value) <= MAX_TEXT_LENGTH or "\x00" in value:
        return False
    if not value.isascii():
        try:
            value.encode()
        except UnicodeEncodeError:
            return False
    return True


def _make_encodable(text: str) -> str:
    return text.encode("utf-8", "replace").decode()


def _parse_time(value: Any, now: datetime) -> datetime:
    """The observation's time in UTC, `now` if none is given; raises _InvalidItem if it is too old or in the future."""
    if value is None:
        return now
    at = _parse_instant(value)
    if at < now - MAX_LATENESS:
        raise _InvalidItem(
            "too_old", f'"at" is {at.isoformat()}, more than an hour ago: its stage has been judged without it'
        )
    if at > now + MAX_CLOCK_LEAD:
        raise _InvalidItem(
            "in_future", f'"at" is {at.isoformat()}, but here it is {now.isoformat()}: check the sender\'s clock'
        )
    return at.astimezone(UTC)


def _parse_instant(value: Any) -> datetime:
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
        raise _InvalidItem("bad_time", '"at" must be a time like 2026-11-24T12:00:00Z, or seconds since 1970')
    if at.tzinfo is None:
        raise _InvalidItem("bad_time", f'"at" has no time zone: write {at.isoformat()}Z for UTC')
    return at


def _list_items(parsed: Any) -> list[Any]:
    """The items of a parsed body: one observation, a list, or an object that holds one."""
    if isinstance(parsed, dict) and "observations" not in parsed and "surface" in parsed:
        return [parsed]
    found = parsed.get("observations") if isinstance(parsed, dict) else parsed
    if not isinstance(found, list):
        raise MalformedBatch('send {"observations": [...]}, or one JSON object per line')
    return found


def _parse_lines(body: bytes) -> list[Any]:
    """One item per non-empty line; a line that is not JSON becomes `_UNREADABLE`."""
    found: list[Any] = []
    for line in body.splitlines():
        if line.strip():
            try:
                found.append(_load_json(line))
            except ValueError:
                found.append(_UNREADABLE)
    return found or [_UNREADABLE]


def _load_json(body: bytes) -> Any:
    try:
        return orjson.loads(body)
    except orjson.JSONDecodeError:
        try:
            return json.loads(body)  # accepts NaN, which is no JSON but common, so that only that item is rejected
        except RecursionError:
            raise MalformedBatch("the body is nested too deeply") from None


def _format_reason(error: ValueError) -> str:
    return str(error) if isinstance(error, MalformedBatch) else f"the body is not JSON: {error}"


class _ModelCheck:
    """Tells whether the model that answered is the one its version is configured to call; looks each up once."""

    def __init__(self) -> None:
        self._known: dict[tuple[str, str, str], bool] = {}

    def find_other(
        self, flags: SurfaceFlags, observation: Observation, place: Placement | UncountedReason, answered: str
    ) -> OtherModel | None:
        """The model, if it is another one; None if it is the right one, or if the version is not known."""
        version = observation.version
        if version is None and isinstance(place, Placement):
            canary = place.arm is Variant.CANARY
            version = place.tracked.to_version if canary else place.tracked.from_version
        elif version is None and flags.exposure is None:
            version = flags.live.version.name
        served = (flags.live.version, *((flags.exposure.to_version,) if flags.exposure is not None else ()))
        content = next((one.content for one in served if one.name == version), None)
        if version is None or content is None:
            return None
        key = (flags.name, version, answered)
        if key not in self._known:
            self._known[key] = may_answer(content, answered)
        return None if self._known[key] else OtherModel(flags.name, version, answered)


class _SpellingHints:
    """Suggests the nearest known name for a misspelt one. A suggestion takes a millisecond and a batch may hold ten
    thousand misspelt names, so only the first `MAX_HINTS` get one."""

    def __init__(self) -> None:
        self._suggestions: dict[str, str] = {}
        self._soft_errors: set[str] = set()

    def is_first(self, soft_error: str) -> bool:
        """Whether this unknown soft error has not been named in this batch yet, and there is room to name it."""
        first = soft_error not in self._soft_errors and len(self._soft_errors) < MAX_HINTS
        self._soft_errors.add(soft_error)
        return first

    def suggest(self, word: str, known: Iterable[str]) -> str:
        """A sentence with the nearest known name, or an empty text."""
        if word not in self._suggestions:
            if len(self._suggestions) >= MAX_HINTS:
                return ""
            close = get_close_matches(word[:MAX_TEXT_LENGTH], tuple(known), n=1)
            self._suggestions[word] = f' Did you mean "{close[0]}"?' if close else ""
        return self._suggestions[word]
