"""The app manifest: valid, minimal, and right for each transport."""

import json
from pathlib import Path
from urllib.parse import parse_qs, urlparse

import jsonschema_rs
import pytest

from bot.sandbox.workspace import people
from bot.slack.manifest import SCOPES, build_install_link, build_manifest

SCHEMA = Path("shared", "data", "slack-manifest-schema-2.0.0.json")


def test_without_a_public_url_it_asks_for_socket_mode() -> None:
    made = build_manifest()
    assert made["settings"]["socket_mode_enabled"] is True
    assert "request_url" not in json.dumps(made)
    assert "url" not in made["features"]["slash_commands"][0]


def test_with_a_public_url_every_door_is_the_same_signed_address() -> None:
    made = build_manifest("https://rampart.example.com/")
    address = "https://rampart.example.com/slack/events"
    assert made["settings"]["socket_mode_enabled"] is False
    assert made["features"]["slash_commands"][0]["url"] == address
    assert made["settings"]["interactivity"]["request_url"] == address
    assert made["settings"]["event_subscriptions"]["request_url"] == address


def test_it_asks_for_no_more_than_it_uses() -> None:
    assert set(SCOPES) == {
        "app_mentions:read",
        "channels:history",
        "channels:read",
        "chat:write",
        "chat:write.public",
        "commands",
        "files:write",
        "usergroups:read",
        "users:read",
    }
    assert build_manifest()["settings"]["token_rotation_enabled"] is False


def test_people_and_channels_in_commands_arrive_as_ids() -> None:
    assert build_manifest()["features"]["slash_commands"][0]["should_escape"] is True


def test_the_link_opens_the_form_with_the_same_manifest() -> None:
    parts = urlparse(build_install_link("https://rampart.example.com"))
    query = parse_qs(parts.query)
    assert parts.netloc == "api.slack.com"
    assert json.loads(query["manifest_json"][0]) == build_manifest("https://rampart.example.com")


@pytest.mark.parametrize("url", ["", "https://rampart.example.com"])
def test_it_is_what_slacks_published_schema_allows(url: str) -> None:
    schema = next((folder / SCHEMA for folder in Path(__file__).parents if (folder / SCHEMA).exists()), None)
    if schema is None:
        print("Slack's manifest schema is not beside this checkout: left out the comparison with it")
        return
    validator = jsonschema_rs.validator_for(json.loads(schema.read_text(encoding="utf-8")))
    made = build_manifest(url)
    assert [error.message for error in validator.iter_errors(made)] == []
    made["settings"]["no_such_setting"] = True
    assert not validator.is_valid(made)


def test_the_bot_has_the_name_that_the_sandbox_and_the_docs_mention() -> None:
    name = build_manifest()["features"]["bot_user"]["display_name"]
    assert name == people.BOT.handle
    assert f"`@{name} status`" in Path("docs/slack.md").read_text(encoding="utf-8")
