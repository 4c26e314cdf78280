"""The whole program beside databases whose disks are really full, or have become read-only under them."""

import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import psycopg
import pytest

from core.store.database.connections import connect
from core.store.schema import migrations
from tests.journey.house import waiting_until
from tests.journey.processes import post
from tests.trials.faults.disks import FailingDisk, failing_disk, fill, mounted
from tests.trials.faults.nursery import Nursery
from tests.trials.faults.server import Server
from tests.trials.faults.test_informed import ROLL_BACK, House, begun, place_of

COMMANDS = "/api/v1/rollouts/R-1/commands"


@pytest.fixture
def failing(tmp_path: Path) -> Iterator[FailingDisk]:
    with failing_disk(tmp_path) as disk:
        yield disk


@pytest.mark.slow
def test_beside_a_file_that_becomes_read_only_everybody_gets_the_live_version(
    failing: FailingDisk, nursery: Callable[..., Nursery], new_sqlite: Callable[[], str]
) -> None:
    url = f"sqlite:///{failing.folder}/rollout.db"
    shutil.copy(new_sqlite().removeprefix("sqlite:///"), failing.folder / "rollout.db")
    os.sync()  # what was copied is on the disk; for what it writes itself the program sees to that
    place = place_of(nursery, url)
    house = begun(place.start("serve"))
    failing.fail()
    house.goes_live()
    # The kernel answers with an error of the disk until it has made the file system read-only.
    reasons = ("(its disk cannot be written to)", "(the file is read-only)")
    said = house.ready().json()["message"]
    assert any(f"this process could not report to the log {reason}" in said for reason in reasons), said
    refused = post(house.url, COMMANDS, ROLL_BACK)
    assert refused.status_code == 503
    told = refused.json()["message"]
    assert any(f"could not be saved: the database cannot be written to {reason}" in told for reason in reasons), told
    assert "Traceback" not in house.process.said()
    house.process.kill()
    failing.mend()
    successor = place.start("serve")
    successor.wait_started()
    again = House(successor, house.someone)
    again.comes_back()
    assert post(again.url, COMMANDS, ROLL_BACK, key="again").status_code == 200
    again.comes_back("v42")


@pytest.fixture
def server(postgres_url: Callable[[str], str]) -> Iterator[Server]:
    opened = Server()
    yield opened
    opened.close()


@pytest.mark.slow
def test_beside_a_postgres_whose_data_has_no_room(server: Server, nursery: Callable[..., Nursery]) -> None:
    """Its write-ahead log has a disk of its own with room left."""
    with mounted(server.data.parent / "small", 24) as small:
        server.give(small)
        with psycopg.connect(server.url(), autocommit=True) as owner:
            owner.execute(f"CREATE TABLESPACE small LOCATION '{small}'")
            owner.execute("CREATE DATABASE tried TABLESPACE small")
        url = server.url("tried")
        with connect(url) as database:
            migrations.migrate(database)
        house = begun(place_of(nursery, url).start("web"))
        filling = fill(small)
        house.goes_live()  # though its report still finds a place where the one before it stood
        assert "this process could not report to the log (its disk is full)" in house.ready().json()["message"]
        refused = post(house.url, COMMANDS, ROLL_BACK)
        assert refused.status_code == 503
        assert "could not be saved: the database cannot be written to (its disk is full)" in refused.json()["message"]
        filling.unlink()
        house.comes_back()
        assert post(house.url, COMMANDS, ROLL_BACK, key="again").status_code == 200
        house.comes_back("v42")
        assert "Traceback" not in house.process.said()
        house.process.kill()
        server.fall()


@pytest.mark.slow
def test_beside_a_postgres_whose_write_ahead_log_has_no_room(server: Server, nursery: Callable[..., Nursery]) -> None:
    with connect(server.url()) as database:
        migrations.migrate(database)
    server.fall()
    wal = server.data / "pg_wal"
    aside = server.data.parent / "wal"
    shutil.move(wal, aside)
    with mounted(wal, 80):
        for one in aside.iterdir():
            shutil.move(one, wal / one.name)
        server.give(wal)
        server.rise()
        house = begun(place_of(nursery, server.url()).start("web"))
        filling = fill(wal)
        with pytest.raises(psycopg.Error):
            write_ahead(server)
        house.goes_live()
        assert "the log did not answer (OperationalError)" in house.ready().json()["message"]
        refused = post(house.url, COMMANDS, ROLL_BACK)
        assert refused.status_code == 503
        assert refused.json()["message"] == "The database did not answer."
        waiting_until(lambda: server.has_ended, lambda: "the server ends for want of room", within=90)
        filling.unlink()
        server.rise()
        house.comes_back()
        assert post(house.url, COMMANDS, ROLL_BACK, key="again").status_code == 200
        house.comes_back("v42")
        assert "Traceback" not in house.process.said()
        house.process.kill()
        server.fall()


def write_ahead(server: Server) -> None:
    """Until the next segment does not fit any more."""
    with psycopg.connect(server.url(), autocommit=True) as owner:
        for _ in range(8):
            owner.execute("SELECT pg_logical_emit_message(false, 'x', repeat('x', 4000000))")
            owner.execute("SELECT pg_switch_wal()")
