"""A file that names a channel in which nothing can be posted is applied, with a warning at its line."""

from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import pytest
from slack_sdk import WebClient

from bot.sandbox.control import Sandbox
from bot.slack.directory import SlackDirectory
from core.files.command_from_file import FileLookups
from core.rollout import commands as c
from core.rollout.notifications.announcement import notice_key

CHANNELS = '[{channel: "#ai-rollouts", as: engineering}, {channel: "#suport", as: support}]'
MISSPELT = "Slack has no public channel #suport (create it; into a private one, invite the app), so nothing can be"


@pytest.fixture
def slack() -> Iterator[Sandbox]:
    with Sandbox.start(rate_limits="off") as sandbox:
        yield sandbox


@pytest.fixture
def directory(slack: Sandbox) -> SlackDirectory:
    client = WebClient(token=slack.bot_token, base_url=slack.api_url, timeout=5)
    return SlackDirectory(client, lambda: datetime.now(UTC))


def send(api: Any, text: str) -> Any:
    return api.post("/api/v1/files", content=text, headers={"content-type": "application/yaml"}).json()


def about_channels(answer: Any) -> list[tuple[str, str]]:
    return [(one["pointer"], one["message"]) for one in answer["warnings"] if "channel" in one["message"]]


def test_a_misspelt_channel_of_a_rollout_is_warned_of(
    running: Any, serve: Any, rollout_file: str, directory: SlackDirectory
) -> None:
    api = serve(running, lookups=FileLookups(explain_channel=directory.explain_channel))
    named = rollout_file.replace('[{channel: "#ai-rollouts", as: engineering}]', CHANNELS)
    answer = send(api, named)
    assert answer["changed"]
    assert about_channels(answer) == [("/notify/1/channel", f"{MISSPELT} posted there")]


def test_a_channel_of_the_surface_is_warned_of_there_and_with_each_rollout(
    running: Any, serve: Any, surface_file: str, rollout_file: str, directory: SlackDirectory
) -> None:
    api = serve(running, lookups=FileLookups(explain_channel=directory.explain_channel))
    declared = surface_file.replace('[{channel: "#ai-rollouts", as: engineering}]', CHANNELS)
    assert about_channels(send(api, declared)) == [("/notify/1/channel", f"{MISSPELT} posted there")]
    noticed = "behaviour_changes: [{text: Answers are shorter.}]"
    without = rollout_file.partition("notify:")[0].replace("risk: low", f"{noticed}\nrisk: low")
    assert about_channels(send(api, without)) == [("/surface", f"{MISSPELT} posted there")]


def test_a_private_channel_that_was_posted_to_is_not_warned_of(
    running: Any, serve: Any, rollout_file: str, directory: SlackDirectory
) -> None:
    api = serve(running, lookups=FileLookups(explain_channel=directory.explain_channel))
    named = rollout_file.replace('[{channel: "#ai-rollouts", as: engineering}]', CHANNELS)
    send(api, named)
    plan = running.service.load_world().rollouts["R-1"]
    (notice,) = plan.plan.stakeholder_notices
    running.do(c.RecordPosted(key=notice_key(plan, notice.key), channel="C9", ts="1.0"))
    assert about_channels(send(api, named.replace("rollout: tone", "rollout: again"))) == []


def test_nothing_is_said_of_channels_while_slack_does_not_answer(
    running: Any, serve: Any, rollout_file: str, slack: Sandbox, directory: SlackDirectory
) -> None:
    slack.stop()
    api = serve(running, lookups=FileLookups(explain_channel=directory.explain_channel))
    named = rollout_file.replace('[{channel: "#ai-rollouts", as: engineering}]', CHANNELS)
    answer = send(api, named)
    assert answer["changed"]
    assert about_channels(answer) == []
