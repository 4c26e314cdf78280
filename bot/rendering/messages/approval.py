"""The approval request with its buttons, and the same message once it has been decided."""

from collections.abc import Callable
from datetime import datetime

from bot.rendering import headline, wording
from bot.rendering.blocks import blocks, buttons
from bot.rendering.blocks.blocks import Message
from bot.rendering.numbers import detectability, figures, segments
from core.judging.model.verdict import Measure
from core.rollout import gates
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
    first = f"Approval needed ({given} of {request.needed}): {_asked_for(rollout, request)}."
    return blocks.message(
        first,
        blocks.section(
            f"Asked by {_asked_by(rollout)}, {wording.when(at, zone)} · expires "
            f"{wording.when(request.expires_at, zone)} (then {_then(request)}) · "
            f"plan {rollout.fingerprint[:6]}{_evidence(rollout)}"
        ),
        blocks.lines(_for_and_against(rollout)),
        blocks.actions(
            buttons.approve(rollout, request.request, _gate(rollout, request)),
            buttons.reject(rollout, request.request),
            buttons.run("See evidence", f"metrics {rollout.id}") if rollout.evidence else None,
        ),
        blocks.context(_waiting_for(rollout, approvals, request, mention)),
    )


def _asked_for(rollout: Rollout, request: ApprovalRequested) -> str:
    subject, kind = wording.subject(rollout), wording.escape(rollout.kind, 60)
    if request.gate == gates.START:
        return f"start {subject} ({kind} change, {wording.from_to(rollout)})"
    return f"take {subject} ({kind} change) from {wording.percent(rollout.percent)} to {_gate(rollout, request)}"


def _asked_by(rollout: Rollout) -> str:
    """Who applied the rollout file and, if somebody else owns it, for whom."""
    by, owner = rollout.planned_by, rollout.plan.owner
    if (wording.user_id(by) or by) == (wording.user_id(owner) or owner):
        return wording.owner(rollout)
    return f"{wording.person(by)} for {wording.owner(rollout)}"


def _gate(rollout: Rollout, request: ApprovalRequested) -> str:
    if request.gate == gates.START:
        return "the start"
    stage = next((s for s in rollout.plan.stages if s.name == request.gate), None)
    return headline.step(stage) if stage else wording.escape(request.gate, 60)


def _then(request: ApprovalRequested) -> str:
    return "it is asked again" if request.gate == gates.START else "it stays on hold"


def _evidence(rollout: Rollout) -> str:
    return f" · evidence #{rollout.evidence.number}" if rollout.evidence else ""


def _for_and_against(rollout: Rollout) -> list[str]:
    versions = f"{wording.from_to(rollout)} (content {content_hash(rollout.to_content)})"
    said = [f"What changes: {wording.escape(rollout.kind, 60)}, {versions}. Nothing else."]
    if (driven := rollout.plan.drives) is not None:
        said.append(f"What it drives: {wording.escape(driven.title, 200)}, at {wording.escape(driven.url, 200)}")
    noticed = [b.text for b in rollout.plan.behaviour_changes if not b.unchanged]
    if noticed:
        said.append(f"What people will notice: {' '.join(wording.escape(t, 200) for t in noticed[:3])}")
    if rollout.measures:
        worse = [
            m for m in rollout.measures if m.word in {"Worse", "Slightly worse, within limit", "Changed unexpectedly"}
        ]
        better = [m for m in rollout.measures if m.word == "Better"]
        fine = sum(m.word in {"Fine", "Better"} for m in rollout.measures)
        known = sum(m.word != "No data" for m in rollout.measures)
        gains = f"; {', '.join(_moved(m) for m in better[:3])}" if better else ""
        said.append(f"For: {fine} of {known} measures fine or better{gains}.")
        said.append(
            f"Against: {', '.join(_moved(m) for m in worse[:3])}." if worse else "Against: nothing that was measured."
        )
    if rollout.skipped:
        said.append(f"Waiting was skipped: “{wording.escape(rollout.skipped, 300)}”")
    if unseen := detectability.so_far(rollout):
        said.append(unseen)
    said += detectability.accepted(rollout)
    if rollout.evidence is not None and rollout.evidence.segments:
        said.append(segments.line(rollout.evidence.segments, rollout.evidence.segments_checked))
    drill = f", drilled in {wording.duration(max(rollout.drilled.values()))}" if rollout.drilled else ""
    limits = wording.plural(len([x for x in rollout.plan.limits if x.acts]), "agreed limit")
    said.append(f"If it goes wrong: automatic switch back on {limits}{drill}.")
    return said


def _moved(measure: Measure) -> str:
    moved = wording.difference(measure.difference, measure.unit, relative=measure.relative)
    return f"{figures.named(measure.metric, measure.title).lower()} {moved}"


def _waiting_for(
    rollout: Rollout, approvals: tuple[Approved, ...], request: ApprovalRequested, mention: Mention
) -> str:
    given = f"Approved by {', '.join(wording.escape(a.handle, 40) for a in approvals)}. " if approvals else ""
    present = {g for a in approvals for g in a.groups}
    groups = [mention(g) for g in rollout.plan.approvals.groups if g not in present]
    left = request.needed - len(approvals)
    if groups:
        whom = f"one of {' and one of '.join(groups)}"
    elif left > 0:
        whom = wording.plural(left, "person", "people")
    else:
        whom = "nobody: it goes on"
    own = (
        ""
        if rollout.plan.approvals.owner_may_approve
        else f" {wording.owner(rollout)} cannot approve their own change."
    )
    return f"{given}Waiting for: {whom}.{own}"


def closed(rollout: Rollout, request: ApprovalRequested, approvals: tuple[Approved, ...], outcome: str) -> Message:
    """The message without buttons: who decided, or why it lapsed. `outcome` is a key of `OUTCOMES`."""
    word, text = OUTCOMES[outcome]
    names = ", ".join(wording.escape(a.handle, 40) for a in approvals)
    notes = [f"{wording.escape(a.handle, 40)}: “{wording.escape(a.note)}”" for a in approvals if a.note]
    by = f" by {names}" if names and outcome == "approved" else ""
    return blocks.message(f"{word}{by}: {_asked_for(rollout, request)}. {text}".rstrip(), blocks.lines(notes))


OUTCOMES = {
    "approved": ("Approved", ""),
    "rejected": ("Rejected", "The reason is in the thread."),
    "expired": ("Expired", "Nobody decided in time."),
    "lapsed": ("Lapsed", "The plan, the stage or the evidence changed, so this request no longer counts."),
}
