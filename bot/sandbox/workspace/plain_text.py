"""Renders messages, blocks and mrkdwn as the plain text that a person would read."""

import re
from collections.abc import Iterator
from datetime import UTC, datetime, tzinfo
from typing import Any

from bot.sandbox.workspace.workspace import SandboxMessage, SandboxWorkspace

Json = dict[str, Any]

_TOKEN = re.compile(r"<([^<>\n]+)>")
_ENTITIES = (("&lt;", "<"), ("&gt;", ">"), ("&amp;", "&"))
_UNCHANGED = "\N{ZERO WIDTH SPACE}"  # a date after it does not begin with a capital letter, as Slack would have it
_ORDINAL_ENDINGS = {1: "st", 2: "nd", 3: "rd"}


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


def resolve_date(token: str, now: datetime, zone: tzinfo = UTC) -> str | None:
    """The text of a `!date^seconds^format|fallback` token for a reader in `zone` who looks at it at `now`; the fallback
    for an unknown format.

    None for other tokens.
    """
    if not token.startswith("!date^"):
        return None
    body, _, fallback = token.partition("|")
    parts = body.split("^")
    if len(parts) < 3 or not parts[1].isdigit():
        return fallback
    text = parts[2]
    for name, form in _format_date_parts(datetime.fromtimestamp(int(parts[1]), zone), now.astimezone(zone)).items():
        text = text.replace(name, form)
    if "{" in text:
        return fallback
    return text.removeprefix(_UNCHANGED) if text.startswith(_UNCHANGED) else text[:1].upper() + text[1:]


def _format_date_parts(at: datetime, now: datetime) -> dict[str, str]:
    """What Slack shows for each name in the format of a date; those that are called pretty name the days around now."""
    ending = "th" if at.day in {11, 12, 13} else _ORDINAL_ENDINGS.get(at.day % 10, "th")
    full, short = f"{at:%B} {at.day}{ending}, {at.year}", f"{at:%b} {at.day}, {at.year}"
    plain = {"date": full, "date_short": short, "date_long": f"{at:%A}, {full}"}
    near = {-1: "yesterday", 0: "today", 1: "tomorrow"}.get((at.date() - now.date()).days)
    pretty = {f"{name}_pretty": near or form for name, form in plain.items()}
    others = {"date_num": f"{at:%Y-%m-%d}", "time": f"{at:%H:%M}", "time_secs": f"{at:%H:%M:%S}"}
    return {f"{{{name}}}": form for name, form in (plain | pretty | others).items()}


def _resolve_token(workspace: SandboxWorkspace, token: str) -> str:
    named = resolve_mention(workspace, token)
    if named is None:
        named = resolve_date(token, workspace.clock())
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
