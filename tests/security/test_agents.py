"""A coding agent prepares, pauses and rolls back, whatever it asks for; what lets more people in is for people."""

from typing import Any, get_args

import pytest

from core.rollout import commands as c
from core.rollout.context import Actor, Context, is_same_person, slack_user_in
from core.rollout.permissions import command_rights
from core.rollout.refusal import Refused
from core.service.apply_file import apply_text
from core.service.service import CommandRequest

AGENT = Actor(id="agent:codex@U0DANA00001", handle="codex for U0DANA00001")
FORWARD: dict[type, c.Command] = {
    c.Start: c.Start(),
    c.Approve: c.Approve(),
    c.Reject: c.Reject(reason="no"),
    c.Advance: c.Advance(reason="on"),
    c.Resume: c.Resume(),
    c.Abandon: c.Abandon(),
}


def give(running: Any, command: c.Command, by: Actor = AGENT) -> None:
    request = CommandRequest(
        command=command, command_id=repr((by.id, command)), by=by, at=running.now(), rollout="R-1", source="mcp"
    )
    running.service.handle(request)


def plan(running: Any, text: str) -> str:
    return apply_text(running.service, text, "file.yaml", by=AGENT, at=running.now(), command_id=text, source="mcp").id


@pytest.mark.parametrize("kind", FORWARD, ids=lambda kind: kind.__name__)
def test_it_cannot_move_a_rollout_forward(running: Any, rollout_file: str, kind: type) -> None:
    plan(running, rollout_file)
    with pytest.raises(Refused, match="An agent may plan a rollout, pause it and roll it back") as refused:
        give(running, FORWARD[kind])
    assert refused.value.hint == "Ask a person to do it in Slack."


def test_of_all_that_people_may_do_it_may_pause_and_roll_back(running: Any, rollout_file: str) -> None:
    context = Context(at=running.now(), by=AGENT, policy=running.service.load_world().policy, surface=None)
    allowed = []
    for kind in get_args(c.PersonCommand):
        command = object.__new__(kind)  # whatever its fields are
        try:
            command_rights.check_command(None, command, context)
            allowed.append(kind)
        except Refused:
            pass
    assert {*allowed} == {c.Pause, c.RollBack}


def test_what_it_plans_waits_for_a_person(running: Any, rollout_file: str) -> None:
    assert plan(running, rollout_file) == "R-1"
    with pytest.raises(Refused, match="may not start a rollout"):
        plan(running, f"{rollout_file}start: 2026-12-24 10:00\n")
    assert running.service.load_world().rollouts["R-1"].started_at is None


def test_it_pauses_and_rolls_back_and_the_log_names_it_and_its_person(running: Any, canary: Any) -> None:
    canary(running)
    give(running, c.Pause(reason="latency doubles"))
    give(running, c.RollBack(reason="answers are wrong"))
    last = [recorded for recorded in running.service.load_history("R-1") if recorded.actor.startswith("agent:")]
    assert {recorded.actor for recorded in last} == {"agent:codex@U0DANA00001"}
    assert len(last) >= 2


def test_surfaces_and_the_policy_are_not_its_own(running: Any, surface_file: str) -> None:
    for text in (
        surface_file.replace("Support assistant", "Another"),
        "version: 1\nkind: policy\ntimezone: Europe/Berlin\n",
    ):
        with pytest.raises(Refused, match="and nothing else"):
            plan(running, text)


def test_whom_it_acts_for_cannot_approve_what_it_planned() -> None:
    assert slack_user_in(AGENT.id) == "U0DANA00001"
    assert is_same_person(AGENT.id, "slack:T1/U0DANA00001")
    assert slack_user_in("agent:codex/dana") == ""
