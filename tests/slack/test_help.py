"""`/rollout help` says what the reader can and cannot do, by the policy, and whom to ask."""

from typing import Any

import pytest

POLICY = """
version: 1
kind: policy
roles:
  operator: {groups: ["@ai-eng"], channels: ["#ai-rollouts"]}
  approver: {groups: ["@ai-leads"]}
break_glass: {groups: ["@ai-eng"]}
"""


def rights(office: Any, handle: str, channel: str = "#ai-rollouts") -> tuple[str, str]:
    """(what they can do, what they cannot) as the help says it."""
    assert office.typed(handle, "help", channel).acked
    lines = office.shown(office.whispered(handle)).splitlines()
    can = next(line for line in lines if line.startswith("You can: "))
    return can, next((line for line in lines if line.startswith("You cannot: ")), "")


def test_without_a_policy_a_member_can_do_everything_but_break_the_glass(office: Any) -> None:
    can, cannot = rights(office, "mia")
    for verb in ("look at everything", "pause", "rollback", "start", "advance", "approve"):
        assert verb in can
    assert cannot == "You cannot: break-glass (the policy names nobody)."


@pytest.mark.parametrize(
    ("handle", "can_do", "cannot_do"),
    [
        ("mia", "pause", "create, start, advance"),
        ("dana", "start", "approve, reject (ask @ai-leads)"),
        ("lee", "approve", "request-approval, end-holdout, unfreeze (ask @ai-eng)"),
    ],
)
def test_who_lacks_a_role_is_told_whom_to_ask(office: Any, handle: str, can_do: str, cannot_do: str) -> None:
    office.apply_as_admin(POLICY)
    can, cannot = rights(office, handle)
    assert "rollback" in can
    assert can_do in can
    assert cannot_do in cannot


def test_in_another_channel_an_operator_is_told_where_to_go(office: Any) -> None:
    office.apply_as_admin(POLICY)
    assert "(in #ai-rollouts)" not in rights(office, "dana")[1]
    assert "(in #ai-rollouts)" in rights(office, "dana", "#support")[1]


def test_a_named_person_outside_the_approver_group_is_told_what_approve_answers(office: Any) -> None:
    office.plan()
    office.apply_as_admin(POLICY.replace('groups: ["@ai-leads"]}', 'groups: ["@ai-leads"], people: ["@mia"]}'))
    assert "approve, reject (ask @ai-leads)" in rights(office, "mia")[1]
    assert office.typed("mia", "approve R-1").acked
    assert "You're not in @ai-leads, and only they can do this." in office.shown(office.whispered("mia"))
    assert "approve" in rights(office, "lee")[0]


def test_a_named_person_approves_where_no_group_is_named(office: Any) -> None:
    office.plan()
    office.apply_as_admin(POLICY.replace('groups: ["@ai-leads"]}', 'people: ["@mia"]}'))
    assert "approve" in rights(office, "mia")[0]
    assert "approve, reject (ask @mia)" in rights(office, "lee")[1]
    assert office.typed("mia", "approve R-1").acked
    assert "Approved" in office.shown(office.whispered("mia"))


def test_a_guest_is_told_that_guests_look(office: Any) -> None:
    assert rights(office, "gil") == (
        "You can: help, status, list, notice.",
        "You cannot: guests only look; ask anyone in the channel.",
    )
