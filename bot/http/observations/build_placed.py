"""Keeps of an observation what its rollout counts: segments, readings, and the counters that follow from them."""

from collections.abc import Iterator, Mapping

from bot.http.observations.parse_fields import RejectedItem
from core.flags.flows import FLOW, find_flow
from core.flags.placement import Placement
from core.flags.snapshot import TrackedRollout
from core.judging.model.evidence import REQUESTS, capped_cell, exceedance_cell
from core.judging.model.question import ALL_SEGMENTS
from core.metrics.catalogue import CATALOGUE, DENOMINATOR, ERROR_CATEGORIES
from core.metrics.observation import Observation
from core.store.observations.observation_batch import PlacedObservation

PULLED = "pulled_metric"
"""The code of a part that a source counts. It tells nothing of the quality of what is sent."""


def build_placed_observation(arm_place: Placement, observation: Observation) -> PlacedObservation:
    """The observation at its place, with the segments, own metrics and counters that its rollout tracks, and without
    what a source counts."""
    tracked = arm_place.tracked
    readings = _select_readings(tracked, observation.readings)
    segments = _select_segments(tracked, observation.segments)
    is_request = observation.is_request and REQUESTS not in tracked.pulled
    category = None if ERROR_CATEGORIES in tracked.pulled else observation.error_category
    if (
        readings is not observation.readings
        or segments is not observation.segments
        or category is not observation.error_category
        or not is_request
    ):
        observation = Observation(  # `replace` takes three times as long
            surface=observation.surface,
            unit=observation.unit,
            at=observation.at,
            variant=observation.variant,
            version=observation.version,
            id=observation.id,
            segments=segments,
            readings=readings,
            error_category=category,
            soft_errors=observation.soft_errors,
            is_request=is_request,
        )
    return PlacedObservation(
        rollout=tracked.rollout,
        stage=arm_place.stage,
        arm=arm_place.arm.value,
        unit=observation.unit,
        observation=observation,
        counters=_count_threshold_passes(tracked, readings),
        metrics=tracked.metrics,
        counts_for_split=arm_place.counts_for_split,
        assigned_arm=arm_place.assigned_arm.value if arm_place.assigned_arm is not None else None,
        earlier_cohorts=arm_place.earlier_cohorts,
    )


def _select_readings(tracked: TrackedRollout, readings: Mapping[str, float]) -> Mapping[str, float]:
    """The readings that no source counts, without own metrics that the rollout's plan does not have, as they are newer
    than it."""
    if not tracked.pulled and readings.keys() <= CATALOGUE.keys():
        return readings
    return {
        key: value
        for key, value in readings.items()
        if (name := key.removesuffix(DENOMINATOR)) not in tracked.pulled
        and (key in CATALOGUE or name in tracked.metrics)
    }


def _select_segments(tracked: TrackedRollout, segments: Mapping[str, str]) -> Mapping[str, str]:
    """The segments that are judged, with the flow that they tell."""
    flow = find_flow(tracked.flows, segments) if tracked.flows else None
    if flow is not None:
        segments = {**segments, FLOW: flow}
    if ALL_SEGMENTS in tracked.segments:
        return segments
    if segments.keys() <= set(tracked.segments):
        return segments
    return {key: segments[key] for key in tracked.segments if key in segments}


def _count_threshold_passes(tracked: TrackedRollout, values: Mapping[str, float]) -> Mapping[str, float]:
    """Extra counters for a reading: whether it exceeds each threshold, and its value capped."""
    counted = {
        exceedance_cell(metric, threshold): float(values[metric] > threshold)
        for metric, thresholds in tracked.thresholds.items()
        if metric in values
        for threshold in thresholds
    }
    for metric, cap in tracked.caps.items():
        if metric in values:
            counted[exceedance_cell(metric, cap)] = float(values[metric] > cap)
            counted[capped_cell(metric, cap)] = min(values[metric], cap)
    return counted


def refuse_pulled(pulled: Mapping[str, str], observation: Observation, index: int) -> Iterator[RejectedItem]:
    """What another source counts on this surface; the rest of the observation counts."""
    if not pulled:
        return
    if REQUESTS in pulled and observation.is_request:
        message = f'requests are counted by the source "{pulled[REQUESTS]}": write "request": false'
        yield RejectedItem(index=index, code=PULLED, message=message)
    if ERROR_CATEGORIES in pulled and observation.error_category is not None:
        message = (
            f'"error_category" comes from the source "{pulled[ERROR_CATEGORIES]}", and counts only once: leave it out'
        )
        yield RejectedItem(index=index, code=PULLED, message=message)
    for metric in sorted(observation.readings.keys() & pulled.keys()):
        message = f'"{metric}" comes from the source "{pulled[metric]}", and counts only once: leave it out'
        yield RejectedItem(index=index, code=PULLED, message=message)
