"""One unit adds some times what is usual and no more, whatever it says, so that it can neither fake nor hide harm."""

import random
from dataclasses import dataclass

import pytest

from core.judging.judge import judge
from core.judging.limits.default_limits import derive_default_limits
from core.judging.limits.limits import Limit, LimitKind, LimitRole, LimitScale
from core.judging.look.look import take_look
from core.judging.model.question import Question, StageDesign
from core.judging.model.state import JudgingState
from core.metrics.observation import Observation
from core.store.observations import observation_sums, pulled_sums
from core.store.observations.observation_batch import PlacedObservation
from core.store.observations.unit_caps import CAP_MINIMUM, CAP_MULTIPLE, MAX_TRACKED_UNITS, UnitCaps

REFUSALS = Limit(
    metric="refusal_rate", kind=LimitKind.RISES_BY, amount=0.01, scale=LimitScale.POINTS, role=LimitRole.ROLLBACK
)


@dataclass(frozen=True)
class Sent:
    unit: str
    rollout: str = "R-1"
    stage: int = 0


def counted(units, allowances=None):
    return (allowances or UnitCaps()).admit([Sent(unit) for unit in units])


def test_a_unit_that_floods_counts_ten_times_what_is_usual():
    sent = [f"u{number % 300}" for number in range(6000)] + ["robot"] * 20_000
    taken = sum(counted(sent)[6000:])
    assert taken == pytest.approx(CAP_MULTIPLE * 20, rel=0.05)


def test_the_first_requests_of_a_stage_count_whoever_sends_them():
    assert sum(counted(["robot"] * 20_000)) == 20_000  # alone, it is what is usual
    assert sum(counted(["a", "b", "c", *["robot"] * CAP_MINIMUM])) == CAP_MINIMUM + 3


def test_busy_people_are_not_cut():
    dice = random.Random(5)
    sent = [f"u{number}" for number in range(100) for _ in range(dice.randrange(10, 51))]
    dice.shuffle(sent)
    assert all(counted(sent))


def test_among_a_million_people_a_flood_is_still_noticed():
    allowances = UnitCaps()
    dice = random.Random(6)
    everybody = counted([f"u{dice.randrange(200_000)}" for _ in range(100_000)], allowances)
    assert all(everybody)
    mixed = ["robot" if number % 10 == 0 else f"u{dice.randrange(200_000)}" for number in range(100_000)]
    taken = sum(yes for yes, unit in zip(counted(mixed, allowances), mixed, strict=True) if unit == "robot")
    assert taken <= CAP_MINIMUM + 200_000 // MAX_TRACKED_UNITS


def test_each_stage_of_each_rollout_has_an_allowance_of_its_own():
    allowances = UnitCaps()
    flood = [Sent(f"u{n}") for n in range(300)] + [Sent("robot")] * 1000
    assert not all(allowances.admit(flood))
    assert all(allowances.admit([Sent("robot", stage=1)] * CAP_MINIMUM))
    assert all(allowances.admit([Sent("robot", rollout="R-2")] * CAP_MINIMUM))


def test_what_one_unit_sends_beyond_is_added_up_apart(sqlite_database, noon):
    flood = [seen(f"u{n}", noon, False) for n in range(300)] + [seen("robot", noon, True)] * 1000
    with sqlite_database.writing_outside_log() as connection:
        observation_sums.add_observations(connection, flood, None, UnitCaps())
    with sqlite_database.reading() as connection:
        cells = {key.metric: cell for key, cell in observation_sums.load_sums(connection, "R-1").cells.items()}
    assert cells["requests"].weight.sum() == 300 + CAP_MINIMUM
    assert cells[pulled_sums.SET_ASIDE].weight.sum() == 1000 - CAP_MINIMUM


def test_twenty_thousand_good_requests_of_one_unit_hide_no_harm(sqlite_database, noon):
    """12 % of what 300 people ask is refused instead of 2 %, and a robot of the canary asks and gets an answer."""
    with_robot, without = (
        looks_until_found(sqlite_database, noon, name, robot) for name, robot in (("R-1", 1), ("R-2", 0))
    )
    assert without is not None
    assert with_robot is not None
    assert without <= with_robot <= 20


def looks_until_found(database, noon, name, robot):
    dice, allowances = random.Random(8), UnitCaps()
    stage = StageDesign(index=0, name="canary", compared=True, canary_share=0.05, control_left=True)
    question = Question(limits=(REFUSALS,), implied=derive_default_limits((REFUSALS,), ()), stages=(stage,), current=0)
    state, at = JudgingState(), noon
    for number in range(60):
        placed = []
        for _ in range(333):
            canary, unit = dice.random() < 0.05, dice.randrange(300)
            unit = f"n{unit}" if canary else f"o{dice.randrange(5700)}"
            placed.append(
                seen(unit, at, dice.random() < (0.12 if canary else 0.02), name, "canary" if canary else "control")
            )
        placed += [seen("robot", at, False, name)] * (robot * (20_000 if number == 0 else 200))
        with database.writing_outside_log() as connection:
            observation_sums.add_observations(connection, placed, None, allowances)
        at = at.replace(second=number % 60)
        with database.reading() as connection:
            look = take_look(question, observation_sums.load_sums(connection, name), state, at)
        found = judge(question, look, state)
        state = found.state
        if found.verdict.name == "roll_back":
            return number
    return None


def seen(unit, at, refused, rollout="R-1", arm="canary"):
    observation = Observation(
        surface="support", unit="", at=at, segments={}, readings={"refusal_rate": float(refused)}, error_category=None
    )
    return PlacedObservation(rollout=rollout, stage=0, arm=arm, unit=unit, observation=observation)
