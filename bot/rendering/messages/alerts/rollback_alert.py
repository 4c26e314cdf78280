"""The rollback alert: what triggered it, the numbers, what was switched, how long it took, and who was affected."""

from collections.abc import Sequence
from datetime import datetime, timedelta

from bot.rendering import reach_words, wording
from bot.rendering.blocks import blocks, buttons
from bot.rendering.blocks.blocks import Block, Message
from bot.rendering.messages import rollback_words
from bot.rendering.messages.audience import conversation_words
from bot.rendering.numbers import cause_words, measure_rows
from bot.rendering.numbers.detectability import blind_spot_words
from bot.rendering.sentences import driven_words, headline
from core.judging.model.verdict import Finding, Measure
from core.judging.verdict import segment_that_stands_out
from core.rollout.plans.plan import DrivenFlag, changed_parts
from core.rollout.serving.code_reverts import is_code_pending
from core.rollout.state.events import FlipConfirmed, FlipUnconfirmed, RolledBack
from core.rollout.state.model import Rollout


def render(rollout: Rollout, event: RolledBack, at: datetime, flip: FlipConfirmed | None, zone: str) -> Message:
    """The alert for a rollback decided `at`; `flip` is None while the switch is not confirmed."""
    only_new = conversation_words.has_conversations_on_new(rollout)
    failed = driven_words.list_failed(rollout)
    if flip is None and not failed:
        whom = "New conversations are" if only_new else "Everyone is"
        confirmed = "this is NOT CONFIRMED yet" if rollout.flip_doubted else "confirmation follows in a moment"
        reach = f"{whom} being switched back to {wording.escape(event.version, 40)}; {confirmed}."
    else:
        whom = "Rampart itself serves" if failed else "New conversations get" if only_new else "Everyone got"
        took = f"it took {wording.format_duration(flip.seconds)}" if flip else "this is being confirmed"
        reach = f"{whom} the old version again; {took}."
    if failed:
        left = f"NOT BACK: {wording.join_limited(failed)}. Set it back there by hand."
    elif is_code_pending(rollout):
        left = "The code is not reverted yet."
    else:
        left = "" if rollout.flip_doubted and flip is None else _describe_next(rollout, event, at, zone)
    return blocks.build_message(
        f"Rolled back: {wording.format_subject(rollout)}. {reach} {left}".rstrip(),
        blocks.lines_section(
            [f"*{label}*  {text}" for label, text in _list_facts(rollout, event, at, flip, zone) if text]
        ),
        blocks.lines_section(_list_other_findings(event.findings)),
        build_cause_buttons(rollout),
        _build_ways_on(rollout),
        blocks.lines_section(blind_spot_words.list_accepted_risks(rollout)),
        blocks.context(
            f"Ask {wording.format_actor(rollout.plan.owner, rollout.plan.owner_handle)} (owner)"
            f"{_format_notified_channels(rollout, is_confirmed=flip is not None)}"
            f"{_describe_another_try(rollout) if event.findings else ''}"
        ),
    )


def _describe_another_try(rollout: Rollout) -> str:
    """Why nobody can take back a rollback by a limit, and what to do instead."""
    new = wording.escape(rollout.plan.to_version, 40)
    return f" · limits that were set before the start decided this: to try again, correct {new} and start a new rollout"


def _describe_next(rollout: Rollout, event: RolledBack, at: datetime, zone: str) -> str:
    """What is left to do once Rampart has switched everything back by itself, the most urgent alone."""
    if rollback_words.may_be_retired(rollout, event, at):
        return f"Next: check now that {wording.escape(event.version, 40)} still answers."
    if rollout.needs_review and rollout.review_due is not None:
        return f"Next: write its review, by {wording.format_local_time(rollout.review_due, zone)}."
    return "Nothing for you to do."


def _build_ways_on(rollout: Rollout) -> Block | None:
    """What can be done about it now: the evidence, and another attempt; None if nobody had the new version."""
    if not rollout.was_exposed:
        return None
    move = buttons.run_command("Change all conversations", f"rollback {rollout.id}")
    left = conversation_words.has_conversations_on_new(rollout)
    return blocks.actions(move if left else None, buttons.get_evidence(rollout), buttons.plan_again(rollout))


def _list_facts(
    rollout: Rollout, event: RolledBack, at: datetime, flip: FlipConfirmed | None, zone: str
) -> list[tuple[str, str]]:
    return [
        ("Limit broken" if event.findings else "Who", _describe_cause(rollout, event, zone)),
        ("Why", _describe_reason(rollout, event)),
        ("Where", _describe_segment(rollout, event.findings[0]) if event.findings else ""),
        ("When", _describe_timing(rollout, event, at, zone)),
        ("How fast", _describe_durations(event, flip)),
        ("Switched back", _describe_flip(rollout, event)),
        ("Driven", " · ".join(driven_words.list_way_back(rollout))),
        ("Conversations", conversation_words.describe_now(rollout, zone)),
        ("Who was affected", _describe_affected(rollout, event)),
        ("Code", rollback_words.describe_code(rollout)),
        ("Old version", rollback_words.warn_if_retired(rollout, event, at, zone)),
    ]


def _describe_cause(rollout: Rollout, event: RolledBack, zone: str) -> str:
    if not event.findings:
        who = wording.format_actor(event.by)
        if event.reason:
            return f"{who} rolled it back: “{wording.escape(event.reason)}”"
        explained = rollout.explanation
        if explained is None:
            return f"{who} rolled it back. Why? Nobody has said yet."
        why = rollback_words.format_explanation(explained)
        return f"{who} rolled it back because {why} ({wording.escape(explained.handle, 80)})"
    locked = f" (locked {wording.format_local_time(rollout.started_at, zone)})" if rollout.started_at else ""
    finding = event.findings[0]
    limit = measure_rows.escaped_limit(finding.limit_text)
    return f"{measure_rows.format_finding(finding)}. Agreed limit: {limit}{locked}"


def _describe_reason(rollout: Rollout, event: RolledBack) -> str:
    """What a difference of cost or time comes from; empty if that is not known."""
    if not event.findings or rollout.evidence is None:
        return ""
    return cause_words.format_reason(rollout.evidence.causes or (), event.findings[0].metric)


def build_cause_buttons(rollout: Rollout) -> Block | None:
    """One button per cause, for a rollback by a person who gave no reason and that nobody has explained; else None."""
    event = rollout.rollback
    if event is None or event.findings or event.reason or rollout.explanation is not None:
        return None
    return blocks.actions(*buttons.explain_rollback(rollout))


def _describe_segment(rollout: Rollout, finding: Finding) -> str:
    """The segment that violated the limit, or the worst one that is harmed more than everybody; empty if none is.

    Segments that may differ from the others by chance are never named."""
    if finding.segment:
        return f"only {wording.escape(finding.segment, 80)}; traffic as a whole did not show it"
    rows = (*rollout.evidence.measures, *rollout.evidence.segments) if rollout.evidence else ()
    same = [m for m in rows if (m.metric, m.limit_text) == (finding.metric, finding.limit_text) and not m.implied]
    there = [m for m in same if m.segment and m.is_bad]
    worst = max(there, key=lambda m: m.log_e, default=None)
    everybody = next((m for m in same if not m.segment), None)
    if worst is None or everybody is None or not segment_that_stands_out.does_row_stand_out(worst, everybody):
        return ""
    numbers = f"{wording.format_value(worst.canary, worst.unit)} vs {wording.format_value(worst.control, worst.unit)}"
    return f"{wording.escape(worst.segment, 80)} most: {numbers}{_format_counts(worst)}"


def _format_counts(measure: Measure) -> str:
    """`(23 of 153 vs 52 of 2,840)` for metrics that are shares; otherwise empty."""
    if not measure.unit.startswith("%") or measure.canary is None or measure.control is None:
        return ""
    new, now = measure.canary * measure.n_canary, measure.control * measure.n_control
    return (
        f" ({wording.format_count(new)} of {wording.format_count(measure.n_canary)} "
        f"vs {wording.format_count(now)} of {wording.format_count(measure.n_control)})"
    )


def _describe_timing(rollout: Rollout, event: RolledBack, at: datetime, zone: str) -> str:
    decided = f"decided {wording.format_clock_time(at, zone)}"
    if event.verdict_seconds is None or rollout.stage is None:
        return decided
    began = at - timedelta(seconds=event.verdict_seconds)
    return f"{headline.stage_in_sentence(rollout.stage)} began {wording.format_clock_time(began, zone)}, {decided}"


def _describe_durations(event: RolledBack, flip: FlipConfirmed | None) -> str:
    parts = []
    if event.verdict_seconds is not None:
        parts.append(f"verdict after {wording.format_duration(event.verdict_seconds)} of this stage")
    if flip is None:
        parts.append("switch being confirmed")
    else:
        observed_on = wording.pluralize(flip.processes, "process", "processes")
        parts.append(
            f"switched after {wording.format_duration(flip.seconds)}, confirmed on "
            f"{observed_on}{rollback_words.format_silent_processes(flip)}"
        )
    return " · ".join(parts)


def _describe_flip(rollout: Rollout, event: RolledBack) -> str:
    changed = changed_parts(rollout.from_content, rollout.to_content)
    untouched = sorted(set(rollout.from_content) - set(changed))
    only = f" ({' + '.join(wording.escape(c, 40) for c in changed)}{' only' if len(changed) == 1 else ''})"
    untouched_text = f" Not touched: {', '.join(wording.escape(u, 40) for u in untouched)}" if untouched else ""
    new, old = wording.escape(rollout.plan.to_version, 40), wording.escape(event.version, 40)
    return f"{wording.escape(rollout.plan.surface, 60)}: {new} -> {old}{only}.{untouched_text}"


def _describe_affected(rollout: Rollout, event: RolledBack) -> str:
    stage = rollout.stage
    share = ""
    if stage is not None and 0 < stage.percent < 100:
        share = f"; the stage was at {reach_words.format_stage_share(rollout, stage)}"
    if not event.exposed_requests:
        return "no requests that we know of"
    people = f"about {wording.pluralize(event.exposed_units, 'person', 'people')}"
    least = "" if event.findings else "at least "  # a person's rollback goes by the last evidence, which is older
    everyone = reach_words.name_planned_everyone(rollout.plan, 1)
    since = f"; counted until the rollout was done, after which {everyone} had it" if event.after_done else ""
    return f"{least}{wording.pluralize(event.exposed_requests, 'request')}, {people}{share}{since}"


def _list_other_findings(findings: tuple[Finding, ...]) -> list[str]:
    others = [measure_rows.format_finding(f) for f in findings[1:4]]
    left = [wording.format_remainder(len(findings) - 4)] if len(findings) > 4 else []
    return [f"*Also*  {text}" for text in others] + left


def _format_notified_channels(rollout: Rollout, *, is_confirmed: bool) -> str:
    channels = [
        wording.escape(n.channel, 60) for n in rollout.plan.stakeholder_notices if rollout.notice_posted_at(n.key)
    ]
    return f" · {'told' if is_confirmed else 'telling'}: {', '.join(channels)}" if channels else ""


def render_unconfirmed(rollout: Rollout, event: FlipUnconfirmed, decided_at: datetime | None, zone: str) -> Message:
    """The urgent message that a rollback could not be confirmed, with what to do; `decided_at` may be unknown."""
    decided = f" at {wording.format_clock_time(decided_at, zone)}" if decided_at else ""
    missing = wording.join_limited([wording.escape(m, 60) for m in event.missing])
    old = wording.escape(rollout.plan.from_version, 40)
    subject = wording.format_subject(rollout)
    if event.stratum is not None:
        subject += f" for {wording.escape(event.stratum, 100)} alone"
    unset = [one for one in rollout.plan.driven if one.title in event.missing]
    titles = {one.title for one in unset}
    flags = wording.join_limited([wording.escape(one.title, 200) for one in unset])
    processes = [name for name in event.missing if name not in titles]
    first = (
        f"ROLLBACK NOT CONFIRMED: {subject} was told to switch{decided}, but after "
        f"{wording.format_duration(event.seconds)} "
        + (f"not every process serves {old}." if processes else _describe_unset(rollout, unset, flags))
    )
    stuck = [
        "*Likely*  a process that is stuck, or cut off from the database",
        f"*Do now*  restart it; until then it may still serve {wording.escape(rollout.plan.to_version, 40)}",
    ]
    by_hand = [line for one in unset for line in _list_steps_by_hand(rollout, one)]
    return blocks.build_message(
        first,
        blocks.lines_section(
            [f"*Not confirmed by*  {missing}", *(stuck if processes else []), *by_hand],
        ),
        blocks.actions(buttons.run_command("Status", f"status {rollout.id}")),
        blocks.context(
            f"{wording.format_actor(rollout.plan.owner, rollout.plan.owner_handle)} (owner): please act now"
        ),
    )


def _describe_unset(rollout: Rollout, unset: Sequence[DrivenFlag], flags: str) -> str:
    if len(unset) > 1:
        return f"{flags} are not back."
    return f"{flags} does not read {driven_words.format_position(rollout, unset[0].title, 0)}."


def _list_steps_by_hand(rollout: Rollout, driven: DrivenFlag) -> tuple[str, str]:
    """Why it could not be set, and what to do about it."""
    title, why = wording.escape(driven.title, 200), wording.escape(rollout.flag_troubles.get(driven.title, ""), 300)
    at = driven_words.format_position(rollout, driven.title, 0)
    return (
        f"*{'Label' if driven.is_label else 'Flag system'}*  {why or 'no answer so far'}",
        f"*Do now*  set {title} to {at} there by hand; Rampart keeps trying and will see it",
    )
