"""Validates text, blocks, metadata and views that an app sends, and converts them for the workspace."""

import json
from typing import Any

from bot.sandbox.rules import check_payload, limits
from bot.sandbox.rules.check_payload import Violation
from bot.sandbox.rules.errors import BrokenRulesError, MethodError
from bot.sandbox.workspace.slack_state import SlackState
from bot.sandbox.workspace.workspace import View

Json = dict[str, Any]


def parse_content(slack: SlackState, args: Json) -> tuple[str, tuple[Json, ...]]:
    """Text and blocks of a message; MethodError if both are missing or a rule is broken."""
    text, blocks = str(args.get("text") or ""), args.get("blocks")
    if blocks:
        if found := check_payload.check_blocks(blocks):
            raise BrokenRulesError("invalid_blocks", found)
        if check_payload.text_length(blocks) > limits.value("message.blocks_text.max_length"):
            raise BrokenRulesError(
                "msg_blocks_too_long", [_build_violation("message.blocks_text.max_length", "/blocks", "too much text")]
            )
        if not text:
            advice = "blocks without a text: notifications and screen readers have nothing to read"
            slack.record_violations(
                [_build_violation("message.text.truncated_at", "/text", advice, rule="message.text.recommended")]
            )
    elif not text:
        raise MethodError("no_text")
    return text[: limits.value("message.text.truncated_at")], assign_ids(slack, blocks or [])


def assign_ids(slack: SlackState, blocks: list[Json]) -> tuple[Json, ...]:
    """The blocks with generated block_ids and action_ids where the app set none."""
    return tuple(_assign_block_ids(slack, block) for block in blocks)


def parse_metadata(args: Json) -> Json | None:
    """A message's metadata, None if absent; MethodError if its form is not Slack's."""
    given = args.get("metadata")
    if not given:
        return None
    if not isinstance(given, dict) or set(given) - {"event_type", "event_payload", "entities"}:
        raise MethodError("invalid_metadata_format")
    if not isinstance(given.get("event_type"), str) or not isinstance(given.get("event_payload"), dict):
        raise MethodError("invalid_metadata_schema")
    if len(json.dumps(given)) > limits.value("message.metadata.max_length"):
        raise MethodError("metadata_too_large")
    return given


def build_view(
    slack: SlackState, person: str, body: Any, *, kinds: tuple[str, ...], replacing: View | None = None
) -> View:
    """Build a view, keeping the id of the one it is `replacing`.

    MethodError: `invalid_arguments` with JSON pointers if it breaks a rule, `duplicate_external_id` if that is taken.
    """
    if found := check_payload.check_view(body, kinds):
        raise BrokenRulesError("invalid_arguments", found)
    external = str(body.get("external_id", ""))
    taken = [v for v in slack.workspace.list_views() if external and v.external_id == external]
    if any(replacing is None or v.id != replacing.id for v in taken):
        raise MethodError("duplicate_external_id")
    view_id = replacing.id if replacing else slack.workspace.new_id("V")
    return View(
        id=view_id,
        person=person,
        body={**body, "blocks": list(assign_ids(slack, body["blocks"]))},
        hash=slack.workspace.new_ts(),
        root=replacing.root if replacing else view_id,
        external_id=external,
    )


def _assign_block_ids(slack: SlackState, block: Json) -> Json:
    given = {**block, "block_id": block.get("block_id") or slack.workspace.new_id("b")}
    for part in ("accessory", "element"):
        if isinstance(given.get(part), dict):
            given[part] = _assign_action_id(slack, given[part])
    if given["type"] == "actions":
        given["elements"] = [_assign_action_id(slack, element) for element in given["elements"]]
    return given


def _assign_action_id(slack: SlackState, element: Json) -> Json:
    if element["type"] == "image":
        return element
    return {**element, "action_id": element.get("action_id") or slack.workspace.new_id("a")}


def _build_violation(limit: str, where: str, message: str, rule: str = "") -> Violation:
    return Violation(rule=rule or limit, where=where, message=message, source=limits.LIMITS[limit].source)
