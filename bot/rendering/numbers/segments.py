"""Segments of the traffic against control, worst first: which were judged, and which were too small."""

from bot.rendering import wording
from bot.rendering.blocks import blocks
from bot.rendering.blocks.blocks import Message
from bot.rendering.numbers import measure_rows, plain_words
from bot.rendering.numbers.latest_numbers import LatestNumbers
from core.flags.flows import FLOW
from core.judging.model.verdict import Measure
from core.rollout.state.model import Rollout

HEADER = ("Where", "What", "Verdict", "New", "Old", "Difference (95 % range)", "Requests")
MAX_ROWS = 20
MAX_NAMED = 8


def render_technical(rollout: Rollout, latest: LatestNumbers, as_of: str) -> Message:
    """A table of the judged segments with their sizes, worst first."""
    judged = [m for m in sort_worst_first(latest.segments) if m.is_judged]
    if not latest.segments:
        return _render_no_data(rollout, latest, as_of)
    rows = [_build_row(m) for m in judged[:MAX_ROWS]]
    left = [f"+ {len(judged) - MAX_ROWS} more, none of them worse than those above"] if len(judged) > MAX_ROWS else []
    return blocks.build_message(
        _format_first_line(rollout, latest, judged),
        blocks.table(HEADER, rows, numeric=frozenset({3, 4, 6})) if rows else None,
        blocks.lines_section([*left, *_describe_judged(latest, judged), *_list_unjudged(latest.segments)]),
        blocks.context(f"as of {as_of} · requests: those of the new version · {rollout.id}"),
    )


def render_plain(rollout: Rollout, latest: LatestNumbers, as_of: str) -> Message:
    """The worst segments as sentences, for people who did not ask for numbers."""
    judged = [m for m in sort_worst_first(latest.segments) if m.is_judged]
    if not latest.segments:
        return _render_no_data(rollout, latest, as_of, is_plain=True)
    sentences = [plain_words.describe_segment(m) for m in judged[:MAX_NAMED]]
    return blocks.build_message(
        _format_first_line(rollout, latest, judged),
        blocks.lines_section([*sentences, *_describe_judged(latest, judged)]),
        blocks.context(f"as of {as_of} · {rollout.id} · whom to ask: {wording.format_owner(rollout)}"),
    )


def sort_worst_first(measures: tuple[Measure, ...]) -> list[Measure]:
    """Worst first: clearly worse ones, then by evidence of harm."""
    return sorted(measure_rows.sort_by_urgency(measures), key=lambda m: (not m.is_bad, -evidence_share(m)))


def evidence_share(measure: Measure) -> float:
    """Evidence of harm as a share of the evidence needed, which is corrected for the number of segments."""
    return measure.log_e / measure.needed if measure.needed > 0 else measure.log_e / 100


def count_checked(large: int, segments: tuple[Measure, ...]) -> int:
    """How many were examined, of which `large` had enough requests; a small one with a verdict is one of them too."""
    return max(large, len({m.segment for m in segments if m.is_judged}))


def find_worst(segments: tuple[Measure, ...]) -> Measure | None:
    """The segment that is worst of those worse beyond chance; None if there is none."""
    worst = next((m for m in sort_worst_first(segments) if m.is_judged), None)
    return worst if worst is not None and evidence_share(worst) >= 1 else None


def format_summary(segments: tuple[Measure, ...], segments_checked: int) -> str:
    """One line for a summary: `Segments: 14 checked. language=de, people asking again: …`; empty if none was.

    A segment is named only where it is beyond chance: among many, one always looks worst.
    """
    if not segments_checked:
        return ""
    worst = find_worst(segments)
    if worst is None:
        return f"Segments: {segments_checked} checked. Nothing stands out."
    numbers = f"{wording.format_value(worst.canary, worst.unit)} vs {wording.format_value(worst.control, worst.unit)}"
    moved = wording.format_difference(worst.difference, worst.unit, relative=worst.relative)
    what = measure_rows.title_in_sentence(worst.metric, worst.title)
    return (
        f"Segments: {segments_checked} checked. {_escape_segment(worst)}, {what}: {numbers} ({moved}). "
        f"Beyond chance, even among {segments_checked} segments."
    )


def describe_flows(rollout: Rollout, rows: tuple[Measure, ...]) -> str:
    """The verdict of each critical flow by name: `Flows: refunds Worse (people asking again), search Fine`."""
    names = list(rollout.plan.flows or {})
    if not names:
        return ""
    by_name = {m.segment.partition("=")[2]: m for m in rows if m.segment.startswith(f"{FLOW}=")}
    return f"Flows: {', '.join(_describe_flow(name, by_name.get(name)) for name in names)}."


def _describe_flow(name: str, row: Measure | None) -> str:
    if row is None:
        return f"{wording.escape(name, 60)} not enough data"
    label = measure_rows.verdict_label(row)
    what = f" ({measure_rows.title_in_sentence(row.metric, row.title)})" if row.is_bad and label == row.word else ""
    return f"{wording.escape(name, 60)} {label[:1].lower()}{label[1:]}{what}"


def select_segment(segments: tuple[Measure, ...], wanted: str) -> tuple[Measure, ...]:
    """The measures of one segment such as `language=de`, ignoring case."""
    return tuple(m for m in segments if m.segment.lower() == wanted.lower())


def segment_names(segments: tuple[Measure, ...]) -> list[str]:
    """The names of all segments with measures, escaped."""
    return [wording.escape(name, 80) for name in dict.fromkeys(m.segment for m in segments)]


def _render_no_data(rollout: Rollout, latest: LatestNumbers, as_of: str, *, is_plain: bool = False) -> Message:
    if latest.segments_checked:
        first = (
            f"Segments: {latest.segments_checked} checked for {wording.format_subject(rollout)}. Nothing stands out."
        )
    else:
        first = f"Segments: none could be checked yet for {wording.format_subject(rollout)}."
    hint = "Name them in the rollout file (assignment.segments) and send them with each observation."
    hints = [] if latest.segments_checked or is_plain else [hint]
    return blocks.build_message(first, blocks.lines_section(hints), blocks.context(f"as of {as_of} · {rollout.id}"))


def _format_first_line(rollout: Rollout, latest: LatestNumbers, judged: list[Measure]) -> str:
    out = [m for m in judged if m.is_bad]
    count = count_checked(latest.segments_checked, latest.segments)
    begin = f"Segments: {count} checked for {wording.format_subject(rollout)}."
    if not out:
        return f"{begin} Nothing clearly stands out."
    more = f" {wording.format_remainder(len(out) - 1)}" if len(out) > 1 else ""
    return (
        f"{begin} {out[0].word} for {_escape_segment(out[0])}: "
        f"{measure_rows.title_in_sentence(out[0].metric, out[0].title)}{more}."
    )


def _describe_judged(latest: LatestNumbers, judged: list[Measure]) -> list[str]:
    if not judged:
        return []
    smallest = min(judged, key=lambda m: m.n_canary)
    size = (
        f"Smallest judged: {_escape_segment(smallest)}, {wording.pluralize(smallest.n_canary, 'request')} on the "
        "new version."
    )
    if latest.segments_checked < 2:
        return [size]
    many = (
        f"Among {latest.segments_checked} segments one may look bad by chance, so each needs that much more evidence."
    )
    return [many, size]


def _list_unjudged(segments: tuple[Measure, ...]) -> list[str]:
    """Segments too small to judge, with their largest request count; one judged measure makes a segment judged."""
    judged = {m.segment for m in segments if m.is_judged}
    sizes: dict[str, int] = {}
    for m in segments:
        if m.segment not in judged:
            sizes[m.segment] = max(sizes.get(m.segment, 0), m.n_canary)
    if not sizes:
        return []
    names = [f"{wording.escape(name, 80)} ({wording.format_count(size)})" for name, size in sizes.items()]
    return [f"Not judged, too few requests: {wording.join_limited(names, MAX_NAMED)}"]


def _build_row(measure: Measure) -> tuple[str, ...]:
    cells = measure_rows.build_row(measure)._replace(verdict=measure_rows.verdict_label(measure))
    return (measure.segment, *cells, wording.format_count(measure.n_canary))


def _escape_segment(measure: Measure) -> str:
    return wording.escape(measure.segment, 80)
