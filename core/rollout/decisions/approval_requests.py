"""Which approvals a step needs, what they are bound to, and whether they are there."""

from datetime import UTC, datetime

from core.judging.model.verdict import Cleared, Continue, NoControl, Verdict
from core.rollout.context import Context
from core.rollout.plans.plan import GATE_KINDS, AdvanceMode, Risk, Stage, StageKind
from core.rollout.state.events import ApprovalRequested
from core.rollout.state.model import Rollout, RolloutState

START_GATE = "start"


def count_approvals_needed(rollout: Rollout, stage: Stage | None) -> int:
    """How many approvals are needed before `stage` is entered; None stands for the start.

    Standard risk asks once, at the start; high risk at every step that exposes more people.
    """
    required = rollout.plan.approvals.needed
    if stage is None:
        return required
    if stage.kind in GATE_KINDS or stage.kind is StageKind.BAKE:
        return 0
    if rollout.plan.risk is Risk.HIGH:
        return max(required, 2)
    return max(required, 1) if stage.advance is AdvanceMode.APPROVE else 0


def build_approval_request(
    rollout: Rollout, gate: str, needed: int, context: Context, skipped: str = ""
) -> ApprovalRequested:
    """The approval request for `gate`, bound to the plan and the current verdict. `skipped`: why a person skipped the
    wait."""
    return ApprovalRequested(
        request=f"{rollout.id}.{rollout.requests_made + 1}",
        gate=gate,
        needed=needed,
        verdict=approval_basis(rollout.evidence.verdict if rollout.evidence else None),
        expires_at=find_expiry(context),
        skipped=skipped or None,
        skipped_by=context.by.id if skipped else None,
    )


def find_expiry(context: Context) -> datetime:
    """When a request that is made now expires. One that would expire in a freeze, when nothing could come of it, is
    open for as long after its end."""
    policy = context.policy
    expires = context.at + policy.approval_expires
    for _ in policy.freezes:  # once for each at most: a weekly one could come again and again
        if (frozen := policy.find_freeze(expires)) is not None:
            expires = frozen[1].astimezone(UTC) + policy.approval_expires
    return expires


def approval_basis(verdict: Verdict | None) -> str:
    """The verdict that an approval is bound to. All verdicts that do not object count as the same one."""
    return "Continue" if isinstance(verdict, Continue | Cleared | NoControl) else verdict_name(verdict)


def verdict_name(verdict: Verdict | None) -> str:
    """What makes two verdicts differ: the kind and the metrics it names, not the numbers.

    The name is stored in approval requests, so renaming a verdict class changes it.
    """
    if verdict is None:
        return "none"
    findings = getattr(verdict, "findings", ())
    return ":".join([type(verdict).__name__, *sorted({f.metric for f in findings})])


def is_approved(rollout: Rollout) -> bool:
    """Whether enough people, and one of each required group, have approved the open request."""
    return rollout.request is not None and rollout.missing_approvals == 0


def needs_start_approval(rollout: Rollout) -> bool:
    """Whether somebody has to approve the start: as the plan says, or because a renewed plan replaces what is live."""
    return bool(rollout.plan.approvals.needed) or (
        rollout.state is RolloutState.PLANNED and rollout.renewal is not None and bool(rollout.renewal.replaces)
    )


def describe_missing_approvals(rollout: Rollout) -> str:
    """Whose approvals the open request still needs, in words."""
    left, groups = rollout.missing_approvals, rollout.missing_groups
    whom = f" from {' and '.join(groups)}" if groups else ""
    return f"{left} more approval{'s' if left != 1 else ''}{whom}"
