"""One measure in numbers, for people who asked for them: estimate, limit, evidence and detection power."""

from bot.rendering import wording
from bot.rendering.numbers import measure_rows
from core.judging.model.verdict import Measure
from core.judging.report.power import Power, harm_direction
from core.metrics.catalogue import CATALOGUE, DesiredDirection

MOST_NOTICED = 10.0
"""Times the old level; where only more than that would have been noticed, nothing useful is known yet."""

ROLE_CONSEQUENCES = {"rollback": "rolls back", "hold": "holds", "watch": "only watched"}


def list_facts(measure: Measure, power: Power) -> list[tuple[str, str]]:
    """(label, text) pairs of everything known about a measure, escaped; unknown facts are left out."""
    requests = f"{wording.format_count(measure.n_canary)} new, {wording.format_count(measure.n_control)} old"
    effect = f" · design effect {measure.design_effect:.3g}" if measure.design_effect != 1 else ""
    past = " · weaker: compared with the past, as no control is left" if measure.weaker else ""
    pairs = [
        ("Estimate", f"{measure_rows.format_difference_with_range(measure)}{past}"),
        ("Limit", format_limit(measure)),
        ("Evidence", format_evidence(measure)),
        ("Requests", f"{requests}{effect}"),
        ("Could notice", wording.escape(format_noticeable(measure, power))),
        ("Could still be", format_worst_case(measure, power)),
        ("Decided", format_time_to_decision(power)),
        ("Expectation", measure.expected),
        ("Note", wording.escape(measure_rows.phrase_note(measure.note, measure.unit))),
    ]
    return [(label, text) for label, text in pairs if text]


def format_limit(measure: Measure) -> str:
    """The limit and its consequence: `a rise of 1 pp, rolls back`; an implied limit is described as watched."""
    if measure.limit_text is None:
        return "none"
    text = measure_rows.escaped_limit(measure.limit_text)
    if measure.implied and is_improvement_watch(measure):
        return f"none agreed; noted if it improves ({text})"
    if measure.implied:
        return f"none agreed; watched for: {text}"
    return f"{text}, {ROLE_CONSEQUENCES[measure.role]}" if measure.role in ROLE_CONSEQUENCES else text


def is_improvement_watch(measure: Measure) -> bool:
    """Whether this implied limit watches for an improvement, which only results in a note."""
    if measure.metric not in CATALOGUE:
        return measure.implied and measure.role == "watch"  # of a metric of the surface's own, only that is watched
    good = CATALOGUE[measure.metric].good
    return measure.implied and (good, harm_direction(measure)) in {
        (DesiredDirection.DOWN, "less"),
        (DesiredDirection.UP, "more"),
    }


def format_evidence(measure: Measure) -> str:
    """The evidence of harm relative to its threshold, and whether the limit is shown to hold; empty without one."""
    if measure.limit_text is None:
        return ""
    parts = [
        f"{format_evidence_share(measure)} of what it takes to show "
        f"{'an improvement' if is_improvement_watch(measure) else 'harm'}"
        if measure.needed > 0
        else f"log e {measure.log_e:.2f}"
    ]
    if measure.cleared:
        parts.append("shown to be within the limit")
    elif measure.log_clear is not None:
        parts.append("not yet shown to be within the limit")
    return " · ".join(parts)


def format_evidence_share(measure: Measure) -> str:
    """The evidence as a share of its threshold, capped at 0 to 100 %; a dash without a threshold."""
    if measure.needed <= 0 or measure.limit_text is None:
        return "–"
    return f"{min(max(measure.log_e / measure.needed, 0.0), 1.0):.0%}".replace("%", " %")


def format_noticeable(measure: Measure, power: Power) -> str:
    """The changes that would be noticed by now: `a drop of >= 2.4 pp`; not escaped, empty if unknown."""
    return _format_noticed(measure, power, ">= ")


def format_noticed_change(measure: Measure, power: Power) -> str:
    """The smallest harm that would have been noticed by now: `a drop of 2.4 pp`; empty if unknown."""
    return _format_noticed(measure, power, "")


def _format_noticed(measure: Measure, power: Power, least: str) -> str:
    if power.noticeable is None or (measure.relative and power.noticeable > MOST_NOTICED):
        return ""
    return _format_change(measure, power.noticeable, least)


def format_limit_change(measure: Measure) -> str:
    """A change as large as the limit: `a drop of 2 pp`; empty for a fixed limit, which is no change."""
    return "" if measure.absolute or measure.amount is None else _format_change(measure, measure.amount, "")


def _format_change(measure: Measure, size: float, least: str) -> str:
    word = {"more": "a rise of", "less": "a drop of", "either": "a change of"}[harm_direction(measure)]
    beyond = " beyond the limit" if measure.absolute else ""
    return f"{word} {least}{wording.format_magnitude(size, measure.unit, relative=measure.relative)}{beyond}"


def format_worst_case(measure: Measure, power: Power) -> str:
    """The worst difference still plausible: `as bad as +0.8 pp`, or `-0.2 pp at worst` if it is harmless."""
    if power.could_still_be is None:
        return ""
    end = wording.format_difference(power.could_still_be, measure.unit, relative=measure.relative)
    harmless = (power.could_still_be <= 0) if harm_direction(measure) == "more" else (power.could_still_be >= 0)
    return f"{end} at worst" if harmless and harm_direction(measure) != "either" else f"as bad as {end}"


def format_time_to_decision(power: Power) -> str:
    """When a change as large as the limit would be noticed at the current traffic; empty if unknown."""
    if power.decided_in is None:
        return ""
    if not power.decided_in:
        return "a change as large as the limit would have been noticed by now"
    return (
        "at this traffic a change as large as the limit would be noticed in about "
        f"{wording.format_duration(power.decided_in)}"
    )


def format_summary(measure: Measure, power: Power) -> str:
    """One line with the facts that have no table column: requests, design effect, power, expectation."""
    parts = [
        f"requests {wording.format_count(measure.n_canary)} new, {wording.format_count(measure.n_control)} old",
        f"design effect {measure.design_effect:.3g}" if measure.design_effect != 1 else "",
        f"could notice {wording.escape(format_noticeable(measure, power))}" if power.noticeable is not None else "",
        f"could still be {format_worst_case(measure, power)}" if power.could_still_be is not None else "",
        format_time_to_decision(power),
        measure.expected,
    ]
    return " · ".join(x for x in parts if x)
