"""A database that is away is said once, then once a minute, and once when it is back; without a traceback."""

from collections.abc import Iterator

import pytest
import structlog
from sqlalchemy.exc import OperationalError

from bot.process.outage import DatabaseOutage
from core.store.errors import DatabaseBusy

GONE = OperationalError("SELECT 1", {}, Exception("the server closed the connection\nThis probably means…"))


@pytest.fixture
def lines() -> Iterator[list[dict[str, object]]]:
    with structlog.testing.capture_logs() as taken:
        yield taken  # type: ignore[misc]


def test_it_is_said_once_then_once_a_minute_and_once_when_it_is_over(lines: list[dict[str, object]]) -> None:
    at = [0.0]
    outage = DatabaseOutage(lambda: at[0])
    for at[0] in range(150):
        assert outage.record_failure(GONE, "deliver")
        assert outage.record_failure(DatabaseBusy("locked"))
    outage.record_recovery()
    outage.record_recovery()
    assert [(x["event"], x["failed"], x["seconds"]) for x in lines] == [
        ("the database is away", 1, 0),
        ("the database is away", 121, 60),
        ("the database is away", 241, 120),
        ("the database is back", 300, 149),
    ]
    assert lines[0]["why"] == "the server closed the connection"
    assert all("exc_info" not in x for x in lines)


def test_one_that_comes_and_goes_is_not_said_more_often(lines: list[dict[str, object]]) -> None:
    at = [0.0]
    outage = DatabaseOutage(lambda: at[0])
    for at[0] in range(59):
        outage.record_failure(GONE)
        outage.record_recovery()
    assert [x["event"] for x in lines].count("the database is away") == 1
    assert [x["event"] for x in lines].count("the database is back") == 1


def test_what_is_wrong_with_the_program_is_no_outage(lines: list[dict[str, object]]) -> None:
    assert not DatabaseOutage().record_failure(KeyError("user"))
    assert lines == []
