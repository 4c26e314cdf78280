"""The same model or piece of a prompt under change on two AI features: who is warned of what, and since when."""

from dataclasses import replace
from typing import Any

import pytest

from core.rollout import commands as c
from core.rollout.concurrency import shared_parts
from core.rollout.plans.plan import Approvals
from core.rollout.state.world import World
from tests.rollout.conftest import plan_of, surface_of
from tests.rollout.test_start_queue import Desk

GREETING = "Greet people by their first name, and say what you can do."
STEPS = "Give the steps to fix it first, and explain afterwards."


def desk_of(**contents: dict[str, Any]) -> Desk:
    """A desk with these AI features, each with what is live."""
    surfaces = {name: replace(surface_of(), name=name, versions={"v42": live}) for name, live in contents.items()}
    return Desk(world=World(surfaces=surfaces))


def run(desk: Desk, surface: str, **change: Any) -> str:
    """A rollout of this change, under way."""
    free = plan_of(surface=surface, change=change, approvals=Approvals(required=0), notices=plan_of().notices[:1])
    rollout = desk.plan(f"{surface}-tone", free).newest.id
    desk.later(hours=1).say(c.Start(), rollout)
    return rollout


def told(desk: Desk, rollout: str, **options: bool) -> list[tuple[str, str, str]]:
    found = shared_parts.find_shared_with(desk.world, desk[rollout], **options)
    return [(one.part, one.name, one.rollout.id) for one in found]


LARGE_3 = {"provider": "acme-ai", "name": "large-3", "snapshot": "2026-03-01"}
LARGE_4 = {**LARGE_3, "name": "large-4"}


@pytest.mark.parametrize(
    ("live", "one", "other", "expected"),
    [
        ({"model": LARGE_3}, {"model": LARGE_4}, {"model": LARGE_4}, [("model", "large-4-2026-03-01")]),
        (
            {"model": "acme-ai/large-3"},
            {"model": LARGE_4},
            {"model": "acme-ai/large-4"},
            [("model", "large-4-2026-03-01")],
        ),
        ({"model": "a"}, {"model": "b"}, {"prompt": "b.md"}, []),
        (
            {"prompt": "p/a.md@sha256:11"},
            {"prompt": "p/a.md@sha256:22"},
            {"prompt": "p/a.md@sha256:33"},
            [("prompt", "p/a.md")],
        ),
        ({"prompt": "p/a.md"}, {"prompt": "p/b.md"}, {"prompt": "p/b.md"}, [("prompt", "p/b.md")]),
        ({"prompt": f"{GREETING}\n\nBe short."}, {"prompt": STEPS}, {"prompt": f"Other.\n\n{STEPS}"}, [("prompt", "")]),
        ({"prompt": "x"}, {"prompt": f"{GREETING} Now."}, {"prompt": STEPS}, []),
        ({"prompt": "x"}, {"prompt": "Be short."}, {"prompt": "Be short."}, []),
        ({"prompt": {"system": "x"}}, {"prompt": {"system": STEPS}}, {"prompt": {"a": [STEPS]}}, [("prompt", "")]),
    ],
)
def test_what_both_change_is_told_to_each(live: Any, one: Any, other: Any, expected: list[tuple[str, str]]):
    desk = desk_of(support=live, sales=live)
    first, second = run(desk, "support", **one), run(desk, "sales", **other)
    assert [(part, name) for part, name, _ in told(desk, first)] == expected
    assert {who for _, _, who in told(desk, first)} <= {second}
    assert [part for part, _, _ in told(desk, second)] == [part for part, _ in expected]


def test_a_piece_that_both_have_and_neither_changes_is_nothing():
    desk = desk_of(support={"prompt": GREETING}, sales={"prompt": GREETING})
    first = run(desk, "support", prompt=f"{GREETING}\n\n{STEPS}")
    run(desk, "sales", prompt=f"{GREETING}\n\nNever promise a date, and say who decides.")
    assert told(desk, first) == []


def test_only_what_is_under_way_counts_and_on_the_page_what_ran_at_the_same_time():
    desk = desk_of(support={"model": "a-1"}, sales={"model": "a-1"}, router={"model": "a-1"})
    early = run(desk, "router", model="b-1")
    desk.say(c.RollBack(), early)
    first, second = run(desk, "support", model="b-1"), run(desk, "sales", model="b-1")
    assert [who for _, _, who in told(desk, first)] == [second]
    desk.later(hours=1).say(c.RollBack(), second)
    assert told(desk, first) == []
    assert [who for _, _, who in told(desk, first, is_over_too=True)] == [second]
    moves = shared_parts.list_moves(shared_parts.find_shared_with(desk.world, desk[first], is_over_too=True))
    assert [(move.percent, move.is_rollback) for move in moves] == [(5, False), (0, True)]
    assert moves[0].at < moves[1].at == desk.at
