"""What a rollout measured of the version that is live now, read from its sums and looks for its review."""

from core.judging import record
from core.reviews import measure_baseline
from core.rollout.plans.baseline import SurfaceBaseline
from core.rollout.state.model import Rollout
from core.rollout.state.world import World
from core.store.database.connections import Database
from core.store.observations import looks, observation_sums

MAX_LOOKS = 5000
"""Looks that are read for the complaints by hour; of more than that, evenly spaced ones."""


def load_baseline(database: Database, world: World, rollout: Rollout) -> SurfaceBaseline | None:
    """What this rollout measured of the version that is live now; None if that is too little or not the live one."""
    with database.reading() as connection:
        sums = observation_sums.load_sums(connection, rollout.id)
        kept = looks.load_thinned(connection, rollout.id, MAX_LOOKS)
    seen = (record.load_recorded_look(one.look_json).look for one in kept)
    return measure_baseline.measure_baseline(rollout, sums, seen, world.surfaces[rollout.plan.surface].live)
