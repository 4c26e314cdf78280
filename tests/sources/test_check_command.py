"""`rollout sources check` tries the sources of a file, and `status` says how the pulls go."""

import json
import random
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from bot.cli.root import app
from core.store.database.connections import connect
from tests.http.conftest import SURFACE, running_on
from tests.sources.conftest import Warehouse
from tests.sources.langfuse_stand_in import LangfuseStandIn, build_score, build_trace
from tests.sources.prometheus import PrometheusServer
from tests.sources.test_prometheus import SOURCES as COUNTERS
from tests.sources.test_prometheus import TOKENS, Past, live
from tests.sources.test_pulling import SOURCES, begin
from tests.sources.test_traces import SOURCES as TRACES


@pytest.fixture
def rollout(monkeypatch: pytest.MonkeyPatch) -> Callable[..., tuple[int, str]]:
    """Runs a command of the program; (exit status, what it prints)."""

    def run(*words: str, **environ: str) -> tuple[int, str]:
        for name, value in environ.items():
            monkeypatch.setenv(name, value)
        found = CliRunner().invoke(app, words)
        return found.exit_code, found.output

    return run


def rows(count: int) -> list[dict[str, Any]]:
    dice = random.Random(5)
    now = datetime.now(UTC)
    return [
        {
            "user_id": f"user-{dice.randrange(90)}",
            "at": now - timedelta(minutes=3 + number / 60),
            "exposure": f"R-4.1.{dice.choice(['canary', 'control'])}",
            "request_id": f"id-{number}",
            "language": dice.choice(["de", "fr"]),
            "plan": "free",
            "duration_ms": 900.0,
            "cost_usd": 0.25 if number % 2 else None,
            "refused": False,
            "clicked": 1.0,
            "cited": 1.0,
            "claims": 2.0 if number % 4 else None,
            "error_kind": f"order {4000 + number} failed" if number % 10 == 0 else "",
        }
        for number in range(count)
    ]


@pytest.fixture
def file(warehouse: Warehouse, tmp_path: Path) -> Path:
    path = tmp_path / "surface.yaml"
    path.write_text(SURFACE + SOURCES.format(table=warehouse.table), encoding="utf-8")
    return path


@pytest.mark.parametrize("at", ["1e300", "9e999", "1795953600000000", "'yesterday'", "NULL", "x'ff'"])
def test_a_row_whose_time_cannot_be_read_keeps_no_other_from_being_read(
    build_warehouse: Callable[[str], Warehouse], rollout: Callable[..., tuple[int, str]], tmp_path: Path, at: str
) -> None:
    warehouse = build_warehouse("sqlite")
    warehouse.insert([*rows(10), {**rows(1)[0], "at": "odd"}])
    others = "user_id, exposure, request_id, language, plan, duration_ms, cost_usd, refused, clicked, error_kind"
    when = f"CASE at WHEN 'odd' THEN {at} ELSE at END AS at"
    warehouse.run(f"CREATE VIEW odd AS SELECT {when}, {others} FROM {warehouse.table}", ())
    path = tmp_path / "surface.yaml"
    path.write_text(SURFACE + SOURCES.format(table="odd"), encoding="utf-8")
    _, said = rollout("sources", "check", str(path), SOURCE_WAREHOUSE_URL=warehouse.address)
    assert "10 rows in the last 24 h" in said


@pytest.mark.parametrize("engine", ["postgres", "duckdb"])
def test_a_time_that_is_only_a_day_is_refused(
    build_warehouse: Callable[[str], Warehouse], rollout: Callable[..., tuple[int, str]], tmp_path: Path, engine: str
) -> None:
    """All rows of a day would lie at its midnight, and so in the stage of that moment."""
    warehouse = build_warehouse(engine)
    warehouse.insert(rows(10))
    others = "user_id, exposure, request_id, language, plan, duration_ms, cost_usd, refused, clicked"
    warehouse.run(f'CREATE VIEW by_day AS SELECT CAST("at" AS date) AS "at", {others} FROM {warehouse.table}', ())
    path = tmp_path / "surface.yaml"
    path.write_text(SURFACE + SOURCES.format(table="by_day"), encoding="utf-8")
    status, said = rollout(
        "sources", "check", str(path), SOURCE_WAREHOUSE_URL=warehouse.address, ALLOW_PRIVATE_HOSTS="localhost"
    )
    assert (status, 'the column "at" is a day, without a time' in said) == (1, True), said


def test_a_day_that_sqlite_keeps_as_a_text_is_refused(
    build_warehouse: Callable[[str], Warehouse], rollout: Callable[..., tuple[int, str]], tmp_path: Path
) -> None:
    warehouse = build_warehouse("sqlite")
    warehouse.insert(rows(10))
    warehouse.run(f"UPDATE {warehouse.table} SET at = substr(at, 1, 10)", ())
    path = tmp_path / "surface.yaml"
    path.write_text(SURFACE + SOURCES.format(table=warehouse.table), encoding="utf-8")
    status, said = rollout("sources", "check", str(path), SOURCE_WAREHOUSE_URL=warehouse.address)
    assert (status, 'the column "at" is a day, without a time' in said) == (1, True), said


@pytest.mark.parametrize(
    "field", ["unit: user_id", "exposure: exposure", "language: language", "duration_ms", "at: at"]
)
def test_a_column_that_is_not_there_is_named(
    rollout: Callable[..., tuple[int, str]], warehouse: Warehouse, file: Path, field: str
) -> None:
    """SQLite reads a name in double quotes as a text where it knows no such column: every row would hold that text."""
    warehouse.insert(rows(10))
    missing = f"{field.partition(': ')[0]}: renamed" if ": " in field else "renamed"
    file.write_text(file.read_text(encoding="utf-8").replace(field, missing), encoding="utf-8")
    environ = {"SOURCE_WAREHOUSE_URL": warehouse.address, "ALLOW_PRIVATE_HOSTS": "localhost"}
    status, said = rollout("sources", "check", str(file), **environ)
    assert (status, "renamed" in said, "refuses the query" in said) == (1, True, True), said


def test_a_column_that_holds_something_else_is_named(
    rollout: Callable[..., tuple[int, str]], warehouse: Warehouse, file: Path
) -> None:
    warehouse.insert(rows(10))
    written = file.read_text(encoding="utf-8")
    environ = {"SOURCE_WAREHOUSE_URL": warehouse.address, "ALLOW_PRIVATE_HOSTS": "localhost"}
    file.write_text(written.replace("latency_ms: duration_ms", "latency_ms: language"), encoding="utf-8")
    status, said = rollout("sources", "check", str(file), **environ)
    told = {
        "sqlite": "  latency_ms: language, 0% NULL, 10 not valid",
        "clickhouse": "  ! latency_ms: language, 100% NULL",  # its way to say that a text is no number
    }.get(warehouse.engine, '! the column "language" cannot be read as a number')
    assert (status, told in said) == (1, True), said
    file.write_text(written.replace("at: at", "at: language"), encoding="utf-8")
    status, said = rollout("sources", "check", str(file), **environ)
    assert (status, 'the column "language" cannot be read as a time' in said) == (1, True), said


def test_a_source_that_works_is_told_with_its_rows_lag_gaps_sides_and_query(
    rollout: Callable[..., tuple[int, str]], warehouse: Warehouse, file: Path
) -> None:
    warehouse.insert(rows(200))
    file.write_text(file.read_text(encoding="utf-8") + "      error_category: error_kind\n", encoding="utf-8")
    status, said = rollout(
        "sources", "check", str(file), "--query",
        SOURCE_WAREHOUSE_URL=warehouse.address, ALLOW_PRIVATE_HOSTS="localhost",
    )  # fmt: skip
    assert status == 0, said
    assert f"warehouse ({'postgresql' if warehouse.engine == 'postgres' else warehouse.engine}), every 30 s" in said
    assert "200 rows in the last 24 h; the newest is 3 min old" in said
    assert "cost_per_request: cost_usd, 50% NULL" in said
    assert "refusal_rate: refused, 0% NULL" in said
    assert "  errors: error_kind, 90% none\n  kinds of errors: order <n> failed 20\n" in said
    assert "segment language: " in said
    assert "R-4.1.canary" in said
    assert "SELECT" in said
    assert "user-1" not in said
    assert ("cost: " in said) == (warehouse.engine == "postgres")


def test_in_json_what_an_errors_column_holds_that_is_not_valid_is_called_as_in_the_other_columns(
    rollout: Callable[..., tuple[int, str]], warehouse: Warehouse, file: Path
) -> None:
    first, *others = rows(20)
    warehouse.insert([{**first, "error_kind": "x" * 600}, *others])
    file.write_text(file.read_text(encoding="utf-8") + "      error_category: error_kind\n", encoding="utf-8")
    environ = {"SOURCE_WAREHOUSE_URL": warehouse.address, "ALLOW_PRIVATE_HOSTS": "localhost"}
    _, said = rollout("sources", "check", str(file), "--json", **environ)
    (found,) = json.loads(said)
    assert found["errors"].keys() == {"column", "none", "bad", "kinds", "has_others"}
    assert (found["errors"]["column"], found["errors"]["bad"]) == ("error_kind", 1)


def test_what_cannot_be_counted_is_told_and_fails(
    rollout: Callable[..., tuple[int, str]], warehouse: Warehouse, file: Path
) -> None:
    good = rows(20)
    warehouse.insert(
        [
            *good[:-1],
            good[0],
            {**good[1], "user_id": None, "request_id": "a"},
            {**good[1], "user_id": "x" * 600, "request_id": "b"},
            {**good[1], "exposure": None, "request_id": "c"},
            {**good[1], "exposure": "blue", "request_id": "d"},
            {**good[1], "cost_usd": -1, "request_id": "e"},
        ]
    )
    environ = {"SOURCE_WAREHOUSE_URL": warehouse.address, "ALLOW_PRIVATE_HOSTS": "localhost"}
    status, said = rollout("sources", "check", str(file), "--json", **environ)
    (found,) = json.loads(said)
    assert status == 1
    assert found["rows"] == 25
    assert {name: found[name] for name in ("bad_unit", "no_side", "unknown_side", "refused", "repeated")} == {
        "bad_unit": 2, "no_side": 1, "unknown_side": 1, "refused": 1, "repeated": 1,
    }  # fmt: skip
    assert 0 < found["lag_seconds"] < 600
    assert next(one for one in found["columns"] if one["metric"] == "cost_per_request")["bad"] == 1


def test_a_source_whose_rows_tell_only_a_version_is_tried_without_knowing_the_versions(
    rollout: Callable[..., tuple[int, str]], warehouse: Warehouse, file: Path
) -> None:
    versions = [*["v42"] * 12, *["v43"] * 7, None]
    warehouse.insert([{**row, "version": version} for row, version in zip(rows(20), versions, strict=True)])
    written = file.read_text(encoding="utf-8")
    file.write_text(written.replace("exposure: exposure", "version: version"), encoding="utf-8")
    environ = {"SOURCE_WAREHOUSE_URL": warehouse.address, "ALLOW_PRIVATE_HOSTS": "localhost"}
    status, said = rollout("sources", "check", str(file), "--json", **environ)
    (found,) = json.loads(said)
    assert (status, found["rows"], found["no_side"], found["unknown_side"]) == (1, 20, 1, 0), said
    assert found["sides"] == {"v42": 12, "v43": 7, "": 1}


def test_a_column_with_messages_in_place_of_kinds_of_errors_is_told(
    rollout: Callable[..., tuple[int, str]], warehouse: Warehouse, file: Path
) -> None:
    file.write_text(file.read_text(encoding="utf-8") + "      error_category: error_kind\n", encoding="utf-8")
    warehouse.insert([{**row, "error_kind": f"order {4000 + n} failed"} for n, row in enumerate(rows(1000))])
    environ = {"SOURCE_WAREHOUSE_URL": warehouse.address, "ALLOW_PRIVATE_HOSTS": "localhost"}
    _, said = rollout("sources", "check", str(file), **environ)
    assert "kinds of errors: order <n> failed 800, (other) 200" in said
    assert "! error_kind has too many different texts: name a column with the kind of the error" in said


@pytest.mark.parametrize(
    ("environ", "why"),
    [
        ({}, "SOURCE_WAREHOUSE_URL is not set here"),
        ({"SOURCE_WAREHOUSE_URL": "postgresql://reader:hush@127.0.0.1/x"}, "is not a public internet address"),
        ({"SOURCE_WAREHOUSE_URL": "sqlite:////nowhere.db"}, "  ! its address names no file of this machine"),
    ],
)
def test_a_source_that_cannot_be_read_is_told_why(
    rollout: Callable[..., tuple[int, str]], tmp_path: Path, environ: dict[str, str], why: str
) -> None:
    path = tmp_path / "surface.yaml"
    path.write_text(SURFACE + SOURCES.format(table="requests"), encoding="utf-8")
    status, said = rollout("sources", "check", str(path), **environ)
    assert (status, why in said, "hush" in said) == (1, True, False), said


def test_a_file_that_counts_a_metric_twice_is_refused_with_its_line(
    rollout: Callable[..., tuple[int, str]], tmp_path: Path
) -> None:
    written = SOURCES.format(table="requests") + "      error_category: error_kind\n"
    again = written.replace("sources:\n", "").replace("name: warehouse", "name: lake")
    path = tmp_path / "surface.yaml"
    path.write_text(SURFACE + written + again.lstrip("\n"), encoding="utf-8")
    for command in (["sources", "check"], ["lint"]):
        status, said = rollout(*command, str(path))
        assert status == 1
        assert "refusal_rate comes from warehouse already: a metric has one source" in said
        assert "warehouse counts the requests already: write readings" in said
        assert "kinds of errors come from warehouse already: leave it out" in said


OWN = """\
metrics:
  - {name: claims, kind: ratio, unit: claims, direction: up}
  - {name: answer_words, kind: mean, direction: same, unit: words}
soft_errors: {measure: {answer_words: words}}
"""


@pytest.mark.parametrize(
    ("metric", "why"),
    [
        ("complaint_rate", "counts at most once an hour for each person"),
        ("late_items", "is counted as rows are read"),
        ("new_error_category", "name their column as error_category, beside metrics"),
        ("latency_p59", 'Did you mean "latency_p95"?'),
        ("wit", "If it is your own, define it in this file, under metrics"),
        ("claims", "claims is a ratio: name two columns, as in claims: {numerator: solved, denominator: asked}"),
        ("answer_words", "answer_words is read off answers (soft_errors.measure): count it in one place only"),
    ],
)
def test_a_metric_that_no_source_can_count_is_refused(
    rollout: Callable[..., tuple[int, str]], tmp_path: Path, metric: str, why: str
) -> None:
    path = tmp_path / "surface.yaml"
    text = SOURCES.format(table="requests").replace("latency_ms:", f"{metric}:")
    path.write_text(SURFACE + OWN + text, encoding="utf-8")
    status, said = rollout("lint", str(path))
    assert (status, why in said) == (1, True), said


def test_two_columns_are_for_a_ratio_and_are_told_one_by_one(
    rollout: Callable[..., tuple[int, str]], build_warehouse: Callable[[str], Warehouse], tmp_path: Path
) -> None:
    warehouse, pair = build_warehouse("sqlite"), "{numerator: cited, denominator: claims}"
    warehouse.insert(rows(20))
    path, text = tmp_path / "surface.yaml", SURFACE + OWN + SOURCES.format(table=warehouse.table)
    path.write_text(text.replace("refusal_rate: refused", f"retry_rate: {pair}"), encoding="utf-8")
    status, said = rollout("lint", str(path))
    assert (status, "retry_rate is no ratio: name one column" in said) == (1, True), said
    path.write_text(text.replace("refused", "{numerator: cited, denominator: 7}"), encoding="utf-8")
    assert "refusal_rate.denominator" in rollout("lint", str(path))[1]
    path.write_text(text.replace("refusal_rate: refused", f"claims: {pair}"), encoding="utf-8")
    status, said = rollout("sources", "check", str(path), SOURCE_WAREHOUSE_URL=warehouse.address)
    assert status == 0, said
    assert "  claims: cited, 0% NULL\n  claims/denominator: claims, 25% NULL\n" in said


def test_status_tells_how_the_pulls_go(
    rollout: Callable[..., tuple[int, str]], sqlite_url: str, build_warehouse: Callable[[str], Warehouse]
) -> None:
    postgres = build_warehouse("postgres")
    with connect(sqlite_url) as database:
        running = running_on(database)
        puller = begin(running, postgres)
        at = running.now() - timedelta(seconds=5)
        postgres.insert([{**row, "at": at, "exposure": row["exposure"].replace("R-4.1", "R-1.0")} for row in rows(30)])
        puller.pull_due(running.now())
    status, said = rollout("sources", "status", DATABASE_URL=sqlite_url)
    assert status == 0
    assert "R-1 warehouse: read " in said
    assert "30 of 30 rows count" in said
    with connect(sqlite_url) as database:
        running.wait(seconds=30)
        puller.service = type(running.service)(database)
        puller.service.load_world()
        puller.urls = {}
        puller.pull_due(running.now())
    status, said = rollout("sources", "status", "--json", DATABASE_URL=sqlite_url)
    assert status == 1
    assert json.loads(said)[0]["failure"] == "SOURCE_WAREHOUSE_URL is not set where the worker runs"


def test_counters_that_work_are_told_with_their_growth_restarts_bounds_and_sides(
    rollout: Callable[..., tuple[int, str]], tmp_path: Path
) -> None:
    server, past = PrometheusServer(folder=tmp_path), Past()
    begin_at = datetime.now(UTC) - timedelta(minutes=10, seconds=5)
    live(past, begin_at, 10, refusals={"canary": 0.5, "control": 0.02}, sides=TOKENS, restarts=(20,))
    server.write_past(list(past.series.values()))
    path = tmp_path / "surface.yaml"
    path.write_text(SURFACE + COUNTERS.format(side="exposure: exposure", of=10), encoding="utf-8")
    try:
        server.start()
        settings = {"SOURCE_PROMETHEUS_URL": server.url, "ALLOW_PRIVATE_HOSTS": "127.0.0.1"}
        status, said = rollout("sources", "check", str(path), "--query", **settings)
        told = json.loads(rollout("sources", "check", str(path), "--json")[1])[0]
        path.write_text(path.read_text().replace("dollars_total", "euros_total"), encoding="utf-8")
        failed = rollout("sources", "check", str(path))
    finally:
        server.stop()
    assert status == 0, said
    grown = {arm: past.truth[arm, "requests_total"] for arm in TOKENS}
    assert said.startswith("cluster-metrics (prometheus), every 1 min\n")
    assert "of 20 series in the last 15 min; the newest is " in said
    assert "scraped every 15 s\n" in said
    assert "  units are unknown: 10 requests count as one, and the split cannot be checked\n" in said
    assert f"  requests_total: {sum(grown.values()):,.6g} more\n" in said
    assert "  bounds of latency_ms, at which its limits can be set: 4000\n" in said
    assert "  1 restart of a process\n" in said
    assert 'requests_total{job="assistant"}' in said
    assert told["sides"] == {TOKENS[arm]: number for arm, number in grown.items()}
    assert told["grown"]["refusals_total"] == sum(past.truth[arm, "refusals_total"] for arm in TOKENS)
    assert failed == (
        1,
        "cluster-metrics: cannot be read\n"
        '  ! it has no series euros_total{job="assistant"}: is the name right, and is it scraped?\n',
    )


def test_traces_that_work_are_told_with_what_they_lack(rollout: Callable[..., tuple[int, str]], tmp_path: Path) -> None:
    langfuse = LangfuseStandIn().start()
    now = datetime.now(UTC)
    for number in range(620):
        said = {"exposure": f"R-4.1.{'canary' if number % 4 == 0 else 'control'}", "refused": number % 2 == 0}
        at = now - timedelta(minutes=5, seconds=number / 10)
        tags = [f"language:{'de' if number % 2 else 'fr'}"]
        langfuse.traces.append(build_trace(f"t-{number}", at, userId=f"u-{number}", metadata=said, tags=tags))
    langfuse.scores += [build_score(f"t-{number}", "correct", 0.4, now) for number in range(150, 250)]
    path = tmp_path / "surface.yaml"
    path.write_text(SURFACE + TRACES, encoding="utf-8")
    settings = {"SOURCE_LANGFUSE_URL": langfuse.url, "ALLOW_PRIVATE_HOSTS": "127.0.0.1"}
    try:
        status, said = rollout("sources", "check", str(path), **settings)
        told = json.loads(rollout("sources", "check", str(path), "--json")[1])[0]
        langfuse.traces.clear()
        empty = rollout("sources", "check", str(path))
    finally:
        langfuse.stop()
    assert status == 1  # of the scores none is valid
    assert "traces (langfuse), every 1 min\n  the first 500 traces of the last 24 h; the newest is " in said
    assert "  latency_ms: latency_ms, 0% without\n" in said
    assert "  ! eval_pass_rate: score.correct, 80% without, 100 not valid\n" in said
    assert "  sides: R-4.1.control 375, R-4.1.canary 125\n  segment language: " in said
    assert (told["traces"], told["all"], told["no_unit"]) == (500, False, 0)
    assert empty == (1, "traces (langfuse), every 1 min\n  ! no traces in the last 24 h\n")
