"""Who asks belongs to the workspace of the bot's token, as a full member; where Slack is away, backward still works."""

import json
from dataclasses import replace
from datetime import UTC, datetime
from urllib.parse import urlencode

import pytest

from bot.rendering.blocks import buttons
from bot.sandbox.workspace import people
from bot.slack.directory import SlackDirectory, SlackWorkspace
from core.rollout.refusal import Refused
from core.rollout.state.model import RolloutState
from tests.security.conftest import TEAM, command

OTHER = "T0OTHER001"
ELSEWHERE = "another Slack workspace"


@pytest.mark.parametrize("text", ["start R-1", 'rollback R-1 "now"', 'pause R-1 "wait"', "status R-1"])
def test_a_command_from_another_workspace_is_refused_with_a_sentence_and_no_event(office, door, text):
    office.start()
    before = office.service.load_world().position
    answer = door.signed(command(text, team_id=OTHER))
    assert ELSEWHERE in answer.text
    assert office.service.load_world().position == before


def test_a_button_pressed_in_another_workspace_does_nothing(office, door):
    office.start()
    before = office.service.load_world().position
    pressed = {
        "type": "block_actions",
        "team": {"id": OTHER},
        "user": {"id": "U0ANA00001", "team_id": OTHER},
        "trigger_id": "1.2",
        "response_url": f"{office.sandbox.url}/response/x",
        "actions": [{"action_id": buttons.ROLL_BACK, "block_id": "b", "value": "R-1", "type": "button"}],
    }
    assert door.signed(urlencode({"payload": json.dumps(pressed)})).status_code == 200
    assert office.service.load_world().position == before
    assert office.rollout.state is RolloutState.RUNNING


def test_a_mention_from_another_workspace_does_nothing(office, door):
    office.start()
    before = office.service.load_world().position
    inner = {"type": "app_mention", "user": "U0ANA00001", "channel": "C0AIROLL01", "text": "rollback R-1", "ts": "1.2"}
    event = {"type": "event_callback", "team_id": OTHER, "event_id": "Ev1", "event": inner, "authorizations": []}
    assert door.signed(json.dumps(event), content_type="application/json").status_code == 200
    office.sandbox.wait_for(lambda: ELSEWHERE in office.shown(office.whispered("ana")))
    assert office.service.load_world().position == before


@pytest.mark.parametrize(
    ("home", "team", "enterprise", "held"),
    [
        (SlackWorkspace(team="T1", enterprise="", org_wide=False), "T1", "", True),
        (SlackWorkspace(team="T1", enterprise="", org_wide=False), "T2", "", False),
        (SlackWorkspace(team="T1", enterprise="", org_wide=False), "", "", False),
        (SlackWorkspace(team="T1", enterprise="E1", org_wide=False), "T1", "E1", True),
        (SlackWorkspace(team="T1", enterprise="E1", org_wide=False), "T1", "E2", False),
        (SlackWorkspace(team="T1", enterprise="E1", org_wide=False), "T2", "E1", False),
        (SlackWorkspace(team="T1", enterprise="E1", org_wide=True), "T2", "E1", True),
        (SlackWorkspace(team="T1", enterprise="E1", org_wide=True), "T2", "E2", False),
        (SlackWorkspace(team="", enterprise="", org_wide=True), "T2", "", False),
    ],
)
def test_a_workspace_and_an_organisation_hold_what_is_theirs(home, team, enterprise, held):
    assert home.contains(team, enterprise) is held


def test_while_slack_cannot_say_where_the_token_belongs_only_going_back_works(office):
    office.start()
    fresh = SlackDirectory(office.client, lambda: datetime.now(UTC))
    office.sandbox.fail_next("auth.test", "500", times=2)
    with pytest.raises(Refused, match="nothing moves forward"):
        fresh.resolve_actor(TEAM, "U0ANA00001", moves_forward=True)
    assert fresh.resolve_actor(TEAM, "U0ANA00001", moves_forward=False).is_full_member


def test_what_was_learned_holds_while_slack_is_away(office):
    directory = SlackDirectory(office.client, lambda: datetime.now(UTC))
    directory.resolve_actor(TEAM, "U0ANA00001", moves_forward=True)
    office.sandbox.fail_next("users.info", "500", times=5)
    with pytest.raises(Refused, match=ELSEWHERE):
        directory.resolve_actor(OTHER, "U0ANA00001", moves_forward=False)


@pytest.mark.parametrize(
    "mark", [{"is_restricted": True}, {"is_stranger": True}, {"is_bot": True}, {"deleted": True}, {"team": OTHER}]
)
def test_guests_strangers_bots_and_people_who_left_may_look_and_no_more(office, door, mark):
    office.start()
    office.sandbox.workspace.people["U0XENIA001"] = replace(people.MIA, id="U0XENIA001", handle="xenia", **mark)
    before = office.service.load_world().position
    for number, text in enumerate(("start R-1", 'rollback R-1 "now"', 'pause R-1 "wait"', "feels-off R-1")):
        answer = door.signed(command(text, user_id="U0XENIA001", trigger_id=f"1.{number}"))
        assert answer.status_code == 200
        assert office.rollout.state is RolloutState.RUNNING, (text, answer.text)
    assert not [r for r in office.service.load_history("R-1") if r.position > before]
