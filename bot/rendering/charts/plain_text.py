"""A message as plain text for terminals and tests: every block in order, buttons as `[ Approve ]`."""

import html

from bot.rendering import wording
from bot.rendering.blocks import blocks
from bot.rendering.blocks.blocks import Block, Message
from bot.rendering.charts import charts


def render_text(message: Message, *, with_buttons: bool = True) -> str:
    """Everything that Slack would show, without mrkdwn marks or entities, and without buttons if so asked."""
    shown = [block for block in message.blocks if with_buttons or block["type"] != "actions"]
    parts = [_render_block(b) for b in shown] or [message.text]
    return html.unescape(wording.strip_markup("\n".join(p for p in parts if p)))


def _render_block(block: Block) -> str:
    match block["type"]:
        case "section" if "fields" in block:
            return "\n".join(f["text"].replace("\n", ": ") for f in block["fields"])
        case "section":
            return str(block["text"]["text"]).replace("```", "")
        case "context":
            return " ".join(e["text"] for e in block["elements"])
        case "actions":
            return " ".join(f"[ {e['text']['text']} ]" for e in block["elements"])
        case "table":
            return blocks.align_columns([[cell["text"] for cell in row] for row in block["rows"]])
        case "data_visualization":
            return wording.escape(charts.describe_chart(block), blocks.CONTEXT_LIMIT)
        case _:
            return ""
