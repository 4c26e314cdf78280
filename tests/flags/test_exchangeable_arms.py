"""A law: in any history of stages, who is compared depends on who they are, and their arm on chance alone."""

from collections import defaultdict
from collections.abc import Sequence
from datetime import timedelta
from fractions import Fraction
from itertools import product

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from core.flags.bucketing import MILLION, make_bucketer
from core.flags.placement import Placement, place_observation
from core.rollout.plans.plan import Stage, StageKind
from core.rollout.serving.exposure import build_snapshot
from tests.flags.conftest import NOON, world_in
from tests.served import evaluate

CELLS = 200
"""Units are spread evenly over the buckets, one in each half percent, so that shares of an arm are exact."""
UNITS = [
    unit
    for _, unit in sorted(
        {make_bucketer("expose", "R-1")(f"u{i}") * CELLS // MILLION: f"u{i}" for i in range(20 * CELLS)}.items()
    )
]
ATTRIBUTES = ("opt_in", "internal")


@st.composite
def cohorts(draw: st.DrawFn) -> list[Stage]:
    wanted = draw(st.lists(st.sampled_from(ATTRIBUTES), max_size=2, unique=True))
    percents = [draw(st.sampled_from([5, 20, 50, 80, 100])) for _ in wanted]
    return [
        Stage(kind=StageKind.COHORT, name=name, percent=percent, where={name: "true"})
        for name, percent in zip(wanted, percents, strict=True)
    ]


@st.composite
def plans(draw: st.DrawFn) -> tuple[Stage, ...]:
    steps = sorted(draw(st.sets(st.sampled_from([10, 25, 50, 75, 100]), min_size=1)))
    ramp = [Stage(kind=StageKind.RAMP, name=f"ramp {x}%", percent=x) for x in steps]
    return (*draw(cohorts()), Stage(kind=StageKind.CANARY, name="canary", percent=draw(st.integers(1, 5))), *ramp)


def histories(stages: int) -> st.SearchStrategy[list[tuple[dict[str, bool], ...]]]:
    """Some kinds of people: what is known of them in each stage. Attributes come and go."""
    known = st.fixed_dictionaries({name: st.booleans() for name in ATTRIBUTES})
    return st.lists(st.tuples(*[known] * stages), min_size=1, max_size=6)


@settings(deadline=None, max_examples=60)
@given(st.data(), plans(), st.sampled_from(["concurrent", "matched"]))
def test_those_compared_are_drawn_alike_for_both_arms(
    data: st.DataObject, stages: tuple[Stage, ...], control: str
) -> None:
    check_arms(stages, data.draw(histories(len(stages))), control)


@pytest.mark.parametrize("cohort", [5, 20, 50, 80])
@pytest.mark.parametrize("ramp", [10, 50, 75])
def test_a_cohort_beside_a_matched_control_makes_no_arm_lopsided(cohort: int, ramp: int) -> None:
    stages = (
        Stage(kind=StageKind.COHORT, name="opt_in", percent=cohort, where={"opt_in": "true"}),
        Stage(kind=StageKind.RAMP, name="ramp", percent=ramp),
    )
    kinds = [tuple({"opt_in": one, "internal": False} for one in known) for known in product((True, False), repeat=2)]
    check_arms(stages, kinds, "matched")


def check_arms(stages: tuple[Stage, ...], kinds: Sequence[tuple[dict[str, bool], ...]], control: str) -> None:
    """Of each kind of people as large a part of either arm is compared; without a matched control all or nobody."""
    assert len(UNITS) == CELLS
    compared_in_a_cohort: set[tuple[int, str]] = set()
    for number, stage in enumerate(stages):
        world = world_in(number, stages=stages, hold=timedelta(0), control=control)
        snapshot = build_snapshot(world)
        flags = snapshot.surfaces["support"]
        exposure = flags.exposure
        assert exposure is not None
        met: dict[int, dict[bool, list[bool]]] = defaultdict(lambda: defaultdict(list))  # by kind and arm
        seen_here: set[tuple[int, str]] = set()
        for kind, history in enumerate(kinds):
            for unit in UNITS:
                answer = evaluate(snapshot, "support", unit, history[number])
                found = place_observation(
                    flags, unit=unit, at=NOON + timedelta(hours=number + 0.5), exposure=answer.exposure
                )
                # As core/store/observations/observation_sums.py does it: whom an earlier cohort's stage has seen is
                # not counted.
                excluded = (kind, unit) in compared_in_a_cohort
                compared = isinstance(found, Placement) and not excluded
                if isinstance(found, Placement) and compared:
                    assert (found.arm == "canary") is (exposure.bucket(unit) < exposure.canary_below)
                    assert found.stage == number
                    seen_here.add((kind, unit))
                is_canary = exposure.bucket(unit) < exposure.canary_below
                if is_canary or exposure.bucket(unit) >= exposure.control_from:
                    met[kind][is_canary].append(compared)
        for kind, by_arm in met.items():
            shares = {Fraction(sum(one), len(one)) for one in by_arm.values()}
            assert len(shares) == 1, f"of people like {kinds[kind]} {shares} of the arms are compared in {stage.name}"
            assert control == "matched" or shares <= {0, 1}
        if stage.kind is StageKind.COHORT:
            compared_in_a_cohort |= seen_here


@settings(deadline=None)
@given(plans(), st.fixed_dictionaries({name: st.booleans() for name in ATTRIBUTES}))
def test_growth_never_takes_the_new_version_from_anybody(stages: Sequence[Stage], known: dict[str, bool]) -> None:
    shots = [build_snapshot(world_in(number, stages=tuple(stages))) for number in range(len(stages))]
    outside = [s for s in stages if s.kind is StageKind.COHORT and not known[s.name]]
    for unit in UNITS[:50]:
        served = [
            evaluate(shot, "support", unit, known).version.name
            for shot, stage in zip(shots, stages, strict=True)
            if stage not in outside
        ]
        assert served == sorted(served)
