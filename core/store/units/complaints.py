"""Complaints: each metric that people report counts at most once an hour per unit, and as 1."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime
from hashlib import sha256

from sqlalchemy import Connection

from core.metrics.catalogue import CATALOGUE, COUNTED_ELSEWHERE, MetricKind
from core.store.observations import deduplication
from core.store.observations.observation_batch import PlacedObservation

_REPORTED_METRICS = (
    frozenset(key for key, metric in CATALOGUE.items() if metric.kind is MetricKind.COUNT) - COUNTED_ELSEWHERE
)


def deduplicate_hourly(
    connection: Connection, observations: Sequence[PlacedObservation], now: datetime
) -> list[PlacedObservation]:
    """The observations without reports that their unit has made before in the same hour; needs a writing transaction.

    Otherwise one angry person, or one broken program, could roll a version back for everybody. An observation that
    held nothing else is dropped, as it would count as a request.
    """
    reports: dict[tuple[str, str], tuple[int, str]] = {}
    hour = f"{now.astimezone(UTC):%Y-%m-%dT%H}"  # of arrival: a sender who chose the dates could use three hours
    for number, each in enumerate(observations):
        for metric in _REPORTED_METRICS & each.observation.readings.keys():
            if each.observation.readings[metric] > 0:
                reports.setdefault(_deduplication_key(each, metric, hour), (number, metric))
    if not reports:
        return list(observations)
    fresh = {reports[identity] for identity in deduplication.claim_fresh_items(connection, reports, now)}
    counted = (_without_repeats(each, number, fresh) for number, each in enumerate(observations))
    return [each for each in counted if each is not None]


def _deduplication_key(placed: PlacedObservation, metric: str, hour: str) -> tuple[str, str]:
    """The (surface, item id) to deduplicate by. The slash keeps it apart from real surfaces, whose names have none."""
    return f"{placed.rollout}/{metric}", f"{hour} {sha256(placed.unit.encode()).hexdigest()}"


def _without_repeats(placed: PlacedObservation, number: int, fresh: set[tuple[int, str]]) -> PlacedObservation | None:
    seen = placed.observation
    reported = {metric for metric in _REPORTED_METRICS & seen.readings.keys() if seen.readings[metric] > 0}
    if not reported:
        return placed
    kept = {key: value for key, value in seen.readings.items() if key not in reported}
    kept |= {metric: 1.0 for metric in sorted(reported) if (number, metric) in fresh}
    if not kept and seen.error_category is None and not seen.soft_errors:
        return None
    return replace(placed, observation=replace(seen, readings=kept))
