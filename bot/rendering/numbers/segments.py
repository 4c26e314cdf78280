"""Segments of the traffic against control, worst first: which were judged, and which were too small."""

from bot.rendering import wording
from bot.rendering.blocks import blocks
from bot.rendering.blocks.blocks import Message
from bot.rendering.numbers import figures, plain_words
from bot.rendering.numbers.latest import Latest
from core.judging.model.verdict import Measure
from core.rollout.model import Rollout

HEADER = ("Where", "What", "New", "Now", "Difference (95 % range)", "Requests", "Verdict")
SHOWN = 20
NAMED = 8


def numbers(rollout: Rollout, seen: Latest, as_of: str) -> Message:
    """A table of the judged segments with their sizes, worst first."""
    judged = [m for m in ordered(seen.segments) if m.word not in figures.UNJUDGED]
    if not seen.segments:
        return _nothing(rollout, seen, as_of)
    rows = [_row(m) for m in judged[:SHOWN]]
    left = [f"+ {len(judged) - SHOWN} more, none of them worse than those above"] if len(judged) > SHOWN else []
    return blocks.message(
        _first(rollout, seen, judged),
        blocks.table(HEADER, rows, numeric=frozenset({2, 3, 5})) if rows else None,
        blocks.lines([*left, *_said(seen, judged), *_unjudged(seen.segments)]),
        blocks.context(f"as of {as_of} · requests: those of the new version · {rollout.id}"),
    )


def words(rollout: Rollout, seen: Latest, as_of: str) -> Message:
    """The worst segments as sentences, for people who did not ask for numbers."""
    judged = [m for m in ordered(seen.segments) if m.word not in figures.UNJUDGED]
    if not seen.segments:
        return _nothing(rollout, seen, as_of)
    told = [plain_words.where(m) for m in judged[:NAMED]]
    return blocks.message(
        _first(rollout, seen, judged),
        blocks.lines([*told, *_said(seen, judged)]),
        blocks.context(f"as of {as_of} · {rollout.id} · whom to ask: {wording.owner(rollout)}"),
    )


def ordered(measures: tuple[Measure, ...]) -> list[Measure]:
    """Worst first: clearly worse ones, then by evidence of harm."""
    return sorted(figures.ordered(measures), key=lambda m: (m.word not in figures.BADLY, -strength(m)))


def strength(measure: Measure) -> float:
    """Evidence of harm as a share of the evidence needed, which is corrected for the number of segments."""
    return measure.log_e / measure.needed if measure.needed > 0 else measure.log_e / 100


def line(segments: tuple[Measure, ...], checked: int) -> str:
    """One line for a summary: `Segments: 14 checked. language=de, people asking again: …`; empty if none was."""
    if not checked:
        return ""
    worst = next((m for m in ordered(segments) if m.word not in figures.UNJUDGED), None)
    if worst is None:
        return f"Segments: {checked} checked. Nothing stands out."
    numbers = f"{wording.value(worst.canary, worst.unit)} vs {wording.value(worst.control, worst.unit)}"
    moved = wording.difference(worst.difference, worst.unit, relative=worst.relative)
    what = figures.named(worst.metric, worst.title).lower()
    return f"Segments: {checked} checked. {_name(worst)}, {what}: {numbers} ({moved}). {_sure(worst, checked)}"


def matching(segments: tuple[Measure, ...], wanted: str) -> tuple[Measure, ...]:
    """The measures of one segment such as `language=de`, ignoring case."""
    return tuple(m for m in segments if m.segment.lower() == wanted.lower())


def known(segments: tuple[Measure, ...]) -> list[str]:
    """The names of all segments with measures, escaped."""
    return [wording.escape(name, 80) for name in dict.fromkeys(m.segment for m in segments)]


def _nothing(rollout: Rollout, seen: Latest, as_of: str) -> Message:
    if seen.checked:
        first = f"Segments: {seen.checked} checked for {wording.subject(rollout)}. Nothing stands out."
    else:
        first = f"Segments: none could be looked at yet for {wording.subject(rollout)}."
    hint = "They are named in the file (segments) and sent with each observation." if not seen.checked else ""
    return blocks.message(first, blocks.lines([hint] if hint else []), blocks.context(f"as of {as_of} · {rollout.id}"))


def _first(rollout: Rollout, seen: Latest, judged: list[Measure]) -> str:
    out = [m for m in judged if m.word in figures.BADLY]
    begin = f"Segments: {seen.checked} checked for {wording.subject(rollout)}."
    if not out:
        return f"{begin} Nothing stands out for certain."
    more = f" {wording.more(len(out) - 1)}" if len(out) > 1 else ""
    return f"{begin} {out[0].word} for {_name(out[0])}: {figures.named(out[0].metric, out[0].title).lower()}{more}."


def _said(seen: Latest, judged: list[Measure]) -> list[str]:
    if not judged:
        return []
    smallest = min(judged, key=lambda m: m.n_canary)
    size = f"Smallest judged: {_name(smallest)}, {wording.plural(smallest.n_canary, 'request')} on the new version."
    if seen.checked < 2:
        return [size]
    many = f"Among {seen.checked} something looks bad by chance now and then, so each needs that much more evidence."
    return [many, size]


def _unjudged(segments: tuple[Measure, ...]) -> list[str]:
    """Segments too small to judge, with their largest request count; one judged measure makes a segment judged."""
    judged = {m.segment for m in segments if m.word not in figures.UNJUDGED}
    sizes: dict[str, int] = {}
    for m in segments:
        if m.segment not in judged:
            sizes[m.segment] = max(sizes.get(m.segment, 0), m.n_canary)
    if not sizes:
        return []
    names = [f"{wording.escape(name, 80)} ({wording.count(size)})" for name, size in sizes.items()]
    return [f"Not judged, too few requests: {wording.listing(names, NAMED)}"]


def _row(measure: Measure) -> tuple[str, ...]:
    what, new, now, moved, _ = figures.row(measure)
    return measure.segment, what, new, now, moved, wording.count(measure.n_canary), figures.verdict(measure)


def _sure(measure: Measure, checked: int) -> str:
    if strength(measure) >= 1:
        return f"Not chance, even after {checked} checks."
    return f"Could be chance after {checked} checks; watching."


def _name(measure: Measure) -> str:
    return wording.escape(measure.segment, 80)


def place(segment: str) -> str:
    """A segment in plain words, escaped: `language=de` becomes `language is de`."""
    key, _, value = segment.partition("=")
    return f"{wording.escape(key, 40)} is {wording.escape(value, 40)}" if value else wording.escape(key, 80)
