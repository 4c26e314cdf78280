"""The app manifest: valid, minimal, and right for each transport."""

import json
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlparse

import pytest

from bot.sandbox.workspace import people
from bot.slack.manifest import SCOPES, build_install_link, build_manifest

SCHEMA = Path(__file__).parents[3] / "shared" / "data" / "slack-manifest-schema-2.0.0.json"


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
def test_it_has_only_fields_that_slack_knows(url: str) -> None:
    if not SCHEMA.exists():
        print("Slack's manifest schema is not beside this checkout: left out the comparison with its fields")
        return
    schema = json.loads(SCHEMA.read_text())
    _only_known(build_manifest(url), schema, schema, "manifest")


def _only_known(value: Any, schema: dict[str, Any], root: dict[str, Any], where: str) -> None:
    while "$ref" in schema:
        schema = root["definitions"][schema["$ref"].rpartition("/")[2]]
    if isinstance(value, dict) and "properties" in schema:
        assert set(value) <= set(schema["properties"]), where
        assert set(schema.get("required", ())) <= set(value), where
        for key, inner in value.items():
            _only_known(inner, schema["properties"][key], root, f"{where}.{key}")
    if isinstance(value, list) and "items" in schema:
        for inner in value:
            _only_known(inner, schema["items"], root, f"{where}[]")
    if isinstance(value, str):
        assert len(value) <= schema.get("maxLength", len(value)), where
        assert not schema.get("enum") or value in schema["enum"], where


def test_the_bot_has_the_name_that_the_sandbox_and_the_docs_mention() -> None:
    name = build_manifest()["features"]["bot_user"]["display_name"]
    assert name == people.BOT.handle
    assert f"`@{name} status`" in Path("docs/slack.md").read_text(encoding="utf-8")
