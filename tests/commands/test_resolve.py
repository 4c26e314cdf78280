"""Which rollout is meant: by id, number, name, beginning or surface; or, left out, the only one that runs."""

from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bot.commands.parsing.resolve import RolloutMention, Unclear, find_in_line, find_rollout
from core.rollout.plans.plan import Approvals, Plan, Risk
from core.rollout.state.model import PostedMessage, Rollout, RolloutState
from core.rollout.state.surface import Surface
from core.rollout.state.world import World

MONDAY = datetime(2026, 11, 23, 9, 0, tzinfo=UTC)
PLAN = Plan(
    name="support-tone",
    surface="support-assistant",
    owner="U2",
    risk=Risk.STANDARD,
    template="",
    from_version="v42",
    to_version="v43",
    change={},
    stages=(),
    approvals=Approvals(),
    limits=(),
    notices=(),
)


def rollout(number: int, name: str, state: RolloutState = RolloutState.RUNNING, **changes: Any) -> Rollout:
    plan = replace(PLAN, name=name, surface=changes.pop("surface", f"surface-{number}"))
    usual = Rollout(
        id=f"R-{number}",
        plan=plan,
        fingerprint="f",
        from_content={},
        to_content={},
        state=state,
        planned_at=MONDAY,
        planned_by="cli:ana",
    )
    return replace(usual, **changes)


def world(*rollouts: Rollout) -> World:
    surfaces = {
        s: Surface(name=s, title=s, owner="", live="v42", versions={"v42": {}}) for s in ("idle", "surface-118")
    }
    return World(rollouts={r.id: r for r in rollouts}, surfaces=surfaces)


TONE, UPGRADE = rollout(118, "support-tone"), rollout(121, "model-upgrade")


@pytest.mark.parametrize("reference", ["R-118", "r-118", "118", "R118", "support-tone", "supp", "SUPP", "surface-118"])
def test_a_rollout_is_found_by_what_people_call_it(reference: str) -> None:
    assert find_rollout(reference, world(TONE, UPGRADE)) is TONE


def test_left_out_it_is_the_only_one_that_runs() -> None:
    done = rollout(117, "older", RolloutState.DONE)
    assert find_rollout("", world(done, TONE)) is TONE


def test_left_out_among_several_there_is_a_choice() -> None:
    answer = find_rollout("", world(TONE, UPGRADE))
    assert isinstance(answer, Unclear)
    assert [r.id for r in answer.candidates] == ["R-121", "R-118"]


def test_left_out_in_a_thread_it_is_the_rollout_of_that_thread() -> None:
    threaded = replace(UPGRADE, messages={"card": PostedMessage(channel="C1", ts="7.1", at=MONDAY)})
    assert find_rollout("", world(TONE, threaded), thread_ts="7.1") is threaded


def test_the_only_plan_is_meant_unless_only_what_runs_may_be() -> None:
    planned = rollout(5, "plan", RolloutState.PLANNED)
    assert find_rollout("", world(planned)) is planned
    assert isinstance(find_rollout("", world(planned), only_running=True), Unclear)


def test_a_beginning_that_fits_several_is_asked_about_and_the_open_one_wins() -> None:
    first, second = rollout(1, "tone-a"), rollout(2, "tone-b")
    answer = find_rollout("tone", world(first, second))
    assert isinstance(answer, Unclear)
    assert answer.question == '"tone" matches more than one rollout.'
    ended = replace(first, state=RolloutState.ROLLED_BACK)
    assert find_rollout("tone", world(ended, second)) is second


def test_an_unknown_one_is_answered_with_what_runs_and_the_nearest() -> None:
    answer = find_rollout("R-811", world(TONE, UPGRADE))
    assert isinstance(answer, Unclear)
    assert answer.question == (
        "There is no R-811. Open now: R-118 support-tone, R-121 model-upgrade. Did you mean R-118?"
    )
    assert answer.candidates == (TONE,)


def test_a_surface_where_nothing_changes_says_what_is_live() -> None:
    answer = find_rollout("idle", world(TONE))
    assert isinstance(answer, Unclear)
    assert answer.question == "Nothing is changing on idle: v42 is live."


@given(st.text(max_size=60))
def test_any_line_means_a_rollout_or_is_asked_about_with_what_runs(said: str) -> None:
    for only_running in (True, False):
        answer = find_in_line(said, world(TONE, UPGRADE), only_running=only_running)
        if isinstance(answer, Unclear):
            assert answer.candidates, answer.question
        else:
            assert answer.rollout in (TONE, UPGRADE)


@given(st.text(max_size=60))
def test_behind_an_id_any_text_is_the_text(said: str) -> None:
    answer = find_in_line(f"R-118: {said}", world(TONE, UPGRADE))
    assert isinstance(answer, RolloutMention)
    assert answer.rollout is TONE
