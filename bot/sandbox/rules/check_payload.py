"""Checks messages and views against Slack's tables: what is wrong, where, and which documented rule it breaks."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from bot.sandbox.rules import chart_rules, limits
from bot.sandbox.rules.shapes import SHAPES, SURFACES, UNIONS, FieldShape, Shape

Json = dict[str, Any]
_BLOCK_KIT = "https://docs.slack.dev/reference/block-kit"
_MODAL_ONLY = frozenset({"title", "submit", "close", "clear_on_close", "notify_on_close", "submit_disabled"})
_FILE_ID = re.compile(r"F[A-Z0-9]{8,}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Violation:
    """One broken rule; `where` is a JSON pointer into the payload."""

    rule: str
    where: str
    message: str
    source: str

    def __str__(self) -> str:
        return f"{self.message} [json-pointer:{self.where}] ({self.rule}, {self.source})"


def check_blocks(blocks: object, surface: str = "message") -> list[Violation]:
    """All violations in the blocks of a `message`, `modal` or `home`; empty if Slack would accept them."""
    if not isinstance(blocks, list):
        return [_shape_violation("blocks.type", "/blocks", "must be an array of blocks")]
    bound = "message.blocks.max_items" if surface == "message" else "view.blocks.max_items"
    return [
        *_check_count(blocks, bound, "/blocks"),
        *_check_each_block(blocks, surface),
        *_check_across_blocks(blocks),
    ]


def check_view(view: object, kinds: tuple[str, ...] = ("modal",)) -> list[Violation]:
    """All violations in a view, which must be of one of `kinds`; empty if Slack would accept it."""
    if not isinstance(view, dict) or view.get("type") not in kinds:
        return [_shape_violation("view.type", "/view/type", f"must be one of {', '.join(kinds)}")]
    found = list(_check_object(view, "view", "/view"))
    blocks = view.get("blocks")
    if view["type"] == "home":
        found += [
            _shape_violation("unknown_field", f"/view/{name}", f"a home tab has no {name}")
            for name in sorted(view.keys() & _MODAL_ONLY)
        ]
    if view["type"] == "modal" and "title" not in view:
        found.append(_shape_violation("view.title.required", "/view/title", "missing required field: title"))
    if view["type"] == "modal" and _has_input(blocks) and "submit" not in view:
        found.append(
            _shape_violation("view.submit.required", "/view/submit", "a modal with input blocks needs a submit button")
        )
    return [*found, *check_blocks(blocks, str(view["type"]))]


def _check_each_block(blocks: list[Any], surface: str) -> Iterator[Violation]:
    for index, block in enumerate(blocks):
        where = f"/blocks/{index}"
        kind = block.get("type") if isinstance(block, dict) else None
        if not isinstance(kind, str) or kind not in SURFACES[surface]:
            yield _shape_violation("block.type", f"{where}/type", f"unsupported type in a {surface}: {kind}")
            continue
        yield from _check_object(block, f"block.{kind}", where)
        yield from _check_block_specifics(block, kind, where)


def _check_object(value: object, shape: str, where: str) -> Iterator[Violation]:
    if not isinstance(value, dict):
        yield _shape_violation(f"{shape}.type", where, "must be an object")
        return
    fields: Shape = SHAPES[shape]
    for name in value.keys() - fields.keys():
        yield _shape_violation("unknown_field", f"{where}/{name}", f"invalid additional property: {name}")
    for name, expected in fields.items():
        if name not in value:
            if expected.required:
                yield _shape_violation(f"{shape}.{name}.required", where, f"missing required field: {name}")
        else:
            yield from _check_field(value[name], expected, f"{where}/{name}")


def _check_field(value: Any, expected: FieldShape, where: str) -> Iterator[Violation]:
    if not expected.is_list:
        yield from _check_value(value, expected.kind, expected.limit, expected.one_of, where)
        return
    if not isinstance(value, list):
        yield _shape_violation("array", where, "must be an array")
        return
    yield from _check_count(value, expected.limit, where)
    if not value and expected.kind != "object":
        yield _shape_violation("array.min_items", where, "must have at least one item")
    for index, item in enumerate(value):
        yield from _check_value(item, expected.kind, expected.item_limit, (), f"{where}/{index}")


def _check_value(value: Any, kind: str, limit: str, one_of: tuple[str, ...], where: str) -> Iterator[Violation]:
    match kind:
        case "string":
            yield from _check_string(value, limit, one_of, where)
        case "boolean" | "integer" | "object":
            wanted = {"boolean": bool, "integer": int, "object": dict}[kind]
            if not isinstance(value, wanted) or (kind == "integer" and isinstance(value, bool)):
                yield _shape_violation(kind, where, f"must be of type {kind}")
        case "plain_text" | "text":
            yield from _check_text_object(value, limit, where, plain=kind == "plain_text")
        case "context_item":
            is_image = isinstance(value, dict) and value.get("type") == "image"
            yield from (
                _check_object(value, "image", where) if is_image else _check_text_object(value, "", where, plain=False)
            )
        case "table_row":
            yield from _check_table_row(value, where)
        case _ if kind in UNIONS:
            given = value.get("type") if isinstance(value, dict) else None
            if given in UNIONS[kind]:
                yield from _check_object(value, str(given), where)
            else:
                yield _shape_violation("element.type", f"{where}/type", f"unsupported type: {given}")
        case _:
            yield from _check_object(value, kind, where)


def _check_string(value: Any, limit: str, one_of: tuple[str, ...], where: str) -> Iterator[Violation]:
    if not isinstance(value, str):
        yield _shape_violation("string", where, "must be a string")
    elif limit and len(value) > limits.value(limit):
        yield _limit_violation(limit, where, f"must be no more than {limits.value(limit)} characters, has {len(value)}")
    elif one_of and value not in one_of:
        yield _shape_violation("enum", where, f"must be one of {', '.join(one_of)}")


def _check_text_object(value: Any, limit: str, where: str, *, plain: bool) -> Iterator[Violation]:
    kinds = ("plain_text",) if plain else ("plain_text", "mrkdwn")
    if not isinstance(value, dict) or value.get("type") not in kinds:
        yield _shape_violation("text.type", f"{where}/type", f"must be a text object of type {' or '.join(kinds)}")
        return
    allowed = {"type", "text", "emoji"} if value["type"] == "plain_text" else {"type", "text", "verbatim"}
    for name in value.keys() - allowed:
        yield _shape_violation("unknown_field", f"{where}/{name}", f"invalid additional property: {name}")
    text = value.get("text")
    if not isinstance(text, str) or not text:
        yield _limit_violation("text.min_length", f"{where}/text", "must be a string of at least 1 character")
    else:
        yield from _check_string(text, limit or "text.max_length", (), f"{where}/text")


def _check_table_row(row: Any, where: str) -> Iterator[Violation]:
    if not isinstance(row, list) or not row:
        yield _shape_violation("table.row", where, "must be an array of at least one cell")
        return
    yield from _check_count(row, "table.columns.max_items", where)
    for index, cell in enumerate(row):
        kind = cell.get("type") if isinstance(cell, dict) else None
        if kind not in ("raw_text", "raw_number", "rich_text"):
            yield _shape_violation("table.cell", f"{where}/{index}", "a cell must be raw_text, raw_number or rich_text")
        elif kind == "raw_text" and (not isinstance(cell.get("text"), str) or not cell["text"]):
            yield _shape_violation(
                "table.cell.text", f"{where}/{index}/text", "must be a string of at least 1 character"
            )


def _check_block_specifics(block: Json, kind: str, where: str) -> Iterator[Violation]:
    if kind == "section" and not ("text" in block or "fields" in block):
        yield _shape_violation("section.text_or_fields", where, "a section needs text or fields")
    if kind == "image":
        yield from _check_image_source(block, where)
    if kind == "data_visualization":
        for rule, pointer, message in chart_rules.check_chart(block, where):
            yield (
                _limit_violation(rule, pointer, message)
                if rule in limits.LIMITS
                else _shape_violation(rule, pointer, message)
            )
    if kind == "table" and len({len(row) for row in block.get("rows", []) if isinstance(row, list)}) > 1:
        yield _shape_violation(
            "table.rows.equal_length", f"{where}/rows", "every row must have the same number of cells"
        )
    elements = elements_of(block)
    names = [e["action_id"] for e in elements if isinstance(e.get("action_id"), str)]
    if len(names) != len(set(names)):
        yield _shape_violation("action_id.unique", where, "action_id must be unique within its block")
    for element in elements:
        is_static = str(element.get("type")).endswith("static_select")
        if is_static and ("options" in element) == ("option_groups" in element):
            yield _shape_violation(
                "select.options_xor_groups", where, "a static select has either options or option_groups"
            )
        if element.get("type") == "image":
            yield from _check_image_source(element, where)


def _check_image_source(image: Json, where: str) -> Iterator[Violation]:
    if ("image_url" in image) == ("slack_file" in image):
        yield _shape_violation("image.source", where, "an image has either image_url or slack_file")
    url = image.get("image_url")
    if isinstance(url, str) and not url.startswith(("https://", "http://")):
        yield _shape_violation("image.image_url", f"{where}/image_url", "must be a public http or https address")
    file = image.get("slack_file")
    if isinstance(file, dict) and "url" not in file and not _FILE_ID.fullmatch(str(file.get("id", ""))):
        yield _shape_violation("image.slack_file", f"{where}/slack_file", "needs the id of a file (F…) or its url")


def _check_across_blocks(blocks: list[Any]) -> Iterator[Violation]:
    whole = [block for block in blocks if isinstance(block, dict)]
    ids = [block["block_id"] for block in whole if isinstance(block.get("block_id"), str)]
    if len(ids) != len(set(ids)):
        yield _shape_violation("block_id.unique", "/blocks", "block_id must be unique within a message or view")
    if sum(block.get("type") == "table" for block in whole) > 1:
        yield _shape_violation("table.one_per_message", "/blocks", "only one table is allowed in a message")
    charts = [block for block in whole if block.get("type") == "data_visualization"]
    yield from _check_count(charts, "message.data_visualizations.max_items", "/blocks")
    total = sum(len(str(block.get("text", ""))) for block in whole if block.get("type") == "markdown")
    if total > limits.value("markdown.total_text.max_length"):
        yield _limit_violation(
            "markdown.total_text.max_length", "/blocks", f"all markdown blocks together have {total} characters"
        )


def elements_of(block: Json) -> list[Json]:
    """The interactive elements and images of one block, in order."""
    candidates = [*(block.get("elements") or []), block.get("accessory"), block.get("element")]
    return [c for c in candidates if isinstance(c, dict) and "type" in c]


def text_length(blocks: list[Json]) -> int:
    """The number of characters in a message's blocks, counted as Slack does for `msg_blocks_too_long`."""

    def letters(value: Any) -> int:
        if isinstance(value, dict):
            return sum(len(v) if k == "text" and isinstance(v, str) else letters(v) for k, v in value.items())
        return sum(letters(item) for item in value) if isinstance(value, list) else 0

    return letters(blocks)


def _has_input(blocks: object) -> bool:
    return isinstance(blocks, list) and any(isinstance(b, dict) and b.get("type") == "input" for b in blocks)


def _check_count(items: list[Any], limit: str, where: str) -> Iterator[Violation]:
    if limit and len(items) > limits.value(limit):
        yield _limit_violation(
            limit, where, f"no more than {limits.value(limit)} items allowed, there are {len(items)}"
        )


def _limit_violation(limit: str, where: str, message: str) -> Violation:
    return Violation(rule=limit, where=where, message=message, source=limits.LIMITS[limit].source)


def _shape_violation(rule: str, where: str, message: str) -> Violation:
    return Violation(rule=rule, where=where, message=message, source=_BLOCK_KIT)
