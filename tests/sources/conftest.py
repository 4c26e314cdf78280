"""Rows of requests in real databases of other people, and a service that takes the same rows over HTTP."""

import random
import re
import sqlite3
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any
from uuid import uuid4

import duckdb
import psycopg
import pytest
from sqlalchemy import Connection, create_engine

from bot.sources.sql.connection import open_source
from bot.sources.sql.pull import Pulled, pull_sums
from bot.sources.stage_range import find_open_range
from core.judging.model.evidence import EvidenceSums
from core.rollout.serving.exposure import build_snapshot
from core.rollout.state.sources import SourceColumns, SourceTerms, SqlRows
from core.store.database.connections import Database
from core.store.observations import observation_sums
from core.store.observations.pulled_sums import PullMemory
from tests.http import conftest as over_http
from tests.http.conftest import Running

ENGINES = ("postgres", "duckdb", "sqlite", *(("clickhouse",) if find_spec("chdb") else ()))
LOCAL = frozenset({"localhost"})
serve = over_http.serve

MOVED_BACK = ("user-7", "user-90", "Zoë-3 ☃")
"""Units that a test may move back to the live version."""
_COLUMNS: Mapping[str, str] = {
    "user_id": "text",
    "at": "timestamp with time zone",
    "exposure": "text",
    "variant": "text",
    "version": "text",
    "request_id": "text",
    "language": "text",
    "plan": "text",
    "duration_ms": "double precision",
    "cost_usd": "numeric(12, 6)",
    "refused": "boolean",
    "clicked": "double precision",
    "error_kind": "text",
    "cited": "double precision",
    "claims": "double precision",
}
_TYPES: Mapping[str, Mapping[str, str]] = {
    "clickhouse": {
        "text": "Nullable(String)",
        "timestamp with time zone": "DateTime64(6, 'UTC')",
        "double precision": "Nullable(Float64)",
        "numeric(12, 6)": "Nullable(Decimal(12, 6))",
        "boolean": "Nullable(Bool)",
    },
    "sqlite": {"timestamp with time zone": "text", "numeric(12, 6)": "real"},
    "duckdb": {},
    "postgres": {},
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Warehouse:
    """A database with one table of raw rows. `address` is what a source is given."""

    engine: str
    address: str
    table: str
    run: Callable[[str, Sequence[Any]], Any]

    def insert(self, rows: Sequence[Mapping[str, Any]]) -> None:
        """Add rows; what they leave out is NULL. A pull sees all of them or none, up to what one statement takes."""
        one = f"({', '.join(['%s' if self.engine == 'postgres' else '?'] * len(_COLUMNS))})"
        most = 500 if self.engine == "clickhouse" else 2000  # 32,766 values on SQLite, 256 KiB of text on ClickHouse
        for start in range(0, len(rows), most):
            some = rows[start : start + most]
            values = [row.get(name) for row in some for name in _COLUMNS]
            if self.engine == "sqlite":
                values = [v.isoformat() if isinstance(v, datetime) else v for v in values]
            self.run(f"INSERT INTO {self.table} VALUES {', '.join([one] * len(some))}", values)

    def change(self, statement: str, where: str) -> None:
        """Change rows that are there already: an UPDATE or a DELETE of `{table}`."""
        if self.engine == "clickhouse":
            what = f"{statement.split()[0]} {statement.partition('SET ')[2]}"
            self.run(f"ALTER TABLE {self.table} {what} WHERE {where} SETTINGS mutations_sync = 2", ())
        else:
            self.run(f"{statement.format(table=self.table)} WHERE {where}", ())


def _run_clickhouse(text: str, values: Sequence[Any]) -> Any:
    """Run a statement in the ClickHouse of this process, which takes values as literals."""

    def quote(value: Any) -> str:
        match value:
            case None:
                return "NULL"
            case bool():
                return str(value).lower()
            case datetime():
                return f"'{value.astimezone(UTC):%Y-%m-%d %H:%M:%S.%f}'"
            case str():
                return "'" + value.replace("'", "''") + "'"
        return repr(value)

    given = iter(values)
    filled = re.sub(r"\?", lambda _: quote(next(given)), text)
    return _open_clickhouse().exec_driver_sql(filled.replace("%", "%%")).fetchall()


@cache
def _open_clickhouse() -> Connection:
    """Kept open: with the last connection the engine forgets its tables."""
    return create_engine("clickhousedb:///?interface=chdb").connect()


@pytest.fixture
def build_warehouse(tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[Callable[[str], Warehouse]]:
    """Builds the table in an engine."""
    ends: list[Callable[[], object]] = []

    def build(engine: str) -> Warehouse:
        name = f"requests_{uuid4().hex[:8]}"
        columns = ", ".join(f'"{c}" {_TYPES[engine].get(kind, kind)}' for c, kind in _COLUMNS.items())
        run: Callable[[str, Sequence[Any]], Any]
        match engine:
            case "postgres":
                address = request.getfixturevalue("own_postgres")
                connection = psycopg.connect(address.replace("postgresql+psycopg", "postgresql"), autocommit=True)
                ends.append(connection.close)
                run = connection.execute
            case "duckdb":
                path = tmp_path / f"{name}.duckdb"
                address = f"duckdb:///{path}"

                def run(text: str, values: Sequence[Any]) -> Any:
                    # Another process would hold the file open: each statement opens and closes it.
                    with duckdb.connect(str(path)) as writer:
                        return writer.execute(text, values).fetchall()
            case "clickhouse":
                address = f"clickhousedb:///{name}?interface=chdb"
                run = _run_clickhouse
                run(f"CREATE DATABASE {name}", ())
                run(f"CREATE TABLE {name}.{name} ({columns}) ENGINE = MergeTree ORDER BY tuple()", ())
                yielded = f"{name}.{name}"
                return Warehouse(engine=engine, address=address, table=yielded, run=run)
            case _:
                path = tmp_path / f"{name}.db"
                address = f"sqlite:///{path}"
                written = sqlite3.connect(path, isolation_level=None)
                ends.append(written.close)
                run = written.execute
        run(f"CREATE TABLE {name} ({columns})", ())
        return Warehouse(engine=engine, address=address, table=name, run=run)

    yield build
    for end in ends:
        end()


@pytest.fixture(params=ENGINES)
def warehouse(request: pytest.FixtureRequest, build_warehouse: Callable[[str], Warehouse]) -> Warehouse:
    """The table in each engine."""
    return build_warehouse(request.param)


@pytest.fixture
def running(sqlite_database: Database) -> Running:
    """A surface, and a clock that the test moves."""
    return over_http.running_on(sqlite_database)


def build_terms(table: str, side: Sequence[str] = ("exposure",), **more: Any) -> SourceTerms:
    """A source of every column. `side` are the columns that say whose a row is."""
    rows = SqlRows(
        url="SOURCE_WAREHOUSE_URL",
        rows="requests",
        columns=SourceColumns(unit="user_id", at="at", id="request_id", **{name: name for name in side}),
        metrics={
            "latency_ms": "duration_ms",
            "cost_per_request": "cost_usd",
            "refusal_rate": "refused",
            "suggestion_ctr": "clicked",
        },
        segments={"language": "language", "plan": "plan"},
        table=table,
        error_category="error_kind",
    )
    return SourceTerms(
        name="warehouse",
        every=timedelta(minutes=5),
        delay=timedelta(0),
        late=timedelta(hours=1),
        timeout=timedelta(seconds=60),
        sql=replace(rows, **more),
    )


def pull(running: Running, warehouse: Warehouse, terms: SourceTerms, memory: PullMemory | None = None) -> Pulled:
    """Pull the open stages of R-1 as they are now."""
    flags = build_snapshot(running.service.load_world()).surfaces["support-assistant"]
    window = find_open_range(flags.tracked[0], running.now(), terms.late)
    assert window is not None
    with open_source(warehouse.address, LOCAL, 60) as source:
        return pull_sums(source, terms, window, memory or PullMemory(), None)


def pushed(running: Running) -> EvidenceSums:
    """What was counted of what came over HTTP."""
    with running.service.database.reading() as connection:
        return observation_sums.load_sums(connection, "R-1")


@dataclass(slots=True)
class Crowd:
    """People who use the AI feature: their rows, as an application would write them down."""

    running: Running
    side: Sequence[str]
    changes_arms: bool = False
    dice: random.Random = field(default_factory=lambda: random.Random(11))
    written: list[dict[str, Any]] = field(default_factory=list)

    def use(self, count: int, seconds: float) -> list[dict[str, Any]]:
        """`count` requests, spread over the last `seconds`, in order of their time."""
        flags = build_snapshot(self.running.service.load_world()).surfaces["support-assistant"]
        assert flags.exposure is not None
        rows = []
        for number in range(count):
            unit = f"user-{self.dice.randrange(150)}" if number % 9 else f"Zoë-{self.dice.randrange(20)} ☃"
            place = flags.exposure.bucket(unit)
            arms = ("canary", "control") if place < flags.exposure.canary_below else ("control", "canary")
            # A client that kept its arm across a step: the other one for a while.
            arm = arms[self.changes_arms and (sum(unit.encode()) + len(self.written) // 300) % 7 == 0]
            at = self.running.now() - timedelta(seconds=seconds * (count - number) / count)
            row = {
                "user_id": unit,
                "at": at,
                "exposure": f"R-1.{flags.exposure.stage_index}.{arm}",
                "variant": arm,
                "version": "v43" if arm == "canary" else "v42",
                "request_id": f"{self.running.now():%H%M%S}-{number}",
                "language": self.dice.choice(["de", "fr", "", None]),
                "plan": self.dice.choice(["free", "pro"]),
                "duration_ms": self.dice.choice([850.0, 1200.5, 4100.0, 0.0, None, -1.0 if number % 50 == 3 else 3.25]),
                "cost_usd": self.dice.choice([0.25, 0.015625, 2.5, None]),
                "refused": self.dice.choice([True, False, False, None]),
                "clicked": self.dice.choice([0.0, 1.0, 0.5, None, 1.5 if number % 40 == 7 else 0.25]),
            }
            row["error_kind"] = _choose_error(number, arm)
            row["cited"], row["claims"] = _choose_claims(number)
            if unit in MOVED_BACK:  # of whom what is refused is counted only where it is sent
                row |= {"duration_ms": 3.25, "clicked": 0.25, "error_kind": None}
            rows.append({key: value for key, value in row.items() if key not in _SIDES or key in self.side})
        self.written += rows
        return rows


def _choose_claims(number: int) -> tuple[float | None, float | None]:
    """Claims with a source, and all claims: some are not told, and of none there is no share."""
    if number == 203:
        return 2.0, 0.0  # which nothing can be
    claims = None if number % 17 == 0 else float(number % 5)
    return None if number % 19 == 0 else float(min(number % 3, number % 5)), claims


def _choose_error(number: int, arm: str) -> str | None:
    """The kind of error of a request; some are no error, and one kind has only the canary."""
    if number % 23 == 2:
        return "ToolSchemaMismatch" if arm == "canary" else "Zeitüberschreitung ☃"
    if number % 13 == 1:
        return f"order {number} failed"
    return "x" * 513 if number == 203 else {3: "Timeout", 7: ""}.get(number % 31)


_SIDES = frozenset({"exposure", "variant", "version"})


def to_item(row: Mapping[str, Any]) -> dict[str, Any]:
    """The observation that says what a row says."""
    metrics = {
        "latency_ms": row["duration_ms"],
        "cost_per_request": row["cost_usd"],
        "refusal_rate": row["refused"],
        "suggestion_ctr": row["clicked"],
    }
    item = {
        "surface": "support-assistant",
        "unit": row["user_id"],
        "at": row["at"].astimezone(UTC).isoformat(),
        "id": row["request_id"],
        "segments": {key: row[key] for key in ("language", "plan") if row[key]},
        "metrics": metrics,
        "error_category": row["error_kind"] or None,
        **{name: row[name] for name in _SIDES if row.get(name)},
    }
    return {key: value for key, value in item.items() if value is not None}
