"""Measures as rows: what is shown first, in which words and numbers, and what is only counted."""

from bot.rendering import wording
from bot.rendering.blocks import blocks
from bot.rendering.blocks.blocks import Block
from core.judging.model.verdict import Measure
from core.metrics.catalogue import CATALOGUE

HEADER = ("What", "New", "Now", "Difference (95 % range)", "Verdict")
SHOWN = 9
WELL = frozenset({"Fine", "Better", "Slightly worse, within limit"})
BADLY = frozenset({"Worse", "Changed unexpectedly"})
UNJUDGED = frozenset({"Not enough data", "No data"})
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


def agreed(measure: Measure) -> bool:
    """Whether the file set this limit; what is only watched, as the catalogue says, is none."""
    return measure.limit_text is not None and not measure.implied


def undecided(measures: tuple[Measure, ...]) -> str:
    """The limits that nothing can be said about yet, by name; empty where there is none."""
    names = [wording.in_a_sentence(title(m.metric, m.title)) for m in measures if agreed(m) and m.word in UNJUDGED]
    return wording.listing(list(dict.fromkeys(names)), 1)


def verdict(measure: Measure) -> str:
    """The word for a measure, or whether it went as its owner expected where that is known."""
    if measure.expected == "as expected" and measure.word in WELL:
        return "As expected"
    return f"{measure.word}, not as expected" if measure.expected == "not as expected" else measure.word


def ordered(measures: tuple[Measure, ...]) -> list[Measure]:
    """What needs attention first, then what has a limit, then the rest; without data last."""
    return sorted(measures, key=lambda m: (_URGENCY[m.word], not agreed(m)))


def moved(measure: Measure) -> str:
    """The difference with its range: `+0.8 pp (-0.4 … +2.1)`."""
    found = wording.difference(measure.difference, measure.unit, relative=measure.relative)
    span = wording.interval(measure.low, measure.high, measure.unit, relative=measure.relative)
    return f"{found} {span}".strip()


def row(measure: Measure) -> tuple[str, str, str, str, str]:
    """Plain text, for a table cell each."""
    unit = measure.unit
    limit = f" (limit: {measure.limit_text})" if agreed(measure) else ""
    weaker = "; weaker: no control left" if measure.weaker else ""
    return (
        title(measure.metric, measure.title),
        wording.value(measure.canary, unit),
        wording.value(measure.control, unit),
        moved(measure),
        f"{verdict(measure)}{limit}{weaker}",
    )


def table(measures: tuple[Measure, ...], shown: int = SHOWN) -> Block | None:
    """The figures that matter, beside each other; never one arm alone."""
    rows = [row(m) for m in ordered(measures)[:shown] if m.word != "No data" or agreed(m)]
    return blocks.table(HEADER, rows, numeric=frozenset({1, 2})) if rows else None


def rest(measures: tuple[Measure, ...], shown: int = SHOWN) -> str:
    """What the table leaves out, counted by verdict; empty where it leaves nothing out."""
    left = [m for i, m in enumerate(ordered(measures)) if i >= shown or (m.word == "No data" and not agreed(m))]
    counts: dict[str, int] = {}
    for measure in left:
        counts[measure.word] = counts.get(measure.word, 0) + 1
    return "+ " + ", ".join(f"{n} {word.lower()}" for word, n in counts.items()) if left else ""
