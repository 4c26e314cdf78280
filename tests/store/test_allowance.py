"""One unit adds some times what is usual and no more, whatever it says, so that it can neither fake nor hide harm."""

import random
from dataclasses import dataclass

import pytest

from core.judging.judge import judge
from core.judging.look.look import reduce
from core.judging.model.default_limits import implied
from core.judging.model.limits import Kind, Limit, Role, Scale
from core.judging.model.question import Question, StageDesign
from core.judging.model.state import State
from core.metrics.observation import Observation
from core.store.observations import windows
from core.store.observations.unit_caps import LEAST, TIMES, TRACKED, Allowances
from core.store.observations.windows import Placed

REFUSALS = Limit(metric="refusal_rate", kind=Kind.RISES_BY, amount=0.01, scale=Scale.POINTS, role=Role.ROLLBACK)


@dataclass(frozen=True)
class Sent:
    unit: str
    rollout: str = "R-1"
    stage: int = 0


def counted(units, allowances=None):
    return (allowances or Allowances()).count([Sent(unit) for unit in units])


def test_a_unit_that_floods_counts_ten_times_what_is_usual():
    sent = [f"u{number % 300}" for number in range(6000)] + ["robot"] * 20_000
    taken = sum(counted(sent)[6000:])
    assert taken == pytest.approx(TIMES * 20, rel=0.05)


def test_the_first_requests_of_a_stage_count_whoever_sends_them():
    assert sum(counted(["robot"] * 20_000)) == 20_000  # alone, it is what is usual
    assert sum(counted(["a", "b", "c", *["robot"] * LEAST])) == LEAST + 3


def test_busy_people_are_not_cut():
    dice = random.Random(5)
    sent = [f"u{number}" for number in range(100) for _ in range(dice.randrange(10, 51))]
    dice.shuffle(sent)
    assert all(counted(sent))


def test_among_a_million_people_a_flood_is_still_noticed():
    allowances = Allowances()
    dice = random.Random(6)
    everybody = counted([f"u{dice.randrange(200_000)}" for _ in range(100_000)], allowances)
    assert all(everybody)
    mixed = ["robot" if number % 10 == 0 else f"u{dice.randrange(200_000)}" for number in range(100_000)]
    taken = sum(yes for yes, unit in zip(counted(mixed, allowances), mixed, strict=True) if unit == "robot")
    assert taken <= LEAST + 200_000 // TRACKED


def test_each_stage_of_each_rollout_has_an_allowance_of_its_own():
    allowances = Allowances()
    flood = [Sent(f"u{n}") for n in range(300)] + [Sent("robot")] * 1000
    assert not all(allowances.count(flood))
    assert all(allowances.count([Sent("robot", stage=1)] * LEAST))
    assert all(allowances.count([Sent("robot", rollout="R-2")] * LEAST))


def test_what_one_unit_sends_beyond_is_added_up_apart(sqlite_database, noon):
    flood = [seen(f"u{n}", noon, False) for n in range(300)] + [seen("robot", noon, True)] * 1000
    with sqlite_database.plain_writing() as connection:
        windows.record(connection, flood, None, Allowances())
    with sqlite_database.reading() as connection:
        cells = {key.metric: cell for key, cell in windows.read(connection, "R-1").cells.items()}
    assert cells["requests"].weight.sum() == 300 + LEAST
    assert cells[windows.SET_ASIDE].weight.sum() == 1000 - LEAST


def test_twenty_thousand_good_requests_of_one_unit_hide_no_harm(sqlite_database, noon):
    """12 % of what 300 people ask is refused instead of 2 %, and a robot of the canary asks and gets an answer."""
    with_robot, without = (
        looks_until_found(sqlite_database, noon, name, robot) for name, robot in (("R-1", 1), ("R-2", 0))
    )
    assert without is not None
    assert with_robot is not None
    assert without <= with_robot <= 20


def looks_until_found(database, noon, name, robot):
    dice, allowances = random.Random(8), Allowances()
    stage = StageDesign(index=0, name="canary", compared=True, canary_share=0.05, control_left=True)
    question = Question(limits=(REFUSALS,), implied=implied((REFUSALS,), ()), stages=(stage,), current=0)
    state, at = State(), noon
    for number in range(60):
        placed = []
        for _ in range(333):
            canary, unit = dice.random() < 0.05, dice.randrange(300)
            unit = f"n{unit}" if canary else f"o{dice.randrange(5700)}"
            placed.append(
                seen(unit, at, dice.random() < (0.12 if canary else 0.02), name, "canary" if canary else "control")
            )
        placed += [seen("robot", at, False, name)] * (robot * (20_000 if number == 0 else 200))
        with database.plain_writing() as connection:
            windows.record(connection, placed, None, allowances)
        at = at.replace(second=number % 60)
        with database.reading() as connection:
            look = reduce(question, windows.read(connection, name), state, at)
        found = judge(question, look, state)
        state = found.state
        if found.verdict.name == "roll_back":
            return number
    return None


def seen(unit, at, refused, rollout="R-1", arm="canary"):
    observation = Observation(
        surface="support", unit="", at=at, segments={}, readings={"refusal_rate": float(refused)}, error_category=None
    )
    return Placed(rollout=rollout, stage=0, arm=arm, unit=unit, observation=observation)
