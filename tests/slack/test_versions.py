"""Versions in Slack: everyone sees what changed, and only those who may read prompts see their words."""

import json
from typing import Any

import pytest

from core.rollout import commands as c

POLICY = """
version: 1
kind: policy
roles:
  operator: {groups: ["@ai-eng"]}
  approver: {groups: ["@support-leads"]}
"""
OLD, NEW = "Greet the customer warmly.", "Greet the customer with the fix."


@pytest.fixture
def office(office: Any) -> Any:
    """R-1 is planned; its prompt is written out, and Rampart knows operators and approvers."""
    office.apply_as_admin(POLICY)
    office.apply(office.files["surface"].replace("prompts/system.md@sha256:11aa90c4", OLD))
    office.apply(office.files["rollout"].replace("{prompt: prompts/system.md@sha256:9f2c51e0}", f'{{prompt: "{NEW}"}}'))
    office.deliver()
    return office


def _view_difference(office: Any, handle: str) -> Any:
    office.typed(handle, "diff R-1")
    message = office.whispered(handle)
    reply = office.person(handle).click(message, "View difference")
    assert reply.acked
    person = office.sandbox.workspace.find_person(handle).id
    return office.sandbox.wait_for(lambda: office.sandbox.workspace.modals.get(person))[-1]


def test_versions_says_what_is_live_and_what_is_only_planned(office: Any):
    office.typed("mia", "versions")
    said = office.shown(office.whispered("mia"))
    assert said.startswith("Versions of support-assistant: 2. v42 is live.")
    assert "v43  planned in R-1 · planned by @dana" in said
    assert "v42  live since Nov 23, 2026 at 09:00 · applied with the surface file by @dana" in said


@pytest.mark.shows("E14")
def test_a_done_rollout_retires_the_old_version_with_its_date_and_a_rollback_warns(office: Any):
    office.typed("lee", "approve R-1")
    office.later(minutes=10).typed("ana", "start R-1")
    for _ in range(4):
        office.later(minutes=3).say(c.Tick())
    while office.rollout.state != "done":
        office.later(minutes=3).typed("ana", 'advance R-1 --skip-wait "copy fix, seen by all of us"')
        office.say(c.Tick())
    office.deliver()
    office.typed("mia", "versions")
    assert "v42  retired Nov 23, 2026 at" in office.shown(office.whispered("mia"))
    office.typed("mia", "rollback R-1 odd answers")
    assert "Note: v42 was retired Nov 23, 2026 at" in office.shown(office.whispered("mia"))
    office.deliver()
    assert "Old version  v42 was retired Nov 23, 2026" in "\n".join(office.thread())


@pytest.mark.parametrize("handle", ["ana", "sam", "dana"])
def test_operators_approvers_and_the_owner_read_the_words_in_a_modal(office: Any, handle: str):
    body = json.dumps(_view_difference(office, handle).body)
    assert '"text": "warmly", "style": {"strike": true}' in body
    assert '"text": "with the fix", "style": {"bold": true}' in body


@pytest.mark.parametrize("handle", ["mia", "gil"])
def test_others_are_told_who_can_read_them(office: Any, handle: str):
    office.typed("ana", "diff v42 v43 --public")
    message = office.message("#ai-rollouts", "Difference: support-assistant v42 -> v43, 1 change.")
    said = office.click(handle, message, "View difference")
    assert ("Only operators and approvers can read prompts: @ai-eng, @support-leads." in said) is (handle == "mia")
    assert ("Guests can't read prompts." in said) is (handle == "gil")
    assert "warmly" not in said


def test_no_channel_ever_holds_the_text_of_a_prompt(office: Any):
    office.typed("ana", "diff v42 v43 --public")
    office.typed("ana", "versions --public")
    for channel in ("#ai-rollouts", "#support", "#marketing"):
        for message in office.sandbox.list_messages(channel):
            shown = [message, *office.sandbox.list_replies(message)]
            assert not any("Greet the customer" in office.shown(m) + m.text for m in shown)
    assert "prompt: 1 of 4 words removed, 3 added" in office.shown(office.message("#ai-rollouts", "Difference:"))


def test_what_is_unclear_is_asked_or_named(office: Any):
    office.typed("ana", "diff v42 v99")
    assert "support-assistant has no version v99. Its versions: v42, v43." in office.shown(office.whispered("ana"))
    office.typed("ana", "versions search-help")
    assert "There is no AI feature called search-help. Known: support-assistant." in office.shown(
        office.whispered("ana")
    )
