"""Degrades a message for workspaces that reject newer blocks: charts become text, then tables aligned text."""

from collections.abc import Sequence

from bot.rendering import wording
from bot.rendering.blocks import blocks
from bot.rendering.blocks.blocks import Block
from bot.rendering.charts import charts

MAX_STEPS = 2


def simplify_blocks(given: Sequence[Block], steps: int) -> tuple[Block, ...]:
    """The blocks simplified in `steps`: 0 unchanged, 1 without charts, 2 also without tables."""
    shown = tuple(given)
    if steps >= 1:
        shown = tuple(_chart_as_context(b) if b["type"] == "data_visualization" else b for b in shown)
    return blocks.replace_tables(shown) if steps >= MAX_STEPS else shown


def _chart_as_context(chart: Block) -> Block:
    return blocks.context(wording.escape(charts.describe_chart(chart), blocks.CONTEXT_LIMIT))
