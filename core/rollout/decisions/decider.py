"""What a command does to a rollout: one table, from each command to the function that decides it."""

from typing import assert_never

from core.rollout import commands as c
from core.rollout.context import Context
from core.rollout.decisions import engine_decisions, engine_reports, gate_results, judge_checks, reviewing
from core.rollout.decisions.people import (
    advancing,
    approvals,
    break_glass,
    comparison,
    feedback,
    going_back,
    planning,
    running,
)
from core.rollout.permissions import command_rights
from core.rollout.serving import code_reverts, conversations, driving, holdout
from core.rollout.state import events as e
from core.rollout.state.model import Rollout
from core.rollout.votes import voting


def decide(rollout: Rollout | None, command: c.RolloutCommand, context: Context) -> list[e.RolloutEvent]:
    """The events that follow from `command`; none if what it asks for is already the case.

    Raises `Refused` with a message for the person who asked.
    """
    command_rights.check_command(rollout, command, context)
    if isinstance(command, c.PlanRollout):
        return planning.plan_rollout(rollout, command, context)
    assert rollout is not None, "the service answers for what does not exist"
    return reviewing.add_request(rollout, _decide_command(rollout, command, context), context)


def _decide_command(
    rollout: Rollout, command: c.PersonCommand | c.EngineCommand, context: Context
) -> list[e.RolloutEvent]:
    match command:
        case c.Start():
            return running.start_rollout(rollout, command, context)
        case c.Pause():
            return running.pause_rollout(rollout, command, context)
        case c.Resume():
            return running.resume_rollout(rollout, command, context)
        case c.Advance():
            return advancing.advance_rollout(rollout, command, context)
        case c.ForceForward():
            return break_glass.break_glass(rollout, command, context)
        case c.Decide():
            return comparison.decide_comparison(rollout, command, context)
        case c.RequestApproval():
            return approvals.request_approval_again(rollout, context)
        case c.Approve():
            return approvals.approve_request(rollout, command, context)
        case c.Reject():
            return approvals.reject_request(rollout, command, context)
        case c.RollBack():
            return going_back.roll_back(rollout, command, context)
        case c.ExtendStage():
            return running.extend_stage(rollout, context)
        case c.ExplainRollback():
            return going_back.explain_rollback(rollout, command, context)
        case c.MoveBack():
            return going_back.move_back(rollout, command, context)
        case c.CastVote():
            return voting.cast_vote(rollout, command, context)
        case c.ConfirmReverted():
            return code_reverts.confirm(rollout, command, context)
        case c.Abandon():
            return planning.abandon_rollout(rollout, command, context)
        case c.AcknowledgeNotice():
            return feedback.acknowledge_notice(rollout, command, context)
        case c.RaiseConcern():
            return feedback.raise_concern(command, context)
        case c.AnswerConcerns():
            return feedback.answer_concerns(rollout, command, context)
        case c.RequestReminder():
            return feedback.request_reminder(rollout, command, context)
        case c.FeelsOff():
            return feedback.record_felt_off(rollout, command, context)
        case c.ReportComplaint():
            return feedback.report_complaint(rollout, command, context)
        case c.SubmitReview():
            return reviewing.submit_review(rollout, command, context)
        case c.RecordEval():
            return gate_results.record_eval(rollout, command, context)
        case c.RecordDrill():
            return gate_results.record_drill(rollout, command)
        case c.Tick():
            return engine_decisions.decide_tick(rollout, command.look, context)
        case c.DoubtEvidence():
            return engine_reports.hold_for_doubted_evidence(rollout, command)
        case c.DoubtComplaints():
            return engine_reports.hold_for_complaints(rollout, command)
        case c.ConfirmFlip():
            return engine_reports.confirm_flip(rollout, command)
        case c.DoubtFlip():
            return engine_reports.doubt_flip(rollout, command)
        case c.RecordPosted():
            return engine_reports.record_posted(command)
        case c.RecordFailed():
            return engine_reports.record_failed(command)
        case c.RecordFlag() | c.RecordFlagTrouble() | c.RecordFlagLowered():
            return driving.decide(rollout, command)
        case c.RecordRevert() | c.RecordRevertTrouble():
            return code_reverts.decide(rollout, command)
        case c.RecordAnchors():
            return judge_checks.record_anchors(rollout, command, context)
        case c.RecordJudgingCap():
            return judge_checks.record_cap(rollout, command)
        case c.MoveConversations():
            return conversations.move_when_due(rollout, context)
        case c.EndHoldout():
            return holdout.end_by_person(rollout, command, context)
        case c.EndDueHoldout():
            return holdout.end_when_due(rollout, context)
        case c.RecordHoldout():
            return holdout.record_comparison(rollout, command)
        case _:
            assert_never(command)
