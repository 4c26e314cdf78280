"""How a rollout is doing, on request: a table for engineers, sentences for everyone else."""

from bot.rendering import wording
from bot.rendering.blocks import blocks, buttons
from bot.rendering.blocks.blocks import Block, Message
from bot.rendering.messages import notes
from bot.rendering.numbers import figures, plain_words, segments, technical_words
from bot.rendering.numbers.latest import Latest, power_of
from core.judging.model.verdict import Measure
from core.rollout.model import Rollout

HEADER = ("What", "New", "Now", "Difference (95 % range)", "Evidence", "Would notice", "Verdict")
SHOWN = 20
SENTENCES = 12


def numbers(rollout: Rollout, seen: Latest, metric: str, segment: str, as_of: str) -> Message:
    """A table of every measure (or one metric, or one segment) against control; `as_of` is a formatted time."""
    chosen = _chosen(seen, metric, segment)
    if not chosen:
        return _nothing(rollout, seen, metric, segment)
    return blocks.message(
        _first(rollout, chosen, segment),
        _table(rollout, chosen, seen),
        blocks.lines([x for x in (figures.rest(chosen, shown=SHOWN), *_details(rollout, chosen, metric, seen)) if x]),
        blocks.lines(notes.lines(seen.notes)) if not metric and not segment else None,
        blocks.actions(
            buttons.run("Explain", f"explain {rollout.id} {figures.ordered(chosen)[0].metric}", 0),
            buttons.run("Segments", f"segments {rollout.id}", 1) if seen.segments and not segment else None,
        ),
        blocks.context(
            f"as of {as_of} · ranges hold however often one looks · evidence: its share of what fires the limit · "
            f"{rollout.id}"
        ),
    )


def words(rollout: Rollout, seen: Latest, metric: str, segment: str, as_of: str) -> Message:
    """The same measures as sentences, for people who did not ask for numbers."""
    chosen = [m for m in figures.ordered(_chosen(seen, metric, segment)) if m.word != "No data"]
    if not chosen:
        return _nothing(rollout, seen, metric, segment)
    told = [plain_words.sentence(m) for m in chosen[:SENTENCES]]
    if metric:
        told += [" ".join(plain_words.story(chosen[0], power_of(rollout, chosen[0], seen.at))[1:])]
    return blocks.message(
        _first(rollout, tuple(chosen), segment),
        blocks.lines(told),
        blocks.context(f"as of {as_of} · {rollout.id} · whom to ask: {wording.owner(rollout)}"),
    )


def _chosen(seen: Latest, metric: str, segment: str) -> tuple[Measure, ...]:
    rows = segments.matching(seen.segments, segment) if segment else seen.measures
    return tuple(m for m in rows if not metric or m.metric == metric)


def _table(rollout: Rollout, chosen: tuple[Measure, ...], seen: Latest) -> Block | None:
    rows = [_row(rollout, m, seen) for m in figures.ordered(chosen)[:SHOWN] if m.word != "No data" or figures.agreed(m)]
    return blocks.table(HEADER, rows, numeric=frozenset({1, 2, 4})) if rows else None


def _row(rollout: Rollout, measure: Measure, seen: Latest) -> tuple[str, ...]:
    what, new, now, moved, verdict = figures.row(measure)
    noticed = technical_words.change_noticed(measure, power_of(rollout, measure, seen.at))
    kept = ", shown to be within" if measure.cleared else ""
    return what, new, now, moved, technical_words.share(measure), noticed or "–", f"{verdict}{kept}"


def _details(rollout: Rollout, chosen: tuple[Measure, ...], metric: str, seen: Latest) -> list[str]:
    if not metric:
        return []
    return [
        f"`{wording.escape(m.metric, 60)}` · {technical_words.short(m, power_of(rollout, m, seen.at))}" for m in chosen
    ]


def _nothing(rollout: Rollout, seen: Latest, metric: str, segment: str) -> Message:
    what = f"{figures.named(metric)} of {wording.subject(rollout)}" if metric else wording.subject(rollout)
    if not segment:
        return blocks.message(f"Not enough data: nothing was measured yet for {what}.")
    there = segments.known(seen.segments)
    return blocks.message(
        f"Not enough data: nothing was measured for {what} where {wording.escape(segment, 80)}.",
        blocks.section(f"Segments with data: {wording.listing(there, 12)}." if there else "No segment has data yet."),
    )


def _first(rollout: Rollout, measures: tuple[Measure, ...], segment: str) -> str:
    where = f", only {wording.escape(segment, 60)}" if segment else ""
    worse = [m for m in measures if m.word in figures.BADLY]
    if worse:
        names = wording.listing([figures.named(m.metric, m.title).lower() for m in worse], 3)
        return f"{worse[0].word}: {wording.subject(rollout)}{where} ({names})."
    known = [m for m in measures if m.word not in figures.UNJUDGED]
    if not known:
        return f"Not enough data: {wording.subject(rollout)}{where} cannot be judged yet."
    return f"Fine so far: {wording.subject(rollout)}{where}, {wording.plural(len(known), 'measure')} looked at."
