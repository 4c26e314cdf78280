"""What says that it comes from Slack is signed by it, now, over exactly these bytes; and its repeats change nothing."""

import json
import time

import pytest

from core.rollout.state.events import Paused
from core.rollout.state.model import RolloutState
from tests.security.conftest import TEAM, command

PAUSE = 'pause R-1 "wait a moment"'


def events(office, kind):
    return [r for r in office.service.load_history("R-1") if isinstance(r.event, kind)]


def test_a_signed_command_is_carried_out(office, door):
    office.start()
    assert door.signed(command(PAUSE)).status_code == 200
    assert office.rollout.state is RolloutState.PAUSED


@pytest.mark.parametrize(
    "signature",
    ["", "v0=", "v0=abc", "v0=" + "0" * 64, "v1=" + "0" * 64, "v0=" + "0" * 6400, "☃".encode(), b"v0=\xff\xfe"],
)
def test_a_wrong_signature_is_refused_whatever_its_form(office, door, signature):
    office.start()
    before = office.service.load_world().position
    answer = door.knock(command(PAUSE), x_slack_request_timestamp=str(int(time.time())), x_slack_signature=signature)
    assert answer.status_code == 401
    assert office.service.load_world().position == before


def test_no_signature_no_time_and_another_body_are_refused(office, door):
    office.start()
    before = office.service.load_world().position
    assert door.knock(command(PAUSE)).status_code == 401
    assert door.knock(command(PAUSE), x_slack_signature="v0=" + "0" * 64).status_code == 401
    assert door.knock(command(PAUSE), x_slack_request_timestamp=str(int(time.time()))).status_code == 401
    assert door.signed(command(PAUSE), of=command("status")).status_code == 401
    assert door.signed(command(PAUSE) + "&x=1", of=command(PAUSE)).status_code == 401
    assert office.service.load_world().position == before


@pytest.mark.parametrize("off_by", [-3600, -301, 360, 3600])
def test_what_was_signed_more_than_five_minutes_away_is_refused(office, door, off_by):
    office.start()
    before = office.service.load_world().position
    assert door.signed(command(PAUSE), at=time.time() + off_by).status_code == 401
    assert office.service.load_world().position == before


@pytest.mark.parametrize("stamp", ["²", "1e9", "-1", "", "9" * 400, "１２３"])
def test_a_time_that_is_none_is_refused(door, stamp):
    answer = door.knock(command(PAUSE), x_slack_request_timestamp=stamp.encode(), x_slack_signature="v0=" + "0" * 64)
    assert answer.status_code == 401


def test_a_recording_that_is_played_again_changes_nothing(office, door):
    office.start()
    for _ in range(2):
        assert door.signed(command(PAUSE)).status_code == 200
    assert len(events(office, Paused)) == 1


def test_three_deliveries_of_one_event_have_one_effect(office, door):
    office.start()
    inner = {
        "type": "app_mention",
        "user": "U0SAM00001",
        "channel": "C0AIROLL01",
        "text": f"<@U0RAMPART1> {PAUSE}",
        "ts": "1.2",
    }
    event = {"type": "event_callback", "team_id": TEAM, "event_id": "Ev1", "event": inner, "authorizations": []}
    for retry in (None, "1", "2"):
        more = {"x_slack_retry_num": retry, "x_slack_retry_reason": "http_timeout"} if retry else {}
        answer = door.signed(json.dumps(event), **more, content_type="application/json")
        assert answer.status_code == 200
    office.sandbox.wait_for(lambda: len(office.sandbox.list_ephemerals("sam")) == 3)
    assert len(events(office, Paused)) == 1


@pytest.mark.parametrize(
    "address",
    [
        "http://169.254.169.254/latest/meta-data/",
        "http://127.0.0.1:1/",
        "https://hooks.slack.com.evil.example/x",
        "https://hooks.slack.com@evil.example/x",
        "https://hooks.slack.com:8443/x",
        "http://hooks.slack.com/x",
        "file:///etc/passwd",
        "//evil.example/x",
        "https://[::ffff:127.0.0.1]/x",
        "https://[",
    ],
)
def test_an_answer_goes_to_slack_and_nowhere_else(office, door, address):
    office.start()
    assert door.signed(command(PAUSE, response_url=address)).status_code == 400
    assert office.rollout.state is RolloutState.RUNNING


def test_slacks_own_address_and_that_of_its_stand_in_are_answered(office, door):
    office.start()
    for number, address in enumerate(("https://hooks.slack.com/commands/T1/2/abc", f"{office.sandbox.url}/response/x")):
        body = command("status R-1", response_url=address, trigger_id=f"1.{number}")
        assert door.signed(body).status_code == 200
