"""A contract: a statement places each row as `place_observation` places the same observation, in every branch of it."""

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from datetime import datetime, timedelta
from itertools import product
from pathlib import Path
from typing import TypeAlias

import pytest
from sqlalchemy import case, column, select, table

from bot.sources.sql.connection import open_source
from bot.sources.sql.statements.placing import RowPlacer, RowSide, StageRange
from core.flags.bucketing import compute_bucket, make_digester
from core.flags.placement import MisplacedObservation, Placement, place_observation
from core.flags.snapshot import SurfaceFlags
from core.rollout.plans.layers import LayerSlots
from core.rollout.plans.plan import DrivenFlag, Stage, StageKind
from core.rollout.serving.exposure import build_snapshot
from core.rollout.state.model import RolloutState, StratumRollback
from core.rollout.state.world import World
from tests.flags.conftest import NOON, STAGES, world_in

COHORT, CANARY, BAKE = 1, 2, 5
LONG = timedelta(hours=6)  # a hold after which a step settles in a quarter of an hour
FLAG = DrivenFlag(
    url="https://flags.example.com", project="p", environment="e", feature="f", strategy="s", system="unleash"
)
SHORT = timedelta(minutes=2)
WHOLE_COHORT = replace(STAGES[COHORT], percent=100)
STEPS = (STAGES[0], *STAGES[CANARY:])
SHRINKING = (*STEPS[:2], Stage(kind=StageKind.RAMP, name="ramp 2%", percent=2))


def unit_at(low: int, high: int) -> str:
    return next(u for u in (f"u{i}" for i in range(10_000)) if low <= compute_bucket("expose", "R-1", u) < high)


UNITS = tuple(
    unit_at(low, high)
    for low, high in (
        (0, 19_000),
        (30_000, 49_000),
        (60_000, 200_000),
        (300_000, 450_000),
        (510_000, 700_000),
        (800_000, 940_000),
        (960_000, 1_000_000),
    )
)
MOVED = UNITS[0]


def alter(
    world: World,
    *,
    strata_back: bool = False,
    moved: bool = False,
    finishing: bool = False,
    layer: LayerSlots | None = None,
) -> World:
    """The world after people intervened in the third hour, or with conversations that finish."""
    rollout, at = world.rollouts["R-1"], NOON + timedelta(hours=2.5)
    if strata_back:
        rollout = replace(rollout, strata_back={"internal": StratumRollback(at=at)})
    if moved:
        rollout = replace(rollout, moved_back={f"{make_digester('expose', 'R-1')(MOVED):016x}": at})
    if finishing:
        rollout = replace(rollout, plan=replace(rollout.plan, finish_within=timedelta(hours=1)))
    if layer is not None:
        rollout = replace(rollout, layer=layer)
    return replace(world, rollouts={"R-1": rollout})


WORLDS = {
    "a cohort, a canary and steps": world_in(BAKE, hold=LONG),
    "a cohort under way": world_in(COHORT, hold=LONG),
    "a cohort that gets the new version throughout": world_in(
        2, stages=(STAGES[0], WHOLE_COHORT, *STAGES[CANARY:]), hold=LONG
    ),
    "steps without a cohort": world_in(4, stages=STEPS, hold=LONG),
    "short steps": world_in(4, stages=STEPS, hold=SHORT),
    "short steps after a cohort": world_in(BAKE, hold=SHORT),
    "short steps with a matched control": world_in(4, stages=STEPS, hold=SHORT, control="matched"),
    "a short step back": world_in(2, stages=SHRINKING, hold=SHORT),
    "a matched control": world_in(4, stages=STEPS, hold=LONG, control="matched"),
    "a step back": world_in(2, stages=SHRINKING, hold=LONG, control="matched"),
    "an ended rollout": world_in(CANARY, state=RolloutState.ROLLED_BACK),
    "a unit that was moved back": alter(world_in(4, stages=STEPS, hold=LONG), moved=True),
    "a stratum that was rolled back": alter(world_in(4, stages=STEPS), strata_back=True),
    "conversations that finish": alter(world_in(4, stages=STEPS, hold=LONG), finishing=True),
    "a layer": alter(world_in(4, stages=STEPS, hold=LONG), layer=LayerSlots(layer="chat", ranges=((0, 600_000),))),
    "a layer of several ranges, and a matched control": alter(
        world_in(4, stages=STEPS, hold=LONG, control="matched"),
        layer=LayerSlots(layer="chat", ranges=((100_000, 400_000), (600_000, 1_000_000))),
    ),
    "another flag system": world_in(BAKE, drives=FLAG),
    "another flag system that never came to a stage": world_in(BAKE, drives=FLAG, unset=CANARY),
    "another flag system, and a stratum that was rolled back": alter(world_in(BAKE, drives=FLAG), strata_back=True),
}

Place: TypeAlias = tuple[int, str, bool, str | None] | None
"""Stage, arm, whether it counts for the split, and the arm in which it does if that is another."""


def list_rows() -> Iterator[tuple[str, datetime, str | None, str | None, str | None]]:
    """(unit, at, exposure, variant, version): each combination of what a row may say, around each step in time."""
    tick = timedelta(microseconds=1)
    offsets = (-tick, timedelta(0), tick, timedelta(hours=0.1), timedelta(hours=0.3), timedelta(hours=0.9))
    times = [NOON + timedelta(hours=hour) + offset for hour in range(-1, 8) for offset in offsets]
    variants = (None, "", "canary", "control", "stable", "treatment")
    versions = (None, "", "v41", "v42", "v43", "v99")
    for unit, at, variant, version in product(UNITS, times, variants, versions):
        yield unit, at, None, variant, version
    tokens = [f"R-1.{stage}.{arm}" for stage in range(7) for arm in ("canary", "control", "stable")]
    for at, exposure, variant, version in product(
        times, (*tokens, "", "R-0.1.canary", "nonsense"), (None, "canary", "control"), (None, "v42", "v43")
    ):
        yield MOVED, at, exposure, variant, version


ROWS = list(list_rows())


def place_in_process(flags: SurfaceFlags) -> list[Place]:
    """Where each row counts over HTTP, which refuses empty texts: a row that holds one says nothing there."""
    found: list[Place] = []
    for unit, at, exposure, variant, version in ROWS:
        try:
            place = place_observation(
                flags, unit=unit, at=at, exposure=exposure or None, variant=variant or None, version=version or None
            )
        except MisplacedObservation:
            found.append(None)
            continue
        is_placed = isinstance(place, Placement)
        found.append((place.stage, place.arm.value, place.counts_for_split, place.assigned_arm) if is_placed else None)
    return found


@pytest.fixture(scope="module")
def rows_address(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A database with the rows."""
    path: Path = tmp_path_factory.mktemp("placing") / "rows.db"
    with closing(sqlite3.connect(path)) as writer, writer:
        writer.execute("CREATE TABLE rows (number INTEGER PRIMARY KEY, unit, at, exposure, variant, version)")
        numbered = [(n, unit, at.isoformat(), *said) for n, (unit, at, *said) in enumerate(ROWS)]
        writer.executemany("INSERT INTO rows VALUES (?, ?, ?, ?, ?, ?)", numbered)
    return f"sqlite:///{path}"


def place_in_sql(flags: SurfaceFlags, address: str) -> list[Place]:
    """Where a statement counts each row."""
    tracked = flags.tracked[0]
    window = StageRange(
        tracked=tracked,
        stages=frozenset(span.index for span in tracked.spans),
        since=tracked.spans[0].since,
        upto=NOON + timedelta(days=1),
    )
    row = RowSide(**{name: column(name) for name in ("unit", "at", "exposure", "variant", "version")})
    with open_source(address, frozenset({"localhost"}), 120) as source:
        placer = RowPlacer(engine=source.engine, window=window, row=row)
        places = list(placer.list_places())
        placed = [(condition, number) for number, (condition, _) in enumerate(places)]
        number = case((placer.names_unknown_side(), -1), *placed, else_=-1)
        asked = select(column("number"), number).select_from(table("rows")).order_by(column("number"))
        found = [places[one][1] if one >= 0 else None for _, one in source.fetch(asked, len(ROWS))]
    return [
        None if place is None else (place.stage, place.arm, place.counts_for_split, place.assigned_arm)
        for place in found
    ]


@pytest.mark.parametrize("world", WORLDS.values(), ids=WORLDS)
def test_a_row_counts_where_the_same_observation_counts(world: World, rows_address: str) -> None:
    flags = build_snapshot(world).surfaces["support"]
    expected = place_in_process(flags)
    assert any(expected)
    differing = [
        (row, place, other)
        for row, place, other in zip(ROWS, expected, place_in_sql(flags, rows_address), strict=True)
        if place != other
    ]
    assert not differing, f"{len(differing)} of {len(ROWS)} rows, such as {differing[:5]}"
