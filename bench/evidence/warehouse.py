"""Rows of requests that stay in a warehouse, pulled to a verdict, beside the same requests sent as observations."""

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pandas as pd

from bench.measuring import databases, peak_memory, rollouts
from bench.measuring.figures import Figure
from bench.measuring.rounds import Effort
from bench.program.verdict import Users
from bot.jobs.pulling.source_pulls import SourcePuller
from bot.sources.sql.connection import SourceConnection
from bot.sources.sql.statements.source_rows import Statement
from core.flags.evaluation import choose_answer
from core.rollout.serving import exposure
from core.rollout.state.model import RolloutState
from core.service import rollout_look
from core.service.service import RolloutService
from core.store.database.connections import Database, connect
from core.store.observations import pulled_sums

MOST_UNITS = 1_000_000
REQUESTS_A_UNIT = 20
SERVED_FOR = timedelta(hours=2)
PUSHED = 2_000  # observations of one batch, sent in the same run
SOURCE = """
sources:
  - name: warehouse
    every: 10s
    timeout: 10m
    sql:
      url: SOURCE_WAREHOUSE_URL
      table: requests
      rows: requests
      unit: user_id
      at: at
      exposure: exposure
      segments: {language: language}
      metrics: {latency_ms: duration_ms, cost_per_request: cost_usd, refusal_rate: refused, eval_pass_rate: passed}
"""
_COLUMNS = """
    u.unit AS user_id,
    u.exposure AS exposure,
    {begin} + {spread} AS at,
    CASE WHEN {dice} % 3 = 0 THEN 'de' ELSE 'en' END AS language,
    300.0 + {dice} % 2500 AS duration_ms,
    0.004 + ({dice} % 97) / 20000.0 AS cost_usd,
    {dice} % 1000 < CASE WHEN u.is_canary THEN 60 ELSE 20 END AS refused,
    {dice} % 991 < 920 AS passed
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Warehouse:
    """An engine that holds the table `requests`; `address` is what the source is given."""

    name: str
    address: str


def measure(effort: Effort) -> Iterator[Figure]:
    """DuckDB in a file, and ClickHouse's engine in this process where it is installed; the workspace is on SQLite."""
    pushed, sent = _push_for(effort)
    yield Figure(name="a million observations sent, to the committed sums", ours=pushed, unit="CPU-s")
    for engine, build in _ENGINES.items():
        if engine == "ClickHouse" and find_spec("chdb") is None:
            print(" (ClickHouse is not installed: make bench-warehouse)", end="", flush=True)
            continue
        with databases.folder() as folder, connect(databases.sqlite(folder)) as database:
            yield from _pull(effort.warehouse_rows, engine, build, database, folder, pushed, sent)


def _pull(
    rows: int, engine: str, build: "BuildWarehouse", database: Database, folder: Path, pushed: float, sent: float
) -> Iterator[Figure]:
    service = RolloutService(database)
    begun = rollouts.now() - SERVED_FOR
    rollout = rollouts.begin(service, sources=SOURCE, at=begun)
    units = _place_units(service, min(MOST_UNITS, max(rows // REQUESTS_A_UNIT, 1)))
    with build(folder, units, rows, begun + timedelta(minutes=1)) as warehouse:
        puller = SourcePuller(
            service, {"SOURCE_WAREHOUSE_URL": warehouse.address}, private_hosts=frozenset({"localhost"})
        )
        resident = peak_memory.reset_peak()
        wall, cpu = time.perf_counter(), time.process_time()
        with _count_bytes() as answers:
            puller.pull_due(rollouts.now())
        cpu = time.process_time() - cpu
        rollout_look.evaluate_rollout(service, rollout.id, rollouts.now(), every=timedelta(seconds=10))
        wall = time.perf_counter() - wall
        peak = peak_memory.read_peak() - resident
    with database.reading() as connection:
        state = pulled_sums.load_state(connection, rollout.id, "warehouse")
    if state.failure or state.read_rows != rows:
        raise RuntimeError(f"{state.read_rows:,} of {rows:,} rows were read: {state.failure or 'no failure'}")
    ended = service.load_world().rollouts[rollout.id].state
    if rows >= ENOUGH_ROWS and ended is not RolloutState.ROLLED_BACK:
        raise RuntimeError(f"the harm was not found: {rollout.id} is {ended}")
    of = f"{rows:,} rows, {engine}"
    yield Figure(name=f"from rows to a rollback, {of}", ours=wall, unit="s")
    yield Figure(
        name=f"a million rows pulled, against sending them, {of}",
        ours=cpu * 1e6 / rows,
        unit="CPU-s",
        peer=pushed,
        better="less",
    )
    yield Figure(name=f"memory of a pull, the engine included, {of}", ours=peak, unit="MB", better="less")
    yield Figure(
        name=f"bytes that come back, against those sent, {of}",
        ours=sum(answers) / 1e6,
        unit="MB",
        peer=sent * rows / 1e6,
        better="less",
    )


@contextmanager
def _count_bytes() -> Iterator[list[int]]:
    """The bytes of each answer that a source gives, every value written as text."""
    found: list[int] = []
    fetch = SourceConnection.fetch

    def count(source: SourceConnection, statement: Statement, most: int) -> Sequence[Any]:
        rows = fetch(source, statement, most)
        found.append(sum(len(str(value)) for row in rows for value in row))
        return rows

    SourceConnection.fetch = count  # type: ignore[method-assign, assignment]
    try:
        yield found
    finally:
        SourceConnection.fetch = fetch  # type: ignore[method-assign]


ENOUGH_ROWS = 100_000
"""With as many, refusals that triple cannot be missed."""


def _push_for(effort: Effort) -> tuple[float, float]:
    """CPU-seconds in which a million observations are read, placed and committed, without HTTP; bytes of one of
    them."""
    with databases.folder() as folder, connect(databases.sqlite(folder)) as database:
        service = RolloutService(database)
        rollouts.begin(service)
        users = Users(database, service, "healthy")
        try:
            users.come(PUSHED)
            bodies = [users.build_batch(PUSHED) for _ in range(effort.some(20))]
            began = time.process_time()
            for body in bodies:
                users.send(body, PUSHED)
            count = PUSHED * len(bodies)
            return (time.process_time() - began) * 1e6 / count, sum(map(len, bodies)) / count
        finally:
            users.leave()


def _place_units(service: RolloutService, count: int) -> pd.DataFrame:
    """Units with what an evaluation answers each of them now."""
    snapshot = exposure.build_snapshot(service.load_world())
    names = [f"user-{number}" for number in range(count)]
    served = [choose_answer(snapshot.surfaces[rollouts.SURFACE], name, {}) for name in names]
    return pd.DataFrame(
        {
            "number": range(count),
            "unit": names,
            "exposure": [one.exposure for one in served],
            "is_canary": [one.variant == "canary" for one in served],
        }
    )


BuildWarehouse = Callable[[Path, pd.DataFrame, int, datetime], Any]


@contextmanager
def _build_duckdb(folder: Path, units: pd.DataFrame, rows: int, begin: datetime) -> Iterator[Warehouse]:
    import duckdb

    path = folder / "requests.duckdb"
    columns = _COLUMNS.format(
        begin=f"TIMESTAMPTZ '{begin.isoformat()}'",
        spread=f"to_seconds((hash(n.i + 11) % {_seconds()})::BIGINT)",
        dice="(hash(n.i) // 1024)",
    )
    with duckdb.connect(str(path)) as writer:
        writer.register("placed", units)
        writer.execute("CREATE TEMP TABLE u AS SELECT * FROM placed")
        writer.execute(
            f"CREATE TABLE requests AS SELECT {columns} FROM range({rows}) n(i)"
            f" JOIN u ON u.number = hash(n.i + 7) % {len(units)}"
        )
    yield Warehouse(name="DuckDB", address=f"duckdb:///{path}")


@contextmanager
def _build_clickhouse(folder: Path, units: pd.DataFrame, rows: int, begin: datetime) -> Iterator[Warehouse]:
    from sqlalchemy import create_engine

    placed = folder / "units.csv"
    units.to_csv(placed, index=False)
    columns = _COLUMNS.format(
        begin=f"toDateTime64('{begin:%Y-%m-%d %H:%M:%S}', 6, 'UTC')",
        spread=f"toIntervalSecond(cityHash64(n.number + 11) % {_seconds()})",
        dice="intDiv(cityHash64(n.number), 1024)",
    )
    opened = create_engine("clickhousedb:///?interface=chdb")
    with opened.connect() as connection:  # with its last connection the engine forgets its tables

        def run(text: str) -> None:
            connection.exec_driver_sql(text.replace("%", "%%"))

        try:
            run("CREATE DATABASE bench")
            run(
                "CREATE TABLE bench.u ENGINE = MergeTree ORDER BY number AS SELECT * FROM"
                f" file('{placed}', 'CSVWithNames',"
                " 'number UInt64, unit String, exposure String, is_canary Bool')"
            )
            run(
                "CREATE TABLE bench.requests ENGINE = MergeTree ORDER BY at AS"
                f" SELECT {columns} FROM numbers({rows}) n"
                f" JOIN bench.u u ON u.number = cityHash64(n.number + 7) % {len(units)}"
            )
            yield Warehouse(name="ClickHouse", address="clickhousedb:///bench?interface=chdb")
        finally:
            run("DROP DATABASE bench")


def _seconds() -> int:
    return int(SERVED_FOR.total_seconds()) - 600


_ENGINES: dict[str, BuildWarehouse] = {"DuckDB": _build_duckdb, "ClickHouse": _build_clickhouse}
