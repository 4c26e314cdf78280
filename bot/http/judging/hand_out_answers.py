"""Hands out answers to a judge, and counts those about which it was asked before and said nothing."""

from collections.abc import Iterable, Sequence
from datetime import datetime

from sqlalchemy import Connection

from bot.http.judging.count_results import find_judged_placement, is_judge_doubted
from bot.http.observations.build_placed import build_placed_observation
from core.metrics.catalogue import UNJUDGED
from core.metrics.observation import Observation
from core.rollout.judging.judging_limits import list_hand_out_terms
from core.rollout.serving import exposure
from core.rollout.state.world import World
from core.shadow_eval.samples import ShadowSample
from core.store.observations import observation_sums
from core.store.shadow_eval import shadow_samples


def hand_out_answers(
    connection: Connection, world: World, now: datetime, limit: int, surfaces: Iterable[str] | None = None
) -> tuple[ShadowSample, ...]:
    """Lease up to `limit` answers and anchors to one judge, in a writing transaction.

    A judge that chokes on bad answers would pass all that it judges. So each lease that ended without a verdict counts
    for its side: if the sides differ in it, they cannot be compared by what was judged.
    """
    leased = shadow_samples.lease_samples(connection, now, limit, surfaces, list_hand_out_terms(world))
    count_unanswered(connection, leased.unanswered, world, now)
    return leased.samples


def count_unanswered(connection: Connection, samples: Sequence[ShadowSample], world: World, now: datetime) -> None:
    """Count answers about which a judge was asked and gave no verdict; anchors and second opinions are none of them."""
    if not samples:
        return
    snapshot = exposure.build_snapshot(world)
    placed = []
    for sample in samples:
        placement = find_judged_placement(sample, snapshot, now)
        if placement is None or is_judge_doubted(world, sample.rollout):
            continue
        unanswered = Observation(
            surface=sample.surface,
            unit=sample.unit,
            at=sample.at,
            segments=sample.segments,
            readings={UNJUDGED: 1.0},
            is_request=False,
        )
        placed.append(build_placed_observation(placement, unanswered))
    observation_sums.add_observations(connection, placed)
