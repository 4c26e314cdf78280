"""Measures as rows: what is shown first, in which words and numbers, and what is only counted."""

from bot.rendering import blocks, wording
from bot.rendering.blocks import Block
from core.judging.verdict import Measure
from core.metrics.catalogue import CATALOGUE

HEADER = ("What", "New", "Now", "Difference (95 % range)", "Verdict")
SHOWN = 9
_URGENCY = {
    "Worse": 0,
    "Changed unexpectedly": 1,
    "Slightly worse, within limit": 2,
    "Better": 4,
    "Fine": 4,
    "Not enough data": 5,
    "No data": 6,
}


def title(metric: str, given: str = "") -> str:
    """The name of a metric as people read it; not escaped, for a table."""
    if given:
        return given
    known = CATALOGUE.get(metric)
    return known.title if known else metric


def named(metric: str, given: str = "") -> str:
    """The same, safe inside mrkdwn."""
    return wording.escape(title(metric, given), 80)


def ordered(measures: tuple[Measure, ...]) -> list[Measure]:
    """What needs attention first, then what has a limit, then the rest; without data last."""
    return sorted(measures, key=lambda m: (_URGENCY[m.word], m.limit_text is None))


def row(measure: Measure) -> tuple[str, str, str, str, str]:
    """Plain text, for a table cell each."""
    unit = measure.unit
    moved = wording.difference(measure.difference, unit, relative=measure.relative)
    span = wording.interval(measure.low, measure.high, unit, relative=measure.relative)
    limit = f" (limit: {measure.limit_text})" if measure.limit_text else ""
    weaker = "; weaker: no control left" if measure.weaker else ""
    return (
        title(measure.metric, measure.title),
        wording.value(measure.canary, unit),
        wording.value(measure.control, unit),
        f"{moved} {span}".strip(),
        f"{measure.word}{limit}{weaker}",
    )


def table(measures: tuple[Measure, ...], shown: int = SHOWN) -> Block | None:
    """The figures that matter, beside each other; never one arm alone."""
    rows = [row(m) for m in ordered(measures)[:shown] if m.word != "No data" or m.limit_text]
    return blocks.table(HEADER, rows, numeric=frozenset({1, 2})) if rows else None


def rest(measures: tuple[Measure, ...], shown: int = SHOWN) -> str:
    """What the table leaves out, counted by verdict; empty where it leaves nothing out."""
    left = [m for i, m in enumerate(ordered(measures)) if i >= shown or (m.word == "No data" and not m.limit_text)]
    counts: dict[str, int] = {}
    for measure in left:
        counts[measure.word] = counts.get(measure.word, 0) + 1
    return "+ " + ", ".join(f"{n} {word.lower()}" for word, n in counts.items()) if left else ""
