"""What live traffic holds and an eval suite does not: segments without a case."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from core.evals.category_names import category_key

SMALLEST_SHARE = 0.01
"""Segments with less of the traffic are not named: no suite has a case for each."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SegmentTraffic:
    """How live traffic was divided in a rollout: named segment (`language=tr`) -> its share of `requests`, 0 to 1.

    `unnamed` are the dimensions of which some values were counted together, without their names. `elsewhere` are
    segments that were seen in stages for selected people; who was selected is missing from the shares.
    """

    rollout: str
    requests: int
    shares: Mapping[str, float]
    unnamed: frozenset[str] = frozenset()
    elsewhere: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True, kw_only=True)
class UncoveredSegment:
    """A segment without an eval case, and its share of the traffic, 0 to 1."""

    segment: str
    share: float


@dataclass(frozen=True, slots=True, kw_only=True)
class EvalCoverage:
    """What a suite leaves out of the traffic.

    Without results of the suite it is not known (`is_known`), and the rest is empty. `suite_from` is the rollout whose
    results tell what the suite holds, if they are not those of the plan itself. `at_least` is the share of traffic
    that is in some uncovered segment: dimensions overlap, so that it is the largest sum within one. `unlabelled` are
    dimensions of the traffic of which no case says anything.
    """

    traffic: SegmentTraffic | None = None
    is_known: bool = False
    suite_from: str = ""
    uncovered: tuple[UncoveredSegment, ...] = ()
    at_least: float = 0.0
    unlabelled: tuple[str, ...] = ()


def find_coverage(traffic: SegmentTraffic | None, covers: Sequence[str], suite_from: str = "") -> EvalCoverage:
    """Compare the traffic with the categories and labels (`language=tr`) that a suite covers; none if it is not known.

    A segment has a case if one has the label, or if a category is called like its value: `intent=billing` is covered by
    the category `billing`.
    """
    if traffic is None or not covers:
        return EvalCoverage(traffic=traffic)
    held = {_segment_key(name) if "=" in name else category_key(name) for name in covers}
    dimensions: dict[str, list[UncoveredSegment]] = {}
    labelled: set[str] = {name.partition("=")[0] for name in held if "=" in name}
    for segment, share in traffic.shares.items():
        dimension, _, value = segment.partition("=")
        missing = dimensions.setdefault(dimension, [])
        if _segment_key(segment) in held or category_key(value) in held:
            labelled.add(dimension)
        elif share >= SMALLEST_SHARE:
            missing.append(UncoveredSegment(segment=segment, share=share))
    known = {name: missing for name, missing in dimensions.items() if name in labelled}
    uncovered = sorted((one for missing in known.values() for one in missing), key=lambda one: -one.share)
    return EvalCoverage(
        traffic=traffic,
        is_known=True,
        suite_from=suite_from,
        uncovered=tuple(uncovered),
        at_least=min(1.0, max((sum(one.share for one in missing) for missing in known.values()), default=0.0)),
        unlabelled=tuple(sorted(set(dimensions) - labelled)),
    )


def _segment_key(segment: str) -> str:
    dimension, _, value = segment.partition("=")
    return f"{dimension}={category_key(value)}"
