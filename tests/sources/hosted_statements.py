"""The statements of one pull as BigQuery and Snowflake would get them: `python -m tests.sources.hosted_statements`.

It needs their dialects (`make test-warehouses` installs them) and writes the texts that tests compare with.
"""

import sys
from collections.abc import Iterator, Mapping
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

from bot.sources.sql.engines import SqlEngine
from bot.sources.sql.hosted_engines import BIGQUERY, SNOWFLAKE
from bot.sources.sql.named_texts import NamedErrorTexts, hash_text
from bot.sources.sql.statements.pull_statements import DerivedSum, PullStatements
from bot.sources.sql.statements.read_columns import list_read_columns
from bot.sources.sql.statements.source_rows import Statement
from bot.sources.stage_range import StageRange
from core.flags.bucketing import make_bucketer, make_digester
from core.flags.snapshot import StageWindow, TrackedRollout
from core.metrics.own_metrics import define_metric
from core.rollout.state.sources import RatioColumns, SourceColumns, SqlRows

FOLDER = Path(__file__).parent / "hosted"
BEGAN = datetime(2026, 11, 30, 9, tzinfo=UTC)
STEPPED = BEGAN + timedelta(minutes=30)
ENDED = BEGAN + timedelta(hours=1)
_MOVED_BACK = "user-7"


def list_statements(engine: SqlEngine) -> Mapping[str, Statement]:
    """The statements that count, in a pull of a canary and the step after it, by name."""
    # Names are quoted, and Snowflake keeps those that were not in capitals.
    spell = str.upper if engine is SNOWFLAKE else str
    rows = SqlRows(
        url="SOURCE_WAREHOUSE_URL",
        rows="requests",
        columns=SourceColumns(
            **{key: spell(name) for key, name in {**_SIDES, "unit": "user_id", "at": "served_at"}.items()}
        ),
        metrics={"latency_ms": spell("duration_ms"), "refusal_rate": spell("refused")},
        segments={"language": spell("language")},
        table=spell("analytics.ai_requests"),
        error_category=spell("error_kind"),
        ratios={"cited": RatioColumns(numerator=spell("cited"), denominator=spell("claims"))},
    )
    columns = list_read_columns(rows, frozenset({spell("refused")}), {"cited": _CITED})
    asked = PullStatements(engine, rows, columns, _build_window())
    counters = (
        DerivedSum(column=0, threshold=4000.0),
        DerivedSum(column=0, threshold=2500.0, is_cap=True, since=STEPPED),
    )
    names = {0: ["de", "it's"]}
    return {
        "census": asked.build_census(),
        "exposures": asked.build_exposures(),
        "sums": asked.build_sums(counters, {0: 20, 1: 30}, names),
        "error_texts": asked.build_error_texts(2000),
        "errors": asked.build_errors(_NAMED, {0: 20, 1: 30}, names),
        "histogram": asked.build_histogram(0, {0: 20, 1: 30}, names, None),
        "complaints": _ask_for_complaints(engine, rows),
    }


def _ask_for_complaints(engine: SqlEngine, requests: SqlRows) -> Statement:
    rows = replace(requests, rows="complaints", metrics={}, segments={}, error_category=None, ratios=None)
    columns = list_read_columns(rows, frozenset(), {})
    return PullStatements(engine, rows, columns, _build_window()).build_sums((), {}, {})


_CITED = define_metric("cited", "ratio", "up", unit="claims")
_NAMED = (
    NamedErrorTexts(name="Timeout", hashes=(hash_text("Timeout"),)),
    NamedErrorTexts(
        name="order <n> failed", hashes=(hash_text("order 47 failed"), hash_text("order 48 failed")), since=STEPPED
    ),
)
_SIDES = {"exposure": "exposure", "version": "version", "id": "request_id"}


def _build_window() -> StageRange:
    stages = (
        _build_stage(0, BEGAN, STEPPED, 50_000),
        _build_stage(1, STEPPED, None, 250_000),
    )
    moved_back = {make_digester("expose", "R-1")(_MOVED_BACK): STEPPED}
    tracked = TrackedRollout(
        rollout="R-1",
        from_version="v42",
        to_version="v43",
        spans=stages,
        is_externally_driven=False,
        bucket=make_bucketer("expose", "R-1"),
        segments=("language",),
        thresholds={},
        caps={},
        moved_back=moved_back,
        digest=make_digester("expose", "R-1"),
        metrics={},
    )
    return StageRange(tracked=tracked, stages=frozenset({0, 1}), since=BEGAN, upto=ENDED)


def _build_stage(index: int, since: datetime, until: datetime | None, canary: int) -> StageWindow:
    return StageWindow(
        index=index,
        name=f"step {index}",
        since=since,
        until=until,
        counted_from=since,
        settles_until=since + timedelta(minutes=1),
        exposes=True,
        control_left=True,
        cohort=False,
        canary_below=canary,
        control_from=1_000_000 - canary,
    )


def compile_texts() -> Iterator[tuple[str, str]]:
    """(name of the engine, its file) by the two dialects; ImportError without them."""
    from snowflake.sqlalchemy.snowdialect import SnowflakeDialect
    from sqlalchemy_bigquery import BigQueryDialect

    for engine, dialect in ((BIGQUERY, BigQueryDialect()), (SNOWFLAKE, SnowflakeDialect())):
        texts = []
        for name, statement in list_statements(engine).items():
            compiled = str(statement.compile(dialect=dialect, compile_kwargs={"literal_binds": True}))
            # A per cent sign is doubled for the driver. No line ends in a space, which editors drop.
            written = "\n".join(line.rstrip() for line in compiled.replace("%%", "%").splitlines())
            texts.append(f"-- {name}\n{written}\n;\n")
        yield engine.name, "\n".join(texts)


def read_texts(engine: SqlEngine) -> Mapping[str, str]:
    """The statements that are written down for an engine, by name."""
    blocks = (FOLDER / f"{engine.name}.sql").read_text().split("\n;\n")
    pairs = (block.strip().partition("\n") for block in blocks if block.strip())
    return {head.removeprefix("-- "): text for head, _, text in pairs}


if __name__ == "__main__":
    for engine_name, text in compile_texts():
        if "--print" in sys.argv:
            print(f"=== {engine_name}\n{text}", end="")
        else:
            (FOLDER / f"{engine_name}.sql").write_text(text)
