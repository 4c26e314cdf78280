"""Checks a batch of observations and assigns each to its rollout, stage and arm; bad items are rejected by index."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any, NamedTuple

import orjson

from bot.http.observations.build_placed import PULLED, build_placed_observation, refuse_pulled
from bot.http.observations.parse_fields import (
    UNKNOWN_SOFT_ERROR,
    InvalidItem,
    RejectedItem,
    is_storable_text,
    parse_category,
    parse_metrics,
    parse_request_flag,
    parse_segments,
    parse_soft_errors,
    parse_text,
    parse_time,
)
from bot.http.observations.spelling_hints import SpellingHints
from bot.http.observations.split_body import UNREADABLE
from core.flags.placement import (
    MisplacedObservation,
    Placement,
    UncountedReason,
    find_claimed_placement,
    place_observation,
)
from core.flags.snapshot import Snapshot, SurfaceFlags, Variant
from core.metrics.observation import Observation
from core.rollout.models.called_model import may_answer
from core.store.observations.observation_batch import PlacedObservation

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
_KNOWN_FIELDS = frozenset(_FIELDS)
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


def check_items(items: Sequence[Any], snapshot: Snapshot, now: datetime) -> CheckedBatch:
    """Check each item and assign it to its arm, or reject it with a reason."""
    good: list[AcceptedItem] = []
    rejected: list[RejectedItem] = []
    flawed: list[PlacedObservation] = []
    hints, models = SpellingHints(), _ModelCheck()
    for index, item in enumerate(items):
        try:
            taken = _check_item(index, item, snapshot, now, hints, models)
        except (InvalidItem, MisplacedObservation) as bad:
            rejected.append(RejectedItem(index=index, code=bad.code, message=str(bad)))
            flawed += build_flaw_events(item, snapshot, now, _FLAW_METRICS.get(bad.code, "refused_items"))
            continue
        good.append(taken)
        # what a source counts is no flaw, and an unknown soft error is counted, only not under its name
        if any(part.code not in {PULLED, UNKNOWN_SOFT_ERROR} for part in taken.rejected_parts):
            flawed += build_flaw_events(item, snapshot, now, "refused_items")
    return CheckedBatch(accepted=good, rejected=rejected, flaw_events=flawed)


def build_flaw_events(item: Any, snapshot: Snapshot, now: datetime, metric: str) -> Sequence[PlacedObservation]:
    """One event of data quality, such as `late_items`, for a rejected item that names a unit and an arm."""
    if not isinstance(item, dict):
        return ()
    named = {
        key: value for key in _PLACEMENT_FIELDS if isinstance(value := item.get(key), str) and is_storable_text(value)
    }
    flags = snapshot.surfaces.get(named.get("surface", ""))
    if flags is None or "unit" not in named:
        return ()
    arm = find_claimed_placement(
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
    index: int, item: Any, snapshot: Snapshot, now: datetime, hints: SpellingHints, models: "_ModelCheck"
) -> AcceptedItem:
    """Parse, validate and place one item; raises InvalidItem or Misplaced."""
    if not isinstance(item, dict):
        reason = "this line is not JSON" if item is UNREADABLE else "an observation must be an object"
        raise InvalidItem("malformed", f'{reason}: {{"surface", "unit", "variant", "metrics"}}')
    parts = [] if item.keys() <= _KNOWN_FIELDS else _reject_unknown_fields(index, item, hints)
    surface = parse_text(item, "surface", required=True)
    assert surface is not None
    flags = snapshot.surfaces.get(surface)
    if flags is None:
        raise InvalidItem("unknown_surface", f'unknown surface "{surface}".{hints.suggest(surface, snapshot.surfaces)}')
    at = parse_time(item.get("at"), now)
    identity = parse_text(item, "id")
    unit, exposure = parse_text(item, "unit", required=True) or "", parse_text(item, "exposure")
    variant, version = parse_text(item, "variant"), parse_text(item, "version")
    arm_place = place_observation(flags, unit=unit, at=at, variant=variant, version=version, exposure=exposure)
    counted = arm_place.tracked.metrics if isinstance(arm_place, Placement) else {}
    own = {**flags.metrics, **counted} if counted else flags.metrics
    observation = Observation(
        surface=surface,
        unit=unit,
        variant=variant,
        version=version,
        at=at,
        id=identity,
        segments=parse_segments(item.get("segments"), index, parts),
        readings=parse_metrics(item.get("metrics"), own, index, parts, hints),
        error_category=parse_category(item, index, parts),
        soft_errors=parse_soft_errors(item.get("soft_errors"), flags, index, parts, hints),
        is_request=parse_request_flag(item.get("request")),
    )
    holds_anything = observation.readings or observation.soft_errors or observation.error_category is not None
    if parts and not holds_anything:
        raise InvalidItem(parts[0].code, parts[0].message)  # nothing is left to count
    answered = parse_text(item, "model") or observation.segments.get("model")
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
        rejected_parts=(*parts, *refuse_pulled(arm_place.tracked.pulled, observation, index)),
        other_model=other_model,
    )


def _reject_unknown_fields(index: int, item: dict[str, Any], hints: SpellingHints) -> list[RejectedItem]:
    """The unknown fields, each a rejected part. InvalidItem for one that looks like a known field: had it been spelt
    right, the rest might mean something else."""
    parts = []
    for field in (key for key in item if key not in _KNOWN_FIELDS):
        if not is_storable_text(field) or not hints.is_near_none(field, _FIELDS):
            raise InvalidItem("unknown_field", f'unknown field "{field}".{hints.suggest(field, _FIELDS)}')
        parts.append(
            RejectedItem(index=index, code="unknown_field", message=f'unknown field "{field}": it is ignored.')
        )
    return parts


def _make_encodable(text: str) -> str:
    return text.encode("utf-8", "replace").decode()


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
        exposure = flags.exposure
        others = (exposure.to_version, exposure.control.version) if exposure is not None else ()
        served = (flags.live.version, *others)
        content = next((one.content for one in served if one.name == version), None)
        if version is None or content is None:
            return None
        key = (flags.name, version, answered)
        if key not in self._known:
            self._known[key] = may_answer(content, answered)
        return None if self._known[key] else OtherModel(flags.name, version, answered)
