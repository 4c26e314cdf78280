"""Explains one metric: what it means, the numbers behind it, what would trigger an action, and its trend."""

from collections.abc import Sequence

from bot.rendering import wording
from bot.rendering.blocks import blocks
from bot.rendering.blocks.blocks import Message
from bot.rendering.charts import charts
from bot.rendering.numbers import figures, plain_words, segments, technical_words
from bot.rendering.numbers.latest import Latest, power_of
from core.judging.model.verdict import Measure
from core.judging.report.power import harm
from core.judging.report.series import Point
from core.rollout.model import Rollout

_ACTS = {"rollback": "roll back", "hold": "hold"}


def numbers(rollout: Rollout, seen: Latest, metric: str, trend: tuple[Point, ...], zone: str, as_of: str) -> Message:
    """The explanation for engineers: a summary in words, every known number, the trigger, and a trend chart."""
    rows = [m for m in seen.measures if m.metric == metric]
    if not rows:
        return _nothing(rollout, metric)
    out = _standing_out(seen, metric)
    body = []
    for measure in rows:
        power = power_of(rollout, measure, seen.at)
        facts = [f"*{label}*  {text}" for label, text in technical_words.facts(measure, power)]
        body += [
            blocks.section(" ".join((["Everybody together:"] if out else []) + plain_words.story(measure, power))),
            blocks.lines(facts),
            blocks.section(fires(measure)),
        ]
    return blocks.message(
        _first(rollout, out or rows),
        blocks.lines([plain_words.where(m) for m in out]),
        *body,
        charts.block(trend, rows[0], zone),
        blocks.context(f"`{wording.escape(metric, 60)}` · as of {as_of} · {rollout.id}"),
    )


def words(rollout: Rollout, seen: Latest, metric: str, as_of: str) -> Message:
    """The explanation in plain words, for everyone who did not ask for numbers."""
    rows = [m for m in seen.measures if m.metric == metric]
    if not rows:
        return _nothing(rollout, metric)
    told = " ".join(plain_words.story(rows[0], power_of(rollout, rows[0], seen.at)))
    out = _standing_out(seen, metric)
    return blocks.message(
        _first(rollout, out or rows),
        blocks.lines(
            [
                *(plain_words.where(m) for m in out),
                f"Everybody together: {told}" if out else told,
                plain_words.consequence(rows[0]),
            ]
        ),
        blocks.context(f"as of {as_of} · {rollout.id} · whom to ask: {wording.owner(rollout)}"),
    )


def fires(measure: Measure) -> str:
    """What has to be observed before this measure rolls the rollout back or holds it."""
    act = _ACTS.get(measure.role)
    if measure.implied and act is not None and measure.amount:
        return (
            f"No limit was agreed. It is watched all the same: {_edge(measure)} or more, shown for certain, holds the "
            "rollout, and people decide."
        )
    if not figures.agreed(measure) or act is None:
        return "Nothing follows from it by itself: it is watched, and people decide."
    limit = wording.escape(measure.limit_text or "", 100)
    if measure.absolute:
        level, unit = wording.value(measure.canary, measure.unit), measure.unit
        beyond = (
            f"its level beyond {wording.value(measure.amount, unit)} (now {level})" if measure.amount else "beyond it"
        )
    else:
        now = wording.difference(measure.difference, measure.unit, relative=measure.relative)
        beyond = f"the difference beyond {_edge(measure)} (now {now})" if measure.amount else "the difference beyond it"
    evidence = f"evidence of harm at 100 % (now {technical_words.share(measure)})" if measure.needed > 0 else "evidence"
    return f"To {act} (agreed: {limit}) it takes both: {beyond}, and {evidence}."


def _edge(measure: Measure) -> str:
    size = wording.amount(measure.amount or 0.0, measure.unit, relative=measure.relative)
    return {"more": f"+{size}", "less": f"-{size}", "either": f"±{size}"}[harm(measure)]


def _standing_out(seen: Latest, metric: str) -> list[Measure]:
    """The segments in which this metric is worse, even if the total does not show it; worst first."""
    return [m for m in segments.ordered(seen.segments) if m.metric == metric and m.word in figures.BADLY]


def _first(rollout: Rollout, rows: Sequence[Measure]) -> str:
    measure = rows[0]
    where = f" where {segments.place(measure.segment)}" if measure.segment else ""
    title = wording.in_a_sentence(figures.title(measure.metric, measure.title))
    numbers = f"{wording.value(measure.canary, measure.unit)} new, {wording.value(measure.control, measure.unit)} now"
    return f"{figures.verdict(measure)}{where}: {title} in {wording.subject(rollout)}, {numbers}."


def _nothing(rollout: Rollout, metric: str) -> Message:
    what = f"{figures.named(metric)} in {wording.subject(rollout)}"
    return blocks.message(
        f"No data: {what} has no limit and no expectation, or nothing was measured yet.",
        blocks.section(f"What is looked at: `/rollout metrics {rollout.id}`"),
    )
