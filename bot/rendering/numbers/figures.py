"""Measures as table rows: their order, titles, verdict labels, and a count of those left out."""

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
    """A metric's title for people, not escaped: `given`, else the catalogue's, else the metric's name."""
    if given:
        return given
    known = CATALOGUE.get(metric)
    return known.title if known else metric


def named(metric: str, given: str = "") -> str:
    """`metric_title`, escaped for mrkdwn."""
    return wording.escape(title(metric, given), 80)


def agreed(measure: Measure) -> bool:
    """Whether the rollout file sets this limit; limits implied by the catalogue are only watched."""
    return measure.limit_text is not None and not measure.implied


def undecided(measures: tuple[Measure, ...]) -> str:
    """The agreed limits that cannot be judged yet, by title; empty if there are none."""
    names = [wording.in_a_sentence(title(m.metric, m.title)) for m in measures if agreed(m) and m.word in UNJUDGED]
    return wording.listing(list(dict.fromkeys(names)), 1)


def verdict(measure: Measure) -> str:
    """A measure's verdict word, combined with whether the change was expected if that is known."""
    if measure.expected == "as expected" and measure.word in WELL:
        return "As expected"
    return f"{measure.word}, not as expected" if measure.expected == "not as expected" else measure.word


def ordered(measures: tuple[Measure, ...]) -> list[Measure]:
    """Measures by urgency, those with an agreed limit first within each level; those without data last."""
    return sorted(measures, key=lambda m: (_URGENCY[m.word], not agreed(m)))


def moved(measure: Measure) -> str:
    """The difference with its 95 % range: `+0.8 pp (-0.4 … +2.1)`."""
    found = wording.difference(measure.difference, measure.unit, relative=measure.relative)
    span = wording.interval(measure.low, measure.high, measure.unit, relative=measure.relative)
    return f"{found} {span}".strip()


def row(measure: Measure) -> tuple[str, str, str, str, str]:
    """(what, new, now, difference, verdict) of a measure as plain text for table cells."""
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
    """A table of the most urgent measures, canary beside control; None without rows."""
    rows = [row(m) for m in ordered(measures)[:shown] if m.word != "No data" or agreed(m)]
    return blocks.table(HEADER, rows, numeric=frozenset({1, 2})) if rows else None


def rest(measures: tuple[Measure, ...], shown: int = SHOWN) -> str:
    """The measures that `build_table` leaves out, counted by verdict: `+ 3 fine, 1 no data`; empty if none."""
    left = [m for i, m in enumerate(ordered(measures)) if i >= shown or (m.word == "No data" and not agreed(m))]
    counts: dict[str, int] = {}
    for measure in left:
        counts[measure.word] = counts.get(measure.word, 0) + 1
    return "+ " + ", ".join(f"{n} {word.lower()}" for word, n in counts.items()) if left else ""
