"""One measure in plain sentences, for people who did not ask for numbers."""

from bot.rendering import wording
from bot.rendering.numbers import figures
from core.judging.model.verdict import Measure
from core.judging.report.power import Power, harm

_MEANING = {
    "Fine": "Nothing speaks against it so far.",
    "Better": "That is better than now.",
    "Slightly worse, within limit": "That is a little worse, and within what was agreed.",
    "Worse": "That is worse than what was agreed beforehand.",
    "Not enough data": "Too little was measured to say more.",
    "No data": "Nothing was measured yet.",
    "Changed unexpectedly": "It changed, and it should not have.",
}


def sentence(measure: Measure) -> str:
    """`People asking again: about 78 in 1,000 on the new version, about 83 in 1,000 on the current one. Fine.`"""
    title = figures.named(measure.metric, measure.title)
    if measure.canary is None:
        return f"{title}: not enough data."
    new = _people(measure.canary, measure.unit)
    now = f", {_people(measure.control, measure.unit)} on the current one" if measure.control is not None else ""
    return f"{title}: {new} on the new version{now}. {figures.verdict(measure)}."


def where(measure: Measure) -> str:
    """`describe_measure` for one segment: `Where language is de: …`."""
    key, _, value = measure.segment.partition("=")
    place = f"{wording.escape(key, 40)} is {wording.escape(value, 40)}" if value else wording.escape(key, 80)
    return f"Where {place}: {sentence(measure)}"


def story(measure: Measure, power: Power) -> list[str]:
    """Sentences about a measure: value, certainty, meaning, expectation, and what could have been noticed by now."""
    said = [sentence(measure).removesuffix(f" {figures.verdict(measure)}."), _sure(measure), _MEANING[measure.word]]
    if measure.expected:
        said.append(f"Expected beforehand: {measure.expected}.")
    if measure.cleared:
        said.append("It is shown to stay within what was agreed.")
    if power.noticeable is not None and not measure.absolute:
        said.append(f"By now we would have noticed {_change(measure, power.noticeable)}.")
    if power.decided_in:
        size = "what was agreed" if figures.agreed(measure) else "what is watched for"
        said.append(f"A change as large as {size} would show in about {wording.about(power.decided_in)}.")
    return [x for x in said if x]


def consequence(measure: Measure) -> str:
    """What happens automatically if the measure gets worse, and under which condition."""
    much = f" by more than was agreed ({_change(measure, measure.amount)})" if _is_a_change(measure) else ""
    if measure.implied and measure.role == "hold":
        return "Nobody agreed on a limit; should it change for certain, nothing grows any further and people decide."
    if not figures.agreed(measure) or measure.role == "watch":
        return "Nothing follows from it by itself: it is watched, and people decide."
    what = "everyone gets the previous version again" if measure.role == "rollback" else "nothing grows any further"
    return f"If it becomes worse{much or ' than was agreed'}, and that is sure, {what}, by itself."


def _is_a_change(measure: Measure) -> bool:
    return measure.amount is not None and not measure.absolute


def _sure(measure: Measure) -> str:
    if measure.low is None or measure.high is None:
        return ""
    if measure.low == measure.high:
        return f"The difference is {_moved(measure, measure.low)}."
    return f"The true difference lies between {_moved(measure, measure.low)} and {_moved(measure, measure.high)}."


def _moved(measure: Measure, number: float) -> str:
    way = "more" if number >= 0 else "fewer"
    if _in_shares(measure):
        return f"{_thousandths(number)} {way} in 1,000"
    higher = "higher" if number >= 0 else "lower"
    return f"{wording.amount(number, measure.unit, relative=measure.relative)} {higher}"


def _change(measure: Measure, number: float | None) -> str:
    size = abs(number or 0.0)
    word = {"more": "more", "less": "fewer", "either": "more or fewer"}[harm(measure)]
    if _in_shares(measure):
        return f"{_thousandths(size)} {word} in 1,000"
    word = {"more": "a rise of", "less": "a fall of", "either": "a change of"}[harm(measure)]
    return f"{word} {wording.amount(size, measure.unit, relative=measure.relative)}"


def _in_shares(measure: Measure) -> bool:
    return measure.unit.startswith("%") and not measure.relative


def _thousandths(share: float) -> str:
    number = abs(share) * 1000
    return f"{number:.0f}" if number >= 1 or number == 0 else f"{number:.1g}"


def _people(number: float, unit: str) -> str:
    return wording.in_a_thousand(number) if unit.startswith("%") else wording.value(number, unit)
