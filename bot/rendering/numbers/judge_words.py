"""How the judge of a rollout stands: its anchors, its known errors, pass rates without them, and what it costs."""

from collections.abc import Sequence
from typing import Any

from bot.rendering import wording
from core.judging.model.verdict import Measure
from core.rollout.state import events as e
from core.rollout.state.model import Rollout
from core.shadow_eval.find_drift import count_passes
from core.shadow_eval.known_error import KnownError
from core.shadow_eval.spending import JudgingSpend
from core.stats.prevalence import CorrectedRate, KnownShare

Json = dict[str, Any]
_JUDGED = "eval_pass_rate"
_ARMS = {"canary": "the new version", "control": "the old one"}


def describe_round(rollout: Rollout, event: e.AnchorsJudged) -> str:
    """What came of a round of anchors."""
    passes, of = count_passes(event.verdicts)
    missing = "" if event.is_complete else f" Too few of {event.anchors} were judged, so it does not count."
    return f"Anchors judged, round {event.round}: {rollout.id}, {passes} of {of} pass.{missing}"


def describe_move(rollout: Rollout, event: e.JudgeMoved) -> str:
    """That the judge moved, and what is set aside because of it."""
    return f"The judge moved: {rollout.id}, {format_anchors(event)}. {_describe_set_aside(event)}".rstrip()


def describe_cap(rollout: Rollout, event: e.JudgingCapReached) -> str:
    """That judging costs no more, and how far the evidence goes."""
    counted = [f"{wording.format_count(event.judged.get(arm, 0))} of {name}" for arm, name in _ARMS.items()]
    return (
        f"Judging has reached its cap: {rollout.id}, {format_dollars(event.spent)} of {format_dollars(event.cap)} are "
        f"spent. Answers judged: {' and '.join(counted)}. No more will be."
    )


def _describe_set_aside(moved: e.JudgeMoved) -> str:
    """What is set aside because of it, as a sentence; empty if nothing is."""
    counted = [
        f"{wording.format_count(moved.set_aside[arm])} of {name}"
        for arm, name in _ARMS.items()
        if arm in moved.set_aside
    ]
    return f"Judged since its last good round and set aside: {' and '.join(counted)}." if counted else ""


def format_anchors(moved: e.JudgeMoved) -> str:
    """`31 of 40 anchors pass, 38 did at the start`."""
    of_before = "" if moved.judged_before == moved.judged else f" of {moved.judged_before}"
    return f"{moved.passes} of {moved.judged} anchors pass, {moved.passes_before}{of_before} did at the start"


def list_lines(rollout: Rollout, measures: Sequence[Measure], spend: JudgingSpend | None = None) -> list[str]:
    """One line each, escaped; empty where no answers are judged. `spend` is newer than what the evidence holds."""
    if spend is None and rollout.evidence is not None:
        spend = rollout.evidence.judging
    lines = [*_describe_check(rollout), *_describe_error(rollout, measures)]
    return [*lines, describe_spend(spend)] if spend is not None and (spend.spent or spend.cap is not None) else lines


def describe_spend(spend: JudgingSpend) -> str:
    """What judging has cost, per judgement too, and its cap."""
    each = f", {format_dollars(spend.spent / spend.judged)} each" if spend.judged else ""
    of = f" of at most {format_dollars(spend.cap)}" if spend.cap is not None else ""
    reached = " The cap is reached: no more is judged." if spend.is_capped else ""
    judged = wording.pluralize(spend.judged, "judgement")
    return f"Judging cost {format_dollars(spend.spent)}{of}, {judged}{each}.{reached}"


def judge_to_json(rollout: Rollout, measures: Sequence[Measure], spend: JudgingSpend | None) -> Json:
    """How the judge stands, for programs; what is not known is null. `spend` is newer than what the evidence holds."""
    check = rollout.judge_check
    error = check.measure_error()
    if spend is None and rollout.evidence is not None:
        spend = rollout.evidence.judging
    return {
        "rounds": check.last_round,
        "trusted_at": check.trusted_at.isoformat() if check.trusted_at is not None else None,
        "moved": _move_to_json(check.moved) if check.moved is not None else None,
        "sensitivity": _share_to_json(error.sensitivity) if error is not None else None,
        "specificity": _share_to_json(error.specificity) if error is not None else None,
        "no_better_than_chance": error.is_no_better_than_chance if error is not None else None,
        "pass_rate_corrected": {
            arm: {"value": rate.value, "low": rate.low, "high": rate.high}
            for arm, (_, rate) in (_correct_arms(error, measures) if error is not None else {}).items()
        },
        "spent": spend.spent if spend is not None else None,
        "cap": spend.cap if spend is not None else None,
        "judgements": spend.judged if spend is not None else None,
    }


def format_dollars(amount: float) -> str:
    """`$25.00`, or with as many digits as a small amount needs."""
    return f"${amount:,.2f}" if amount >= 1 or not amount else f"${amount:.3g}"


def _describe_check(rollout: Rollout) -> list[str]:
    check = rollout.judge_check
    if check.moved is not None:
        said = f"The judge moved: {format_anchors(check.moved)}. {_describe_set_aside(check.moved)}".rstrip()
        return [said, "It judges only anchors until it is as before, or until somebody resumes with it as it is."]
    if not check.rounds:
        return []
    (passes, of), (first, of_first) = count_passes(check.rounds[-1]), count_passes(check.rounds[0])
    if len(check.rounds) == 1:
        return [f"Judge: {passes} of {of} anchors pass, in the first round."]
    before = "" if of_first == of else f" of {of_first}"
    return [
        f"Judge: {passes} of {of} anchors pass, {first}{before} did at the start; it has not moved beyond chance in "
        f"{wording.pluralize(len(check.rounds), 'round')}."
    ]


def _describe_error(rollout: Rollout, measures: Sequence[Measure]) -> list[str]:
    error = rollout.judge_check.measure_error()
    if error is None:
        return []
    said = (
        f"Of {wording.format_count(error.sensitivity.of)} anchors that people call good the judge passes "
        f"{_format_share(error.sensitivity)}, of {wording.format_count(error.specificity.of)} bad ones it fails "
        f"{_format_share(error.specificity)}."
    )
    if error.is_no_better_than_chance:
        return [f"{said} That is no better than chance: what it says of answers tells nothing."]
    rates = [
        f"{_ARMS[arm]} {_format_rate(rate)} instead of {_format_percent(raw)}"
        for arm, (raw, rate) in _correct_arms(error, measures).items()
    ]
    return [said, f"Answers that pass, without these errors: {', '.join(rates)}."] if rates else [said]


def _correct_arms(error: KnownError, measures: Sequence[Measure]) -> dict[str, tuple[float, CorrectedRate]]:
    """The raw and the corrected pass rate by arm. Related answers count as fewer, by the design effect."""
    measure = next((one for one in measures if one.metric == _JUDGED and not one.segment), None)
    if measure is None:
        return {}
    found: dict[str, tuple[float, CorrectedRate]] = {}
    for arm, rate, readings in (
        ("control", measure.control, measure.n_control),
        ("canary", measure.canary, measure.n_canary),
    ):
        if rate is not None and readings:
            corrected = error.correct(rate, readings / max(measure.design_effect or 1.0, 1.0))
            if corrected is not None:
                found[arm] = (rate, corrected)
    return found


def _move_to_json(moved: e.JudgeMoved) -> Json:
    return {
        "round": moved.round,
        "passes": moved.passes,
        "judged": moved.judged,
        "passes_before": moved.passes_before,
        "judged_before": moved.judged_before,
        "p": moved.p,
        "since": moved.since.isoformat() if moved.since is not None else None,
        "set_aside": dict(moved.set_aside),
    }


def _share_to_json(share: KnownShare) -> Json:
    low, high = share.interval
    return {"value": share.value, "low": low, "high": high, "anchors": share.of}


def _format_share(share: KnownShare) -> str:
    low, high = share.interval
    return f"{_format_percent(share.value)} ({_format_percent(low)} to {_format_percent(high)})"


def _format_rate(rate: CorrectedRate) -> str:
    return f"{_format_percent(rate.value)} ({_format_percent(rate.low)} to {_format_percent(rate.high)})"


def _format_percent(share: float) -> str:
    return f"{100 * share:.1f} %"
