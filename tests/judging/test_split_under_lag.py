"""A law: reports that come late, with neither exposure nor time, hold no rollout that is split as planned."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

import numpy as np
import pytest

from core.flags.evaluation import choose_answer
from core.flags.placement import Placement, place_observation
from core.flags.snapshot import Snapshot
from core.judging.limits.limits import Limit, LimitKind, LimitRole, LimitScale
from core.judging.look.look import ExposureCounts, Look
from core.judging.model.evidence import EvidenceSums
from core.judging.model.question import Question, StageDesign
from core.judging.model.state import SplitCheck
from core.judging.verdict.sample_ratio import check_split
from core.metrics.observation import Observation
from core.rollout.plans.plan import Stage, StageKind
from core.rollout.serving.exposure import build_snapshot
from core.rollout.state.model import StageSpan
from core.store.database.connections import Database
from core.store.observations import observation_sums
from core.store.observations.observation_batch import PlacedObservation
from tests.flags.conftest import NOON, world_in
from tests.trials.length import pick

PERCENTS = (5, 25, 50, 75)
STAGES = tuple(Stage(kind=StageKind.RAMP, name=f"{x}%", percent=x) for x in PERCENTS)
PEOPLE, REPORTS, LOOKS = 1200, 1500, 6  # of a stage, each
LIMIT = Limit(
    metric="refusal_rate", kind=LimitKind.RISES_BY, amount=0.01, scale=LimitScale.POINTS, role=LimitRole.ROLLBACK
)
FIRST = timedelta(hours=2)
"""How long the first stage lasts; the others are short."""

Served = Callable[[str, str, int], str | None]
"""What an application serves a unit that is told a variant in a stage; None: nothing, and it does not report."""


@dataclass(frozen=True, kw_only=True)
class History:
    """When each stage began, and what is known of the surface in it."""

    begins: tuple[datetime, ...]
    shots: tuple[Snapshot, ...]

    def stage_at(self, at: datetime) -> int:
        return max(i for i, begin in enumerate(self.begins) if begin <= at)


def history(hold: timedelta) -> History:
    begins = (NOON, *(NOON + FIRST + i * hold for i in range(len(STAGES) - 1)))
    shots = []
    for number in range(len(STAGES)):
        world = world_in(number, stages=STAGES, hold=hold)
        spans = tuple(
            StageSpan(index=i, since=begins[i], driven_since=None, until=begins[i + 1] if i < number else None)
            for i in range(number + 1)
        )
        rollout = replace(world.rollouts["R-1"], spans=spans)
        shots.append(build_snapshot(replace(world, rollouts={"R-1": rollout})))
    return History(begins=begins, shots=tuple(shots))


def findings(
    database: Database,
    hold: timedelta,
    lag: timedelta,
    seed: int,
    *,
    says: str = "variant",
    served: Served | None = None,
) -> Iterator[tuple[timedelta, bool]]:
    """(time since the first short stage began, whether the split is found wrong) at each look of the short stages."""
    chance, told, state = np.random.default_rng(seed), history(hold), SplitCheck()
    waits = chance.random(PEOPLE) if seed % 2 else np.ones(PEOPLE)  # all clients wait alike, or each for another time
    for number in range(1, len(STAGES)):
        for look in range(LOOKS):
            began, every = told.begins[number] + look * hold / LOOKS, hold / LOOKS
            placed = []
            for part in np.sort(chance.random(REPORTS // LOOKS)):
                who, at = int(chance.integers(PEOPLE)), began + part * every
                unit, evaluated = f"u{who}", told.stage_at(at - waits[who] * lag)
                answer = choose_answer(told.shots[evaluated].surfaces["support"], unit, {})
                variant = answer.variant if served is None else served(unit, answer.variant, evaluated)
                if variant is None:
                    continue
                version = {"canary": "v43", "control": "v42"}[variant]
                where = place_observation(
                    told.shots[number].surfaces["support"],
                    unit=unit,
                    at=at,
                    **({"variant": variant} if says == "variant" else {"version": version}),
                )
                if isinstance(where, Placement):
                    seen = Observation(surface="support", unit=unit, at=at, readings={"refusal_rate": 0.0})
                    placed.append(
                        PlacedObservation(
                            rollout="R-1",
                            stage=where.stage,
                            arm=where.arm.value,
                            unit=unit,
                            observation=seen,
                            counts_for_split=where.counts_for_split,
                            assigned_arm=where.assigned_arm.value if where.assigned_arm is not None else None,
                        )
                    )
            with database.writing_outside_log() as connection:
                observation_sums.add_observations(connection, placed)
            with database.reading() as connection:
                sums = observation_sums.load_sums(connection, "R-1", segments=False)
            state = check_split(_question(number), _look(sums, number, began + every), state)
            yield began + every - told.begins[1], state.found is not None


def _question(number: int) -> Question:
    designs = [
        StageDesign(index=i, name=one.name, compared=True, canary_share=one.percent / 100, control_left=True)
        for i, one in enumerate(STAGES[: number + 1])
    ]
    return Question(limits=(LIMIT,), stages=tuple(designs), current=number)


def _look(sums: EvidenceSums, number: int, at: datetime) -> Look:
    exposures = tuple(
        ExposureCounts(
            stage=stage,
            canary=sums.first_exposures.get((stage, "canary"), 0),
            control=sums.first_exposures.get((stage, "control"), 0),
            moved=sums.moved.get(stage, 0),
        )
        for stage in range(number + 1)
    )
    return Look(at=at, stage=number, exposures=exposures)


@pytest.mark.parametrize("says", ["variant", "version"])
@pytest.mark.parametrize("lag", [0, 30, 60, 300, 600])
@pytest.mark.parametrize("minutes", pick([2, 15], [2, 5, 10, 15, 30, 60]))
def test_a_split_as_planned_is_never_found_wrong_however_late_reports_are(
    sqlite_database: Database, minutes: int, lag: int, says: str
) -> None:
    hold, seed = timedelta(minutes=minutes), minutes + lag
    found = findings(sqlite_database, hold, timedelta(seconds=lag), seed, says=says)
    assert [since for since, wrong in found if wrong] == []


@pytest.mark.parametrize("lag", [0, 60])
@pytest.mark.parametrize("minutes", [2, 60])
def test_a_canary_of_which_half_the_people_never_report_is_found(
    sqlite_database: Database, minutes: int, lag: int
) -> None:
    def lose(unit: str, variant: str, _: int) -> str | None:
        return None if variant == "canary" and int(unit[1:]) % 2 else variant

    hold = timedelta(minutes=minutes)
    found = findings(sqlite_database, hold, timedelta(seconds=lag), 3, served=lose)
    assert min(since for since, wrong in found if wrong) <= 2 * hold


def test_an_application_that_divides_by_itself_is_found(sqlite_database: Database) -> None:
    def divide(unit: str, _: str, stage: int) -> str:
        return "canary" if int(unit[1:]) % 100 < PERCENTS[stage] / 2 else "control"

    found = findings(sqlite_database, timedelta(hours=1), timedelta(0), 5, served=divide)
    assert min(since for since, wrong in found if wrong) <= timedelta(minutes=40)


def test_clients_that_never_ask_again_are_found_after_a_quarter_of_an_hour(sqlite_database: Database) -> None:
    """Until then they are as any that keep an answer for some minutes."""
    first = history(timedelta(hours=1)).shots[0]

    def keep(unit: str, _: str, __: int) -> str:
        return choose_answer(first.surfaces["support"], unit, {}).variant or "control"

    found = findings(sqlite_database, timedelta(hours=1), timedelta(0), 7, served=keep)
    wrong = [since for since, is_wrong in found if is_wrong]
    assert timedelta(minutes=15) < min(wrong) <= timedelta(minutes=40)
