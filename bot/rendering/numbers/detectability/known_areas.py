"""Whether enough is known to call a version fine: quality, cost, speed and errors each need a judged measure."""

from collections.abc import Sequence
from datetime import datetime, timedelta

from bot.rendering import wording
from bot.rendering.numbers import measure_rows
from bot.rendering.numbers.latest_numbers import detection_power
from core.judging.model.verdict import Cleared, Continue, Measure, NoControl, Verdict
from core.rollout.state.model import Rollout

AREAS = {
    "quality": frozenset({"eval_pass_rate", "critical_fail_rate", "eval_score", "groundedness_rate"}),
    "cost": frozenset({"cost_per_request", "cost_per_conversation"}),
    "speed": frozenset({"latency_p50", "latency_p95", "ttft_p95"}),
    "errors": frozenset({"hard_error_rate", "new_error_category", "schema_invalid_rate", "tool_error_rate"}),
}
"""What a version has to be good at before it is called fine, each with the metrics that can show it."""
NOT_ALL_FINE = "Not all fine"
NEW_ERRORS = "new kinds of errors"


def list_open_areas(measures: Sequence[Measure]) -> list[str]:
    """The areas that no measure has judged yet, or in which an agreed limit cannot be judged."""
    return [area for area, metrics in AREAS.items() if _is_open([m for m in measures if m.metric in metrics])]


def summarize_open(measures: tuple[Measure, ...]) -> str:
    """`quality and cost not known yet`: the open areas, else the agreed limits without data; empty if there is none."""
    areas = list_open_areas(measures)
    if len(areas) == len(AREAS):
        return "too little known yet"
    past = f"{NEW_ERRORS} cannot be told any more" if is_too_late_for_new_errors(measures) else ""
    names = [
        NEW_ERRORS if _lacks_new_errors_only(measures, area) else area
        for area in areas
        if not (past and area == "errors")
    ]
    *first, last = names or ["" if past else measure_rows.join_undecided(measures)]
    ahead = f"{', '.join(first)}{' and ' if first else ''}{last} not known yet" if last else ""
    return "; ".join(part for part in (ahead, past) if part)


def summarize_bad(measures: Sequence[Measure]) -> str:
    """`complaints (support) worse`: what is worse or changed although nothing follows from it yet; empty if nothing
    is."""
    told = []
    for word, how in (("Worse", "worse"), ("Changed unexpectedly", "changed")):
        found = [measure_rows.title_in_sentence(m.metric, m.title) for m in measures if m.word == word]
        told += [f"{wording.join_limited(found, 2)} {how}"] if found else []
    return ", ".join(told)


def describe_outcome(verdict: Verdict, measures: tuple[Measure, ...]) -> str:
    """The verdict so far in words: what is not known yet comes before any "fine"."""
    open_, bad = summarize_open(measures), summarize_bad(measures)
    if isinstance(verdict, Cleared | Continue | NoControl) and bad:
        return f"{NOT_ALL_FINE}: {bad}{f'; {open_}' if open_ else ''}"
    if isinstance(verdict, Cleared | Continue | NoControl) and open_:
        return f"Not fully judged: {open_}"
    return "Fine so far" if isinstance(verdict, Continue | NoControl) else wording.verdict_word(verdict)


def describe_open(rollout: Rollout, measures: tuple[Measure, ...], at: datetime | None) -> str:
    """`Not known yet: quality (in about 3 h at this traffic), cost (not measured).`; empty if everything is known."""
    too_late = is_too_late_for_new_errors(measures)
    areas = [area for area in list_open_areas(measures) if not (too_late and area == "errors")]
    told = [
        f"{NEW_ERRORS if _lacks_new_errors_only(measures, area) else area} "
        f"({_describe_wait(rollout, measures, area, at)})"
        for area in areas
    ]
    parts = [f"Not known yet: {', '.join(told)}."] if told else []
    if too_late:
        parts.append(f"Cannot be told any more: {NEW_ERRORS}, as nobody has the old version to compare with.")
    return " ".join(parts)


def is_too_late_for_new_errors(measures: Sequence[Measure]) -> bool:
    """Whether only new kinds of errors are open, and nobody gets the old version any more, beside which alone they
    show."""
    return _lacks_new_errors_only(measures, "errors") and any(m.weaker for m in measures)


def _lacks_new_errors_only(measures: Sequence[Measure], area: str) -> bool:
    """Whether all of an area is judged but whether there are new kinds of errors."""
    found = [m for m in measures if m.metric in AREAS[area]]
    open_ = {m.metric for m in found if not m.is_judged and measure_rows.is_agreed(m)}
    return open_ == {"new_error_category"} and any(m.is_judged for m in found)


def _is_open(measures: list[Measure]) -> bool:
    judged = [m for m in measures if m.is_judged]
    return not judged or any(measure_rows.is_agreed(m) for m in measures if m not in judged)


def _describe_wait(rollout: Rollout, measures: tuple[Measure, ...], area: str, at: datetime | None) -> str:
    """How long it takes until harm as large as a limit would be noticed, or that nothing arrives."""
    arriving = [m for m in measures if m.metric in AREAS[area] and m.word != "No data"]
    if not arriving:
        return "not measured"
    waits = [
        power.decided_in
        for measure in arriving
        if not measure.is_judged and (power := detection_power(rollout, measure, at)).decided_in is not None
    ]
    known = [wait for wait in waits if wait is not None and wait > timedelta(0)]
    return f"in about {wording.format_duration(max(known))} at this traffic" if known else "too few readings"
