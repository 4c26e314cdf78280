"""Who may give which command: the role that each one requires, and what an agent may."""

from typing import assert_never

from core.rollout import commands as c
from core.rollout.context import Context
from core.rollout.permissions import approvers, roles
from core.rollout.refusal import Refused
from core.rollout.state.model import Rollout


def required_role(command: c.Command) -> str:
    """The role that a command requires: `operator`, `approver` or `admin`; empty if every full member may give it."""
    match command:
        case c.Approve() | c.Reject():
            return "approver"
        case c.ApplySurface() | c.ApplyPolicy():
            return "admin"
        case (
            c.PlanRollout()
            | c.PlanBundle()
            | c.Start()
            | c.Advance()
            | c.Resume()
            | c.Abandon()
            | c.RecordEval()
            | c.SubmitReview()
        ):
            return "operator"
        case c.Decide() | c.ConfirmReverted() | c.ExtendStage():
            return "operator"
        case (
            c.Pause()
            | c.RollBack()
            | c.ExplainRollback()
            | c.FeelsOff()
            | c.CastVote()
            | c.AcknowledgeNotice()
            | c.RaiseConcern()
            | c.AnswerConcerns()
            | c.RequestReminder()
            | c.MoveBack()
            | c.ReportComplaint()
        ):
            return ""
        case c.Subscribe() | c.Unsubscribe() | c.ChangeNotifications() | c.FreezeChanges():
            return ""
        case c.ReportOtherModel() | c.TellRetirement():
            return "admin"  # only the engine gives these
        case c.UnfreezeChanges() | c.RequestApproval() | c.EndHoldout():
            return "operator"
        case c.ForceForward():
            return ""  # the policy names the groups that may
        case (
            c.Tick()
            | c.DoubtEvidence()
            | c.DoubtComplaints()
            | c.RecordDrill()
            | c.ConfirmFlip()
            | c.DoubtFlip()
            | c.RecordPosted()
            | c.RecordFailed()
            | c.RecordFlag()
            | c.RecordFlagTrouble()
            | c.RecordFlagLowered()
            | c.RecordRevert()
            | c.RecordRevertTrouble()
            | c.MoveConversations()
            | c.EndDueHoldout()
            | c.RecordHoldout()
            | c.RecordAnchors()
            | c.RecordJudgingCap()
        ):
            return ""  # only the engine gives these
        case _:
            assert_never(command)


def check_command(rollout: Rollout | None, command: c.Command, context: Context) -> None:
    """Raise `Refused` if the actor may not give this command."""
    by = context.by
    if by.is_system:
        return
    if by.is_agent:
        _check_agent(command)
    if isinstance(command, c.CastVote) and not by.is_full_member:
        raise Refused(
            "Only full members of the workspace can vote, not guests and not deactivated accounts.",
            hint="Tell a colleague what you noticed: they can report it.",
            code="forbidden",
        )
    role = required_role(command)
    roles.check_role("" if role == "approver" else role, context)
    if role == "approver":
        assert rollout is not None
        approvers.check_approver(rollout, context)


def _check_agent(command: c.Command) -> None:
    """Agents prepare, pause and roll back. Whatever lets more people get a new version is for people."""
    match command:
        case c.Pause() | c.RollBack():
            return
        case c.PlanRollout(plan=plan) if plan.start is None:
            return
        case c.PlanRollout():
            raise Refused(
                "The file has a start, and an agent may not start a rollout.",
                hint="Leave start out of the file. A person starts it in Slack.",
                code="forbidden",
            )
        case _:
            raise Refused(
                "An agent may plan a rollout, pause it and roll it back, and nothing else.",
                hint="Ask a person to do it in Slack.",
                code="forbidden",
            )
