"""What happened at each event, in sentences that stay true: shared by thread, answers and history."""

from typing import assert_never

from bot.rendering import reach_words, wording
from bot.rendering.messages import decision, rollback_words
from bot.rendering.messages.alerts import glass_broken
from bot.rendering.messages.audience import holdout_words, layer_words, stratum_words
from bot.rendering.neighbours import bundle_words, queue_words
from bot.rendering.numbers import eval_words, judge_words, measure_rows, tester_words
from bot.rendering.numbers.detectability import blind_spot_words, known_areas
from bot.rendering.sentences import driven_words, headline
from core import durations
from core.rollout.decisions import approval_requests
from core.rollout.plans.plan import StageKind
from core.rollout.plans.renewal import PlanRenewal
from core.rollout.state import events as e
from core.rollout.state import holds
from core.rollout.state.model import Rollout

_CHECKED_FOR = {
    "verdict": "",
    "summary": "",
    "step": ", before the next step",
    "hold": ", which holds it",
    "rollback": ", which rolls it back",
}
"""Why evidence was recorded, as a line says it, by the event's reason."""


def format_outcome(event: e.EvidenceRecorded) -> str:
    """What recorded evidence came to, inside a sentence: `watching, quality not known yet`."""
    return known_areas.describe_outcome(event.verdict, event.measures).lower().replace(":", ",")


def describe_event(rollout: Rollout, event: e.RolloutEvent, zone: str) -> str:
    """What happened, in sentences that stay true: state word, subject, consequence; escaped mrkdwn.

    `rollout` is the state after the event, or a later one.
    """
    match event:
        case e.Planned(renewal=PlanRenewal() as renewal):
            return queue_words.describe_renewal(rollout.id, event.plan, renewal)
        case e.Planned():
            return (
                f"Planned by {wording.format_actor(event.by)}: {wording.format_subject(rollout)}, "
                f"{wording.escape(rollout.kind, 60)} change, {wording.format_version_change(rollout)}. "
                f"Plan {event.fingerprint[:6]}; nothing changes yet.{_format_baseline(event)}"
            )
        case e.Started():
            locked = f"Plan and limits are locked ({event.fingerprint[:6]})."
            given = (event.layer.layer, event.layer.share) if event.layer is not None else None
            reach = layer_words.describe_plan(rollout.plan, given)
            layer = f" {layer_words.TITLE}: {reach}" if reach else ""
            return (
                f"Started by {wording.format_actor(event.by)}: {rollout.id}. "
                f"{locked}{layer}{_format_unread_notices(rollout)}"
            )
        case e.StageEntered():
            return _format_stage_entry(rollout, event)
        case e.Paused():
            stays = (
                f"It stays {reach_words.format_position(rollout)}"
                if rollout.is_under_way
                else "Limits were still being watched"
            )
            by = wording.format_actor(event.by)
            return f"Paused by {by}{_format_reason(event.reason)}. {stays}."
        case e.Resumed():
            aside = " The hold no longer counts." if event.overrides else ""
            return f"Resumed by {wording.format_actor(event.by)}{_format_reason(event.reason)}.{aside}"
        case e.StageExtended():
            more = durations.format_hours(event.asked_at)
            return (
                f"Extended by {wording.format_actor(event.by)}: {rollout.id} has {more} in this stage before somebody "
                "is asked again. It grows before that only if there is enough evidence."
            )
        case e.Held():
            return f"On hold: {rollout.id}, {wording.escape(event.text, 200)}."
        case e.HoldCleared():
            return f"Running again: {rollout.id}. The hold cleared by itself."
        case e.Approved():
            return f"Approved by {wording.escape(event.handle, 80)}: {rollout.id}{_format_reason(event.note)}."
        case e.Rejected():
            return f"Rejected by {wording.format_actor(event.by)}: {rollout.id}{_format_reason(event.reason)}."
        case e.ApprovalRequested():
            skipped = f" The wait was skipped{_format_reason(event.skipped)}." if event.skipped else ""
            needs = wording.pluralize(event.needed, "approval")
            purpose = (
                "to start"
                if event.gate == approval_requests.START_GATE
                else f"for {headline.name_stage_of(rollout.plan, event.gate)}"
            )
            return f"Approval needed: {rollout.id} needs {needs} {purpose}.{skipped}"
        case e.ApprovalExpired():
            return f"Approval request expired: {rollout.id}. Nobody decided in time."
        case e.StartScheduled():
            start = wording.format_local_time(event.start, zone)
            return f"Scheduled by {wording.format_actor(event.by)}: {rollout.id} starts automatically {start}."
        case e.BaseChanged():
            return _format_base_change(rollout, event)
        case e.RolledBack():
            why = _format_reason(event.reason)
            if event.findings:
                why = f", because a limit was broken: {wording.escape(holds.name_limit(event.findings[0]), 200)}"
            warning = rollback_words.warn_if_retired(rollout, event, rollout.ended_at or rollout.planned_at, zone)
            old, new = wording.escape(event.version, 40), wording.escape(rollout.plan.to_version, 40)
            reach = (
                f"New conversations get {old} again; those under way finish on {new}."
                if event.finishing
                else f"Everyone got {old} again."
            )
            return (
                f"Rolled back by {wording.format_actor(event.by)}: {rollout.id}{why}. {reach}"
                f"{f' Note: {warning}.' if warning else ''}"
            )
        case e.ConversationsMoved():
            return _format_conversations_moved(rollout, event)
        case e.Bundled():
            return f"Bundled by {wording.format_actor(event.by)}: {bundle_words.describe_bundled(rollout.id, event)}"
        case e.Unbundled():
            name, by = wording.escape(event.bundle, 100), wording.format_actor(event.by)
            return f"Unbundled by {by}: {rollout.id} moves alone, no longer with the bundle {name}."
        case e.BundleNotFollowed():
            why, name = wording.escape(event.why, 300), wording.escape(event.bundle, 100)
            return f"NOT ROLLED BACK: {rollout.id} did not go back with {event.cause} of the bundle {name}: {why}."
        case e.RollbackExplained():
            why = rollback_words.format_explanation(event)
            return f"Explained by {wording.escape(event.handle, 80)}: {rollout.id} was rolled back because {why}."
        case e.HoldoutEnded():
            return holdout_words.describe_end(rollout, event)
        case e.HoldoutCompared():
            return holdout_words.describe_comparison(rollout, event.found)
        case e.StratumRolledBack():
            return stratum_words.describe_event(rollout, event)
        case e.FlipConfirmed(stratum=str()):
            return f"{stratum_words.describe_flip(rollout, event)}{rollback_words.format_silent_processes(event)}."
        case e.FlipConfirmed():
            took = wording.format_duration(event.seconds)
            return (
                f"Confirmed: {rollout.id} was switched back everywhere after "
                f"{took}{rollback_words.format_silent_processes(event)}."
            )
        case e.FlipUnconfirmed():
            return (
                f"NOT CONFIRMED: {rollout.id}. After {wording.format_duration(event.seconds)} not every process has "
                "switched."
            )
        case e.Completed():
            new, old = wording.escape(event.version, 40), wording.escape(event.retired, 40)
            accepted = "".join(f" {text}" for text in blind_spot_words.list_accepted_risks(rollout))
            left = holdout_words.describe_plan(rollout.plan)
            if rollout.plan.holdout is not None:
                held = wording.format_percent(rollout.plan.holdout.percent)
                done = f"Done: {rollout.id}. Everyone but {held} gets {new}."
                return f"{done} {holdout_words.TITLE}: {left}{accepted}"
            return f"Done: {rollout.id}. Everyone gets {new}.{accepted}"
        case e.Abandoned():
            return (
                f"Abandoned by {wording.format_actor(event.by)}: {rollout.id}{_format_reason(event.reason)}. "
                "Nothing changed."
            )
        case e.NoticeAcknowledged():
            return (
                f"Read by {wording.escape(event.handle, 80)}: the notice for {rollout.id} "
                f"({_notice_channel(event.notice)})."
            )
        case e.ConcernRaised():
            where = f" in {_notice_channel(event.notice)}" if event.notice else ""
            return f"Concern: {wording.escape(event.handle, 80)}{where} about {rollout.id}{_format_reason(event.text)}."
        case e.ConcernsAnswered():
            who = wording.escape(event.handle, 80)
            return f"{who} answered the concerns about {rollout.id}{_format_reason(event.text)}."
        case e.ReminderRequested(next_step=True):
            return f"{wording.format_actor(event.by)} will be told of the next step of {rollout.id}."
        case e.ReminderRequested():
            who = wording.format_actor(event.by)
            return f"{who} will be told when watching {rollout.id} is over, or it is switched back."
        case e.FeltOff():
            who = wording.escape(event.handle, 80)
            return f"Feels off: {who} about {rollout.id}{_format_reason(event.text)}."
        case e.VoteCast():
            who, word = wording.escape(event.handle, 80), tester_words.answer_word(event.choice)
            return f"Vote: {who} on {rollout.id} in {_vote_stage(rollout, event)}: {word}{_format_reason(event.text)}."
        case e.AnchorsJudged():
            return judge_words.describe_round(rollout, event)
        case e.JudgeMoved():
            return judge_words.describe_move(rollout, event)
        case e.JudgeSettled():
            return f"The judge of {rollout.id} judges its anchors as before again. What it judges from now on counts."
        case e.JudgingCapReached():
            return judge_words.describe_cap(rollout, event)
        case e.VoteWithdrawn():
            return f"Vote withdrawn: {wording.format_actor(event.by)} on {rollout.id}."
        case e.UnitMovedBack():
            by, version = wording.format_actor(event.by), wording.escape(event.version, 40)
            return (
                f"Moved back by {by}: one customer gets {version} again until {rollout.id} ends."
                f"{f' Reason{_format_reason(event.reason)}.' if event.reason else ''} {format_moved_back(rollout)}"
            ).rstrip()
        case e.ComplaintReported():
            who, counted = wording.escape(event.handle, 80), _format_complaint_arm(rollout, event)
            return f"Complaint: {who} about {rollout.id}{_format_reason(event.text)}. {counted}"
        case e.EvalRecorded():
            counted = f"{event.passed} of {event.passed + event.failed + event.errors} passed"
            errors = f", {wording.pluralize(event.errors, 'error')}" if event.errors else ""
            reasons = (
                f": {wording.join_limited([wording.escape(r, 200) for r in event.reasons], 3)}" if event.reasons else ""
            )
            cases = f" ({wording.join_limited([wording.escape(c, 60) for c in event.cases])})" if event.cases else ""
            word = f"{eval_words.name_gate(rollout, event)} {'passed' if event.ok else 'failed'}"
            suite = f" {wording.escape(event.suite, 60)}" if event.suite else ""
            return f"{word}: {rollout.id}{suite}, {counted}{errors}{reasons}{cases}."
        case e.ComparisonEnded():
            return f"Comparison over: {rollout.id}. {decision.describe_advice(event)} A person decides."
        case e.ComparisonDecided():
            return decision.format_line(rollout, event)
        case e.BlindSpotsAccepted():
            by, stage = wording.format_actor(event.by), wording.escape(event.stage, 60)
            return (
                f"Accepted by {by} at {stage}: {rollout.id} continues although it could have missed "
                f"{blind_spot_words.join_blind_spots(event.spots)}{_format_reason(event.reason)}."
            )
        case e.DrillFinished():
            word = "Drill passed" if event.ok else "Drill failed"
            return (
                f"{word}: {rollout.id} switched there and back in {wording.format_duration(event.seconds)}, with no "
                "traffic."
            )
        case e.EvidenceRecorded():
            outcome = format_outcome(event)
            return f"Checked: {rollout.id}, {outcome} (evidence #{event.number}{_CHECKED_FOR[event.reason]})."
        case e.MessagePosted():
            return f"Posted: {wording.escape(event.key, 80)}."
        case e.MessageFailed():
            channel, error = wording.escape(event.channel, 60), wording.escape(event.error, 100)
            what = f"a message to {channel} could not be posted ({error})"
            return f"Not delivered: {what}."
        case e.FlagSet():
            before = driven_words.format_position(rollout, event.flag, event.before)
            was = f" (was {before})" if event.before != event.percent else ""
            took = f"read back {wording.format_duration(event.seconds)} after the decision"
            at = driven_words.format_position(rollout, event.flag, event.percent)
            return f"Flag set: {rollout.id}, {wording.escape(event.flag, 200)} is at {at}{was}, {took}."
        case e.RevertRequested():
            where = wording.escape(event.reference, 300)
            return f"Revert requested: {rollout.id}, {where}. It still needs your pipeline; the flag is off already."
        case e.RevertNotRequested():
            what, why = wording.escape(event.system, 200), wording.escape(event.error, 300)
            return f"CODE NOT REVERTED: {rollout.id}, {what}: {why}. The flag is off."
        case e.CodeReverted():
            by = wording.format_actor(event.by)
            return f"Code reverted: {rollout.id}, confirmed by {by}{_format_reason(event.note)}."
        case e.FlagNotSet():
            where, why = wording.escape(event.flag, 200), wording.escape(event.error, 300)
            at = driven_words.format_position(rollout, event.flag, event.percent)
            return f"FLAG NOT SET: {rollout.id}, {where} should be at {at}: {why}."
        case e.GlassBroken():
            return f"{glass_broken.describe(rollout, event)}{_format_reason(event.reason)}."
        case e.GrowthFrozen():
            until = wording.format_local_time(event.until, zone)
            by = wording.format_actor(event.by)
            return (
                f"Frozen by {by} until {until}: {rollout.id}{_format_reason(event.reason)}. Rolling back still works."
            )
        case e.GrowthUnfrozen():
            return f"No longer frozen, by {wording.format_actor(event.by)}: {rollout.id}."
        case e.ReviewRequested():
            due = wording.format_local_time(event.due_at, zone)
            return f"Needs review: {rollout.id}, by {due}. Its four questions are in the thread."
        case e.ReviewSubmitted():
            by = wording.format_actor(event.by, event.handle)
            kept = "What was measured is the new normal." if event.keeps_baseline else "No baseline was kept."
            return f"Reviewed by {by}: {rollout.id}. {kept}"
        case e.TailsFrozen():
            metrics = wording.join_limited(
                [
                    measure_rows.title_in_sentence(metric, measure_rows.find_title(rollout, metric))
                    for metric in event.caps
                ]
            )
            return f"Capped: {rollout.id}. From now on extreme readings count as the cap: {metrics}."
        case _:
            assert_never(event)


def _format_complaint_arm(rollout: Rollout, event: e.ComplaintReported) -> str:
    """What the customer got, as far as it is known, and whether the complaint counts in the comparison."""
    version = wording.escape(event.version, 40)
    if event.arm:
        which = "new" if version == wording.escape(rollout.plan.to_version, 40) else "old"
        return f"The customer got {version}: it counts against the {which} version (at most once an hour per customer)."
    if event.version:
        return f"The customer got {version}, which is not part of the comparison now, so it is noted but not counted."
    return "Without a customer id we cannot tell which version it was; noted, not counted."


def format_moved_back(rollout: Rollout) -> str:
    """How many customers people moved back, and that they are not compared any more; empty if there are none."""
    many = len(rollout.moved_back)
    if not many:
        return ""
    customers = wording.pluralize(many, "customer")
    return f"{customers} moved back so far; what they do now is not compared any more."


def _format_baseline(event: e.Planned) -> str:
    return f" Sample sizes: baseline from {wording.escape(event.baseline, 40)}." if event.baseline else ""


def _format_unread_notices(rollout: Rollout) -> str:
    """The channels that were asked to confirm the notice and have not; at high risk this prevents the start."""
    asked = [n for n in rollout.plan.stakeholder_notices if n.acknowledge and not rollout.acknowledged.get(n.key)]
    channels = wording.join_limited([wording.escape(n.channel, 60) for n in asked], 3)
    return f" Nobody in {channels} has confirmed the notice." if asked else ""


def _format_base_change(rollout: Rollout, event: e.BaseChanged) -> str:
    live, old = wording.escape(event.live, 40), wording.escape(rollout.plan.from_version, 40)
    surface = wording.escape(rollout.plan.surface, 60)
    if event.live == rollout.plan.from_version:
        return f"Can start again: {rollout.id}. {old} is live on {surface} again."
    if rollout.start is not None:
        return f"Changed meanwhile: {rollout.id} starts from {old}, but {live} is now live on {surface}."
    return f"Cannot start: {rollout.id} starts from {old}, but {live} is now live on {surface}."


def _format_stage_entry(rollout: Rollout, event: e.StageEntered) -> str:
    stage = rollout.plan.stages[event.index]
    left = _find_stage_left(rollout, event.index)
    before = rollout.plan.stages[left] if left is not None else None
    was = ""
    if stage.kind is StageKind.RAMP and before is not None and before.has_exposure:
        was = f" (was {reach_words.format_stage_share(rollout, before)})"
    skipped = _format_skipped_wait(rollout, event, left)
    word = wording.stage_word(stage, partial=rollout.leaves_some_out)
    if not stage.has_exposure:
        return f"{word}: {rollout.id}, {wording.escape(event.name, 40)}. Nobody sees it yet.{skipped}"
    if stage.kind is StageKind.BAKE:
        whom = reach_words.name_everyone(rollout)
        return f"{word}: {rollout.id} is with {whom}; its limits are still watched.{skipped}"
    return f"{word}: {rollout.id} now {reach_words.format_stage_share(rollout, stage)}{was}.{skipped}"


def _find_stage_left(rollout: Rollout, entered: int) -> int | None:
    """The index of the stage that was left for this one, which need not be the one before it in the plan."""
    stages = [span.index for span in rollout.spans]
    if entered in stages[1:]:
        return stages[stages.index(entered) - 1]
    return entered - 1 if entered else None


def _format_skipped_wait(rollout: Rollout, event: e.StageEntered, left: int | None) -> str:
    """Who accepted the risk of a step that was not waited for, with the stages in between; empty if it was."""
    if not event.skipped:
        return ""
    by = f" by {wording.format_actor(event.skipped_by)}" if event.skipped_by else ""
    between = [] if left is None else rollout.plan.stages[left + 1 : event.index]
    names = wording.join_limited([headline.name_stage_of(rollout.plan, one.name) for one in between], 3)
    what = f"the wait and {names} were" if names else "the wait was"
    return f" Risk accepted{by}: {what} skipped{_format_reason(event.skipped)}."


def _format_conversations_moved(rollout: Rollout, event: e.ConversationsMoved) -> str:
    live = rollout.plan.to_version if rollout.rollback is None else rollout.plan.from_version
    now = f"those that were still under way get {wording.escape(live, 40)} too"
    if event.is_due:
        return f"Conversations: the time to finish after {rollout.id} is over; {now}."
    return f"Conversations changed at once by {wording.format_actor(event.by)}: {now}{_format_reason(event.reason)}."


def _vote_stage(rollout: Rollout, event: e.VoteCast) -> str:
    return wording.escape(rollout.plan.stages[event.stage].name, 60)


def _format_reason(text: str) -> str:
    return f": “{wording.escape(text, 300)}”" if text else ""


def _notice_channel(notice: str) -> str:
    return wording.escape(notice.partition(":")[2], 60)
