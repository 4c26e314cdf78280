"""How a rollout does, on demand: words for people, numbers for engineers."""

from bot.rendering import blocks, figures, wording
from bot.rendering.blocks import Message
from core.judging.verdict import Measure
from core.rollout.model import Rollout


def numbers(rollout: Rollout, measures: tuple[Measure, ...], metric: str, as_of: str) -> Message:
    """Every measure beside its control, or one metric alone; `as_of` is a moment in words."""
    chosen = tuple(m for m in measures if not metric or m.metric == metric)
    if not chosen:
        return _nothing(rollout, metric)
    details = [_engineering(m) for m in chosen] if metric else []
    return blocks.message(
        _first(rollout, chosen),
        figures.table(chosen, shown=20),
        blocks.lines([x for x in (figures.rest(chosen, shown=20), *details) if x]),
        blocks.context(f"as of {as_of} · ranges hold however often one looks · {rollout.id}"),
    )


def words(rollout: Rollout, measures: tuple[Measure, ...], metric: str, as_of: str) -> Message:
    """The same in sentences, for people who did not ask for numbers."""
    chosen = tuple(m for m in figures.ordered(measures) if (not metric or m.metric == metric) and m.word != "No data")
    if not chosen:
        return _nothing(rollout, metric)
    return blocks.message(
        _first(rollout, chosen),
        blocks.lines([_sentence(m) for m in chosen[:12]]),
        blocks.context(f"as of {as_of} · {rollout.id} · whom to ask: {wording.owner(rollout)}"),
    )


def _nothing(rollout: Rollout, metric: str) -> Message:
    what = f"{figures.named(metric)} of {wording.subject(rollout)}" if metric else wording.subject(rollout)
    return blocks.message(f"Not enough data: nothing was measured yet for {what}.")


def _first(rollout: Rollout, measures: tuple[Measure, ...]) -> str:
    worse = [m for m in measures if m.word in {"Worse", "Changed unexpectedly"}]
    if worse:
        names = wording.listing([figures.named(m.metric, m.title).lower() for m in worse], 3)
        return f"{worse[0].word}: {wording.subject(rollout)} ({names})."
    known = [m for m in measures if m.word not in {"No data", "Not enough data"}]
    if not known:
        return f"Not enough data: {wording.subject(rollout)} cannot be judged yet."
    return f"Fine so far: {wording.subject(rollout)}, {wording.plural(len(known), 'measure')} looked at."


def _engineering(measure: Measure) -> str:
    counted = f"{wording.count(measure.n_canary)} new, {wording.count(measure.n_control)} current"
    note = f" · {wording.escape(measure.note)}" if measure.note else ""
    return f"`{wording.escape(measure.metric, 60)}` · requests with it: {counted} · log e {measure.log_e:.2f}{note}"


def _sentence(measure: Measure) -> str:
    title = figures.named(measure.metric, measure.title)
    if measure.canary is None:
        return f"{title}: not enough data."
    new = _people(measure.canary, measure.unit)
    now = f", {_people(measure.control, measure.unit)} on the current one" if measure.control is not None else ""
    return f"{title}: {new} on the new version{now}. {measure.word}."


def _people(number: float, unit: str) -> str:
    return wording.in_a_thousand(number) if unit.startswith("%") else wording.value(number, unit)
