"""Degrades a message for workspaces that reject newer blocks: charts become text, then tables aligned text."""

from collections.abc import Sequence

from bot.rendering import wording
from bot.rendering.blocks import blocks
from bot.rendering.blocks.blocks import Block
from bot.rendering.charts import charts

STEPS = 2


def plainer(given: Sequence[Block], steps: int) -> tuple[Block, ...]:
    """The blocks simplified in `steps`: 0 unchanged, 1 without charts, 2 also without tables."""
    shown = tuple(given)
    if steps >= 1:
        shown = tuple(_in_words(b) if b["type"] == "data_visualization" else b for b in shown)
    return blocks.without_tables(shown) if steps >= STEPS else shown


def _in_words(chart: Block) -> Block:
    return blocks.context(wording.escape(charts.words(chart), blocks.CONTEXT))
