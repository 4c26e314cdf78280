"""What is missing between Rampart and a Slack: said in the order in which it is got, by the doctor and at the start."""

from collections.abc import Iterator

import pytest

from bot import doctor
from bot.doctor import CheckResult
from bot.sandbox.control import Sandbox
from bot.settings import Settings
from bot.slack.setup import list_missing
from bot.startup.app import build_program
from core.rollout.context import Actor
from core.service import apply_file
from core.service.service import RolloutService
from core.store.coordination.outbox import OutboxBacklog
from core.store.database.connections import connect
from tests.slack.conftest import MONDAY, ROLLOUT, SURFACE

BOT, APP, SECRET = "xoxb-1-bot", "xapp-1-app", "0123456789"


@pytest.fixture
def slack() -> Iterator[Sandbox]:
    with Sandbox.start(rate_limits="off") as sandbox:
        yield sandbox


def found(settings: Settings, *what: str) -> list[CheckResult]:
    return [x for x in doctor.examine_installation(settings) if x.what in what]


def test_a_bot_token_alone_lets_nobody_press_a_button() -> None:
    (said,) = list_missing(Settings(slack_bot_token=BOT))
    assert said == (
        "Slack cannot reach Rampart, so no command and no button works. Set SLACK_APP_TOKEN (Basic Information, "
        "App-Level Tokens: one with connections:write) for Socket Mode; or SLACK_SIGNING_SECRET (Basic Information, "
        "App Credentials) and ROLLOUT_PUBLIC_URL"
    )


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        (Settings(slack_bot_token=APP, slack_app_token=APP), "SLACK_BOT_TOKEN is an app-level token"),
        (Settings(slack_bot_token="xoxp-1-me", slack_app_token=APP), "SLACK_BOT_TOKEN is a user token"),
        (Settings(slack_bot_token=BOT, slack_app_token=BOT), "SLACK_APP_TOKEN is a bot token"),
        (Settings(slack_app_token=APP), "SLACK_BOT_TOKEN is not set"),
        (Settings(slack_signing_secret=SECRET), "SLACK_BOT_TOKEN is not set"),
    ],
)
def test_a_token_in_the_wrong_place_is_named_with_the_place_of_the_right_one(settings: Settings, words: str) -> None:
    said = list_missing(settings)[0]
    assert said.startswith(words)
    assert "OAuth & Permissions" in said or "App-Level Tokens" in said


@pytest.mark.parametrize(
    "settings",
    [
        Settings(),
        Settings(slack_bot_token=BOT, slack_app_token=APP),
        Settings(slack_bot_token=BOT, slack_signing_secret=SECRET, public_url="https://r.example.com"),
    ],
)
def test_nothing_is_missing_of_what_is_whole_or_not_wanted(settings: Settings) -> None:
    assert list_missing(settings) == ()


def test_the_doctor_does_not_call_half_a_connection_well(sqlite_url: str, slack: Sandbox) -> None:
    half = Settings(database_url=sqlite_url, slack_bot_token=slack.bot_token, slack_api_url=slack.api_url)
    assert [(x.ok, x.text.partition(".")[0]) for x in found(half, "slack")] == [
        (True, "rampart in sandbox: the bot token works"),
        (False, "Slack cannot reach Rampart, so no command and no button works"),
    ]


def test_the_doctor_asks_whether_anybody_answers_at_the_public_address(sqlite_url: str, slack: Sandbox) -> None:
    settings = Settings(
        database_url=sqlite_url,
        slack_bot_token=slack.bot_token,
        slack_signing_secret=slack.signing_secret,
        slack_api_url=slack.api_url,
        public_url="http://127.0.0.1:1",
    )
    (address,) = found(settings, "public address")
    assert not address.ok
    assert address.text == (
        "nothing answers at http://127.0.0.1:1/healthz (Connection refused). Start `rollout serve`, and make "
        "this address lead to it: Slack sends commands and buttons to http://127.0.0.1:1/slack/events."
    )


def test_a_slack_that_cannot_be_reached_is_said_in_words(sqlite_url: str) -> None:
    away = Settings(
        database_url=sqlite_url,
        slack_bot_token=BOT,
        slack_app_token=APP,
        slack_api_url="http://127.0.0.1:1/api/",
    )
    (said,) = found(away, "slack")
    assert said.text == "cannot be reached (Connection refused). Check the network, and SLACK_API_URL"


def test_channels_that_files_name_and_slack_does_not_have_are_named(sqlite_url: str, slack: Sandbox) -> None:
    with connect(sqlite_url) as database:
        for name, text in (("surface", SURFACE), ("rollout", ROLLOUT.replace('"#support"', '"#suport"'))):
            apply_file.apply_text(
                RolloutService(database), text, name, by=Actor(id="cli:root", handle="root"), at=MONDAY, command_id=name
            )
    settings = Settings(
        database_url=sqlite_url,
        slack_bot_token=slack.bot_token,
        slack_app_token=slack.app_token,
        slack_api_url=slack.api_url,
    )
    (said,) = found(settings, "channels")
    assert not said.ok
    assert said.text == (
        "R-1 tells #suport, but Slack has no public channel of that name. Create it, or correct the file; if it "
        "is private, invite the app"
    )


def test_a_process_warns_at_its_start_of_what_the_doctor_would_find(
    sqlite_url: str, slack: Sandbox, capsys: pytest.CaptureFixture[str]
) -> None:
    program = build_program(
        Settings(database_url=sqlite_url, slack_bot_token=slack.bot_token, slack_api_url=slack.api_url), "serve"
    )
    program.database.close()
    assert "Slack cannot reach Rampart" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("pending", "dead", "said"),
    [
        (1, 1, "1 message is waiting; 1 could not be delivered and needs a person"),
        (2, 2, "2 messages are waiting; 2 could not be delivered and need a person"),
    ],
)
def test_what_waits_is_counted_in_words(pending: int, dead: int, said: str) -> None:
    backlog = OutboxBacklog(pending=pending, leased=0, scheduled=0, dead=dead, oldest_due_at=None, errors={})
    assert doctor._check_outbox(backlog, Settings(slack_bot_token=BOT), MONDAY).text == said


def test_without_a_slack_it_says_what_they_wait_for() -> None:
    backlog = OutboxBacklog(pending=9, leased=0, scheduled=3, dead=0, oldest_due_at=None, errors={})
    said = "9 messages are waiting for Slack, 3 have a time of their own: set SLACK_BOT_TOKEN"
    assert doctor._check_outbox(backlog, Settings(), MONDAY).text == said
