"""The field trial in its short form (`make field`): whole rollouts among robots, caches, late reports and nulls."""

from functools import cache

import pytest

from bench.field.__main__ import SEED, is_about_the_version, lines
from bench.field.history import Outcome, play
from core.rollout.state import holds
from tests.trials.length import pick

HARMLESS = pick((5,), (5, 7, 9, 11, 17))


@cache
def harmless_outcome(number: int) -> Outcome:
    """Played once by each worker."""
    return play("", number, SEED)


@pytest.fixture(scope="module")
def harmless() -> list[Outcome]:
    return [harmless_outcome(number) for number in HARMLESS]


@pytest.mark.slow
def test_what_changes_nothing_is_neither_rolled_back_nor_held(harmless: list[Outcome]) -> None:
    for one in harmless:
        assert one.ended != "rolled_back", one
        assert not any(is_about_the_version(key) or holds.is_split_key(key) for key in one.held), one


CAREFUL = {"refusals +6 pp": (1, 6, 9), "errors +5 pp": (2, 3, 5), "quality -12 pp": (2, 7, 9)}
"""Histories at standard risk, on busy surfaces and quiet ones. At low risk a rollout grows by the clock."""


@pytest.mark.slow
@pytest.mark.parametrize("scenario", CAREFUL)
def test_gross_harm_never_reaches_everybody_at_standard_risk(scenario: str) -> None:
    for number in CAREFUL[scenario][: pick(1, 3)]:
        found = play(scenario, number, SEED)
        assert found.risk == "standard"
        assert found.reached < 100, found


def test_a_history_can_be_played_again_from_its_seed() -> None:
    once = play("refusals +6 pp", 7, SEED)
    assert once == play("refusals +6 pp", 7, SEED)
    assert once != play("refusals +6 pp", 7, SEED + 1)


@pytest.mark.slow
def test_the_report_names_the_histories_to_look_at() -> None:
    """Of one alone: another worker may have played the others."""
    text = "\n".join(lines("", [harmless_outcome(HARMLESS[0])], worst=3))
    assert "rolled back" in text
    assert "split found wrong" in text
