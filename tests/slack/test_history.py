"""The history in Slack: for one person, for the channel, or as a file."""

import csv
import json
from io import StringIO
from typing import Any

import pytest

from bot.cli import people_names, shell_answers
from bot.rendering.blocks import blocks
from core.rollout import commands as c
from tests.slack.conftest import ROLLOUT

POLICY = """
version: 1
kind: policy
roles: {operator: {groups: ["@ai-eng"]}, approver: {groups: ["@ai-leads"]}}
"""


@pytest.fixture
def office(office: Any) -> Any:
    office.start()
    mia = office.directory.resolve_actor("T0SANDBOX1", "U0MIA00001", moves_forward=False)
    office.say(c.FeelsOff(text="too short"), by=mia)
    return office


def _sent_file(office: Any) -> tuple[str, str]:
    """(name, content) of the file that was sent last."""
    workspace = office.sandbox.workspace
    files = office.sandbox.wait_for(lambda: [f for f in workspace.files.values() if f.content is not None])
    return files[-1].name, files[-1].content.decode()


def test_it_is_for_one_person_until_they_post_it(office: Any):
    office.typed("mia", "history R-1")
    said = office.whispered("mia")
    assert "Feels off: @mia about R-1: “too short”." in office.shown(said)
    assert "Told: #support, #marketing." in office.shown(said)
    office.person("mia").click(said, "Post to channel")
    posted = office.sandbox.wait_for(
        lambda: [m for m in office.sandbox.list_messages("#ai-rollouts") if "History: R-1" in office.shown(m)]
    )
    assert "Feels off: @mia about R-1" in office.shown(posted[-1])


def test_a_button_sends_all_of_it_as_a_file(office: Any):
    office.typed("mia", "history R-1")
    assert "history-R-1.csv is in your direct messages" in office.click("mia", office.whispered("mia"), "Get CSV")
    name, content = _sent_file(office)
    assert name == "history-R-1.csv"
    rows = list(csv.DictReader(StringIO(content)))
    assert rows[0]["type"] == "rollout.planned"
    assert rows[-1]["what"] == "Feels off: @mia about R-1: “too short”."
    assert rows[-1]["who"] == "'@mia"
    assert "@U0" not in content, "people are named as others call them"


def test_a_flag_asks_for_the_same(office: Any):
    office.typed("mia", "history R-1 --csv")
    assert "history-R-1.csv is in your direct messages" in office.shown(office.whispered("mia"))
    assert _sent_file(office)[0] == "history-R-1.csv"


def test_the_data_hold_prompts_so_only_those_who_may_read_them_get_them(office: Any):
    office.apply_as_admin(
        "version: 1\nkind: policy\nroles: {operator: {groups: ['@ai-eng']}, approver: {groups: ['@ai-leads']}}\n"
    )
    office.typed("mia", "history R-1")
    assert "Only operators and approvers can read prompts" in office.click("mia", office.whispered("mia"), "Get JSON")
    office.typed("ana", "history R-1")
    assert "Sent: history-R-1.json" in office.click("ana", office.whispered("ana"), "Get JSON")
    name, content = _sent_file(office)
    assert name == "history-R-1.json"
    assert json.loads(content)["events"][0]["type"] == "rollout.planned"


def test_the_command_line_names_people_by_slack_unless_it_is_urgent(office: Any, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("SLACK_BOT_TOKEN", office.sandbox.bot_token)
    monkeypatch.setenv("SLACK_APP_TOKEN", "xapp-1")
    monkeypatch.setenv("SLACK_API_URL", office.sandbox.api_url)
    message = blocks.build_message("Paused by <@U0MIA00001>.")
    find_handles = people_names.build_handle_finder(office.service)
    assert shell_answers.render_answer(message, find_handles) == "Paused by @mia."
    asks_nobody = people_names.build_handle_finder(office.service, is_urgent=True)
    assert shell_answers.render_answer(message, asks_nobody) == "Paused by @U0MIA00001."


def test_guests_get_neither(office: Any):
    office.typed("gil", "history R-1 --csv")
    assert "Guests" in office.shown(office.whispered("gil"))


def test_whoever_does_not_say_which_history_gets_the_file_of_the_one_they_choose(office: Any) -> None:
    office.apply(ROLLOUT.replace("support-tone", "shorter-still").replace("9f2c51e0", "77aa51e0"))
    assert office.typed("mia", "history s --csv").acked
    said = office.click("mia", office.whispered("mia"), "history R-2 shorter-still")
    assert "history-R-2.csv is in your direct messages" in said
    assert _sent_file(office)[0] == "history-R-2.csv"


def test_a_mention_that_asks_for_the_file_gets_it(office: Any) -> None:
    office.person("mia").say("@rampart history R-1 --csv")
    answer = office.sandbox.wait_for(lambda: office.sandbox.list_ephemerals("mia"))[-1]
    assert "history-R-1.csv is in your direct messages" in office.shown(answer)
