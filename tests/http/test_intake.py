"""The one writer of observations: batches that wait are written together, and too many are sent back."""

import json
import threading
from collections.abc import Iterator
from typing import Any

import pytest

from bot.http.observations import writer as ingest
from bot.http.observations.writer import ObservationBatch, ObservationWriter, TooManyBatches
from core.flags.snapshot import Snapshot
from core.judging.model.evidence import CellKey
from core.rollout.serving.exposure import build_snapshot
from core.store.observations import observation_sums


def batch(number: int, *, broken: bool = False) -> ObservationBatch:
    item = {"surface": "support-assistant", "unit": f"u{number}", "variant": "stable"}
    body = b"nonsense" if broken else json.dumps({"observations": [item]}).encode()
    return ObservationBatch(body=body, content_type="", token="t", key=f"k{number}")


class Commits:
    """Counts the transactions of a database, and can hold up the first."""

    def __init__(self, running: Any) -> None:
        self.gate = threading.Event()
        self.entered = threading.Event()
        self.count = 0
        self.running = running

    def shot(self) -> Any:
        """The snapshot, which the writer asks for once per transaction, and before it whoever checks a batch."""
        if threading.current_thread().name == "intake":
            self.count += 1
            self.entered.set()
            self.gate.wait(60)
        return build_snapshot(self.running.service.cached_world())


@pytest.fixture
def commits(running: Any) -> Commits:
    return Commits(running)


@pytest.fixture
def intake(running: Any, commits: Commits) -> Iterator[ObservationWriter]:
    made = ObservationWriter(running.service.database, commits.shot, running.now)
    yield made
    commits.gate.set()
    made.close()


def test_what_arrives_meanwhile_is_written_together(intake: ObservationWriter, commits: Commits) -> None:
    first = intake.submit(batch(0))
    assert commits.entered.wait(60)
    others = [intake.submit(batch(i, broken=i == 3)) for i in range(1, 20)]
    commits.gate.set()
    answers = [f for f in (first, *others) if f.exception(10) is None]
    assert [json.loads(f.result())["accepted"] for f in answers] == [1] * 19
    assert commits.count == 2


def test_too_many_are_sent_back_and_the_others_are_kept(intake: ObservationWriter, commits: Commits) -> None:
    first = intake.submit(batch(0))
    assert commits.entered.wait(60)
    waiting = [intake.submit(batch(i)) for i in range(1, ingest.MAX_WAITING_BATCHES + 1)]
    with pytest.raises(TooManyBatches):
        intake.submit(batch(9999))
    commits.gate.set()
    assert all(json.loads(f.result(10))["accepted"] == 1 for f in (first, *waiting))


def test_closing_writes_what_waits(intake: ObservationWriter, commits: Commits) -> None:
    waiting = [intake.submit(batch(i)) for i in range(5)]
    commits.gate.set()
    intake.close()
    assert all(f.done() for f in waiting)
    assert json.loads(intake.submit(batch(7)).result(10))["accepted"] == 1  # and it can be used again


def test_a_sender_that_left_before_its_turn_is_not_counted(intake: ObservationWriter, commits: Commits) -> None:
    first = intake.submit(batch(0))
    assert commits.entered.wait(60)
    gone = intake.submit(batch(1))
    assert gone.cancel()
    commits.gate.set()
    last = intake.submit(batch(2))
    assert [json.loads(f.result(10))["accepted"] for f in (first, last)] == [1, 1]
    assert intake.accepted == 2


def large(number: int) -> ObservationBatch:
    """A batch of some thousand items for surfaces that there are not."""
    items = [{"surface": f"support-asistant-{i}", "unit": f"u{i}"} for i in range(5000)]
    return ObservationBatch(body=json.dumps(items).encode(), content_type="", token="t", key=f"large-{number}")


def test_a_large_batch_that_is_being_checked_keeps_no_other_waiting(running: Any) -> None:
    begun, gate = threading.Event(), threading.Event()

    def held_once() -> Snapshot:
        if not begun.is_set():
            begun.set()
            gate.wait(60)
        return build_snapshot(running.service.cached_world())

    intake = ObservationWriter(running.service.database, held_once, running.now)
    try:
        slow = intake.submit(large(0))
        assert begun.wait(60)
        assert json.loads(intake.submit(batch(1)).result(30))["accepted"] == 1
        assert not slow.done()
        gate.set()
        answer = json.loads(slow.result(60))
        assert (answer["accepted"], len(answer["rejected"])) == (0, 5000)
    finally:
        gate.set()
        intake.close()


def test_what_counts_is_decided_by_what_holds_when_it_is_written(running: Any, canary: Any) -> None:
    early = build_snapshot(running.service.load_world())
    canary(running)
    late = build_snapshot(running.service.load_world())
    held = iter([early, late, late, early])
    intake = ObservationWriter(running.service.database, lambda: next(held), running.now)

    def counted_after(unit: str) -> float:
        item = {"surface": "support-assistant", "unit": unit, "variant": "canary", "metrics": {"refusal_rate": False}}
        body = json.dumps([item]).encode()
        intake.submit(ObservationBatch(body=body, content_type="", token="t", key=unit)).result(30)
        with running.service.database.reading() as connection:
            cells = observation_sums.load_sums(connection, "R-1").cells
        found = cells.get(CellKey(stage=1, arm="canary", segment="", metric="requests"))
        return float(found.weight.sum()) if found else 0.0

    try:
        assert counted_after("begun meanwhile") == 1
        assert counted_after("not begun after all") == 1
    finally:
        intake.close()
