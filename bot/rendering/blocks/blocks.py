"""Block Kit builders, one per block or element; text that exceeds Slack's limits is cut and the cut is stated."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

from bot.rendering import wording

Block: TypeAlias = dict[str, Any]

SECTION_LIMIT = 3000
CONTEXT_LIMIT = 2000
MAX_ACTIONS = 25
BUTTON_TEXT_LIMIT = 75
BUTTON_VALUE_LIMIT = 2000
CONFIRM_TITLE, CONFIRM_TEXT, CONFIRM_BUTTON = 100, 300, 30
TABLE_ROWS, TABLE_COLUMNS = 100, 20
ALT_TEXT_LIMIT = 2000
MAX_MESSAGE_BLOCKS = 50
MAX_MESSAGE_CHARACTERS = 12_000  # Slack rejects messages with somewhat more than 13,000 characters of block text
_LABEL_LIMIT = 50  # a longer text before the colon is a sentence, not a label
TEXT_LIMIT = 3000  # chat.update rejects texts above 4,000, which some clients count in bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class ChartPicture:
    """A chart block drawn as SVG; `title` is that of the block, `alt` says in words what it shows."""

    title: str
    svg: str
    alt: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Message:
    """A message to post: `text` for notifications and screen readers, complete on its own; `blocks` for screens.

    `pictures` are its chart blocks drawn, for workspaces that refuse those.
    """

    text: str
    blocks: tuple[Block, ...] = ()
    pictures: tuple[ChartPicture, ...] = ()


def build_message(first_line: str, *blocks: Block | None, show_first_line: bool = True) -> Message:
    """A message with a first line, bold up to its colon, followed by `blocks`; None is left out.

    `text` is the first line as plain words. Blocks beyond Slack's limits are dropped and counted.
    """
    given = [b for b in blocks if b is not None]
    head = [section(_embolden_label(first_line))] if show_first_line else []
    return Message(
        text=wording.shorten(wording.strip_markup(first_line), TEXT_LIMIT).strip() or "–",
        blocks=tuple(_fit_to_limits([*head, *given])),
    )


def append_blocks(message: Message, *more: Block | None) -> Message:
    """A copy of the message with more blocks below, within Slack's limits."""
    shown = _fit_to_limits([*message.blocks, *(b for b in more if b is not None)])
    return Message(text=message.text, blocks=tuple(shown), pictures=message.pictures)


def _embolden_label(first_line: str) -> str:
    word, colon, rest = first_line.partition(":")
    plain = "<!" not in word and "*" not in word and len(word) <= _LABEL_LIMIT
    return f"*{word}:*{rest}" if colon and plain else first_line


def _fit_to_limits(blocks: Sequence[Block]) -> list[Block]:
    kept: list[Block] = []
    room = MAX_MESSAGE_CHARACTERS
    left_out = 0
    actions = [b for b in blocks if b["type"] == "actions"]
    for block in blocks:
        size = _count_characters(block)
        if block["type"] != "actions" and (size > room or len(kept) + len(actions) >= MAX_MESSAGE_BLOCKS - 1):
            left_out += 1
            continue
        kept.append(block)
        room -= size
    if left_out:
        at = next((i for i, b in enumerate(kept) if b["type"] == "actions"), len(kept))
        kept.insert(at, context(wording.format_remainder(left_out)))
    return kept


def _count_characters(value: Any) -> int:
    match value:
        case str():
            return len(value)
        case dict():
            return sum(_count_characters(v) for k, v in value.items() if k not in {"type", "action_id", "value"})
        case list() | tuple():
            return sum(_count_characters(v) for v in value)
        case _:
            return 0


def section(mrkdwn: str) -> Block:
    """A section of mrkdwn; if it is too long, whole lines are dropped from the end."""
    return {"type": "section", "text": {"type": "mrkdwn", "text": _keep_lines_within(mrkdwn, SECTION_LIMIT) or " "}}


def lines_section(items: Sequence[str]) -> Block | None:
    """A section with one line per item; None without items."""
    return section("\n".join(items)) if items else None


def context(*mrkdwn: str) -> Block:
    """A context block: small grey text, at most ten elements."""
    shown = [{"type": "mrkdwn", "text": wording.shorten(m, CONTEXT_LIMIT) or " "} for m in mrkdwn[:10]]
    return {"type": "context", "elements": shown}


def preformatted_section(text: str) -> Block:
    """A section of monospaced lines; `text` must be escaped already."""
    return {
        "type": "section",
        "text": {"type": "mrkdwn", "text": f"```{_keep_lines_within(text, SECTION_LIMIT - 6) or ' '}```"},
    }


def picture(file: str, title: str, alt: str) -> Block:
    """An uploaded picture, by the id of its file; `alt` says in words what it shows."""
    return {
        "type": "image",
        "title": plain_text(title, ALT_TEXT_LIMIT),
        "slack_file": {"id": file},
        "alt_text": wording.shorten(alt, ALT_TEXT_LIMIT) or "–",
    }


def divider() -> Block:
    """A horizontal line between blocks."""
    return {"type": "divider"}


def table(header: Sequence[str], rows: Sequence[Sequence[str]], *, numeric: frozenset[int] = frozenset()) -> Block:
    """A table block of plain text. Rows have equal length; `numeric` holds the indices of right-aligned columns."""
    shown = [header, *rows[: TABLE_ROWS - 1]]
    return {
        "type": "table",
        "rows": [[_build_cell(text) for text in row[:TABLE_COLUMNS]] for row in shown],
        "column_settings": [
            {"align": "right" if i in numeric else "left", "is_wrapped": True} for i in range(len(header))
        ],
    }


def _build_cell(text: str) -> Block:
    return {"type": "raw_text", "text": wording.shorten(wording.to_single_line(text, 200), 200) or "–"}


def replace_tables(blocks: Sequence[Block]) -> tuple[Block, ...]:
    """Replace table blocks by aligned monospaced text, for workspaces that reject tables."""
    return tuple(preformatted_section(align_columns(_cell_texts(b))) if b["type"] == "table" else b for b in blocks)


def _cell_texts(block: Block) -> list[list[str]]:
    return [[wording.escape(cell["text"], 200) for cell in row] for row in block["rows"]]


def align_columns(rows: Sequence[Sequence[str]]) -> str:
    """Rows as text lines with padded columns, two spaces apart; all rows have the same length."""
    widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
    return "\n".join("  ".join(c.ljust(w) for c, w in zip(row, widths, strict=True)).rstrip() for row in rows)


def actions(*buttons: Block | None) -> Block | None:
    """A row of buttons; None is left out, and None is returned without any button."""
    shown = [b for b in buttons if b is not None][:MAX_ACTIONS]
    return {"type": "actions", "elements": shown} if shown else None


def button(text: str, action: str, value: str, *, style: str = "", confirm: Block | None = None) -> Block:
    """A button; Slack returns `value` unread when it is pressed, and the click handler validates it again."""
    made: Block = {
        "type": "button",
        "text": plain_text(text, BUTTON_TEXT_LIMIT),
        "action_id": action,
        "value": value[:BUTTON_VALUE_LIMIT],
    }
    if style:
        made["style"] = style
    if confirm is not None:
        made["confirm"] = confirm
    return made


def link_button(text: str, action: str, address: str) -> Block:
    """A button that opens an address in the browser. Slack reports the click as that of any button."""
    return {"type": "button", "text": plain_text(text, BUTTON_TEXT_LIMIT), "action_id": action, "url": address}


def confirm_dialog(title: str, mrkdwn: str, yes: str) -> Block:
    """The confirmation dialog of a button, shown before a consequential action."""
    return {
        "title": plain_text(title, CONFIRM_TITLE),
        "text": {"type": "mrkdwn", "text": wording.shorten(mrkdwn, CONFIRM_TEXT) or "–"},
        "confirm": plain_text(yes, CONFIRM_BUTTON),
        "deny": plain_text("Cancel", CONFIRM_BUTTON),
    }


def plain_text(text: str, limit: int) -> Block:
    """A plain text object of at most `limit` characters."""
    return {"type": "plain_text", "text": wording.shorten(wording.to_single_line(text, limit), limit) or "–"}


def _keep_lines_within(text: str, limit: int) -> str:
    if len(text) <= limit:
        return text
    kept: list[str] = []
    rows = text.split("\n")
    room = limit - 20
    for row in rows:
        if len(row) + 1 > room:
            break
        kept.append(row)
        room -= len(row) + 1
    if not kept:
        return wording.shorten(text, limit)
    return "\n".join([*kept, wording.format_remainder(len(rows) - len(kept))])


def build_refusal(what: str, hint: str, buttons: Block | None = None) -> Message:
    """A refusal: what was refused and why, and what to do next. Both texts are plain and are escaped here."""
    first = wording.escape(what, SECTION_LIMIT - 10)
    shown = [section(first), lines_section([wording.escape(hint, CONTEXT_LIMIT)] if hint else []), buttons]
    text = f"{first} {wording.escape(hint, CONTEXT_LIMIT)}".strip()
    return Message(text=wording.shorten(text, TEXT_LIMIT) or "–", blocks=tuple(b for b in shown if b is not None))
