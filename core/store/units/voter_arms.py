"""Which version a tester gets, by the unit that the plan names for them."""

from datetime import datetime

from core.rollout.context import Actor
from core.rollout.state.world import World
from core.rollout.votes.testers import find_voter
from core.store.database.connections import Database
from core.store.units import unit_reports


def find_voter_arm(database: Database, world: World, rollout_id: str, by: Actor, at: datetime) -> str:
    """The arm (`canary` or `control`) that the tester `by` is compared in at `at`; empty where that is not known.

    It is what applications reported of their unit in this stage, otherwise what the bucketing says; never a guess.
    """
    rollout = world.find_rollout(rollout_id)
    tester = find_voter(rollout, by) if rollout is not None else None
    if tester is None or not tester.unit:
        return ""
    return unit_reports.find_place(database, world, rollout_id, tester.unit, at).arm
