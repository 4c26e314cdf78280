"""A person is one person, whichever workspace, channel or name they come by; and nobody approves their own change."""

import json
import time
from dataclasses import replace

import pytest

from bot.sandbox.workspace import people
from core.rollout.state.events import Approved
from core.rollout.state.model import RolloutState
from tests.security.conftest import TEAM, command

ORGANISATION = "E0ACME0001"
POLICY = """
version: 1
kind: policy
roles:
  operator: {groups: ["@ai-platform", "@ai-leads"], channels: ["#ai-rollouts"]}
"""


def _mention(text: str, user: str = "U0ANA00001", channel: str = "C0AIROLL01", **more: object) -> str:
    inner = {"type": "app_mention", "user": user, "channel": channel, "text": text, "ts": "1.2"}
    inner = {name: value for name, value in {**inner, **more.pop("inner", {})}.items() if value is not None}  # type: ignore[dict-item]
    home = {"team_id": TEAM, "enterprise_id": None, "user_id": "U0RAMPART1", "is_bot": True}
    event = {"type": "event_callback", "team_id": TEAM, "event_id": f"Ev{time.monotonic_ns()}", "event": inner}
    return json.dumps({**event, "authorizations": [home], **more})


def _told(office, who: str, part: str) -> None:
    office.sandbox.wait_for(lambda: any(part in office.shown(m) for m in office.sandbox.list_ephemerals(who)))


def _sent(door, body: str) -> int:
    return door.signed(body, content_type="application/json").status_code


def test_one_person_in_two_workspaces_of_an_organisation_approves_once(office, door, monkeypatch):
    office.apply(office.files["surface"])
    office.apply(office.files["rollout"].replace("risk: standard", "risk: standard\napprovals: {required: 2}"))
    in_organisation = replace(office.directory._get_workspace(), enterprise=ORGANISATION, org_wide=True)
    monkeypatch.setattr(office.directory, "_workspace", in_organisation)
    for number, team in enumerate((TEAM, "T0SECOND01")):
        body = command(
            "approve R-1", user_id="U0LEE00001", team_id=team, enterprise_id=ORGANISATION, trigger_id=f"1.{number}"
        )
        assert door.signed(body).status_code == 200
    given = [r.event for r in office.service.load_history("R-1") if isinstance(r.event, Approved)]
    assert [a.by for a in given] == [f"slack:{ORGANISATION}/U0LEE00001"]
    assert office.rollout.missing_approvals == 1


def test_a_role_may_name_its_channels_by_id(office):
    office.plan()
    office.apply_as_admin(POLICY.replace('"#ai-rollouts"', '"C0AIROLL01"'))
    office.typed("lee", "approve R-1")
    office.later(minutes=10)
    assert "go to C0AIROLL01" in office.typed("ana", "start R-1", "#support").text
    assert "Started by" in office.typed("ana", "start R-1", "#ai-rollouts").text


@pytest.mark.parametrize("channel", ["C0SUPPORT1", "C0NOWHERE1", ""])
def test_a_mention_elsewhere_does_not_go_round_the_channels_of_a_role(office, door, channel):
    office.plan()
    office.apply_as_admin(POLICY)
    office.typed("lee", "approve R-1")
    office.later(minutes=10)
    said = door.signed(command("start R-1", channel_id=channel, channel_name="ai-rollouts", trigger_id="9.1")).text
    assert "To move a rollout forward, go to #ai-rollouts" in said
    _sent(door, _mention("<@U0RAMPART1> start R-1", channel=channel))
    if channel == "C0SUPPORT1":
        _told(office, "ana", "go to #ai-rollouts")
    assert office.rollout.state is RolloutState.PLANNED
    _sent(door, _mention("<@U0RAMPART1> start R-1", channel="C0AIROLL01"))
    office.sandbox.wait_for(lambda: office.rollout.state is RolloutState.RUNNING)


def test_a_reason_from_a_modal_comes_from_the_channel_in_which_it_was_opened(office):
    office.start()
    office.apply_as_admin(POLICY)
    for who in ("sam", "mia"):
        office.click(who, office.card(), "Feels off")
    office.deliver()
    office.person("ana").click(office.card(), "Resume")
    modal = office.sandbox.wait_for(lambda: office.sandbox.top_modal("ana"))
    office.person("ana").submit(modal, {"reason": "read ten of them, all fine"})
    assert office.rollout.state is RolloutState.RUNNING


@pytest.mark.parametrize(
    "inner",
    [
        {"user": None, "bot_id": "B0WORKFLOW"},
        {"bot_id": "B0OTHER001"},
        {"user": None, "subtype": "bot_message", "bot_id": "B0OTHER001", "username": "alerts"},
        {"user": None},
    ],
)
def test_what_a_workflow_or_a_bot_says_changes_nothing_and_breaks_nothing(office, door, capsys, inner):
    office.start()
    assert _sent(door, _mention("<@U0RAMPART1> rollback R-1", inner=inner)) == 200
    assert _sent(door, _mention("<@U0RAMPART1> status R-1")) == 200
    _told(office, "ana", "R-1 support-tone")
    assert office.rollout.state is RolloutState.RUNNING
    assert "Traceback" not in "".join(capsys.readouterr())


@pytest.mark.parametrize(
    "text",
    [
        "<@U0RAMPART1|rampart> rollback R-1",
        "<@U0RAMPART1>: rollback R-1",
        "<@U0RAMPART1>, roll back R-1",
        "<@U0RAMPART1>   rollback",
        "rollback R-1 <@U0RAMPART1>",
        "please roll back R-1, <@U0RAMPART1|rampart>!",
        "🚨 <@U0RAMPART1> rollback R-1 🚨",
    ],
)
def test_a_mention_goes_back_wherever_the_app_is_named(office, door, text):
    office.start()
    _sent(door, _mention(text, user="U0SAM00001"))
    office.sandbox.wait_for(lambda: office.rollout.state is RolloutState.ROLLED_BACK)


def test_a_question_in_a_mention_is_asked_back(office, door):
    office.start()
    _sent(door, _mention("<@U0RAMPART1> how do I roll back?", user="U0SAM00001"))
    _told(office, "sam", "Do you want to roll back?")
    assert office.rollout.state is RolloutState.RUNNING


def test_in_a_channel_that_a_partner_made_our_people_go_back_and_theirs_look(office, door):
    office.start()
    xenia = replace(people.MIA, id="U0XENIA001", handle="xenia", is_stranger=True, team="T0PARTNER01")
    office.sandbox.workspace.people[xenia.id] = xenia
    here = office.sandbox.workspace.channels["C0AIROLL01"]
    office.sandbox.workspace.channels[here.id] = replace(here, members=here.members | {xenia.id})
    shared = {"team_id": "T0PARTNER01", "is_ext_shared_channel": True}
    _sent(door, _mention("<@U0RAMPART1> rollback R-1", user=xenia.id, **shared))
    _told(office, "xenia", "Guests can't change traffic")
    _sent(door, _mention("<@U0RAMPART1> status R-1", user=xenia.id, **shared))
    _told(office, "xenia", "R-1 support-tone")
    assert office.rollout.state is RolloutState.RUNNING
    _sent(door, _mention("<@U0RAMPART1> rollback R-1", **shared))
    office.sandbox.wait_for(lambda: office.rollout.state is RolloutState.ROLLED_BACK)


@pytest.mark.parametrize("depth", [1_000, 100_000])
def test_a_body_with_a_false_signature_is_not_even_read(office, door, caplog, capsys, depth):
    for body in ("payload=" + "[" * depth, "payload=%7B", "[" * depth, "\x00\xff"):
        answer = door.knock(body, x_slack_request_timestamp=str(int(time.time())), x_slack_signature="v0=" + "0" * 64)
        assert answer.status_code == 401, answer.text
    assert "Traceback" not in caplog.text + "".join(capsys.readouterr())


def test_a_nested_body_that_is_signed_is_refused_without_a_traceback(office, door):
    assert door.signed("payload=" + "[" * 100_000).status_code == 400
