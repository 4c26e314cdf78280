"""A source is only read, only where it may be, and only for as long as it may take."""

import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from sqlalchemy import Double, cast, column, make_url, select, text

from bot.settings import read_secrets, read_settings
from bot.sources.errors import SourceFailure
from bot.sources.sql.connection import _guard_clickhouse, open_source
from bot.sources.sql.statements.source_rows import build_probe
from core.files.read_file import parse_file
from core.files.syntax.problems import UnreadableFile
from core.rollout.state.sources import SourceColumns, SqlRows
from tests.http.conftest import SURFACE
from tests.sources.conftest import LOCAL, Warehouse
from tests.sources.test_pulling import SOURCES


def asked(select: str) -> SqlRows:
    columns = SourceColumns(unit="user_id", at="at", exposure="exposure")
    return SqlRows(url="SOURCE_X", rows="requests", columns=columns, metrics={"refusal_rate": "refused"}, select=select)


def reached(address: str, hosts: frozenset[str] = frozenset(), found: tuple[str, ...] = ()) -> str:
    """Why the source at `address` is not reached."""
    with (
        pytest.raises(SourceFailure) as failure,
        open_source(address, hosts, 5, lambda host, port: found),
    ):
        pass
    return str(failure.value)


@pytest.mark.parametrize(
    "address", ["10.0.0.7", "127.0.0.1", "169.254.169.254", "::1", "::ffff:10.0.0.1", "100.64.0.1"]
)
def test_a_private_address_is_not_reached_unless_its_host_is_named(address: str) -> None:
    url = "postgresql://reader:hush@db.example.com/x"
    assert f"db.example.com is {address}, which is not a public internet address" in reached(url, found=(address,))
    assert "ALLOW_PRIVATE_HOSTS" not in reached(url, frozenset({"db.example.com"}), ("127.0.0.1",))


def test_a_query_of_the_address_leads_nowhere_else() -> None:
    inside = "postgresql://reader@db.example.com/x?host=inside.example.com"
    assert "inside.example.com is 10.0.0.7" in reached(inside, found=("10.0.0.7",))
    for option in ("hostaddr=10.0.0.7", "service=x", "options=-cstatement_timeout%3D0"):
        assert "which is not known here" in reached(
            f"postgresql://reader@db.example.com/x?{option}", found=("1.1.1.1",)
        )
    assert "socket of this machine" in reached("postgresql:///x?host=/tmp")
    assert "socket of this machine" in reached("postgresql:///x")


def test_a_public_host_is_not_spoken_to_in_the_clear() -> None:
    url = "postgresql://reader@db.example.com/x?sslmode=prefer"
    assert "needs sslmode=require or stricter" in reached(url, found=("1.1.1.1",))


@pytest.mark.parametrize(
    "address", ["", "nonsense", "mysql://x/y", "duckdb:///:memory:", "duckdb:///md:x", "sqlite://"]
)
def test_an_address_of_nothing_that_can_be_read_is_refused(address: str) -> None:
    assert reached(address)


def test_clickhouse_goes_to_the_checked_address_and_in_the_clear_only_to_a_private_host() -> None:
    url = "clickhousedb://reader:hush@db.example.com/x"
    assert "db.example.com is 10.0.0.7" in reached(url, found=("10.0.0.7",))
    assert "cannot say secure=false" in reached(f"{url}?secure=false", found=("1.1.1.1",))
    assert "which is not known here" in reached(f"{url}?http_proxy=http://10.0.0.7", found=("1.1.1.1",))
    assert "name localhost in ALLOW_PRIVATE_HOSTS" in reached("clickhousedb:///?interface=chdb")
    public = _guard_clickhouse(make_url(url), frozenset(), 9.5, lambda host, port: ("1.1.1.1",))
    assert (public.host, public.port, public.query["interface"]) == ("1.1.1.1", 8443, "https")
    assert public.query["server_host_name"] == "db.example.com"
    inside = make_url(f"{url}?secure=false")
    private = _guard_clickhouse(inside, frozenset({"db.example.com"}), 9.5, lambda host, port: ("10.0.0.7",))
    assert (private.host, private.port, private.query["interface"]) == ("10.0.0.7", 8123, "http")


def test_nothing_can_be_written(warehouse: Warehouse) -> None:
    with open_source(warehouse.address, LOCAL, 30) as source, pytest.raises(Exception, match=r"(?i)read.?only"):
        source._connection.exec_driver_sql(f"DROP TABLE {warehouse.table}")


def test_a_function_that_writes_is_refused(build_warehouse: Callable[[str], Warehouse]) -> None:
    postgres = build_warehouse("postgres")
    postgres.run("CREATE SEQUENCE turns", ())
    everything = select(column("n")).select_from(text("(SELECT nextval('turns') AS n) AS x"))
    with (
        open_source(postgres.address, LOCAL, 30) as source,
        pytest.raises(SourceFailure, match="would write"),
    ):
        source.fetch(everything, 10)


def test_duckdb_reads_no_other_file_and_nothing_of_the_network(
    build_warehouse: Callable[[str], Warehouse], tmp_path: Path
) -> None:
    secret = tmp_path / "secret.csv"
    secret.write_text("user_id,at,exposure,refused\nmallory,2026-11-24,R-1.0.canary,true\n", encoding="utf-8")
    duck = build_warehouse("duckdb")
    for place in (str(secret), "https://example.com/rows.csv"):
        with (
            open_source(duck.address, LOCAL, 30) as source,
            pytest.raises(SourceFailure, match=r"the query failed|refuses the query") as failure,
        ):
            source.fetch(build_probe(asked(f"SELECT * FROM read_csv('{place}')")), 10)
        assert "mallory" not in str(failure.value)


@pytest.mark.parametrize(
    ("engine", "forever"),
    [
        ("postgres", "SELECT pg_sleep(60)::text AS user_id, now() AS at, '' AS exposure, true AS refused"),
        (
            "duckdb",
            "SELECT count(*)::text AS user_id, now() AS at, '' AS exposure, true AS refused"
            " FROM range(1000000000) a, range(1000000) b",
        ),
        (
            "sqlite",
            "WITH RECURSIVE n(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM n WHERE x < 10000000000)"
            " SELECT count(*) AS user_id, 0 AS at, '' AS exposure, 1 AS refused FROM n",
        ),
    ],
)
def test_a_query_that_takes_too_long_is_ended(
    build_warehouse: Callable[[str], Warehouse], engine: str, forever: str
) -> None:
    there = build_warehouse(engine)
    with (
        open_source(there.address, LOCAL, 0.5) as source,
        pytest.raises(SourceFailure, match="takes longer than its timeout"),
    ):
        source.fetch(select(column("user_id")).select_from(text(f"({forever}) AS x")), 10)


SURFACE_FILE = SURFACE + SOURCES.format(table="requests")


def said(file: str) -> str:
    with pytest.raises(UnreadableFile) as refused:
        parse_file(file, "surface.yaml")
    return str(refused.value)


@pytest.mark.parametrize(
    ("instead", "why"),
    [
        ("select: DELETE FROM requests", "write one SELECT"),
        ("select: SELECT 1; DROP TABLE requests", "without a semicolon"),
        ("select: '/* */ INSERT INTO requests VALUES (1)'", "write one SELECT"),
        ('table: "requests; DROP TABLE requests"', "is not the name of a table"),
    ],
)
def test_a_file_holds_one_read_and_no_statement_that_writes(instead: str, why: str) -> None:
    assert why in said(SURFACE_FILE.replace("table: requests", instead))


def test_a_file_holds_the_name_of_a_variable_and_no_address() -> None:
    secret = "postgresql://reader:hush@db.example.com/x"
    for address in (secret, "DATABASE_URL", "source_x"):
        found = said(SURFACE_FILE.replace("url: SOURCE_WAREHOUSE_URL", f'url: "{address}"'))
        assert "this is the name of a variable, not an address" in re.sub(r"\s+", " ", found)
    with pytest.raises(UnreadableFile):
        parse_file(SURFACE_FILE.replace("unit: user_id", 'unit: "user_id) FROM secrets --"'), "surface.yaml")


def test_the_password_of_an_address_is_a_secret() -> None:
    environ = {"SOURCE_A_URL": "postgresql://reader:hush%20hush@db.example.com/x"}
    settings = read_settings(environ, listens=False)
    assert settings.source_urls == (("SOURCE_A_URL", environ["SOURCE_A_URL"]),)
    assert {"hush%20hush", "hush hush"} <= set(settings.secrets)
    assert {"hush%20hush", "hush hush"} <= set(read_secrets(environ))
    assert "hush" not in repr(settings)


@pytest.mark.parametrize("password", ["hu@sh", "hu@sh:sh", "hu:sh@sh", "@sh/sh:sh", "hu@sh:5432/sh", "hu@sh?sh"])
def test_a_password_that_is_not_encoded_is_told_without_any_part_of_it(password: str) -> None:
    found = reached(f"postgresql://reader:{password}@db.example.com:5432/x")
    assert "must be written as %40" in found
    assert "sh" not in found.replace("should", "")


def test_an_address_may_come_from_a_file(tmp_path: Path) -> None:
    path = tmp_path / "address"
    path.write_text("sqlite:////x.db\n", encoding="utf-8")
    assert read_settings({"SOURCE_A_URL_FILE": str(path)}, listens=False).source_urls == (
        ("SOURCE_A_URL", "sqlite:////x.db"),
    )


def test_what_is_told_of_a_failure_holds_no_value_of_a_row(build_warehouse: Callable[[str], Warehouse]) -> None:
    postgres = build_warehouse("postgres")
    everything = select(cast(column("x"), Double)).select_from(text("(SELECT 'mallory@example.com' AS x) AS rows"))
    with open_source(postgres.address, LOCAL, 30) as source, pytest.raises(SourceFailure) as failure:
        source.fetch(everything, 10)
    assert str(failure.value) == "a value cannot be read as what its column should be (InvalidTextRepresentation)"


def test_a_file_of_duckdb_that_another_program_writes_is_said_to_be_in_use(tmp_path: Path) -> None:
    file = tmp_path / "requests.duckdb"
    hold = f"import duckdb; held = duckdb.connect({str(file)!r}); print(flush=True); input()"
    with subprocess.Popen([sys.executable, "-c", hold], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as writer:
        assert writer.stdout is not None
        assert writer.stdout.readline() == b"\n"
        said = reached(f"duckdb:///{file}")
        writer.kill()
    assert said.startswith("another program has its file open to write")


def test_a_file_that_is_none_of_duckdb_is_said(tmp_path: Path) -> None:
    (tmp_path / "requests.duckdb").write_text("requests")
    assert reached(f"duckdb:///{tmp_path}/requests.duckdb") == "its file is none of DuckDB"


def test_a_missing_driver_is_installed_from_the_checkout(monkeypatch: pytest.MonkeyPatch) -> None:
    """The package that is called rampart in the registry is another project."""
    monkeypatch.setitem(sys.modules, "google.auth.exceptions", None)
    said = reached("bigquery://project/dataset")
    assert said == "the driver of bigquery is not installed. In the checkout, run: pip install -e '.[bigquery]'"
