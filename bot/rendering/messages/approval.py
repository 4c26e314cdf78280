"""The approval request with its buttons, and the same message once it has been decided."""

from collections.abc import Callable
from datetime import datetime

from bot.rendering import reach_words, wording
from bot.rendering.blocks import blocks, buttons
from bot.rendering.blocks.blocks import Block, Message
from bot.rendering.messages import plan_facts
from bot.rendering.messages.plan_facts import DecisionFacts, FactSection
from bot.rendering.sentences import headline
from core.rollout.decisions import approval_requests
from core.rollout.state.events import ApprovalRequested, Approved
from core.rollout.state.model import Rollout

Mention = Callable[[str], str]
NO_FACTS = DecisionFacts()


def render(
    rollout: Rollout,
    request: ApprovalRequested,
    approvals: tuple[Approved, ...],
    at: datetime,
    zone: str,
    mention: Mention = wording.escape,
    facts: DecisionFacts = NO_FACTS,
) -> Message:
    """The open request, made `at`; `mention` formats a group name, as a Slack mention if the group is known.

    `facts` is what is known besides the rollout.
    """
    given = len(approvals)
    first = f"Approval needed ({given} of {request.needed}): {_describe_request(rollout, request)}."
    return blocks.build_message(
        first,
        blocks.section(
            f"Asked by {_describe_requester(rollout, request)}, {wording.format_local_time(at, zone)} · expires "
            f"{wording.format_local_time(request.expires_at, zone)} (then {_describe_expiry(request)}) · "
            f"risk {rollout.plan.risk} · plan {rollout.fingerprint[:6]}{_format_evidence(rollout)}"
        ),
        *(_build_section(section) for section in plan_facts.list_sections(rollout, facts, zone, at)),
        blocks.actions(
            buttons.approve(rollout, request.request, headline.name_gate(rollout, request.gate)),
            buttons.reject(rollout, request.request),
            buttons.view_difference(rollout.plan.surface, rollout.plan.from_version, rollout.plan.to_version),
            buttons.run_command("See evidence", f"metrics {rollout.id}") if rollout.evidence else None,
        ),
        blocks.context(_describe_missing_approvals(rollout, approvals, request, mention)),
    )


def render_details(rollout: Rollout, facts: DecisionFacts, zone: str) -> Message:
    """Everything that the request shows of the rollout, for those who want to read it without being asked."""
    return blocks.build_message(
        headline.render(rollout, zone),
        *(_build_section(section) for section in plan_facts.list_sections(rollout, facts, zone)),
        blocks.actions(
            buttons.view_difference(rollout.plan.surface, rollout.plan.from_version, rollout.plan.to_version)
        ),
    )


def _describe_request(rollout: Rollout, request: ApprovalRequested) -> str:
    subject, kind = wording.format_subject(rollout), wording.escape(rollout.kind, 60)
    if request.gate == approval_requests.START_GATE:
        return f"start {subject} ({kind} change, {wording.format_version_change(rollout)})"
    share, step = reach_words.format_share(rollout), headline.name_gate(rollout, request.gate)
    return f"move {subject} ({kind} change) from {share} to {step}"


def _describe_requester(rollout: Rollout, request: ApprovalRequested) -> str:
    """Who applied the rollout file and, if somebody else owns it, for whom; of a later step, who skipped the wait
    before it, or that the plan asks."""
    if request.gate != approval_requests.START_GATE:
        by_whom = wording.format_actor(request.skipped_by) if request.skipped_by else "Rampart"
        return f"{by_whom} for {wording.format_owner(rollout)}"
    by, owner = rollout.planned_by, rollout.plan.owner
    if (wording.slack_user_id(by) or by) == (wording.slack_user_id(owner) or owner):
        return wording.format_owner(rollout)
    return f"{wording.format_actor(by)} for {wording.format_owner(rollout)}"


def _describe_expiry(request: ApprovalRequested) -> str:
    return "a new request goes out" if request.gate == approval_requests.START_GATE else "it stays on hold"


def _format_evidence(rollout: Rollout) -> str:
    return f" · evidence #{rollout.evidence.number}" if rollout.evidence else ""


def _build_section(section: FactSection) -> Block:
    """A heading with its lines below it, or beside it if there is only one."""
    if section.is_list:
        return blocks.section("\n".join([f"*{section.title}*", *(f" • {line}" for line in section.lines)]))
    return blocks.section(f"*{section.title}*  " + "\n".join(section.lines))


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
