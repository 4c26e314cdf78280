"""The one writer of observations: batches that wait are written together, and too many are sent back."""

import json
import threading
from collections.abc import Iterator
from typing import Any

import pytest

from bot.http.observations import intake as ingest
from bot.http.observations.intake import Batch, Full, Intake
from core.rollout.exposure import snapshot


def batch(number: int, *, broken: bool = False) -> Batch:
    item = {"surface": "support-assistant", "unit": f"u{number}", "variant": "stable"}
    body = b"nonsense" if broken else json.dumps({"observations": [item]}).encode()
    return Batch(body=body, content_type="", token="t", key=f"k{number}")


class Commits:
    """Counts the transactions of a database, and can hold up the first."""

    def __init__(self, running: Any) -> None:
        self.gate = threading.Event()
        self.entered = threading.Event()
        self.count = 0
        self.running = running

    def shot(self) -> Any:
        """The snapshot, which the writer asks for once per transaction."""
        self.count += 1
        self.entered.set()
        self.gate.wait(60)
        return snapshot(self.running.service.peek())


@pytest.fixture
def commits(running: Any) -> Commits:
    return Commits(running)


@pytest.fixture
def intake(running: Any, commits: Commits) -> Iterator[Intake]:
    made = Intake(running.service.database, commits.shot, running.now)
    yield made
    commits.gate.set()
    made.close()


def test_what_arrives_meanwhile_is_written_together(intake: Intake, commits: Commits) -> None:
    first = intake.submit(batch(0))
    assert commits.entered.wait(60)
    others = [intake.submit(batch(i, broken=i == 3)) for i in range(1, 20)]
    commits.gate.set()
    answers = [f for f in (first, *others) if f.exception(10) is None]
    assert [json.loads(f.result())["accepted"] for f in answers] == [1] * 19
    assert commits.count == 2


def test_too_many_are_sent_back_and_the_others_are_kept(intake: Intake, commits: Commits) -> None:
    first = intake.submit(batch(0))
    assert commits.entered.wait(60)
    waiting = [intake.submit(batch(i)) for i in range(1, ingest.WAITING + 1)]
    with pytest.raises(Full):
        intake.submit(batch(9999))
    commits.gate.set()
    assert all(json.loads(f.result(10))["accepted"] == 1 for f in (first, *waiting))


def test_closing_writes_what_waits(intake: Intake, commits: Commits) -> None:
    waiting = [intake.submit(batch(i)) for i in range(5)]
    commits.gate.set()
    intake.close()
    assert all(f.done() for f in waiting)
    assert json.loads(intake.submit(batch(7)).result(10))["accepted"] == 1  # and it can be used again


def test_a_sender_that_left_before_its_turn_is_not_counted(intake: Intake, commits: Commits) -> None:
    first = intake.submit(batch(0))
    assert commits.entered.wait(60)
    gone = intake.submit(batch(1))
    assert gone.cancel()
    commits.gate.set()
    last = intake.submit(batch(2))
    assert [json.loads(f.result(10))["accepted"] for f in (first, last)] == [1, 1]
    assert intake.accepted == 2
