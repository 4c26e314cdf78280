"""Critical flows: named kinds of requests, told by their segments, each of which is judged by itself."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from core.flags.targeting import CohortConditions

FLOW = "flow"
"""The segment under which flows are judged, as in `flow=refunds`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CriticalFlow:
    """A kind of request that matters by itself."""

    name: str
    conditions: CohortConditions


def find_flow(flows: Sequence[CriticalFlow], segments: Mapping[str, str]) -> str | None:
    """The first flow whose conditions hold for a request with these segments; None if it belongs to none."""
    return next((flow.name for flow in flows if flow.conditions.matches(segments)), None)
