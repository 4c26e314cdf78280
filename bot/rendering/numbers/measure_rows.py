"""Measures as table rows: their order, titles, verdict labels, and a count of those left out."""

import re
from collections import Counter
from typing import NamedTuple, assert_never

from bot.rendering import wording
from bot.rendering.blocks import blocks
from bot.rendering.blocks.blocks import Block
from core.judging.limits.limits import LimitKind, phrase_limit
from core.judging.model.verdict import Finding, Measure
from core.judging.report.measures import ONE_BUCKET_NOTE
from core.metrics.catalogue import CATALOGUE
from core.rollout.state.model import Rollout

HEADER = ("What", "Verdict", "New", "Old", "Difference (95 % range)")
MAX_ROWS = 9
_ORDER = {metric: place for place, metric in enumerate(CATALOGUE)}  # quality comes first in the catalogue
_UNDECIDED = 3
_URGENCY = {
    "Worse": 0,
    "Changed unexpectedly": 1,
    "Slightly worse, within limit": 2,
    "Better": 4,
    "Fine": 4,
    "Not enough data": 5,
    "No data": 6,
}


def metric_title(metric: str, given: str = "") -> str:
    """A metric's title for people, not escaped: `given`, else the catalogue's, else the metric's name."""
    if given:
        return given
    known = CATALOGUE.get(metric)
    return known.title if known else metric


def find_title(rollout: Rollout, metric: str) -> str:
    """The title of a metric as the plan of a rollout has it; empty if it is unknown."""
    found = rollout.plan.find_metric(metric)
    return found.title if found is not None else ""


def escaped_title(metric: str, given: str = "") -> str:
    """`metric_title`, escaped for mrkdwn."""
    return wording.escape(metric_title(metric, given), 80)


def title_in_sentence(metric: str, given: str = "") -> str:
    """`metric_title` inside a sentence, escaped: `declined to answer`."""
    return wording.title_in_sentence(metric_title(metric, given))


def is_agreed(measure: Measure) -> bool:
    """Whether the rollout file sets this limit; limits implied by the catalogue are only watched."""
    return measure.limit_text is not None and not measure.implied


def join_undecided(measures: tuple[Measure, ...]) -> str:
    """The agreed limits that cannot be judged yet, by title; empty if there are none."""
    names = [title_in_sentence(m.metric, m.title) for m in measures if is_agreed(m) and not m.is_judged]
    return wording.join_limited(list(dict.fromkeys(names)), 1)


def verdict_label(measure: Measure) -> str:
    """A measure's verdict word, combined with whether the change was expected if that is known.

    An agreed limit that is not shown to hold yet is fine only so far, whatever its range still reaches.
    """
    if measure.expected == "as expected" and measure.is_good:
        return "As expected"
    undecided = is_agreed(measure) and not measure.cleared and not measure.segment
    if measure.word == "Fine" and not measure.expected and undecided:
        return "Fine so far"
    return f"{measure.word}, not as expected" if measure.expected == "not as expected" else measure.word


def sort_by_urgency(measures: tuple[Measure, ...]) -> list[Measure]:
    """Measures by urgency, those with an agreed limit first within each level, quality first among them.

    An agreed limit that cannot be judged yet comes before what is fine; other measures without data come last.
    """
    return sorted(measures, key=lambda m: (_rank_urgency(m), not is_agreed(m), _ORDER.get(m.metric, len(_ORDER))))


def _rank_urgency(measure: Measure) -> int:
    undecided = measure.word == "Not enough data" and is_agreed(measure)
    return _UNDECIDED if undecided else _URGENCY[measure.word]


def format_difference_with_range(measure: Measure | Finding) -> str:
    """The difference with its 95 % range: `+0.8 pp (-0.4 … +2.1)`, or `+0.8 pp (above -1.5)`: `_find_shown_side`."""
    found = wording.format_difference(measure.difference, measure.unit, relative=measure.relative)
    span = wording.format_interval(measure.low, measure.high, measure.unit, relative=measure.relative)
    if (shown := _find_shown_side(measure)) is not None:
        word, bound = shown
        span = f"({word} {wording.format_bound(bound, measure.unit, relative=measure.relative)})"
    return f"{found} {span}".strip()


def _find_shown_side(measure: Measure | Finding) -> tuple[str, float] | None:
    """What was shown on one side, where the range of both sides says less: that a limit is kept, or that there is a
    change at all."""
    kept = _find_kept_side(measure) if isinstance(measure, Measure) else None
    return kept if kept is not None else _find_side_of_change(measure)


def _find_side_of_change(measure: Measure | Finding) -> tuple[str, float] | None:
    """Beyond zero, where a change is shown and the range of both sides reaches to its other side.

    Not for what other numbers show, such as the share of values above a cap: `error` and notes tell them.
    """
    if isinstance(measure, Measure):
        is_shown = measure.is_bad and not measure.absolute and measure.error is None
    else:
        of_fixed_number = measure.kind in {LimitKind.EXCEEDS, LimitKind.RATE_ABOVE}
        is_shown = not of_fixed_number and (not measure.note or measure.note.startswith("most in "))
    if not is_shown or measure.difference is None or measure.low is None or measure.high is None:
        return None
    if not measure.low < 0 < measure.high:
        return None
    return ("above", 0.0) if measure.difference > 0 else ("below", 0.0)


def _find_kept_side(measure: Measure) -> tuple[str, float] | None:
    """The side on which a limit ends that is shown to hold, where the range of both sides reaches beyond it.

    That the limit holds is shown at 5 % on its side alone, which takes less than a range of both sides that ends within
    it. So this is the range that belongs to what was shown.
    """
    if not measure.cleared or measure.absolute or measure.amount is None or measure.difference is None:
        return None
    if measure.low is None or measure.high is None:
        return None
    match measure.harm:
        case "less":
            beyond = measure.low < -measure.amount < measure.difference
            return ("above", -measure.amount) if beyond else None
        case "more":
            beyond = measure.difference < measure.amount < measure.high
            return ("below", measure.amount) if beyond else None
        case "either":
            return None
        case _:
            assert_never(measure.harm)


class MeasureCells(NamedTuple):
    """A measure as plain text for the cells of a table, in the order of `HEADER`."""

    what: str
    verdict: str
    new: str
    old: str
    difference: str


def escaped_limit(text: str) -> str:
    """`phrase_limit`, escaped for mrkdwn."""
    return wording.escape(phrase_limit(text), 100)


def phrase_note(note: str, unit: str) -> str:
    """A note of the engine as messages name versions and write numbers in `unit`; not escaped. Where a harm is worst is
    left out: messages say that beside it, with numbers."""
    parts = [part for part in note.split("; ") if not part.startswith("most in ")]
    text = "; ".join(parts).replace("on the current one", "on the old one")
    text = text.replace("better than expected: check for", "unusually much better: the owner should check for")
    text = text.replace(ONE_BUCKET_NOTE, "looks good, but not without the 1 in 256 people who speak most for it")
    text = re.sub(r"^above ([\d.e+-]+):", lambda cap: f"above {wording.format_value(float(cap[1]), unit)}:", text)
    return re.sub(r"(\d)%", r"\1 %", text)


def build_row(measure: Measure, *, marks_weaker: bool = True) -> MeasureCells:
    """The row of a measure; `marks_weaker` unless it is said beside the table that no control is left."""
    unit = measure.unit
    limit = f" (limit: {phrase_limit(measure.limit_text or '')})" if is_agreed(measure) else ""
    weaker = "; weaker: no control left" if measure.weaker and marks_weaker else ""
    return MeasureCells(
        what=metric_title(measure.metric, measure.title),
        verdict=f"{verdict_label(measure)}{limit}{weaker}",
        new=wording.format_value(measure.canary, unit),
        old=wording.format_value(measure.control, unit),
        difference=format_difference_with_range(measure),
    )


def build_table(measures: tuple[Measure, ...], *, marks_weaker: bool = True) -> Block | None:
    """A table of the most urgent measures, canary beside control; None without rows."""
    shown = [m for m in sort_by_urgency(measures)[:MAX_ROWS] if m.word != "No data" or is_agreed(m)]
    rows = [build_row(m, marks_weaker=marks_weaker) for m in shown]
    return blocks.table(HEADER, rows, numeric=frozenset({2, 3})) if rows else None


def summarize_rest(measures: tuple[Measure, ...], max_rows: int = MAX_ROWS) -> str:
    """The measures that `build_table` leaves out, counted by verdict: `+ 3 fine, 1 no data`; empty if none."""
    left = [
        m
        for i, m in enumerate(sort_by_urgency(measures))
        if i >= max_rows or (m.word == "No data" and not is_agreed(m))
    ]
    counts = Counter(measure.word for measure in left)
    return "+ " + ", ".join(f"{n} {word.lower()}" for word, n in counts.items()) if left else ""


def format_finding(finding: Finding) -> str:
    """`Declined to answer: 6.4 % new vs 1.9 % old, +4.5 pp (+2.4 … +6.5)`; unknown parts are left out."""
    unit = finding.unit
    numbers = f"{wording.format_value(finding.canary, unit)} new"
    if finding.control is not None:
        numbers += f" vs {wording.format_value(finding.control, unit)} old"
    if finding.difference is not None:
        numbers += f", {format_difference_with_range(finding)}"
    said = phrase_note(finding.note, unit)
    note = f"; {wording.escape(said, 200)}" if said else ""
    where = f" ({wording.escape(finding.segment, 80)})" if finding.segment else ""
    return f"{escaped_title(finding.metric, finding.title)}{where}: {numbers}{note}"
