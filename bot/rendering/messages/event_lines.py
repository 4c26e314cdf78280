"""One line per event, shared by the thread under the card, the answers to commands, and the history."""

from datetime import datetime

from bot.rendering import headline, wording
from bot.rendering.blocks import blocks, buttons
from bot.rendering.blocks.blocks import Message
from bot.rendering.messages import rollback_alert
from bot.rendering.numbers import detectability
from core.rollout import events as e
from core.rollout import holds
from core.rollout.model import Rollout
from core.rollout.plan import StageKind


def render(rollout: Rollout, event: e.RolloutEvent, at: datetime, zone: str) -> Message:
    """The thread message for an event at `at`; `rollout` may already include later events."""
    held = isinstance(event, e.Held)
    steer = blocks.actions(buttons.resume(rollout), buttons.roll_back(rollout)) if held and rollout.hold else None
    return blocks.message(line(rollout, event, zone), steer)


def line(rollout: Rollout, event: e.RolloutEvent, zone: str) -> str:
    """One sentence about an event: state word, subject, consequence; escaped mrkdwn."""
    match event:
        case e.Planned():
            return (
                f"Planned by {wording.person(event.by)}: {wording.subject(rollout)}, "
                f"{wording.escape(rollout.kind, 60)}, {wording.from_to(rollout)}. "
                f"Plan {event.fingerprint[:6]}; nothing changes yet."
            )
        case e.Started():
            locked = f"Plan and limits are locked ({event.fingerprint[:6]})."
            return f"Started by {wording.person(event.by)}: {rollout.id}. {locked}{_unread(rollout)}"
        case e.StageEntered():
            return _entered(rollout, event, zone)
        case e.Paused():
            stays = f"{wording.percent(rollout.percent)} stays" if rollout.under_way else "Limits were still watched"
            by = wording.person(event.by)
            return f"Paused by {by}{_quoted(event.reason)}. {stays}. Resume: /rollout resume {rollout.id}"
        case e.Resumed():
            aside = " What held it is set aside." if event.overrides else ""
            return f"Resumed by {wording.person(event.by)}{_quoted(event.reason)}.{aside}"
        case e.Held():
            until = (
                "Nothing grows meanwhile; it goes on by itself once that is over."
                if holds.clears_itself(event.key)
                else f"Nothing grows until {wording.owner(rollout)} decides."
            )
            helps = f" {detectability.ways_out(rollout)}" if _is_blind(event) else ""
            return f"On hold: {rollout.id}, {wording.escape(event.text, 200)}. {until}{helps}".rstrip()
        case e.HoldCleared():
            return f"Running again: {rollout.id}. What held it has cleared by itself."
        case e.Approved():
            return f"Approved by {wording.escape(event.handle, 80)}: {rollout.id}{_quoted(event.note)}."
        case e.Rejected():
            return f"Rejected by {wording.person(event.by)}: {rollout.id}{_quoted(event.reason)}."
        case e.ApprovalRequested():
            skipped = f" Waiting was skipped{_quoted(event.skipped)}." if event.skipped else ""
            return f"Approval needed: {rollout.id}, {event.needed} for {wording.escape(event.gate, 60)}.{skipped}"
        case e.ApprovalExpired():
            return f"Approval request expired: {rollout.id}. Nobody decided in time."
        case e.StartScheduled():
            start = wording.when(event.start, zone)
            return f"Scheduled by {wording.person(event.by)}: {rollout.id} starts {start} by itself."
        case e.BaseChanged():
            return _base(rollout, event)
        case e.RolledBack():
            why = _quoted(event.reason)
            return f"Rolled back by {wording.person(event.by)}: {rollout.id}{why}. Everyone is on {_old(event)} again."
        case e.FlipConfirmed():
            took = wording.duration(event.seconds)
            return f"Confirmed: {rollout.id} was switched back everywhere after {took}{rollback_alert.unheard(event)}."
        case e.FlipUnconfirmed():
            return (
                f"NOT CONFIRMED: {rollout.id}, after {wording.duration(event.seconds)} not every process has switched."
            )
        case e.Completed():
            new, old = wording.escape(event.version, 40), wording.escape(event.retired, 40)
            unseen = "".join(f" {text}" for text in detectability.accepted(rollout))
            return f"Done: {rollout.id}. {new} is what everyone gets; {old} is retired. Roll back still works.{unseen}"
        case e.Abandoned():
            return f"Abandoned by {wording.person(event.by)}: {rollout.id}{_quoted(event.reason)}. Nothing was changed."
        case _:
            return _smaller(rollout, event)


def _smaller(rollout: Rollout, event: e.RolloutEvent) -> str:
    match event:
        case e.NoticeAcknowledged():
            return f"Read by {wording.escape(event.handle, 80)}: the notice of {rollout.id} ({_channel(event.notice)})."
        case e.ConcernRaised():
            where = f" in {_channel(event.notice)}" if event.notice else ""
            return f"Concern: {wording.escape(event.handle, 80)}{where} about {rollout.id}{_quoted(event.text)}."
        case e.FeltOff():
            who = wording.escape(event.handle, 80)
            more = " A second person who says so holds it." if len(rollout.felt_off) < 2 else ""
            return f"Feels off: {who} about {rollout.id}{_quoted(event.text)}.{more}"
        case e.EvalRecorded():
            counted = f"{event.passed} of {event.passed + event.failed + event.errors} passed"
            errors = f", {wording.plural(event.errors, 'error')}" if event.errors else ""
            reasons = (
                f": {wording.listing([wording.escape(r, 200) for r in event.reasons], 3)}" if event.reasons else ""
            )
            cases = f" ({wording.listing([wording.escape(c, 60) for c in event.cases])})" if event.cases else ""
            word = "Checks passed" if event.ok else "Checks failed"
            return f"{word}: {rollout.id} {wording.escape(event.suite, 60)}, {counted}{errors}{reasons}{cases}."
        case e.BlindSpotsAccepted():
            by, stage = wording.person(event.by), wording.escape(event.stage, 60)
            return (
                f"Accepted by {by} at {stage}: {rollout.id} goes on although it could have missed "
                f"{detectability.listed(event.spots)}{_quoted(event.reason)}."
            )
        case e.DrillFinished():
            word = "Drill passed" if event.ok else "Drill failed"
            return f"{word}: {rollout.id} switched there and back in {wording.duration(event.seconds)}, on no traffic."
        case e.EvidenceRecorded():
            word = wording.verdict_word(event.verdict).lower()
            return f"Looked: {rollout.id}, {word} (evidence #{event.number}, {event.reason})."
        case e.MessagePosted():
            return f"Told: {wording.escape(event.key, 80)}."
        case e.MessageFailed():
            channel, error = wording.escape(event.channel, 60), wording.escape(event.error, 100)
            what = f"a message to {channel} could not be posted ({error})"
            return f"Not delivered: {what}. Invite the app there, then tell them yourself."
        case e.FlagSet():
            was = f" (was {wording.percent(event.before)})" if event.before != event.percent else ""
            took = f"read back {wording.duration(event.seconds)} after it was decided"
            at = f"{wording.escape(event.flag, 200)} is at {wording.percent(event.percent)}"
            return f"Flag set: {rollout.id}, {at}{was}, {took}."
        case e.FlagNotSet():
            where, why = wording.escape(event.flag, 200), wording.escape(event.error, 300)
            on = "It is tried again by itself." if event.trying else "Mend that and it is set, or set it there by hand."
            return f"FLAG NOT SET: {rollout.id}, {where} should be at {wording.percent(event.percent)}: {why}. {on}"
        case _:
            return f"{type(event).__name__}: {rollout.id}."


def _is_blind(event: e.Held) -> bool:
    return event.key == holds.UNREAD or event.key.startswith(holds.UNDECIDED)


def _unread(rollout: Rollout) -> str:
    """The channels that were asked to confirm the notice and have not; at high risk this prevents the start."""
    asked = [n for n in rollout.plan.told_before if n.acknowledge and not rollout.acknowledged.get(n.key)]
    channels = wording.listing([wording.escape(n.channel, 60) for n in asked], 3)
    return f" Nobody in {channels} has confirmed the notice." if asked else ""


def _base(rollout: Rollout, event: e.BaseChanged) -> str:
    live, old = wording.escape(event.live, 40), wording.escape(rollout.plan.from_version, 40)
    surface = wording.escape(rollout.plan.surface, 60)
    if event.live == rollout.plan.from_version:
        return f"Can start again: {rollout.id}. {old} is live on {surface} again."
    todo = f"Set `change.from` to {live} and apply the file again, or /rollout abandon {rollout.id}."
    return f"Cannot start: {rollout.id} starts from {old}, and {live} went live on {surface}. {todo}"


def _entered(rollout: Rollout, event: e.StageEntered, zone: str) -> str:
    stage = rollout.plan.stages[event.index]
    before = rollout.plan.stages[event.index - 1].percent if event.index else 0.0
    was = f" (was {wording.percent(before)})" if stage.kind is StageKind.RAMP and before else ""
    skipped = f" Waiting was skipped{_quoted(event.skipped)}." if event.skipped else ""
    word = wording.stage_word(stage)
    if not stage.exposes:
        return f"{word}: {rollout.id}, {wording.escape(event.name, 40)}. Nobody sees it yet.{skipped}"
    at = headline.next_step_at(rollout) if rollout.stage_index == event.index and rollout.under_way else None
    following = f" Next: {headline.following(rollout)} {wording.when(at, zone)} at the earliest." if at else ""
    if stage.kind is StageKind.BAKE:
        return f"{word}: {rollout.id} is with everyone; the old version stays one switch away.{following}{skipped}"
    name = f" ({wording.escape(event.name, 40)})" if stage.kind is StageKind.COHORT else ""
    return f"{word}: {rollout.id} now {wording.percent(event.percent)}{was}{name}.{following}{skipped}"


def _old(event: e.RolledBack) -> str:
    return wording.escape(event.version, 40)


def _quoted(text: str) -> str:
    return f": “{wording.escape(text, 300)}”" if text else ""


def _channel(notice: str) -> str:
    return wording.escape(notice.partition(":")[2], 60)


def detail(event: e.RolloutEvent) -> tuple[str, str]:
    """(what, detail) of an event for a one-line log entry; plain text, not escaped."""
    match event:
        case e.Planned():
            return "planned", f"{event.plan.from_version} -> {event.plan.to_version}, plan {event.fingerprint[:6]}"
        case e.ApprovalRequested():
            why = f", wait skipped: {event.skipped}" if event.skipped else ""
            return "asked", f"{event.needed} for {event.gate} ({event.request}), on verdict {event.verdict}{why}"
        case e.Approved():
            return "approved", f"{event.request} by {event.handle} {event.note}".rstrip()
        case e.Rejected():
            return "rejected", f"{event.request}: {event.reason}"
        case e.BaseChanged():
            return "live now", event.live
        case e.Started():
            return "started", f"limits locked {event.fingerprint[:6]}"
        case e.StageEntered():
            why = f", wait skipped: {event.skipped}" if event.skipped else ""
            return "stage", f"{event.name} {event.percent:g} %{why}"
        case e.EvidenceRecorded():
            return "looked", f"evidence #{event.number}: {wording.verdict_word(event.verdict).lower()} ({event.reason})"
        case e.Held():
            return "on hold", event.text
        case e.RolledBack():
            first = wording.clean(rollback_alert.measured(event.findings[0])) if event.findings else event.reason
            return "rolled back", f"to {event.version} {first}".rstrip()
        case e.FlipConfirmed():
            silent = f", {len(event.unheard)} not heard" if event.unheard else ""
            return "confirmed", f"observed on {event.processes} after {wording.duration(event.seconds)}{silent}"
        case e.Completed():
            return "done", f"{event.version} is live, {event.retired} retired"
        case e.MessagePosted():
            what, _, channel = event.key.partition(":")
            return "told", f"{what.replace('_', ' ')} {channel.rpartition(':')[2] if '#' in channel else ''}".strip()
        case e.MessageFailed():
            return "not told", f"{event.channel}: {event.error}"
        case e.FlagSet():
            return "flag set", f"{event.flag} at {event.percent:g} %"
        case e.FlagNotSet():
            return "flag not set", f"{event.flag} at {event.percent:g} %: {event.error}"
        case e.EvalRecorded():
            return "checks", f"{event.suite}: {event.passed} passed, {event.failed} failed, {event.errors} errors"
        case _:
            said = getattr(event, "reason", "") or getattr(event, "text", "") or getattr(event, "key", "")
            return type(event).TYPE.partition(".")[2].replace("_", " "), said
