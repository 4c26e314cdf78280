"""Somebody else holds the append lock: commands are told so in time, evaluation goes on, and afterwards all goes on."""

import fcntl
import os
import sqlite3
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, closing, contextmanager
from dataclasses import replace
from pathlib import Path

import httpx
import psycopg
import pytest

from bot.sandbox.control import Sandbox
from bot.sandbox.rules import limits
from core.rollout import commands as c
from core.rollout.state import events as e
from core.service.service import RolloutService
from core.store.audit import verify
from core.store.database import connections as databases
from core.store.database.connections import connect
from core.store.database.postgres.postgres_functions import APPEND_LOCK_KEY
from core.store.database.sqlite import sqlite_file
from core.store.database.sqlite.sqlite_lock import LOCK_WAIT_SECONDS
from core.store.errors import DatabaseBusy
from core.store.transaction import append_transaction
from tests.journey.house import waiting_until
from tests.journey.processes import post
from tests.trials.faults import laborer
from tests.trials.faults.nursery import Nursery
from tests.trials.faults.test_many_kills import begun
from tests.trials.length import pick

SOON = 90
TOLD = "The database stayed locked by another program for too long, so nothing was written."


@contextmanager
def lock_file(url: str) -> Iterator[None]:
    """As another program of ours that was stopped under the lock."""
    file = os.open(f"{url.removeprefix('sqlite:///')}.lock", os.O_RDWR)
    fcntl.flock(file, fcntl.LOCK_EX)
    yield
    os.close(file)


@contextmanager
def foreign_program(url: str) -> Iterator[None]:
    """As a program that knows nothing of our lock file."""
    with closing(sqlite3.connect(url.removeprefix("sqlite:///"), isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        yield
        other.execute("ROLLBACK")


@contextmanager
def advisory_lock(url: str) -> Iterator[None]:
    with psycopg.connect(url) as other:
        other.execute("SELECT pg_advisory_xact_lock(%s)", (APPEND_LOCK_KEY,))
        yield


HOLDERS = {"sqlite-file": lock_file, "sqlite-foreign": foreign_program, "postgres": advisory_lock}


@pytest.fixture(params=HOLDERS)
def held(request: pytest.FixtureRequest) -> tuple[str, Callable[[str], object]]:
    """The address of a database, and how somebody holds its lock."""
    url = request.getfixturevalue(f"new_{request.param.partition('-')[0]}")()
    return url, HOLDERS[request.param]


@pytest.fixture
def patient_slack(slack: Sandbox, monkeypatch: pytest.MonkeyPatch) -> Sandbox:
    """A Slack that waits longer for an acknowledgement, so that a slow machine is not taken for a wrong answer."""
    usual = limits.LIMITS["ack.seconds"]
    monkeypatch.setitem(limits.LIMITS, usual.id, replace(usual, value=SOON))
    return slack


@pytest.mark.slow
def test_commands_are_told_in_time_evaluation_goes_on_and_so_does_everything_afterwards(
    held: tuple[str, Callable[[str], object]], nursery: Callable[..., Nursery], patient_slack: Sandbox
) -> None:
    (url, holding), slack = held, patient_slack
    with connect(url) as database:
        service = RolloutService(database)
        begun(service)
        place = nursery(url)
        place.patience = pick(6.0, LOCK_WAIT_SECONDS)
        web = place.start("serve" if database.dialect == "sqlite" else "web")
        web.wait_started()
        slack.connect(f"{web.url}/slack/events")
        with holding(url):  # type: ignore[attr-defined]
            typed = slack.act_as("ana").type_command('/rollout pause R-1 "locked"')
            assert "working on it" in typed.text
            began = time.monotonic()
            told = _concern(web.url)
            print(f"told after {time.monotonic() - began:.1f} s")
            assert told.status_code == 503, told.text
            assert told.json()["message"].startswith(TOLD)
            flag = f"{web.url}/ofrep/v1/evaluate/flags/support-assistant"
            context = {"context": {"targetingKey": "user-1"}}
            assert httpx.post(flag, json=context, trust_env=False, timeout=SOON).status_code == 200
            waiting_until(lambda: slack.responses_to(typed), lambda: "Slack is told, too", within=SOON)
            assert "stayed locked by another program" in str(slack.responses_to(typed)[-1].body)
        assert _concern(web.url).status_code == 200
        laborer.command(service, c.Pause(reason="by another process"), "pause")
        assert [r.event.text for r in service.load_history("R-1") if isinstance(r.event, e.ConcernRaised)] == ["locked"]
        with database.reading() as connection:
            assert verify.verify(connection).problems == ()


def _concern(url: str) -> httpx.Response:
    body: dict[str, object] = {"command": "concern", "notice": "general", "reason": "locked"}
    return post(url, "/api/v1/rollouts/R-1/commands", body, key="locked", within=SOON)


def test_who_waited_in_vain_for_a_file_does_not_keep_it_later(
    new_sqlite: Callable[[], str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sqlite_file, "LOCK_WAIT_SECONDS", 0.05)
    url = new_sqlite()
    with connect(url) as one:
        with lock_file(url):
            for _ in range(3):
                with pytest.raises(DatabaseBusy, match="stayed locked"), one.writing_outside_log():
                    pass
        path = Path(f"{url.removeprefix('sqlite:///')}.lock")
        waiting_until(lambda: _is_free(path), lambda: "the lock is given back unused", within=SOON)
        with connect(url) as two, two.writing_outside_log():
            pass
        with one.writing_outside_log():
            pass


def _is_free(path: Path) -> bool:
    file = os.open(path, os.O_RDWR)
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    else:
        return True
    finally:
        os.close(file)


def test_one_of_ours_that_stands_still_under_the_lock_is_cut_off(
    own_postgres: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    with psycopg.connect(own_postgres, autocommit=True) as owner:
        monkeypatch.setattr(databases, "IDLE_TIMEOUT", "300ms")
        with connect(own_postgres) as one, connect(own_postgres) as two:
            begun(RolloutService(two))
            standing = RolloutService(one)
            standing.load_world()

            def stand_still(held: Callable[[], AbstractContextManager[object]]) -> None:
                with held():
                    waiting_until(lambda: not _holders(owner), lambda: "it is cut off", within=SOON)
                    number = len(RolloutService(two).load_history("R-1"))
                    laborer.command(RolloutService(two), c.RaiseConcern(notice="general", text="on"), f"on-{number}")

            for way in (lambda: append_transaction(one, standing.world_cache, "held"), one.writing):
                with pytest.raises(databases.CONNECTION_ERRORS):
                    stand_still(way)
            laborer.command(standing, c.RaiseConcern(notice="general", text="back"), "back")


def _holders(owner: psycopg.Connection[object]) -> list[object]:
    return owner.execute("SELECT pid FROM pg_locks WHERE locktype = 'advisory' AND granted").fetchall()
