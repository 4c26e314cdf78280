"""The queue of an AI feature where people see it: the place on the card, in lists and as JSON; a plan made again."""

import json
from typing import Any

from core.rollout import commands as c
from core.rollout.state.model import RolloutState
from tests.rollout.conftest import look_of
from tests.slack.conftest import ROLLOUT


def queued(office: Any) -> Any:
    """R-1 runs; R-2 changes the model and R-3 the prompt; both are approved and wait."""
    office.start()
    model = '{model: {provider: acme-ai, name: large-4, snapshot: "2026-10-01"}}'
    office.apply(
        ROLLOUT.replace("support-tone", "bigger").replace("{prompt: prompts/system.md@sha256:9f2c51e0}", model)
    )
    office.apply(ROLLOUT.replace("support-tone", "shorter-still").replace("9f2c51e0", "77aa51e0"))
    office.deliver()
    for rollout in ("R-2", "R-3"):
        assert office.typed("lee", f"approve {rollout}").acked
    for rollout in ("R-2", "R-3"):
        assert office.later(minutes=10).typed("ana", f"start {rollout} --queue").acked
    office.deliver()
    return office


def shown(office: Any, line: str) -> str:
    assert office.typed("sam", line).acked
    return str(office.shown(office.whispered("sam")))


def card_of(office: Any, rollout: str) -> str:
    return str(office.shown(card_message(office, rollout)))


def card_message(office: Any, rollout: str) -> Any:
    return next(m for m in office.sandbox.list_messages("#ai-rollouts") if rollout in office.shown(m))


def newest_request(office: Any, rollout: str) -> str:
    asked = [office.shown(m) for m in office.sandbox.list_replies(card_message(office, rollout))]
    return next(text for text in reversed(asked) if "Approval needed" in text)


def test_the_place_in_the_queue_stands_wherever_the_rollout_does(office: Any) -> None:
    queued(office)
    assert "It is 2nd in the queue, behind R-1 and R-2." in office.shown(office.whispered("ana"))
    assert "It is 1st in the queue, behind R-1." in shown(office, "status R-2")
    assert "Queue: 2nd in the queue, behind R-1 and R-2. When its turn comes" in shown(office, "status R-3")
    assert "R-3 shorter-still, v42 -> v45. It is 2nd in the queue" in shown(office, "list")
    answer = shown(office, "status R-3 --json")
    found = json.loads(answer[answer.index("{") : answer.rindex("}") + 1])
    assert found["queue"] == {"position": 2, "of": 2, "behind": ["R-1", "R-2"]}
    assert "1st in the queue, behind R-1" in card_of(office, "R-2 bigger")
    assert "2nd in the queue" in card_of(office, "R-3 shorter-still")


def test_the_cards_of_those_who_wait_move_up_when_one_leaves(office: Any) -> None:
    queued(office)
    assert office.typed("ana", "abandon R-2 no longer needed").acked
    office.deliver()
    assert "1st in the queue, behind R-1" in card_of(office, "R-3 shorter-still")


def test_a_plan_that_waited_is_made_again_and_asks_once_more(office: Any) -> None:
    queued(office)
    for _ in range(4):
        office.later(minutes=3).say(c.Tick(look=look_of()))
    assert office.rollout.state is RolloutState.DONE
    office.later(minutes=1).say(c.Tick(), rollout="R-2")
    office.say(c.Tick(), rollout="R-3")
    office.deliver()
    answer = shown(office, "status R-2 --json")
    found = json.loads(answer[answer.index("{") : answer.rindex("}") + 1])["renewal"]
    assert found == {"from": "v42", "to": "v44", "live_by": "R-1", "replaces": []}
    again = "Plan made again: R-2 was v42 -> v44, but v43 (R-1) went live while it waited, so it is now v43 -> v46."
    assert again in card_of(office, "R-2 bigger")
    assert "Earlier approvals no longer count." in card_of(office, "R-2 bigger")
    assert again in newest_request(office, "R-2 bigger")
    assert "R-2 bigger, v43 -> v46. Needs 1 more approval, then starts." in shown(office, "status R-2")
    assert "Changed meanwhile: R-3 starts from v42, but v43 is now live" in shown(office, "history R-3")
    assert office.typed("lee", "approve R-2").acked
    office.later(minutes=1).say(c.Tick(), rollout="R-2")
    assert office.service.load_world().rollouts["R-2"].state is RolloutState.RUNNING
    office.deliver()
    told = [office.shown(m) for m in office.sandbox.list_messages("#support") if "R-2" in office.shown(m)]
    assert len(told) == 2  # the notice, kept up to date, and that it started: no second notice


def test_what_a_plan_would_replace_stands_in_its_request(office: Any) -> None:
    queued(office)
    for _ in range(4):
        office.later(minutes=3).say(c.Tick(look=look_of()))
    assert office.typed("ana", "abandon R-2 no longer needed").acked
    office.later(minutes=1).say(c.Tick(), rollout="R-3")
    office.deliver()
    assert "Both change the prompt: this overwrites what v43 changed in the prompt." in newest_request(
        office, "R-3 shorter-still"
    )
