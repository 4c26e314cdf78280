"""The read model: a fold of the log, the same whether kept in step event by event or built anew."""

from dataclasses import replace
from datetime import timedelta

import pytest
from sqlalchemy import text

from core.rollout.plans.plan import Approvals, Plan, Risk, Stage, StageKind
from core.rollout.state.events import (
    Abandoned,
    Approved,
    NewEvent,
    Paused,
    Planned,
    StageEntered,
    Started,
    rollout_stream,
)
from core.rollout.state.evolve import evolve
from core.store.audit.verify import verify
from core.store.log import event_log
from core.store.log.event_log import EventOrigin
from core.store.schema import migrations
from core.store.transaction import append_transaction
from core.store.world import rollout_rows
from core.store.world.world_cache import WorldCache

PLAN = Plan(
    name="answers-in-german",
    surface="support",
    owner="U1",
    risk=Risk.STANDARD,
    template="standard",
    from_version="v41",
    to_version="v42",
    change={"model": "m2"},
    stages=(
        Stage(kind=StageKind.CANARY, name="canary", percent=5.0, where={"plan": ("free", "pro")}),
        Stage(kind=StageKind.RAMP, name="ramp 50%", percent=50.0, min_hold=timedelta(hours=2)),
    ),
    approvals=Approvals(required=1),
    limits=(),
    notices=(),
)


def planned(rollout, **changes):
    return Planned(
        rollout=rollout,
        plan=replace(PLAN, **changes),
        fingerprint="f",
        from_content={"model": "m1", "prompt": "p", "params": {"temperature": 0.5, "stop": ["a"]}},
        to_content={"model": "m2", "prompt": "p"},
        by="U1",
    )


HISTORY = [
    ("R-1", planned("R-1")),
    ("R-2", planned("R-2", name="cheaper")),
    ("R-1", Approved(request="q", by="U2", handle="@li", groups=("leads",), note="")),
    ("R-1", Started(fingerprint="f", by="U1")),
    ("R-1", StageEntered(index=0, name="canary", percent=5.0)),
    ("R-2", Abandoned(by="U1", reason="later")),
    ("R-1", Paused(by="U1", reason="lunch")),
]


@pytest.fixture
def kept_in_step(database, noon):
    """The history of two rollouts, written as the service does: event, read model, one transaction."""
    rollouts, folds = {}, WorldCache(database)
    for number, (name, event) in enumerate(HISTORY):
        at = noon + timedelta(minutes=number)
        with append_transaction(database, folds, f"c{number}") as log:
            origin = EventOrigin(command_id=f"c{number}", actor="slack:U1", at=at, recorded_at=at)
            steps = log.append([NewEvent(stream=rollout_stream(name), event=event)], origin)
            rollouts[name] = evolve(rollouts.get(name), event, at)
            log.update_read_model([step.stored for step in steps], rollouts)
    return rollouts


def stored(database):
    with database.reading() as connection:
        return rollout_rows.load_rows(connection)


@pytest.mark.usefixtures("kept_in_step")
def test_a_row_shows_where_a_rollout_stands(database, noon):
    rows = stored(database)
    assert rows["R-1"] == {
        "id": "R-1",
        "name": "answers-in-german",
        "surface": "support",
        "state": "paused",
        "stage": 0,
        "stage_name": "canary",
        "percent": 5.0,
        "from_version": "v41",
        "to_version": "v42",
        "owner": "U1",
        "waiting_for": "somebody to resume it",
        "title": "model + params",
        "applied_at": noon,
        "started_at": noon + timedelta(minutes=3),
        "ended_at": None,
        "position": 7,
    }
    assert (rows["R-2"]["state"], rows["R-2"]["position"]) == ("abandoned", 6)


@pytest.mark.usefixtures("kept_in_step")
def test_kept_in_step_and_built_anew_are_the_same(database):
    in_step = stored(database)
    with database.writing() as connection:
        assert rollout_rows.rebuild(connection) == 2
    assert stored(database) == in_step


@pytest.mark.usefixtures("kept_in_step")
def test_events_alone_give_the_rollouts_back(database, kept_in_step):
    folded = {}
    with database.reading() as connection:
        for each in event_log.read_after(connection, 0):
            name = each.stream.removeprefix(rollout_stream(""))
            folded[name] = evolve(folded.get(name), each.event, each.at)
    assert folded == kept_in_step


@pytest.mark.usefixtures("kept_in_step")
@pytest.mark.parametrize(
    "damage", ["UPDATE rollout_view SET percent = 100 WHERE id = 'R-1'", "DELETE FROM rollout_view WHERE id = 'R-1'"]
)
def test_a_row_that_does_not_follow_from_the_log_is_found(database, damage):
    with database.reading() as connection:
        assert verify(connection).problems == ()
    with database.writing() as connection:
        connection.execute(text(damage))
    with database.reading() as connection:
        assert [p.what for p in verify(connection).problems] == ["the read model of R-1 differs from the log"]


@pytest.mark.usefixtures("kept_in_step")
def test_migrate_rebuilds_rows_that_other_code_built(database):
    right = stored(database)
    with database.writing() as connection:
        connection.execute(text("UPDATE rollout_view SET waiting_for = 'Godot'"))
    migrations.migrate(database)
    assert stored(database) != right, "the code is the same, so the rows are taken as they are"
    with database.writing() as connection:
        connection.execute(text("UPDATE projection SET code_hash = 'older'"))
    migrations.migrate(database)
    assert stored(database) == right
