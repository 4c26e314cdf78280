"""A new error is found among error texts that hold an id or are never the same twice, from requests to the rollback."""

import string
from collections.abc import Iterator
from datetime import timedelta

import pytest

from core.rollout.state.model import RolloutState
from core.service.service import RolloutService
from core.store.database.connections import Database
from tests.rehearsal import EXAMPLES, Rehearsal

CRASH = "tool crashed"
SHARE = 0.1  # of requests that fail with a text of their own, and of the canary's that crash later
CRASHES_AFTER = timedelta(minutes=4)  # some 800 texts are known by then


def text_with_an_id(one: Rehearsal) -> str:
    return f"order {one.chance.randrange(10**9)} was not read by worker {one.chance.getrandbits(64):016x}"


def text_of_any_letters(one: Rehearsal) -> str:
    return "no answer from " + "".join(one.chance.choices(string.ascii_lowercase, k=8))


TEXTS = {"none": None, "ids": text_with_an_id, "any letters": text_of_any_letters}


class Failing(Rehearsal):
    """Requests of both versions fail with texts of the kind `texts`; later those of the new version crash, too."""

    texts = "none"
    begun_at = None

    def observe(self, seen: list[dict[str, object]]) -> list[dict[str, object]]:
        self.begun_at = self.begun_at or self.at
        write = TEXTS[self.texts]
        for one in seen:
            if write is not None and self.chance.random() < SHARE:
                one["error_category"] = write(self)
            crashes = one["variant"] == "canary" and self.at >= self.begun_at + CRASHES_AFTER
            if crashes and self.chance.random() < SHARE:
                one["error_category"] = CRASH
        return seen


@pytest.fixture
def rehearsed(sqlite_database: Database, request: pytest.FixtureRequest) -> Iterator[Failing]:
    one = Failing(RolloutService(sqlite_database), "healthy", seed=1)
    one.texts = request.param
    yield one.begin((EXAMPLES / "first-rollout.yaml").read_text())
    one.intake.close()


@pytest.mark.parametrize("rehearsed", TEXTS, indirect=True)
def test_a_new_error_is_rolled_back_by_name_whatever_else_fails(rehearsed: Failing) -> None:
    rehearsed.play(minutes=3)
    assert rehearsed.rollout.state is RolloutState.RUNNING, "errors that both versions show take nobody back"
    rollout = rehearsed.play(minutes=12).rollout
    assert rollout.state is RolloutState.ROLLED_BACK
    (finding,) = [one for one in rollout.rollback.findings if one.metric == "new_error_category"]
    assert CRASH in finding.note, finding
    # ten crashes a minute, and among texts of any letters the first ten only earn the name
    assert rehearsed.at - rehearsed.begun_at - CRASHES_AFTER <= timedelta(minutes=6)
