"""How a rollout is doing, on request: a table for engineers, sentences for everyone else."""

from bot.rendering import wording
from bot.rendering.blocks import blocks, buttons
from bot.rendering.blocks.blocks import Block, Message
from bot.rendering.messages import notes
from bot.rendering.numbers import measure_rows, plain_words, segments, technical_words
from bot.rendering.numbers.detectability import known_areas, uncounted_words, unknown_unit_words, verdict_times
from bot.rendering.numbers.detectability.uncounted_words import NONE_UNCOUNTED, Uncounted
from bot.rendering.numbers.latest_numbers import LatestNumbers, detection_power
from core.judging.model.verdict import Measure
from core.rollout.state.model import Rollout

HEADER = ("What", "Verdict", "New", "Old", "Difference (95 % range)", "Would notice")
MAX_ROWS = 20
MAX_SENTENCES = 12


def render_technical(
    rollout: Rollout,
    latest: LatestNumbers,
    metric: str,
    segment: str,
    as_of: str,
    zone: str,
    uncounted: Uncounted = NONE_UNCOUNTED,
) -> Message:
    """A table of every measure (or one metric, or one segment) against control; `as_of` is a formatted time, and
    `uncounted` are reports that count nowhere, where no others came."""
    chosen = _select_measures(latest, metric, segment)
    if not chosen:
        return _render_no_data(rollout, latest, metric, segment)
    return blocks.build_message(
        _format_first_line(rollout, chosen, segment, is_part=bool(metric or segment)),
        _build_table(rollout, chosen, latest),
        blocks.lines_section(
            [
                x
                for x in (
                    uncounted_words.describe_uncounted(uncounted),
                    "" if metric or segment else known_areas.describe_open(rollout, chosen, latest.at),
                    "" if segment else verdict_times.describe_verdict_times(rollout, chosen, latest.at, zone),
                    unknown_unit_words.format_unknown_units(chosen),
                    measure_rows.summarize_rest(chosen, max_rows=MAX_ROWS),
                    *_format_details(rollout, chosen, metric, latest),
                )
                if x
            ]
        ),
        blocks.lines_section(notes.format_notes(latest.notes)) if not metric and not segment else None,
        blocks.actions(
            buttons.run_command("Explain", f"explain {rollout.id} {measure_rows.sort_by_urgency(chosen)[0].metric}", 0),
            buttons.run_command("Segments", f"segments {rollout.id}", 1) if latest.segments and not segment else None,
        ),
        blocks.context(f"as of {as_of} · ranges stay valid however often you look · {rollout.id}"),
    )


def render_plain(rollout: Rollout, latest: LatestNumbers, metric: str, segment: str, as_of: str) -> Message:
    """The same measures as sentences, for people who did not ask for numbers."""
    chosen = [m for m in measure_rows.sort_by_urgency(_select_measures(latest, metric, segment)) if m.word != "No data"]
    if not chosen:
        return _render_no_data(rollout, latest, metric, segment)
    sentences = [plain_words.describe_measure(m) for m in chosen[:MAX_SENTENCES]]
    if metric:
        sentences += [
            " ".join(plain_words.explain_measure(chosen[0], detection_power(rollout, chosen[0], latest.at))[1:])
        ]
    return blocks.build_message(
        _format_first_line(rollout, tuple(chosen), segment, is_part=bool(metric or segment)),
        blocks.lines_section(sentences),
        blocks.context(f"as of {as_of} · {rollout.id} · whom to ask: {wording.format_owner(rollout)}"),
    )


def _select_measures(latest: LatestNumbers, metric: str, segment: str) -> tuple[Measure, ...]:
    rows = segments.select_segment(latest.segments, segment) if segment else latest.measures
    return tuple(m for m in rows if not metric or m.metric == metric)


def _build_table(rollout: Rollout, chosen: tuple[Measure, ...], latest: LatestNumbers) -> Block | None:
    rows = [
        _build_row(rollout, m, latest)
        for m in measure_rows.sort_by_urgency(chosen)[:MAX_ROWS]
        if m.word != "No data" or measure_rows.is_agreed(m)
    ]
    return blocks.table(HEADER, rows, numeric=frozenset({2, 3})) if rows else None


def _build_row(rollout: Rollout, measure: Measure, latest: LatestNumbers) -> tuple[str, ...]:
    cells = measure_rows.build_row(measure)
    noticed = technical_words.format_noticed_change(measure, detection_power(rollout, measure, latest.at))
    kept = ", shown to be within" if measure.cleared else ""
    return (*cells._replace(verdict=f"{cells.verdict}{kept}"), noticed or "–")


def _format_details(rollout: Rollout, chosen: tuple[Measure, ...], metric: str, latest: LatestNumbers) -> list[str]:
    if not metric:
        return []
    return [
        f"`{wording.escape(m.metric, 60)}` · "
        f"{technical_words.format_summary(m, detection_power(rollout, m, latest.at))}"
        for m in chosen
    ]


def _render_no_data(rollout: Rollout, latest: LatestNumbers, metric: str, segment: str) -> Message:
    title = measure_rows.escaped_title(metric, measure_rows.find_title(rollout, metric))
    what = f"{title} of {wording.format_subject(rollout)}" if metric else wording.format_subject(rollout)
    if not segment:
        return blocks.build_message(f"Not enough data: nothing has been measured yet for {what}.")
    there = segments.segment_names(latest.segments)
    return blocks.build_message(
        f"Not enough data: nothing has been measured for {what} where {wording.escape(segment, 80)}.",
        blocks.section(
            f"Segments with data: {wording.join_limited(there, 12)}." if there else "No segment has data yet."
        ),
    )


def _format_first_line(rollout: Rollout, measures: tuple[Measure, ...], segment: str, *, is_part: bool) -> str:
    """What the measures say; `is_part`: only some of them are shown, so that nothing is said of the others."""
    where = f", only {wording.escape(segment, 60)}" if segment else ""
    worse = [m for m in measures if m.is_bad]
    if worse:
        names = wording.join_limited([measure_rows.title_in_sentence(m.metric, m.title) for m in worse], 3)
        return f"{worse[0].word}: {wording.format_subject(rollout)}{where} ({names})."
    shown = {m.metric for m in measures}
    fired = [f for f in (rollout.rollback.findings if rollout.rollback else ()) if f.metric in shown]
    if fired:  # several limits together, or one part of the traffic, can break what no row shows by itself
        names = wording.join_limited([measure_rows.title_in_sentence(f.metric, f.title) for f in fired], 3)
        return f"Rolled back: {wording.format_subject(rollout)} ({names})."
    known = [m for m in measures if m.is_judged]
    if not known:
        return f"Not enough data: {wording.format_subject(rollout)}{where} cannot be judged yet."
    checked = wording.pluralize(len(known), "measure")
    open_ = "" if is_part else known_areas.summarize_open(measures)
    if open_:
        return f"Not fully judged: {wording.format_subject(rollout)}, nothing looks wrong in {checked}; {open_}."
    return f"Fine so far: {wording.format_subject(rollout)}{where}, {checked} checked."
