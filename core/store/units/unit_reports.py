"""What people report of one unit, such as a complaint: where the unit was served, and counting it there."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import Connection

from core.flags.placement import COMPARED_VARIANTS
from core.flags.possible_answers import list_possible_answers
from core.metrics.observation import Observation
from core.rollout.context import Actor
from core.rollout.serving import exposure
from core.rollout.state.world import World
from core.rollout.votes.testers import find_voter
from core.store.database.connections import Database
from core.store.observations import deduplication, observation_sums
from core.store.observations.observation_batch import PlacedObservation
from core.store.units import complaints


@dataclass(frozen=True, slots=True, kw_only=True)
class UnitPlace:
    """The stage and arm in which a unit is compared, and the version it gets; empty where that is not known.

    An empty `arm` means that the unit is compared in none. What is `pulled` from a source is not counted here, too.
    """

    surface: str
    rollout: str
    unit: str
    stage: int = -1
    arm: str = ""
    version: str = ""
    pulled: frozenset[str] = frozenset()


def find_place(database: Database, world: World, rollout_id: str, unit: str, at: datetime) -> UnitPlace:
    """Where `unit` is served at `at`, which is now: as reported in this stage, otherwise by the bucketing.

    A unit whose attributes would have to be known is in no arm, and neither is one without a rollout under way.
    """
    rollout = world.find_rollout(rollout_id)
    if rollout is None:
        return UnitPlace(surface="", rollout=rollout_id, unit=unit)
    surface = rollout.plan.surface
    nowhere = UnitPlace(surface=surface, rollout=rollout_id, unit=unit)
    if not unit:
        return nowhere
    flags = exposure.build_surface_flags(world, surface)
    if not rollout.is_under_way:
        return UnitPlace(surface=surface, rollout=rollout_id, unit=unit, version=flags.live.version.name)
    stage = rollout.current_stage
    versions = {"canary": rollout.plan.to_version, "control": rollout.plan.from_version}
    tracked = next((one for one in flags.tracked if one.rollout == rollout_id), None)
    is_moved = tracked is not None and tracked.was_moved_back(unit, at)
    with database.reading() as connection:
        seen = observation_sums.load_arms_seen(connection, rollout_id, unit).get(rollout.stage_index)
    arm = seen if seen in versions and not is_moved else None
    if arm is None and not rollout.plan.dividing:
        answers = list_possible_answers(flags, unit, {})
        if len(answers) != 1:
            return nowhere
        answer = answers[0].answer
        if answer.variant not in COMPARED_VARIANTS:
            return UnitPlace(surface=surface, rollout=rollout_id, unit=unit, version=answer.version.name)
        arm = answer.variant.value
    if arm is None or not stage.has_exposure or (arm == "control" and not stage.is_compared):
        return nowhere
    return UnitPlace(
        surface=surface,
        rollout=rollout_id,
        unit=unit,
        stage=rollout.stage_index,
        arm=arm,
        version=versions[arm],
        pulled=frozenset(tracked.pulled) if tracked is not None else frozenset(),
    )


def count(database: Database, place: UnitPlace, readings: Mapping[str, float], *, report: str, at: datetime) -> bool:
    """Count what was reported of a unit, once per report and, for complaints, once per unit and hour.

    Readings that a source counts are left to it, so that nothing counts twice. Returns whether anything was counted.
    """
    readings = {metric: value for metric, value in readings.items() if metric not in place.pulled}
    if not place.arm or not readings:
        return False
    seen = Observation(surface=place.surface, unit=place.unit, at=at, readings=readings)
    placed = PlacedObservation(
        rollout=place.rollout, stage=place.stage, arm=place.arm, unit=place.unit, observation=seen
    )
    with database.writing_outside_log() as connection:
        return _count_once(connection, placed, report, at)


def _count_once(connection: Connection, placed: PlacedObservation, report: str, at: datetime) -> bool:
    if not deduplication.claim_fresh_items(connection, [(f"{placed.rollout}/report", report)], at):
        return False
    counted = complaints.deduplicate_hourly(connection, [placed], at)
    if counted:
        observation_sums.add_observations(connection, counted)
    return bool(counted)


def find_voter_arm(database: Database, world: World, rollout_id: str, by: Actor, at: datetime) -> str:
    """The arm (`canary` or `control`) that the tester `by` is compared in at `at`; empty where that is not known.

    It is what applications reported of their unit in this stage, otherwise what the bucketing says; never a guess.
    """
    rollout = world.find_rollout(rollout_id)
    tester = find_voter(rollout, by) if rollout is not None else None
    if tester is None or not tester.unit:
        return ""
    return find_place(database, world, rollout_id, tester.unit, at).arm
