"""What BigQuery and Snowflake are asked. Neither runs here.

Their dialects compile it to the texts in `hosted`; those texts, translated by another parser of both languages, give
on a real DuckDB what DuckDB's own statements give.
"""

import random
import subprocess
from collections.abc import Mapping, Sequence
from datetime import timedelta
from pathlib import Path
from typing import Any

import duckdb
import pandas as pd
import pytest
import sqlglot
from sqlalchemy import make_url

from bot.sources.errors import SourceFailure
from bot.sources.sql.connection import open_source
from bot.sources.sql.engines import DUCKDB, SqlEngine
from bot.sources.sql.hosted_engines import BIGQUERY, SNOWFLAKE, explain_bigquery, open_snowflake
from tests.sources.hosted_statements import BEGAN, ENDED, FOLDER, list_statements, read_texts

ROOT = Path(__file__).parents[2]
OWN_PYTHON = ROOT / ".venv-warehouses" / "bin" / "python"
ENGINES = pytest.mark.parametrize("engine", [BIGQUERY, SNOWFLAKE], ids=lambda one: one.name)


@pytest.mark.skipif(not OWN_PYTHON.exists(), reason="make test-warehouses installs the dialects")
def test_the_dialects_compile_what_is_written_down() -> None:
    asked = [str(OWN_PYTHON), "-m", "tests.sources.hosted_statements", "--print"]
    printed = subprocess.run(asked, cwd=ROOT, check=True, capture_output=True, text=True, timeout=120).stdout
    files = [f"=== {name}\n{(FOLDER / f'{name}.sql').read_text()}" for name in ("bigquery", "snowflake")]
    assert printed == "".join(files)


@pytest.fixture(scope="module")
def requests(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Requests of some units in the hour that the statements read, with all that can be wrong with one."""
    path = tmp_path_factory.mktemp("hosted") / "requests.duckdb"
    dice = random.Random(5)
    units = [*(f"user-{n}" for n in range(150)), "Zoë ☃", "", "a\x00b", "x" * 513, None]
    rows = [
        (
            "busy" if number % 20 == 0 else dice.choice(units),
            BEGAN + (ENDED - BEGAN + timedelta(minutes=2)) * number / 4000 - timedelta(minutes=1),
            dice.choice(
                ["R-1.0.canary", "R-1.0.control", "R-1.1.canary", "R-1.1.control", "R-2.0.canary", "?", "", None]
            ),
            dice.choice(["v42", "v43", None]),
            dice.choice([None, "", f"r-{number}", f"r-{number // 3}"]),
            dice.choice([0.0, 850.25, 4100.5, 2600.0, -1.0, None, 1e-300]),
            dice.choice([True, False, None]),
            dice.choice(["de", "it's", "fr", "", None, "y" * 513]),
            _ERRORS.get(number % 20),
            dice.choice([0.0, 1.0, 3.0, None, -1.0]),
            dice.choice([0.0, 1.0, 4.0, None]),
        )
        for number in range(4000)
    ]
    frame = pd.DataFrame(rows, columns=list(_COLUMNS))
    with duckdb.connect(str(path)) as writer:
        writer.execute("SET TimeZone = 'UTC'")
        writer.execute("CREATE SCHEMA analytics")
        kinds = ", ".join(f"{name} {kind}" for name, kind in _COLUMNS.items())
        writer.execute(f"CREATE TABLE analytics.ai_requests ({kinds})")
        writer.register("frame", frame)
        writer.execute("INSERT INTO analytics.ai_requests SELECT * FROM frame")
    return path


_ERRORS = {1: "Timeout", 3: "order 47 failed", 4: "order 48 failed", 6: "rare", 7: "", 9: "soft:x", 11: "z" * 513}
_COLUMNS = {
    "user_id": "text",
    "served_at": "timestamptz",
    "exposure": "text",
    "version": "text",
    "request_id": "text",
    "duration_ms": "double",
    "refused": "boolean",
    "language": "text",
    "error_kind": "text",
    "cited": "double",
    "claims": "double",
}


@ENGINES
@pytest.mark.parametrize("name", list(list_statements(DUCKDB)))
def test_what_is_written_down_gives_what_duckdb_gives(engine: SqlEngine, name: str, requests: Path) -> None:
    with open_source(f"duckdb:///{requests}", frozenset(), 60) as source:
        expected = source.fetch(list_statements(DUCKDB)[name], 100_000)
    translated = sqlglot.transpile(
        read_texts(engine)[name], read=engine.name, write="duckdb", unsupported_level=sqlglot.ErrorLevel.RAISE
    )
    assert len(translated) == 1
    with duckdb.connect(str(requests), read_only=True) as reader:
        reader.execute("SET TimeZone = 'UTC'")
        found = reader.execute(translated[0]).fetchall()
    assert len(expected) > 3
    assert _sort(found) == _sort(expected)


def test_what_duckdb_gives_is_of_every_kind(requests: Path) -> None:
    with open_source(f"duckdb:///{requests}", frozenset(), 60) as source:
        census = {row.why: row for row in source.fetch(list_statements(DUCKDB)["census"], 10)}
        sums = source.fetch(list_statements(DUCKDB)["sums"], 100_000)
        errors = source.fetch(list_statements(DUCKDB)["errors"], 100_000)
    assert set(census) == {0, -1, -2, -3, -4}
    assert census[0].repeated > 0
    assert census[0].refused > 0
    assert {row.place for row in sums} >= {0, 1, 2, 3}
    assert {row.value for row in sums} == {"", "de", "it's", "(other)"}
    assert sum(row.aside for row in sums) > 0
    assert {row.kind for row in errors} == {-1, 0, 1}


def _sort(rows: Sequence[Any]) -> list[tuple[str, ...]]:
    """Rows as text, in order: two engines write a whole number as 3 or as 3.0."""
    return sorted(tuple(str(float(v)) if isinstance(v, int | float) else str(v) for v in row) for row in rows)


@pytest.mark.parametrize(
    ("address", "why"),
    [
        ("snowflake://reader:hush@evil.example.com:444/A/B", "names no account of Snowflake"),
        ("snowflake://reader:hush@/A/B", "names no account of Snowflake"),
        ("snowflake://reader:hush@evil.example.com%23/A/B", "names no account of Snowflake"),
        ("snowflake://reader:hush@acme/A/B?host=10.0.0.7", "the option host, which is not known here"),
        ("snowflake://reader:hush@acme/A/B?warehouse=W&authenticator=http%3A%2F%2Fx", "the option authenticator"),
    ],
)
def test_an_address_leads_nowhere_but_to_snowflake(address: str, why: str) -> None:
    with pytest.raises(SourceFailure, match=why) as failure:
        open_snowflake(make_url(address), 30)
    assert "hush" not in str(failure.value)


@pytest.mark.parametrize("engine", ["bigquery", "snowflake"])
def test_without_the_driver_it_says_what_to_install(engine: str) -> None:
    with (
        pytest.raises(SourceFailure, match=rf"run: pip install -e '\.\[{engine}\]'"),
        open_source(f"{engine}://acme/analytics", frozenset(), 30),
    ):
        pass


SAID: Mapping[str, tuple[str, bool]] = {
    "400 POST https://x: Unrecognized name: usr_id; Did you mean user_id? at [2:9]": (
        "it refuses the query: Unrecognized name: usr_id; Did you mean user_id? at [2:9]",
        True,
    ),
    "404 POST https://x: Not found: Table p:d.t was not found in location EU": (
        "it refuses the query: Not found: Table p:d.t was not found in location EU",
        True,
    ),
    "403 POST https://x: Access Denied: Table p:d.t": ("it refuses the credentials, or they may not read this", True),
    "400 Bad double value: private words": (
        "it refuses the query, or a value cannot be read as what its column should be",
        False,
    ),
    "503 GET https://x: backend error": ("the query failed (503)", False),
}


@pytest.mark.parametrize("text", list(SAID))
def test_an_error_of_bigquery_is_told_without_what_a_row_holds(text: str) -> None:
    failure = explain_bigquery(text)
    assert (str(failure), failure.is_lasting) == SAID[text]
