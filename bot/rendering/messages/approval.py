"""The approval request with its buttons, and the same message once it has been decided."""

from collections.abc import Callable
from datetime import datetime

from bot.rendering import headline, wording
from bot.rendering.blocks import blocks, buttons
from bot.rendering.blocks.blocks import Message
from bot.rendering.numbers import blind_spot_words, measure_rows, segments
from core.judging.model.verdict import Measure
from core.rollout import gating
from core.rollout.events import ApprovalRequested, Approved
from core.rollout.model import Rollout
from core.rollout.plan import content_hash

Mention = Callable[[str], str]


def render(
    rollout: Rollout,
    request: ApprovalRequested,
    approvals: tuple[Approved, ...],
    at: datetime,
    zone: str,
    mention: Mention = wording.escape,
) -> Message:
    """The open request, made `at`; `mention` formats a group name, as a Slack mention if the group is known."""
    given = len(approvals)
    first = f"Approval needed ({given} of {request.needed}): {_describe_request(rollout, request)}."
    return blocks.build_message(
        first,
        blocks.section(
            f"Asked by {_describe_requester(rollout)}, {wording.format_local_time(at, zone)} · expires "
            f"{wording.format_local_time(request.expires_at, zone)} (then {_describe_expiry(request)}) · "
            f"plan {rollout.fingerprint[:6]}{_format_evidence(rollout)}"
        ),
        blocks.lines_section(_list_arguments(rollout)),
        blocks.actions(
            buttons.approve(rollout, request.request, _format_gate(rollout, request)),
            buttons.reject(rollout, request.request),
            buttons.run_command("See evidence", f"metrics {rollout.id}") if rollout.evidence else None,
        ),
        blocks.context(_describe_missing_approvals(rollout, approvals, request, mention)),
    )


def _describe_request(rollout: Rollout, request: ApprovalRequested) -> str:
    subject, kind = wording.format_subject(rollout), wording.escape(rollout.kind, 60)
    if request.gate == gating.START_GATE:
        return f"start {subject} ({kind} change, {wording.format_version_change(rollout)})"
    return (
        f"move {subject} ({kind} change) from {wording.format_percent(rollout.percent)} to "
        f"{_format_gate(rollout, request)}"
    )


def _describe_requester(rollout: Rollout) -> str:
    """Who applied the rollout file and, if somebody else owns it, for whom."""
    by, owner = rollout.planned_by, rollout.plan.owner
    if (wording.slack_user_id(by) or by) == (wording.slack_user_id(owner) or owner):
        return wording.format_owner(rollout)
    return f"{wording.format_actor(by)} for {wording.format_owner(rollout)}"


def _format_gate(rollout: Rollout, request: ApprovalRequested) -> str:
    if request.gate == gating.START_GATE:
        return "the start"
    stage = next((s for s in rollout.plan.stages if s.name == request.gate), None)
    return headline.stage_label(stage) if stage else wording.escape(request.gate, 60)


def _describe_expiry(request: ApprovalRequested) -> str:
    return "a new request goes out" if request.gate == gating.START_GATE else "it stays on hold"


def _format_evidence(rollout: Rollout) -> str:
    return f" · evidence #{rollout.evidence.number}" if rollout.evidence else ""


def _list_arguments(rollout: Rollout) -> list[str]:
    versions = f"{wording.format_version_change(rollout)} (content {content_hash(rollout.to_content)})"
    lines = [f"What changes: {wording.escape(rollout.kind, 60)}, {versions}. Nothing else."]
    if (driven := rollout.plan.drives) is not None:
        lines.append(f"Flag it drives: {wording.escape(driven.title, 200)}, at {wording.escape(driven.url, 200)}")
    noticed = [b.text for b in rollout.plan.behaviour_changes if not b.unchanged]
    if noticed:
        lines.append(f"What people will notice: {' '.join(wording.escape(t, 200) for t in noticed[:3])}")
    if rollout.measures:
        worse = [
            m for m in rollout.measures if m.word in {"Worse", "Slightly worse, within limit", "Changed unexpectedly"}
        ]
        better = [m for m in rollout.measures if m.word == "Better"]
        fine = sum(m.word in {"Fine", "Better"} for m in rollout.measures)
        known = sum(m.word != "No data" for m in rollout.measures)
        gains = f"; {', '.join(_format_measure(m) for m in better[:3])}" if better else ""
        lines.append(f"For: {fine} of {known} measures fine or better{gains}.")
        lines.append(
            f"Against: {', '.join(_format_measure(m) for m in worse[:3])}." if worse else "Against: nothing so far."
        )
    if rollout.skipped:
        lines.append(f"Wait skipped: “{wording.escape(rollout.skipped, 300)}”")
    if blind_spots := blind_spot_words.format_current_blind_spots(rollout):
        lines.append(blind_spots)
    lines += blind_spot_words.list_accepted_blind_spots(rollout)
    if rollout.evidence is not None and rollout.evidence.segments:
        lines.append(segments.format_summary(rollout.evidence.segments, rollout.evidence.segments_checked))
    drill = (
        f"; the switch back took {wording.format_duration(max(rollout.drilled.values()))} in the drill"
        if rollout.drilled
        else ""
    )
    limits = wording.pluralize(len([x for x in rollout.plan.limits if x.can_act]), "agreed limit")
    lines.append(f"If it goes wrong: {limits} can switch it back or stop it automatically{drill}.")
    return lines


def _format_measure(measure: Measure) -> str:
    moved = wording.format_difference(measure.difference, measure.unit, relative=measure.relative)
    return f"{measure_rows.title_in_sentence(measure.metric, measure.title)} {moved}"


def _describe_missing_approvals(
    rollout: Rollout, approvals: tuple[Approved, ...], request: ApprovalRequested, mention: Mention
) -> str:
    given = f"Approved by {', '.join(wording.escape(a.handle, 40) for a in approvals)}. " if approvals else ""
    present = {g for a in approvals for g in a.groups}
    groups = [mention(g) for g in rollout.plan.approvals.groups if g not in present]
    left = request.needed - len(approvals)
    if groups:
        whom = f"one of {' and one of '.join(groups)}"
    elif left > 0:
        whom = wording.pluralize(left, "person", "people")
    else:
        whom = "nobody, it continues"
    own = (
        ""
        if rollout.plan.approvals.owner_may_approve
        else f" {wording.format_owner(rollout)} cannot approve their own change."
    )
    return f"{given}Waiting for: {whom}.{own}"


def render_closed(
    rollout: Rollout, request: ApprovalRequested, approvals: tuple[Approved, ...], outcome: str
) -> Message:
    """The message without buttons: who decided, or why it lapsed. `outcome` is a key of `OUTCOMES`."""
    word, text = OUTCOMES[outcome]
    names = ", ".join(wording.escape(a.handle, 40) for a in approvals)
    notes = [f"{wording.escape(a.handle, 40)}: “{wording.escape(a.note)}”" for a in approvals if a.note]
    by = f" by {names}" if names and outcome == "approved" else ""
    return blocks.build_message(
        f"{word}{by}: {_describe_request(rollout, request)}. {text}".rstrip(), blocks.lines_section(notes)
    )


OUTCOMES = {
    "approved": ("Approved", ""),
    "rejected": ("Rejected", "The reason is in the thread."),
    "expired": ("Expired", "Nobody decided in time."),
    "lapsed": ("Lapsed", "The plan, the stage or the evidence changed, so this request no longer counts."),
}
