"""Renders messages, blocks and mrkdwn as the plain text that a person would read."""

import re
from collections.abc import Iterator
from datetime import UTC, datetime, tzinfo
from typing import Any

from bot.sandbox.workspace.workspace import SandboxMessage, SandboxWorkspace

Json = dict[str, Any]

_TOKEN = re.compile(r"<([^<>\n]+)>")
_ENTITIES = (("&lt;", "<"), ("&gt;", ">"), ("&amp;", "&"))
_DATE_PARTS = {
    "{date_num}": "%Y-%m-%d",
    "{date}": "%B %d, %Y",
    "{date_short}": "%b %d, %Y",
    "{date_long}": "%A, %B %d, %Y",
    "{date_pretty}": "%B %d, %Y",
    "{date_short_pretty}": "%b %d, %Y",
    "{date_long_pretty}": "%A, %B %d, %Y",
    "{time}": "%H:%M",
    "{time_secs}": "%H:%M:%S",
}


def render_message(workspace: SandboxWorkspace, message: SandboxMessage) -> str:
    """A message as plain text: its blocks, or its text without blocks, and the names of its files."""
    body = render_blocks(workspace, message.blocks) if message.blocks else render_mrkdwn(workspace, message.text)
    files = [f"[file: {workspace.files[f].name}]" for f in message.files]
    return "\n".join(part for part in (body, *files) if part)


def render_blocks(workspace: SandboxWorkspace, blocks: tuple[Json, ...] | list[Json]) -> str:
    """Blocks as lines of text, buttons as `[ Label ]`."""
    return "\n".join(line for block in blocks for line in _block_lines(workspace, block))


def render_mrkdwn(workspace: SandboxWorkspace, text: str) -> str:
    """mrkdwn with mentions, dates, links and entities resolved; emphasis marks stay."""
    resolved = _TOKEN.sub(lambda found: _resolve_token(workspace, found.group(1)), text)
    for entity, character in _ENTITIES:
        resolved = resolved.replace(entity, character)
    return resolved


def resolve_mention(workspace: SandboxWorkspace, token: str) -> str | None:
    """`@ana`, `#support` or `@ai-leads` for the content of a mention token; None for other tokens."""
    name, _, label = token.partition("|")
    if name.startswith("@"):
        person = workspace.people.get(name[1:])
        return f"@{person.handle}" if person else f"@{label or name[1:]}"
    if name.startswith("#"):
        channel = workspace.channels.get(name[1:])
        return f"#{channel.name}" if channel else f"#{label or name[1:]}"
    if name.startswith("!subteam^"):
        group = workspace.groups.get(name.removeprefix("!subteam^"))
        return f"@{group.handle}" if group else label or name
    if name in ("!here", "!channel", "!everyone"):
        return f"@{name[1:]}"
    return None


def resolve_date(token: str, zone: tzinfo = UTC) -> str | None:
    """The text of a `!date^seconds^format|fallback` token in `zone`; the fallback for an unknown format.

    None for other tokens.
    """
    if not token.startswith("!date^"):
        return None
    body, _, fallback = token.partition("|")
    parts = body.split("^")
    if len(parts) < 3 or not parts[1].isdigit():
        return fallback
    at = datetime.fromtimestamp(int(parts[1]), zone)
    text = parts[2]
    for name, form in _DATE_PARTS.items():
        text = text.replace(name, at.strftime(form))
    return fallback if "{" in text else text


def _resolve_token(workspace: SandboxWorkspace, token: str) -> str:
    named = resolve_mention(workspace, token)
    if named is None:
        named = resolve_date(token)
    if named is not None:
        return named
    address, _, label = token.partition("|")
    return label or address


def _block_lines(workspace: SandboxWorkspace, block: Json) -> Iterator[str]:
    def text(value: Json | None) -> str:
        if not value:
            return ""
        said = str(value.get("text", ""))
        return render_mrkdwn(workspace, said) if value.get("type") == "mrkdwn" else said

    match block["type"]:
        case "header":
            yield text(block["text"])
        case "section":
            if "text" in block:
                yield text(block["text"])
            yield from (text(field) for field in block.get("fields", []))
            if isinstance(block.get("accessory"), dict):
                yield _element_label(block["accessory"])
        case "context":
            yield " · ".join(text(e) if e["type"] != "image" else f"[{e['alt_text']}]" for e in block["elements"])
        case "actions":
            yield " ".join(_element_label(element) for element in block["elements"])
        case "divider":
            yield "---"
        case "image":
            yield f"[image: {block['alt_text']}]"
        case "markdown":
            yield str(block["text"])
        case "table":
            yield from _table_lines(block["rows"])
        case "data_visualization":
            yield f"[chart: {block['title']}, {', '.join(one['name'] for one in block['chart']['series'])}]"
        case "input":
            yield f"{text(block['label'])}: {_element_label(block['element'])}"
        case _:
            yield _cell_text(block)


def _element_label(element: Json) -> str:
    match element["type"]:
        case "button":
            return f"[ {element['text']['text']} ]"
        case "image":
            return f"[image: {element['alt_text']}]"
        case _:
            return f"[ {element.get('placeholder', {}).get('text', '...')} v ]"


def _table_lines(rows: list[list[Json]]) -> Iterator[str]:
    cells = [[_cell_text(cell) for cell in row] for row in rows]
    widths = [max(len(row[column]) for row in cells if column < len(row)) for column in range(len(cells[0]))]
    for row in cells:
        yield "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=False)).rstrip()


def _cell_text(value: Any) -> str:
    if isinstance(value, dict):
        if "text" in value and isinstance(value["text"], str):
            return value["text"]
        return str(value["value"]) if "value" in value else "".join(_cell_text(v) for v in value.get("elements", []))
    return ""
