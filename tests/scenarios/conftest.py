"""Starts rehearsals on a fresh SQLite database, and keeps those that several tests only look at."""

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from core.service.service import RolloutService
from core.store.database.connections import Database, connect
from core.store.database.sqlite.sqlite_lock import AppendLock
from tests.rehearsal import EXAMPLES, Rehearsal

PLAYED_WITHIN = 600  # seconds; until then a worker waits for another one that plays the same


def begun(database: Database, scenario: str, seed: int = 1, rollout_file: str = "") -> Rehearsal:
    """The first-rollout example under a scenario."""
    text = rollout_file or (EXAMPLES / "first-rollout.yaml").read_text()
    return Rehearsal(RolloutService(database), scenario, seed).begin(text)


@pytest.fixture
def rehearse(sqlite_database: Database) -> Iterator[Callable[..., Rehearsal]]:
    """Starts the first-rollout example under a scenario."""
    started: list[Rehearsal] = []

    def start(scenario: str, seed: int = 1, rollout_file: str = "") -> Rehearsal:
        started.append(begun(sqlite_database, scenario, seed, rollout_file))
        return started[-1]

    yield start
    for one in started:
        one.intake.close()


@pytest.fixture(scope="session")
def played(
    new_sqlite: Callable[[], str], tmp_path_factory: pytest.TempPathFactory, worker_id: str
) -> Callable[[str, int], Path]:
    """The database in which so many minutes of a scenario were played: once, for all tests of all workers."""
    own = tmp_path_factory.getbasetemp()
    folder = own if worker_id == "master" else own.parent  # of this run alone, either way

    def play(scenario: str, minutes: int) -> Path:
        file = folder / f"{scenario}-{minutes}.db"
        with AppendLock(folder / f"{file.name}.lock", timeout=PLAYED_WITHIN):
            if not file.exists():
                url = new_sqlite()
                with connect(url) as database:
                    begun(database, scenario).play(minutes).intake.close()
                Path(url.removeprefix("sqlite:///")).rename(file)
        return file

    return play


@pytest.fixture
def story(played: Callable[[str, int], Path], tmp_path: Path) -> Iterator[Callable[[str, int], Rehearsal]]:
    """What came of a scenario after so many minutes, in a copy that a test may alter."""
    opened: list[Database] = []

    def tell(scenario: str, minutes: int) -> Rehearsal:
        copy = shutil.copy(played(scenario, minutes), tmp_path / "story.db")
        opened.append(connect(f"sqlite:///{copy}"))
        return Rehearsal(RolloutService(opened[-1]), scenario, seed=1)

    yield tell
    for database in opened:
        database.close()
