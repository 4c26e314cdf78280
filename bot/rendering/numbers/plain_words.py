"""One measure in plain sentences, for people who did not ask for numbers."""

from bot.rendering import wording
from bot.rendering.numbers import measure_rows
from core.judging.model.verdict import Measure
from core.judging.report.power import Power, harm_direction

_MEANING = {
    "Fine": "No problem so far.",
    "Better": "That is better than the old version.",
    "Slightly worse, within limit": "That is a little worse, but within the agreed limit.",
    "Worse": "That is worse than the agreed limit allows.",
    "Not enough data": "There is too little data to say more.",
    "No data": "Nothing has been measured yet.",
    "Changed unexpectedly": "It changed when it should not have.",
}

ONLY_WATCHED = "Nothing happens automatically: it is watched, and people decide."
_EXPECTATIONS = {
    "as expected": "That is as expected.",
    "not as expected": "That is not as expected.",
    "not shown yet": "Whether that is as expected is not clear yet.",
}


def describe_measure(measure: Measure) -> str:
    """`People asking again: about 78 in 1,000 on the new version, about 83 in 1,000 on the old one. Fine.`"""
    title = measure_rows.escaped_title(measure.metric, measure.title)
    if measure.canary is None:
        return f"{title}: not enough data."
    new = wording.format_level(measure.canary, measure.unit)
    now = (
        f", {wording.format_level(measure.control, measure.unit)} on the old one" if measure.control is not None else ""
    )
    return f"{title}: {new} on the new version{now}. {measure_rows.verdict_label(measure)}."


def describe_segment(measure: Measure) -> str:
    """`describe_measure` for one segment: `Where language is de: …`."""
    return f"Where {wording.format_segment(measure.segment)}: {describe_measure(measure)}"


def explain_measure(measure: Measure, power: Power) -> list[str]:
    """Sentences about a measure: value, certainty, meaning, expectation, and what could have been noticed by now."""
    sentences = [
        describe_measure(measure).removesuffix(f" {measure_rows.verdict_label(measure)}."),
        _describe_interval(measure),
        _MEANING[measure.word],
    ]
    if measure.expected:
        sentences.append(_EXPECTATIONS[measure.expected])
    if measure.cleared:
        sentences.append("It is shown to stay within the agreed limit.")
    if power.noticeable is not None and not measure.absolute:
        sentences.append(f"We would have noticed {_format_change(measure, power.noticeable)} by now.")
    if power.decided_in:
        size = "the agreed limit" if measure_rows.is_agreed(measure) else "the one we watch for"
        sentences.append(
            f"A change as large as {size} would show in about {wording.format_duration(power.decided_in)}."
        )
    return [x for x in sentences if x]


def describe_consequence(measure: Measure) -> str:
    """What happens automatically if the measure gets worse, and under which condition."""
    much = f" by more than agreed ({_format_change(measure, measure.amount)})" if _is_a_change(measure) else ""
    if measure.implied and measure.role == "hold":
        return "No limit was agreed. If it changes for certain, the rollout stops growing and people decide."
    if not measure_rows.is_agreed(measure) or measure.role == "watch":
        return ONLY_WATCHED
    what = (
        "everyone automatically gets the old version again"
        if measure.role == "rollback"
        else "the rollout automatically stops growing"
    )
    return f"If it gets worse{much or ' than agreed'} and that is certain, {what}."


def _is_a_change(measure: Measure) -> bool:
    return measure.amount is not None and not measure.absolute


def _describe_interval(measure: Measure) -> str:
    if measure.low is None or measure.high is None:
        return ""
    if measure.low == measure.high:
        return f"The difference is {_format_difference(measure, measure.low)}."
    return (
        f"The true difference very likely lies between {_format_difference(measure, measure.low)} and "
        f"{_format_difference(measure, measure.high)}."
    )


def _format_difference(measure: Measure, number: float) -> str:
    way = "more" if number >= 0 else "fewer"
    if _is_share(measure):
        return f"{_format_thousandths(number)} {way} in 1,000"
    higher = "higher" if number >= 0 else "lower"
    return f"{wording.format_magnitude(number, measure.unit, relative=measure.relative)} {higher}"


def _format_change(measure: Measure, number: float | None) -> str:
    size = abs(number or 0.0)
    word = {"more": "more", "less": "fewer", "either": "more or fewer"}[harm_direction(measure)]
    if _is_share(measure):
        return f"{_format_thousandths(size)} {word} in 1,000"
    word = {"more": "a rise of", "less": "a fall of", "either": "a change of"}[harm_direction(measure)]
    return f"{word} {wording.format_magnitude(size, measure.unit, relative=measure.relative)}"


def _is_share(measure: Measure) -> bool:
    return measure.unit.startswith("%") and not measure.relative


def _format_thousandths(share: float) -> str:
    number = abs(share) * 1000
    return f"{number:.0f}" if number >= 1 or number == 0 else f"{number:.1g}"
