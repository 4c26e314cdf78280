"""Whoever decides on a plan sees what it is, and what they see stays true until it is decided."""

from typing import Any

import pytest

GROUPED = 'approvals: {required: 1, groups: ["@ai-leads"]}\nrollback_when:'


@pytest.fixture
def office(office: Any) -> Any:
    """R-1 is planned by Dana and waits for one of @ai-leads."""
    office.apply(office.files["surface"])
    office.apply(office.files["rollout"].replace("rollback_when:", GROUPED))
    office.deliver()
    office.deliver()
    return office


def _request(office: Any) -> str:
    return next(text for text in reversed(office.thread()) if text.startswith("Approval needed"))


def test_the_request_names_who_can_approve_and_what_stops_it(office: Any):
    said = _request(office)
    assert "What changes  prompt prompts/system.md@sha256:11aa90c4 -> prompts/system.md@sha256:9f2c51e0" in said
    assert "Who can approve  @ai-leads: @ana, @lee" in said
    assert "Declined to answer, a rise of 1 pp: rolls back; " in said
    assert "[ View difference ]" in said


def test_the_request_says_who_was_told_and_who_has_read_it_by_now(office: Any):
    assert "#support (support, 10 min before the start): posted" in _request(office)
    assert "it need not be confirmed" in _request(office)
    office.click("sam", office.message("#support", "[ Got it ]"), "Got it")
    office.deliver()
    assert "read by @sam" in _request(office)


def test_a_concern_speaks_against_it_in_the_request(office: Any):
    view_of = office.sandbox.workspace
    office.person("sam").click(office.message("#support", "[ I have a concern ]"), "I have a concern")
    sam = view_of.find_person("sam").id
    view = office.sandbox.wait_for(lambda: view_of.modals.get(sam))[-1]
    office.person("sam").submit(view, {"reason": "Too short for refunds?"})
    office.deliver()
    against = _request(office).partition("Against")[2].partition("If it goes wrong")[0]
    assert "@sam has a concern: “Too short for refunds?”" in against


def test_an_owner_in_the_group_is_not_named_as_an_approver(office: Any):
    office.apply(office.files["rollout"].replace("rollback_when:", GROUPED.replace("@ai-leads", "@ai-eng")))
    office.deliver()
    assert "Who can approve  @ai-eng: @ana" in _request(office)
    assert "@dana, @ana" not in _request(office)


def test_the_card_of_a_plan_opens_the_same_for_anyone(office: Any):
    office.person("mia").click(office.card(), "Details")
    mia = office.sandbox.workspace.find_person("mia").id
    view = office.sandbox.wait_for(lambda: office.sandbox.workspace.modals.get(mia))[-1]
    texts = [block["text"]["text"] for block in view.body["blocks"] if block["type"] == "section"]
    shown = "\n".join(texts)
    for heading in ("What changes", "What people will notice", "Limits", "Who was told", "Who can approve"):
        assert f"*{heading}*" in shown
