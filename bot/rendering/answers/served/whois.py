"""Which version a user gets on each AI feature, which they got before, and why."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import assert_never

from bot.rendering import reach_words, wording
from bot.rendering.blocks import blocks, buttons
from bot.rendering.blocks.blocks import Message
from core.flags.possible_answers import PossibleAnswer
from core.flags.snapshot import Cohort, FlagAnswer, Reason, Variant
from core.rollout.serving.assignment_history import Assignment
from core.rollout.state.model import Rollout
from core.rollout.state.surface import Surface

SHOWN_BEFORE = 5  # earlier versions per feature


@dataclass(frozen=True, slots=True, kw_only=True)
class UnitHistory:
    """What one unit got on a surface from `told_from` on, oldest first; nothing is known of the time before.

    `seen` holds the arms that applications reported for it, by rollout and stage.
    """

    surface: Surface
    assignments: Sequence[Assignment]
    rollouts: Mapping[str, Rollout]
    seen: Mapping[str, Mapping[int, str]]
    told_from: datetime


def render(unit: str, histories: Sequence[UnitHistory], zone: str, asked_at: datetime | None = None) -> Message:
    """One paragraph per feature: the version `unit` gets, or got at `asked_at`, the reason, and the versions before."""
    who = wording.escape(unit, 80)
    told = [_tell_history(who, one, zone, asked_at) for one in histories]
    first, *rest = [line for lines in told for line in lines]
    offered = [buttons.move_back(rollout, unit) for one in histories if (rollout := _find_movable(one)) is not None]
    assigned = (
        "This is what Rampart decided. Where Rampart cannot be reached, everybody gets the live version meanwhile."
    )
    shown = blocks.actions(*offered) if len(offered) == 1 else None  # one action id may occur once
    return blocks.build_message(first, blocks.lines_section(rest), shown, blocks.context(assigned))


def _find_movable(history: UnitHistory) -> Rollout | None:
    """The rollout whose new version the unit gets now, or may get; None if it gets the old one."""
    if not history.assignments:
        return None
    current = history.assignments[-1]
    rollout = history.rollouts.get(current.rollout)
    if rollout is None or not rollout.is_under_way or current.until is not None:
        return None
    names = {one.answer.version.name for one in current.answers}
    return rollout if rollout.plan.to_version in names else None


def _tell_history(who: str, history: UnitHistory, zone: str, asked_at: datetime | None) -> list[str]:
    if not history.assignments:
        return [f"{_name(history)} was not known here yet."]
    current = history.assignments[-1]
    if asked_at is None:
        return [*_tell_assignment(who, current, history, zone, None), *_tell_before(current, history, zone)]
    chosen = next((one for one in history.assignments if one.covers(asked_at)), None)
    if chosen is None:
        return [f"{_name(history)} was not known here yet at {wording.format_local_time(asked_at, zone)}."]
    return _tell_assignment(who, chosen, history, zone, asked_at)


def _tell_assignment(
    who: str, assigned: Assignment, history: UnitHistory, zone: str, asked_at: datetime | None
) -> list[str]:
    name, rollout = _name(history), history.rollouts.get(assigned.rollout)
    when = "" if asked_at is None else f" at {wording.format_local_time(asked_at, zone)}"
    span = _format_span(assigned, history, zone)
    gets = "got" if asked_at is not None else "has had" if span.startswith(" since") else "gets"
    now = ""
    if asked_at is not None and assigned.until is not None:
        now = f" Now: {_name_version(history.assignments[-1])}."
    if not assigned.answers:
        return [f"{_format_driven(who, name, rollout)}{now}"]
    if not assigned.version:
        versions = " or ".join(dict.fromkeys(wording.escape(a.answer.version.name, 40) for a in assigned.answers))
        return [
            f"{who} {gets} {name} {versions}{when}{span}: that depends on attributes that are not known here.{now}",
            *(f"• {_format_possible(one, assigned, rollout)}" for one in assigned.answers),
            *_tell_reported(assigned, history),
        ]
    version = wording.escape(assigned.version, 40)
    if rollout is None:
        like = "like everyone: no rollout is under way there" if asked_at is None else "like everyone"
        return [f"{who} {gets} {name} {version}{when}{span}, {like}.{now}"]
    new = assigned.version == rollout.plan.to_version
    is_past = asked_at is not None or assigned.until is not None
    why = _explain_outside(assigned, rollout, is_past=is_past) or _explain(
        assigned.answers[0].answer, assigned, rollout, is_past=is_past
    )
    bucket = f" (bucket {assigned.bucket / 1_000_000:.4f})" if assigned.bucket is not None else ""
    return [f"{who} {gets} {name} {version} ({'new' if new else 'old'}){when}{span}, because: {why}{bucket}.{now}"]


def _tell_before(current: Assignment, history: UnitHistory, zone: str) -> list[str]:
    """One line per version that came before the current one, newest first."""
    earlier = [one for one in reversed(history.assignments) if one is not current]
    shown = [
        f"• Before: {_name_version(one)}{_format_span(one, history, zone)}{_format_why_before(one, history)}"
        for one in earlier[:SHOWN_BEFORE]
    ]
    return [*shown, wording.format_remainder(len(earlier) - SHOWN_BEFORE)] if len(earlier) > SHOWN_BEFORE else shown


def _tell_reported(assigned: Assignment, history: UnitHistory) -> list[str]:
    """What applications reported of the unit in these stages, which says what it was served."""
    rollout = history.rollouts.get(assigned.rollout)
    if rollout is None:
        return []
    served = {Variant.CANARY.value: rollout.plan.to_version, Variant.CONTROL.value: rollout.plan.from_version}
    seen = history.seen.get(rollout.id, {})
    return [
        f"Reported by the application: {wording.escape(served[seen[stage]], 40)} in "
        f"{wording.escape(rollout.plan.stages[stage].name, 40)} of {rollout.id}."
        for stage in assigned.stages
        if stage < len(rollout.plan.stages) and seen.get(stage) in served
    ]


def _format_span(assigned: Assignment, history: UnitHistory, zone: str) -> str:
    """` since T`, ` from T to T`, ` until T`, or nothing if neither end is known."""
    begins = wording.format_local_time(assigned.since, zone) if assigned.since > history.told_from else ""
    ends = wording.format_local_time(assigned.until, zone) if assigned.until is not None else ""
    if begins and ends:
        return f" from {begins} to {ends}"
    return f" since {begins}" if begins else f" until {ends}" if ends else ""


def _format_why_before(assigned: Assignment, history: UnitHistory) -> str:
    if not assigned.rollout or not assigned.version:
        return ""
    rollout = history.rollouts.get(assigned.rollout)
    return f" ({_explain(assigned.answers[0].answer, assigned, rollout, is_past=True)})"


def _format_possible(one: PossibleAnswer, assigned: Assignment, rollout: Rollout | None) -> str:
    version = wording.escape(one.answer.version.name, 40)
    if one.cohort is None:
        return f"{version} otherwise"
    why = _explain(one.answer, assigned, rollout, is_past=assigned.until is not None)
    return f"{version} if {_format_conditions(one.cohort)} ({why})"


def _format_conditions(cohort: Cohort) -> str:
    return " and ".join(
        f"{wording.escape(key, 40)} is {wording.escape(' or '.join(sorted(allowed)), 120)}"
        for key, allowed in cohort.where.conditions
    )


def _format_driven(who: str, name: str, rollout: Rollout | None) -> str:
    if rollout is None or not rollout.plan.dividing:
        return f"{who}: which version of {name} they get is not known here."
    flag = wording.join_limited([wording.escape(one.title, 60) for one in rollout.plan.dividing], 3)
    return f"{who}: the flag {flag}, which {rollout.id} drives, decides which version of {name} they get; look there."


def _name(history: UnitHistory) -> str:
    return wording.escape(history.surface.name, 60)


def _name_version(assigned: Assignment) -> str:
    if assigned.version:
        return wording.escape(assigned.version, 40)
    names = dict.fromkeys(wording.escape(a.answer.version.name, 40) for a in assigned.answers)
    return f"{' or '.join(names)} (depends on attributes)" if names else "not known here"


def _explain_outside(assigned: Assignment, rollout: Rollout, *, is_past: bool) -> str:
    """That the layer keeps the unit for its other surfaces; empty where it does not."""
    answer, stages = assigned.answers[0].answer, rollout.plan.stages
    if assigned.stages[-1] >= len(stages):
        held = answer.variant is Variant.CONTROL
        return (
            f"held back after {rollout.id}, to be compared"
            if held
            else f"everyone else {_gets(is_past=is_past)} it after {rollout.id}"
        )
    last = stages[assigned.stages[-1]]
    if rollout.layer is None or answer.reason is not Reason.DEFAULT or last.where is not None or not last.has_exposure:
        return ""
    layer = wording.escape(rollout.layer.layer, 40)
    keeps = "kept" if is_past else "keeps"
    return f"the layer {layer} {keeps} them for another AI feature until {rollout.id} is done"


def _gets(*, is_past: bool) -> str:
    return "got" if is_past else "gets"


def _explain(answer: FlagAnswer, assigned: Assignment, known: Rollout | None, *, is_past: bool) -> str:
    """Why it is this version; `is_past`: it is asked of a time before."""
    share, rollout = wording.format_percent(assigned.percent), assigned.rollout
    if known is not None and not answer.cohort:
        share += reach_words.format_layer_part(known)
    if answer.reason is Reason.TARGETING_MATCH and not answer.cohort:
        return f"moved back by a person in {rollout}"
    if answer.cohort:
        return f"member of {wording.escape(answer.cohort, 40)}, {share} of them, in {rollout}"
    match answer.variant:
        case Variant.CANARY:
            if assigned.percent < 100:
                return f"random {share} in {rollout}"
            whom = reach_words.name_everyone(known) if known is not None else "everyone"
            return f"{whom} {_gets(is_past=is_past)} it in {rollout}"
        case Variant.CONTROL:
            return f"not among the random {share} who {'got' if is_past else 'get'} the new version in {rollout}"
        case Variant.STABLE:
            outside = answer.reason is Reason.DEFAULT
            reaches = "did not reach them in that stage" if is_past else "does not reach them in this stage"
            return f"{rollout} {reaches}" if outside else f"not compared in {rollout}"
        case _:
            assert_never(answer.variant)
