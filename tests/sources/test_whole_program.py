"""Applications evaluate, write their rows into a Postgres of their own and send nothing: the program does the rest."""

import random
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path

import httpx
import pytest
from sqlalchemy import select

from core.service.service import RolloutService
from core.store.database.connections import Database, connect
from core.store.models import timer
from tests.journey.house import waiting_until
from tests.journey.plans import LONG, SURFACE_FILE
from tests.journey.processes import Machine, post
from tests.sources.conftest import Warehouse

SOURCES = """
sources:
  - name: warehouse
    every: 10s
    sql:
      url: SOURCE_WAREHOUSE_URL
      table: {table}
      rows: requests
      unit: user_id
      at: at
      exposure: exposure
      id: request_id
      metrics: {{refusal_rate: refused, cost_per_request: cost_usd, latency_ms: duration_ms}}
"""


@pytest.fixture
def database(new_postgres: Callable[[], str]) -> Iterator[Database]:
    with connect(new_postgres()) as found:
        yield found


@pytest.mark.shows("E47")
def test_harm_that_only_the_warehouse_knows_of_is_rolled_back(
    database: Database, build_warehouse: Callable[[str], Warehouse], tmp_path: Path
) -> None:
    warehouse = build_warehouse("postgres")
    settings = {
        "DATABASE_URL": database.engine.url.render_as_string(hide_password=False),
        "ROLLOUT_TICK": "1s",
        "SOURCE_WAREHOUSE_URL": warehouse.address,
        "ALLOW_PRIVATE_HOSTS": "localhost",
    }
    machine = Machine(folder=tmp_path, settings=settings)
    try:
        web = machine.start("web")
        workers = [machine.start("worker"), machine.start("worker")]
        for text in (SURFACE_FILE + SOURCES.format(table=warehouse.table), LONG):
            assert post(web.url, "/api/v1/files", text).status_code == 200
        started = post(web.url, "/api/v1/rollouts/R-1/commands", {"command": "start"})
        assert started.json()["state"] == "running"
        people = _use_it(web.url, warehouse)
        service = RolloutService(database)

        def state() -> str:
            return str(service.load_world().rollouts["R-1"].state)

        waiting_until(lambda: state() == "rolled_back", lambda: "\n".join(one.said() for one in workers), within=120)
        rollback = service.load_world().rollouts["R-1"].rollback
        assert rollback is not None
        assert rollback.findings[0].metric == "refusal_rate"
        assert rollback.exposed_requests == people["canary"]
        with database.reading() as connection:
            made = connection.execute(select(timer.c.slot, timer.c.state).where(timer.c.name == "pull:R-1:warehouse"))
            slots = [slot for slot, _ in made]
        assert len(slots) == len(set(slots)) > 0
        assert all(warehouse.address not in one.said() for one in machine.started)
    finally:
        machine.stop()


def _use_it(url: str, warehouse: Warehouse) -> dict[str, int]:
    """600 people evaluate over OFREP; what they met is written down where it happened. Requests by arm."""
    dice = random.Random(3)
    met = {"canary": 0, "control": 0}
    rows = []
    with httpx.Client(base_url=url, trust_env=False, timeout=20) as client:
        for number in range(2000):
            unit = f"user-{number}"
            asked = {"context": {"targetingKey": unit}}
            answer = client.post("/ofrep/v1/evaluate/flags/support-assistant", json=asked).json()
            arm = answer["variant"]
            met[arm] += 1
            rows.append(
                {
                    "user_id": unit,
                    "at": datetime.now(UTC),
                    "exposure": answer["metadata"]["exposure"],
                    "request_id": f"id-{number}",
                    "refused": dice.random() < (0.5 if arm == "canary" else 0.02),
                    "cost_usd": 0.01,
                    "duration_ms": 900.0,
                }
            )
    warehouse.insert(rows)
    return met
