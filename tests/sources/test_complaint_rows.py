"""Rows that are complaints: each counts once for its unit and hour, as if it had been sent."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest
from typer.testing import CliRunner

from bot.cli.root import app
from core.files.read_file import parse_file
from core.files.syntax.problems import UnreadableFile
from core.rollout import commands as c
from core.rollout.state.sources import SourceColumns, SourceTerms
from core.store.observations import pulled_sums
from tests.http.conftest import SURFACE, Running
from tests.sources.conftest import Warehouse, build_terms, pull, pushed
from tests.sources.test_equal_sums import WITHOUT_COHORT
from tests.sources.test_pulling import build_puller, count

COMPLAINTS = """
sources:
  - name: help-desk
    every: 30s
    sql: {{url: SOURCE_WAREHOUSE_URL, table: {table}, rows: complaints, unit: user_id, at: at, exposure: exposure}}
"""


def complain(running: Running, unit: str, arm: str = "canary", ago: float = 5, **more: Any) -> dict[str, Any]:
    """A row of the table of complaints."""
    stage = running.service.load_world().rollouts["R-1"].stage_index
    at = running.now() - timedelta(seconds=ago)
    return {"user_id": unit, "at": at, "exposure": f"R-1.{stage}.{arm}", **more}


def begin(running: Running) -> None:
    running.apply(WITHOUT_COHORT)
    running.do(c.Start())
    running.wait(minutes=1)


def send(client: httpx.Client, rows: list[dict[str, Any]]) -> None:
    items = [
        {
            "surface": "support-assistant",
            "unit": row["user_id"],
            "at": row["at"].isoformat(),
            "exposure": row["exposure"],
            "metrics": {"complaint_rate": True},
        }
        for row in rows
    ]
    answer = client.post("/api/v1/observations", json={"observations": items})
    assert (answer.status_code, answer.json()["rejected"]) == (200, [])


def terms_of(table: str) -> SourceTerms:
    columns = SourceColumns(unit="user_id", at="at", exposure="exposure", id="request_id")
    nothing: dict[str, Any] = {"metrics": {}, "segments": {}, "error_category": None}
    return build_terms(table, rows="complaints", columns=columns, **nothing)


def test_they_give_the_cells_of_the_same_complaints_when_they_are_sent(
    running: Running, serve: Callable[..., httpx.Client], warehouse: Warehouse
) -> None:
    client = serve(running)
    begin(running)
    for hour in range(3):
        rows = [complain(running, f"user-{n % 7}", "canary" if n % 7 < 3 else "control", n) for n in range(20, 3, -1)]
        warehouse.insert(rows)
        send(client, rows)
        if hour < 2:
            running.wait(hours=1)
        running.do(c.Advance(reason="on")) if hour == 0 else None
    expected = pushed(running).cells
    found = pull(running, warehouse, terms_of(warehouse.table)).sums
    assert {key.metric for key in expected} == {"complaint_rate"}
    assert sum(cell.value.sum() for cell in expected.values()) > 14
    assert found.cells.keys() == {key for key in expected if key.stage in found.stages}
    for key, sums in found.cells.items():
        np.testing.assert_array_equal(sums, np.stack([expected[key].weight, expected[key].value]), str(key))


def test_an_angry_customer_counts_once_an_hour_and_again_in_the_next(running: Running, warehouse: Warehouse) -> None:
    begin(running)
    warehouse.insert([complain(running, "angry", ago=second) for second in range(50)])
    warehouse.insert([complain(running, "other", request_id="ticket-1")] * 2)
    terms = terms_of(warehouse.table)
    assert total(pull(running, warehouse, terms)) == {"complaint_rate": 2, "duplicate_items": 1}
    running.wait(hours=1)
    warehouse.insert([complain(running, "angry", ago=second) for second in range(50)])
    assert total(pull(running, warehouse, terms)) == {"complaint_rate": 3, "duplicate_items": 1}


def test_one_that_comes_late_takes_no_other_away(running: Running, warehouse: Warehouse) -> None:
    running.apply(SURFACE + COMPLAINTS.format(table=warehouse.table))
    begin(running)
    puller = build_puller(running, warehouse)
    warehouse.insert([complain(running, "user-1"), complain(running, "user-1", "control")])
    puller.pull_due(running.now())
    running.wait(seconds=30)
    warehouse.insert([complain(running, "user-1", ago=80), complain(running, "user-1", "control", ago=80)])
    puller.pull_due(running.now())
    assert state_of_help_desk(running).failure == ""
    assert [count(pushed(running), "complaint_rate", arm) for arm in ("canary", "control")] == [(1, 1), (1, 1)]


def test_one_that_is_also_told_in_slack_or_sent_is_counted_by_the_source_alone(
    running: Running, serve: Callable[..., httpx.Client], build_warehouse: Callable[[str], Warehouse]
) -> None:
    warehouse = build_warehouse("sqlite")
    running.apply(SURFACE + COMPLAINTS.format(table=warehouse.table))
    begin(running)
    client = serve(running)
    item = {"surface": "support-assistant", "unit": "user-1", "variant": "canary", "metrics": {"complaint_rate": True}}
    (refused,) = client.post("/api/v1/observations", json={"observations": [item]}).json()["rejected"]
    assert 'comes from the source "help-desk"' in refused["message"]
    running.do(c.ReportComplaint(text="wrong", unit="user-1"))
    assert "complaint_rate" not in {key.metric for key in pushed(running).cells}
    warehouse.insert([complain(running, "user-1")])
    build_puller(running, warehouse).pull_due(running.now())
    assert count(pushed(running), "complaint_rate") == (1, 1)


def total(pulled: Any) -> dict[str, float]:
    found: dict[str, float] = {}
    for key, sums in pulled.sums.cells.items():
        found[key.metric] = found.get(key.metric, 0) + float(sums[1].sum())
    return found


def state_of_help_desk(running: Running) -> Any:
    with running.service.database.reading() as connection:
        return pulled_sums.load_state(connection, "R-1", "help-desk")


@pytest.mark.parametrize(
    ("more", "why"),
    [
        ("metrics: {latency_ms: ms}", "each row is one complaint, and counts for everyone: leave this out"),
        ("segments: {language: language}", "each row is one complaint, and counts for everyone: leave this out"),
        ("error_category: kind", "each row is one complaint, and counts for everyone: leave this out"),
    ],
)
def test_they_have_no_metrics_segments_or_errors(more: str, why: str) -> None:
    written = COMPLAINTS.format(table="tickets").replace("exposure: exposure}", f"exposure: exposure, {more}}}")
    with pytest.raises(UnreadableFile) as refused:
        parse_file(SURFACE + written, "surface.yaml")
    assert why in str(refused.value)


def test_two_sources_of_complaints_are_refused_where_the_second_one_says_so(tmp_path: Path) -> None:
    one = COMPLAINTS.format(table="tickets")
    other = one.replace("sources:\n", "").replace("name: help-desk", "name: chats").lstrip("\n")
    path = tmp_path / "surface.yaml"
    path.write_text(SURFACE + one + other, encoding="utf-8")
    found = CliRunner().invoke(app, ["lint", str(path)])
    assert "complaint_rate comes from help-desk already: a metric has one source" in found.output


def test_check_says_how_they_count(running: Running, warehouse: Warehouse, tmp_path: Path) -> None:
    begin(running)
    path = tmp_path / "surface.yaml"
    path.write_text(SURFACE + COMPLAINTS.format(table=warehouse.table), encoding="utf-8")
    at = datetime.now(UTC) - timedelta(minutes=3)
    warehouse.insert([{"user_id": "u", "at": at, "exposure": "R-4.1.canary"}])
    environ = {"SOURCE_WAREHOUSE_URL": warehouse.address, "ALLOW_PRIVATE_HOSTS": "localhost"}
    found = CliRunner().invoke(app, ["sources", "check", str(path)], env=environ)
    assert found.exit_code == 0, found.output
    assert "  complaint_rate: each row, once an hour for each unit\n" in found.output
