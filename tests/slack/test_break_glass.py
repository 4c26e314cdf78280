"""Whoever may break the glass goes on without what is missing; everybody reads it, and it is reviewed."""

from typing import Any

import pytest

from core.rollout.state import events as e
from core.rollout.state.model import RolloutState

POLICY = """
version: 1
kind: policy
break_glass: {groups: ["@ai-platform"], reason_min_chars: 20, review_within: 48h}
"""
WHY = '"checkout is down and this is the fix"'


@pytest.fixture
def glazed(office: Any) -> Any:
    """R-1 is planned and nobody has approved it; the policy names who may break the glass."""
    office.plan()
    office.apply_as_admin(POLICY)
    return office


def test_a_start_without_approval_and_notice_is_told_to_everybody(glazed: Any) -> None:
    assert "Emergency start (break-glass) by" in glazed.typed("ana", f"break-glass R-1 start {WHY}").text
    assert glazed.rollout.state is RolloutState.RUNNING
    glazed.deliver()
    told = glazed.shown(glazed.message("#ai-rollouts", "Emergency start (break-glass)"))
    assert "R-1 support-tone began without 1 more approval and the notice to" in told
    assert "checkout is down and this is the fix" in told
    assert "@dana owes its review by" in told
    assert "[ Roll back ]" in told
    assert any(
        m.broadcast
        for m in glazed.sandbox.list_messages("#ai-rollouts")
        if "Emergency start (break-glass)" in glazed.shown(m)
    )


def test_a_step_passes_over_the_wait(glazed: Any) -> None:
    glazed.typed("ana", f"break-glass R-1 start {WHY}")
    assert glazed.typed("ana", f"break-glass R-1 advance to 100% {WHY}").acked
    assert glazed.rollout.percent == 100
    broken = [r.event for r in glazed.service.load_history("R-1") if isinstance(r.event, e.GlassBroken)]
    assert broken[-1].passed_over[0] == "the wait in the small test (5 %)"


def test_its_review_is_due_when_the_policy_says_not_later(glazed: Any) -> None:
    glazed.typed("ana", f"break-glass R-1 start {WHY}")
    due = glazed.rollout.broken_glass.review_due
    glazed.later(hours=47).typed("sam", "rollback R-1 odd")
    assert glazed.rollout.review_due == due


@pytest.mark.parametrize(
    ("who", "line", "why"),
    [
        ("dana", f"break-glass R-1 start {WHY}", "Only @ai-platform can break the glass."),
        ("ana", 'break-glass R-1 start "too short"', "at least 20 characters"),
        ("ana", f"break-glass R-1 {WHY}", "To do what?"),
        ("ana", f"break-glass R-1 advance {WHY}", "does not grow"),
        ("ana", f"break-glass R-1 start to 50% {WHY}", "I don't know what"),
    ],
)
def test_what_is_refused(glazed: Any, who: str, line: str, why: str) -> None:
    assert why in glazed.typed(who, line).text
    assert glazed.rollout.state is RolloutState.PLANNED


def test_without_such_a_policy_nobody_can(office: Any) -> None:
    office.plan()
    assert "does not allow anybody" in office.typed("ana", f"break-glass R-1 start {WHY}").text


def test_a_hold_is_not_passed_over(glazed: Any) -> None:
    glazed.typed("ana", f"break-glass R-1 start {WHY}")
    for handle in ("sam", "mia"):
        assert glazed.typed(handle, "feels-off R-1 odd").acked
    assert "Resume it first" in str(glazed.typed("ana", f"break-glass R-1 advance {WHY}").blocks)


def test_an_approval_is_asked_for_again_at_the_end_of_the_thread(office: Any) -> None:
    office.plan()
    assert office.typed("ana", "request-approval R-1").acked
    office.deliver()
    assert office.rollout.request.request == "R-1.2"
    assert "Approval needed (0 of 1)" in office.thread()[-1]
    assert office.typed("lee", "approve R-1").acked
    assert "is approved already" in office.typed("ana", "request-approval R-1").text
