"""A rollback over HTTP is carried out whatever else the body holds, and under every name the rollout has."""

from typing import Any

import pytest

from core.rollout.state.events import RolledBack
from core.rollout.state.model import RolloutState


def _reason(running: Any) -> str:
    return next(r.event.reason for r in running.service.load_history("R-1") if isinstance(r.event, RolledBack))


@pytest.mark.parametrize("called", ["R-1", "r-1", "R1", "1", "tone", "support-assistant", "Support%20Assistant"])
def test_it_goes_back_under_every_name_the_rollout_has(running: Any, serve: Any, canary: Any, called: str) -> None:
    canary(running)
    answer = serve(running).post(f"/api/v1/rollouts/{called}/commands", json={"command": "rollback"})
    assert answer.status_code == 200, answer.text
    assert (answer.json()["rollout"], answer.json()["state"]) == ("R-1", "rolled_back")


@pytest.mark.parametrize(
    ("body", "reason", "ignored"),
    [
        ({"command": "roll back"}, "", []),
        ({"command": "Roll-Back", "reason": "odd"}, "odd", []),
        ({"command": "ROLLBACK now!"}, "", []),
        ({"command": "rollback answers are odd"}, "answers are odd", []),
        ({"command": "rollback", "reason": None}, "", []),
        ({"command": "rollback", "reason": 503}, "503", []),
        ({"command": "rollback", "reason": "x" * 5000}, "x" * 2000, []),
        ({"command": "rollback", "why": "odd"}, "", ["why"]),
        ({"command": "rollback", "reason": "odd", "force": True, "to_percent": "no"}, "odd", ["force", "to_percent"]),
    ],
)
def test_nothing_else_in_the_body_keeps_it_from_going_back(
    running: Any, serve: Any, canary: Any, body: dict[str, object], reason: str, ignored: list[str]
) -> None:
    canary(running)
    answer = serve(running).post("/api/v1/rollouts/R-1/commands", json=body)
    assert answer.status_code == 200, answer.text
    assert running.service.load_world().rollouts["R-1"].state is RolloutState.ROLLED_BACK
    assert _reason(running) == reason
    assert answer.json().get("ignored", []) == ignored


@pytest.mark.parametrize(
    ("content", "kind", "reason"),
    [
        ('{"command":"rollback","reason":"odd"}', "application/x-www-form-urlencoded", "odd"),  # curl -d alone
        ('{"command":"rollback","reason":"odd"}', "", "odd"),
        ("command=rollback&reason=answers+are+odd", "application/x-www-form-urlencoded", "answers are odd"),
        ("rollback answers are odd", "application/x-www-form-urlencoded", "answers are odd"),
        ("rollback", "text/plain", ""),
    ],
)
def test_a_body_that_is_not_quite_json_goes_back_as_well(
    running: Any, serve: Any, canary: Any, content: str, kind: str, reason: str
) -> None:
    canary(running)
    headers = {"Content-Type": kind} if kind else {}
    answer = serve(running).post("/api/v1/rollouts/R-1/commands", content=content, headers=headers)
    assert answer.status_code == 200, answer.text
    assert _reason(running) == reason


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (r'{"command":"rollback","reason":"broken \ud83d"}', "broken \N{REPLACEMENT CHARACTER}"),
        (r'{"command":"rollback","reason":"broken \ud83d\ude31"}', "broken \N{FACE SCREAMING IN FEAR}"),
        (r'{"command":"rollback","reason":"broken","\ud83d":1}', "broken"),
    ],
)
def test_half_a_character_goes_back_as_well(running: Any, serve: Any, canary: Any, content: str, reason: str) -> None:
    canary(running)
    answer = serve(running).post("/api/v1/rollouts/R-1/commands", content=content)
    assert answer.status_code == 200, answer.text
    assert _reason(running) == reason


@pytest.mark.parametrize(
    ("called", "body"),
    [
        ("R-1", {"command": "rolback"}),
        ("R-1", {"command": "should we roll back?"}),
        ("R-1", {"command": "rollback --dry-run"}),
        ("R-9", {"command": "rollback"}),
        ("ton", {"command": "rollback"}),
        ("R-1", {"command": "pause", "why": "odd"}),
        ("R-1", {"command": "rollback", "dry_run": True}),
    ],
)
def test_what_is_not_clear_is_refused_and_changes_nothing(
    running: Any, serve: Any, canary: Any, called: str, body: dict[str, object]
) -> None:
    canary(running)
    answer = serve(running).post(f"/api/v1/rollouts/{called}/commands", json=body)
    assert answer.status_code in (404, 422), answer.text
    assert {*answer.json()} >= {"code", "message", "hint"}
    assert running.service.load_world().rollouts["R-1"].state is RolloutState.RUNNING
