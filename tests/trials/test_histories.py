"""Logs that older programs wrote, read by this one: the same states, and nothing that does not fit."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from core.service.service import RolloutService
from core.store.audit import export
from core.store.audit.verify import verify
from core.store.database.connections import connect
from tests.trials import record

HISTORIES = sorted(record.FOLDER.glob("*.jsonl"))


def test_there_is_one_of_each_ending() -> None:
    assert {file.stem for file in HISTORIES} >= set(record.SCRIPTS)
    assert max(file.stat().st_size for file in HISTORIES) < 100_000


@pytest.mark.parametrize("file", HISTORIES, ids=lambda file: file.stem)
def test_an_old_log_means_what_it_meant(file: Path, fresh: Callable[[], str]) -> None:
    lines = file.read_text(encoding="utf-8").splitlines()
    expected = json.loads(file.with_suffix(".json").read_text(encoding="utf-8"))
    with connect(fresh()) as database:
        assert export.import_events(database, lines) == len(lines)
        assert record.told(RolloutService(database).load_world()) == expected
        with database.reading() as connection:
            assert verify(connection).problems == ()
            assert list(export.export_events(connection)) == lines
