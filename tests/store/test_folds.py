"""The log folded in memory: every event once, also while several threads learn of it at the same moment."""

from collections.abc import Callable
from typing import Any

import pytest

from core.rollout import commands as c
from core.service import Service
from core.store import event_log
from core.store.database import Database
from tests.trials.faults import laborer
from tests.trials.faults.test_many_kills import begun


def test_what_another_thread_has_kept_meanwhile_is_not_folded_in_again(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    writer, reader = Service(database), Service(database)
    begun(writer)
    reader.world()
    laborer.command(writer, c.Pause(reason="once"), "pause")
    laborer.command(writer, c.RaiseConcern(notice="general", text="after it"), "concern")
    asked: Callable[..., Any] = event_log.after

    def asked_while_another_thread_keeps_the_first(*arguments: Any, **options: Any) -> Any:
        news = asked(*arguments, **options)
        if len(news) == 2:
            reader.folds.keep(reader.folds.kept().then(news[:1]), 0, "", None)
        return news

    monkeypatch.setattr(event_log, "after", asked_while_another_thread_keeps_the_first)
    assert reader.world() == writer.world()
