"""Degrades a message for workspaces that refuse newer blocks: charts become pictures or text, then tables text."""

from collections.abc import Mapping, Sequence

from bot.rendering import wording
from bot.rendering.blocks import blocks
from bot.rendering.blocks.blocks import Block
from bot.rendering.charts import charts

PICTURES, TEXT, MAX_STEPS = 1, 2, 3


def simplify_blocks(
    given: Sequence[Block], steps: int, pictures: Mapping[str, tuple[str, str]] | None = None
) -> tuple[Block, ...]:
    """The blocks simplified in `steps`: 0 unchanged, 1 with charts as pictures, 2 with charts as text, 3 also without
    tables.

    `pictures` maps titles of charts to (file id, alternative text); a chart without one becomes text.
    """
    shown = tuple(given)
    if steps >= PICTURES:
        drawn = pictures or {} if steps == PICTURES else {}
        shown = tuple(_replace_chart(b, drawn) if b["type"] == "data_visualization" else b for b in shown)
    return blocks.replace_tables(shown) if steps >= MAX_STEPS else shown


def _replace_chart(chart: Block, pictures: Mapping[str, tuple[str, str]]) -> Block:
    if chart["title"] in pictures:
        file, alt = pictures[chart["title"]]
        return blocks.picture(file, chart["title"], alt)
    return blocks.context(wording.escape(charts.describe_chart(chart), blocks.CONTEXT_LIMIT))
