"""The same message for a workspace that refuses newer blocks: charts in words, then tables as aligned text."""

from collections.abc import Sequence

from bot.rendering import wording
from bot.rendering.blocks import blocks
from bot.rendering.blocks.blocks import Block
from bot.rendering.charts import charts

STEPS = 2


def plainer(given: Sequence[Block], steps: int) -> tuple[Block, ...]:
    """0: as it is, 1: without charts, 2: without tables too."""
    shown = tuple(given)
    if steps >= 1:
        shown = tuple(_in_words(b) if b["type"] == "data_visualization" else b for b in shown)
    return blocks.without_tables(shown) if steps >= STEPS else shown


def _in_words(chart: Block) -> Block:
    return blocks.context(wording.escape(charts.words(chart), blocks.CONTEXT))
