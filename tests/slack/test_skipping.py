"""Whoever skips a wait or a step accepts a risk: by name and reason in all that is said later; never at high risk."""

from typing import Any

import pytest

from core.judging.model.verdict import Cleared
from core.rollout import commands as c
from tests.slack.test_journey import HARM, look

ACCEPTED = "Risk accepted by @ana: the wait in the small test (5 %) and the step to 50 % were skipped, “launch day”."


def begin(office: Any, risk: str) -> Any:
    """R-1 in its small test, for as long as that has to last."""
    office.apply(office.surface_file)
    office.apply(office.rollout_file.replace("risk: standard", f"risk: {risk}"))
    office.deliver()
    office.later(minutes=10).typed("ana", "start R-1")
    office.deliver()
    assert office.rollout.percent == 5
    return office.later(minutes=2)


@pytest.fixture
def skipped(office: Any) -> Any:
    """R-1 at low risk, which needs no approval: from its small test to everybody, without the step between."""
    begin(office, "low").typed("ana", 'advance R-1 to 100% "launch day"')
    assert office.rollout.percent == 100
    office.deliver()
    return office


@pytest.mark.shows("E15")
def test_low_risk_skips_no_step_without_a_reason(office: Any) -> None:
    begin(office, "low")
    before = office.service.load_world().position
    assert "too big a jump" in office.typed("ana", "advance R-1 to 100%").text
    assert (office.rollout.percent, office.service.load_world().position) == (5, before)


@pytest.mark.shows("E15")
def test_the_step_names_who_accepted_what_and_why(skipped: Any) -> None:
    step = skipped.shown(skipped.sandbox.list_replies(skipped.card())[-1])
    said = "Risk accepted by @ana: the wait and the step to 50 % were skipped: “launch day”."
    assert step.startswith(f"Everyone: R-1 now 100 % (was 5 %). {said}")


@pytest.mark.shows("E15")
def test_so_do_the_card_the_summary_and_the_status_until_the_end(skipped: Any) -> None:
    assert ACCEPTED in skipped.shown(skipped.card())
    skipped.later(minutes=1).say(c.Tick(look=look(Cleared())))
    skipped.deliver()
    for line in ("summary R-1", "status R-1"):
        skipped.typed("sam", line)
        assert ACCEPTED in skipped.shown(skipped.whispered("sam")), line
    while skipped.rollout.state != "done":
        skipped.later(minutes=3).say(c.Tick(look=look(Cleared())))
    skipped.deliver()
    assert ACCEPTED in skipped.shown(skipped.card())


@pytest.mark.shows("E15")
def test_so_do_the_alert_of_its_rollback_and_the_review(skipped: Any) -> None:
    skipped.later(minutes=1).say(c.Tick(look=look(HARM)))
    skipped.deliver()
    assert skipped.rollout.state == "rolled_back"
    assert ACCEPTED in skipped.shown(skipped.message("#ai-rollouts", "Switched back"))
    review = next(text for text in skipped.thread() if "Did the numbers match" in text)
    assert "at canary, by @ana: “launch day”" in review
