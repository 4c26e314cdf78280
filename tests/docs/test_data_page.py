"""The page on data for reports: its examples run as written on both databases, as a reader who may do nothing else."""

import re
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import psycopg
import pytest
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError
from sqlmodel import Session, create_engine

from core.rollout import commands as c
from core.rollout.context import ENGINE
from core.service.service import CommandRequest, RolloutService
from core.store.coordination import outbox, processes
from core.store.database.connections import Database, connect
from core.store.formats.instants import parse_instant
from core.store.models import ReadableTable
from tests.logins import second_login
from tests.rehearsal import EXAMPLES, Rehearsal

PAGE = (Path(__file__).parents[2] / "docs" / "data.md").read_text(encoding="utf-8")
BLOCK = re.compile(r"```(sql|python)\n(.*?)```", re.DOTALL)
SECTIONS = dict(re.findall(r"^### (.+?)\n(.*?)(?=^##|\Z)", PAGE, re.MULTILINE | re.DOTALL))
GRANTS, SETUP = (text_ for _, text_ in BLOCK.findall(PAGE.split("\n## Rollouts")[0]))
EMPTY = '"sqlite:///file:rollout.db?mode=ro&uri=true"'


def _play(database: Database) -> None:
    """A rollout that was rolled back and confirmed, one that is planned, a message that failed, a process behind."""
    service = RolloutService(database)
    story = Rehearsal(service, "refusals", seed=1).begin((EXAMPLES / "first-rollout.yaml").read_text()).play(20)
    story.intake.close()
    request = CommandRequest(
        command=c.ConfirmFlip(seconds=0.25, processes=1), command_id="flip", by=ENGINE, at=story.at, rollout="R-1"
    )
    service.handle(request)
    row = outbox.claim(database, story.at + timedelta(days=1), kind="slack", lease=timedelta(minutes=1))
    assert row is not None
    with database.writing_outside_log() as connection:
        assert outbox.dead_letter(connection, row, "is_archived")
    processes.report_alive(database, "web-1", "web", 3, datetime(2026, 11, 23, 9, 0, tzinfo=UTC))


@pytest.fixture(scope="module", params=["sqlite", "postgres"])
def reader(request: pytest.FixtureRequest) -> Iterator[tuple[str, str]]:
    """(kind of database, SQLAlchemy address of a reader as the page makes one), with a story in it.

    The tests of one worker share it: that none of them can change anything is what they show.
    """
    if request.param == "sqlite":
        url = request.getfixturevalue("new_sqlite")()
        with connect(url) as database:
            _play(database)
        yield "SQLite", url.replace("sqlite:///", "sqlite:///file:") + "?mode=ro&uri=true"
        return
    with second_login(request.getfixturevalue("postgres_of_module")) as roles:
        with connect(roles.owner_url) as database:
            _play(database)
        with psycopg.connect(roles.owner_url, autocommit=True) as owner:
            for statement in GRANTS.replace("rampart_reader", roles.name).split(";"):
                if "CREATE ROLE" not in statement:
                    owner.execute(statement)
        yield "Postgres", roles.url.replace("postgresql://", "postgresql+psycopg://")


def _plain(rows: Any) -> list[tuple[Any, ...]]:
    def plain(value: Any) -> Any:
        is_moment = isinstance(value, str) and re.fullmatch(r"\d{4}-\d\d-\d\dT.*Z", value)
        return parse_instant(value) if is_moment else value

    return [tuple(map(plain, row)) for row in rows]


def _run_sql(session: Session, dialect: str, section: str) -> list[tuple[Any, ...]]:
    (query,) = (
        block
        for language, block in BLOCK.findall(section)
        if language == "sql" and not (block.startswith("-- ") and not block.startswith(f"-- {dialect}\n"))
    )
    return _plain(session.connection().exec_driver_sql(query.replace("%", "%%") if dialect == "Postgres" else query))


def test_every_example_gives_the_same_in_sql_and_in_python(reader):
    dialect, url = reader
    names: dict[str, Any] = {}
    exec(SETUP.replace(EMPTY, repr(url)), names)
    found = {}
    for title, section in SECTIONS.items():
        exec(next(block for language, block in BLOCK.findall(section) if language == "python"), names)
        found[title] = _plain(names["rows"])
        with Session(names["engine"]) as session:
            assert _run_sql(session, dialect, section) == found[title], title
    names["engine"].dispose()
    assert found["Rollouts by state"] == [("rolled_back", 1)]
    ((_, state, seconds),) = found["Lead time: seconds from the file to the end"]
    assert (state, 60 < seconds < 3600) == ("rolled_back", True)
    assert found["Seconds from the decision to a confirmed flip"] == [("rollout:R-1", 0.25)]
    ((rollout, made, kept),) = found["Looks per rollout"]
    assert (rollout, made >= kept > 1) == ("R-1", True)
    assert found["Verdict of the newest look"] == [("rollout:R-1", "roll_back")]
    assert [(attempt, why) for _, _, attempt, why in found["Messages that failed"]] == [(1, "is_archived")]
    assert found["What waits, and since when"][0][0] > 0
    assert found["Processes that are behind the log"] == [("web-1", "web", 3)]


@pytest.mark.parametrize("statement", ["DELETE FROM look", "UPDATE rollout_view SET percent = 0", "DROP TABLE timer"])
def test_a_reader_can_change_nothing(reader, statement):
    dialect, url = reader
    engine = create_engine(url)
    with pytest.raises(DBAPIError, match=r"read-?only"), engine.begin() as connection:
        connection.execute(text(statement))
    if dialect == "Postgres":  # a session may switch that off, and may still do nothing
        with pytest.raises(DBAPIError, match=r"permission denied|must be owner"), engine.begin() as connection:
            connection.execute(text(f"SET TRANSACTION READ WRITE; {statement}"))
    engine.dispose()


def test_every_column_has_its_row_and_no_other():
    for table in ReadableTable.__subclasses__():
        section = next(
            part for part in PAGE.split("\n## ") if part.partition("\n")[0].endswith(f"`{table.__tablename__}`")
        )
        cells = [line.split("|")[1] for line in section.splitlines() if line.startswith("| `")]
        assert re.findall(r"`(\w+)`", " ".join(cells)) == [column.name for column in table.__table__.columns]
        assert f"`{table.__name__}`" in section
