"""Starts rehearsals on a fresh SQLite database."""

from collections.abc import Callable, Iterator

import pytest

from core.service import Service
from core.store.database import Database
from tests.rehearsal import EXAMPLES, Rehearsal


@pytest.fixture
def rehearse(sqlite_database: Database) -> Iterator[Callable[..., Rehearsal]]:
    """Starts the first-rollout example under a scenario."""
    begun: list[Rehearsal] = []

    def start(scenario: str, seed: int = 1, rollout_file: str = "") -> Rehearsal:
        text = rollout_file or (EXAMPLES / "first-rollout.yaml").read_text()
        rehearsal = Rehearsal(Service(sqlite_database), scenario, seed).begin(text)
        begun.append(rehearsal)
        return rehearsal

    yield start
    for one in begun:
        one.intake.close()
