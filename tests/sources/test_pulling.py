"""A worker pulls what is due: once, again for rows that come late, and without making up a number where it cannot."""

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import httpx
import numpy as np
import pytest

from bot.jobs.pulling.source_pulls import SourcePuller
from core.judging.model.evidence import CellKey, EvidenceSums
from core.rollout import commands as c
from core.rollout.state.model import RolloutState
from core.service import rollout_look
from core.store.database.connections import Database
from core.store.observations import looks, pulled_sums
from tests.http.conftest import SURFACE, Running, running_on
from tests.sources.conftest import LOCAL, Crowd, Warehouse, pushed, to_item
from tests.sources.test_equal_sums import WITHOUT_COHORT, assert_equal

TICK = timedelta(seconds=10)
SOURCES = """
sources:
  - name: warehouse
    every: 30s
    sql:
      url: SOURCE_WAREHOUSE_URL
      table: {table}
      rows: requests
      unit: user_id
      at: at
      exposure: exposure
      id: request_id
      segments: {{language: language, plan: plan}}
      metrics: {{latency_ms: duration_ms, cost_per_request: cost_usd, refusal_rate: refused, suggestion_ctr: clicked}}
"""
_OTHERS = ("suggestion_ctr", "cost_per_request", "latency_p95", "latency_p50", "refusal_rate")


def begin(running: Running, warehouse: Warehouse) -> SourcePuller:
    """A canary on a surface whose metrics come from the warehouse; a minute later."""
    running.apply(SURFACE + SOURCES.format(table=warehouse.table))
    running.apply(WITHOUT_COHORT)
    running.do(c.Start())
    running.wait(minutes=1)
    return build_puller(running, warehouse)


def build_puller(running: Running, warehouse: Warehouse) -> SourcePuller:
    return SourcePuller(running.service, {"SOURCE_WAREHOUSE_URL": warehouse.address}, LOCAL)


def count(sums: EvidenceSums, metric: str, arm: str = "canary") -> tuple[float, float]:
    cell = sums.cells.get(CellKey(stage=0, arm=arm, segment="", metric=metric))
    return (float(cell.weight.sum()), float(cell.value.sum())) if cell else (0.0, 0.0)


def look(running: Running) -> Any:
    """The rollout after one look."""
    rollout_look.evaluate_rollout(running.service, "R-1", running.now(), every=TICK)
    return running.service.load_world().rollouts["R-1"]


def state(running: Running) -> pulled_sums.PullState:
    with running.service.database.reading() as connection:
        return pulled_sums.load_state(connection, "R-1", "warehouse")


@pytest.fixture
def postgres(build_warehouse: Callable[[str], Warehouse]) -> Warehouse:
    return build_warehouse("postgres")


def test_what_is_pulled_is_judged_like_what_is_pushed(
    database: Database, serve: Callable[..., httpx.Client], postgres: Warehouse
) -> None:
    running = running_on(database)
    puller = begin(running, postgres)
    rows = Crowd(running, ("exposure",)).use(400, 50)
    postgres.insert(rows)
    assert puller.pull_due(running.now()) == 1
    found = pushed(running)
    assert count(found, "requests")[0] + count(found, "requests", "control")[0] == 400
    assert sum(found.first_exposures.values()) == len({row["user_id"] for row in rows})
    assert look(running).state is RolloutState.RUNNING
    with running.service.database.reading() as connection:
        assert looks.load_count_and_time(connection, "R-1")[0] == 1


def test_rows_that_come_late_count_once_and_those_before_never_again(running: Running, warehouse: Warehouse) -> None:
    puller = begin(running, warehouse)
    crowd = Crowd(running, ("exposure",))
    rows = crowd.use(200, 50)
    warehouse.insert(rows[50:])
    for _ in range(3):
        puller.pull_due(running.now())
        running.wait(seconds=30)
    once = pushed(running)
    assert sum(count(once, "requests", arm)[0] for arm in ("canary", "control")) == 150
    running.do(c.Advance(reason="on"))  # the rows that follow are of the stage before
    running.wait(minutes=10)
    warehouse.insert(rows[:50])
    assert puller.pull_due(running.now()) == 1
    assert sum(count(pushed(running), "requests", arm)[0] for arm in ("canary", "control")) == 200
    running.wait(hours=3)  # nothing more of that stage is expected, so its rows are not read again
    warehouse.insert([{**rows[0], "request_id": "far too late"}])
    puller.pull_due(running.now())
    assert sum(count(pushed(running), "requests", arm)[0] for arm in ("canary", "control")) == 200


def test_of_two_workers_one_pulls_each_slot(running: Running, postgres: Warehouse) -> None:
    pullers = [begin(running, postgres), build_puller(running, postgres)]
    postgres.insert(Crowd(running, ("exposure",)).use(20, 50))
    made = []
    for _ in range(4):
        made.append([one.pull_due(running.now()) for one in (*pullers, *pullers)])
        running.wait(seconds=30)
    assert [sum(one) for one in made] == [1, 1, 1, 1]


def test_what_a_source_counts_is_refused_by_name_where_it_is_sent(
    running: Running, serve: Callable[..., httpx.Client], postgres: Warehouse
) -> None:
    client = serve(running)
    puller = begin(running, postgres)
    rows = Crowd(running, ("exposure",)).use(40, 50)
    postgres.insert(rows)
    puller.pull_due(running.now())
    before = pushed(running)
    items = [to_item(row) | {"id": None} for row in rows]
    for item in items:
        del item["id"]
        item["metrics"]["retry_rate"] = False
    answer = client.post("/api/v1/observations", json={"observations": items}).json()
    assert answer["accepted"] == 40
    assert {one["code"] for one in answer["rejected"]} >= {"pulled_metric"}
    said = {one["message"] for one in answer["rejected"] if one["code"] == "pulled_metric"}
    assert 'requests are counted by the source "warehouse": write "request": false' in said
    assert '"latency_p95" comes from the source "warehouse", and counts only once: leave it out' in said
    after = pushed(running)
    for metric in ("requests", *_OTHERS):
        assert count(after, metric) == count(before, metric), metric
        assert count(after, metric, "control") == count(before, metric, "control"), metric
    assert count(after, "retry_rate")[0] + count(after, "retry_rate", "control")[0] == 40
    quiet = client.post(
        "/api/v1/observations",
        json={"observations": [{**items[0], "request": False, "metrics": {"retry_rate": True}}]},
    )
    assert quiet.json() == {"accepted": 1, "rejected": []}


def test_a_column_that_goes_holds_and_one_that_comes_back_lets_go(running: Running, postgres: Warehouse) -> None:
    puller = begin(running, postgres)
    postgres.insert(Crowd(running, ("exposure",)).use(400, 50))
    puller.pull_due(running.now())
    assert look(running).state is RolloutState.RUNNING
    counted = pushed(running)
    postgres.run(f"ALTER TABLE {postgres.table} RENAME COLUMN refused TO declined", ())
    running.wait(seconds=30)
    puller.pull_due(running.now())
    held = look(running)
    assert held.state is RolloutState.ON_HOLD
    assert held.hold.text == (
        "declined to answer (refusal_rate) cannot be read from the source warehouse: it refuses the query: "
        'column "refused" does not exist'
    )
    assert_equal(pushed(running), counted)  # no number was made up
    postgres.run(f"ALTER TABLE {postgres.table} RENAME COLUMN declined TO refused", ())
    running.wait(seconds=30)
    puller.pull_due(running.now())
    assert look(running).state is RolloutState.RUNNING


@pytest.mark.parametrize(
    ("change", "where"), [("DELETE FROM {table}", "plan = 'pro'"), ("UPDATE {table} SET refused = NOT refused", "TRUE")]
)
def test_rows_that_change_after_they_were_counted_hold_and_change_nothing(
    running: Running, warehouse: Warehouse, change: str, where: str
) -> None:
    puller = begin(running, warehouse)
    warehouse.insert(Crowd(running, ("exposure",)).use(400, 50))
    puller.pull_due(running.now())
    counted = pushed(running)
    warehouse.change(change, where)
    running.wait(seconds=30)
    puller.pull_due(running.now())
    assert state(running).failure.startswith("rows that were counted have changed or gone: ")
    assert_equal(pushed(running), counted)
    assert look(running).state is RolloutState.ON_HOLD


def test_a_value_that_is_filled_in_later_is_no_change_of_a_row(running: Running, warehouse: Warehouse) -> None:
    puller = begin(running, warehouse)
    rows = Crowd(running, ("exposure",)).use(400, 50)
    unknown = sum(row["refused"] is None for row in rows)
    warehouse.insert(rows)
    puller.pull_due(running.now())
    before = pushed(running)
    truth = 1 if warehouse.engine == "sqlite" else "TRUE"
    warehouse.change(f"UPDATE {{table}} SET refused = {truth}", "refused IS NULL")
    running.wait(seconds=30)
    puller.pull_due(running.now())
    after = pushed(running)
    more = sum(
        count(after, "refusal_rate", arm)[0] - count(before, "refusal_rate", arm)[0] for arm in ("canary", "control")
    )
    assert more == unknown
    assert state(running).failure == ""


def test_a_source_that_is_down_for_a_moment_holds_nothing_and_for_long_holds(
    running: Running, postgres: Warehouse
) -> None:
    puller = begin(running, postgres)
    postgres.insert(Crowd(running, ("exposure",)).use(400, 50))
    puller.pull_due(running.now())
    down = SourcePuller(
        running.service,
        {"SOURCE_WAREHOUSE_URL": "postgresql://reader@warehouse.example.com/x"},
        resolve=lambda host, port: [],
    )
    held = []
    for _ in range(5):
        running.wait(seconds=30)
        down.pull_due(running.now())
        held.append(look(running).state is RolloutState.ON_HOLD)
    assert held == [False, False, False, True, True]
    assert state(running).failure == "warehouse.example.com has no address"
    assert look(running).rollback is None


def test_a_robot_counts_up_to_its_cap_and_no_further(running: Running, warehouse: Warehouse) -> None:
    puller = begin(running, warehouse)
    rows = Crowd(running, ("exposure",)).use(300, 50)
    robot = [{**rows[0], "user_id": "robot", "exposure": "R-1.0.canary", "request_id": f"r{n}"} for n in range(500)]
    warehouse.insert(rows + robot)
    puller.pull_due(running.now())
    found = pushed(running)
    aside = count(found, "set_aside")[0]
    assert aside == 480  # the others have two or three rows each
    running.wait(seconds=30)
    warehouse.insert([{**robot[0], "request_id": "one more", "at": robot[0]["at"] - timedelta(seconds=1)}])
    puller.pull_due(running.now())
    assert state(running).failure == ""
    assert count(pushed(running), "set_aside")[0] == aside + 1


def test_costs_are_cut_from_the_moment_at_which_the_cap_is_known(running: Running, warehouse: Warehouse) -> None:
    puller = begin(running, warehouse)
    crowd = Crowd(running, ("exposure",))
    warehouse.insert(crowd.use(1200, 50))
    puller.pull_due(running.now())
    assert look(running).caps.keys() == {"cost_per_request"}
    cap = look(running).caps["cost_per_request"]
    running.wait(seconds=30)
    later = crowd.use(200, 29)
    warehouse.insert([{**row, "cost_usd": 50.0} for row in later])
    puller.pull_due(running.now())
    found = pushed(running)
    cut = [count(found, f"cost_per_request~{cap:g}", arm) for arm in ("canary", "control")]
    above = [count(found, f"cost_per_request>{cap:g}", arm) for arm in ("canary", "control")]
    assert sum(weight for weight, _ in cut) == 200
    np.testing.assert_allclose(sum(value for _, value in cut), 200 * cap)
    assert sum(value for _, value in above) == 200
