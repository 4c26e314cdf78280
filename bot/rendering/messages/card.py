"""The card: one message per rollout that is edited in place and always current; its thread is the log."""

from datetime import datetime
from typing import TypeAlias

from bot.rendering import headline, wording
from bot.rendering.blocks import blocks, buttons
from bot.rendering.blocks.blocks import Block, Message
from bot.rendering.messages import rollback_alert
from bot.rendering.numbers import detectability, figures, segments
from core.judging.model.judgement import Judgement
from core.judging.model.verdict import Continue, NoControl
from core.rollout import gates
from core.rollout.events import EvidenceRecorded, RolledBack
from core.rollout.model import Rollout, State

Newer: TypeAlias = tuple[Judgement, datetime] | None
"""What a look has shown since the last evidence, and when; None where nothing."""


def render(rollout: Rollout, zone: str, newer: Newer = None) -> Message:
    """The card for the rollout's current state."""
    return blocks.message(
        headline.render(rollout, zone),
        blocks.section(headline.trail(rollout)),
        blocks.lines(state_lines(rollout, zone, newer)),
        steer(rollout),
        blocks.context(footer(rollout)),
    )


def footer(rollout: Rollout) -> str:
    """The fixed facts of a rollout: change, versions, surface, risk, owner, plan, ticket."""
    plan = rollout.plan
    ticket = f" · {wording.escape(plan.ticket, 200)}" if plan.ticket else ""
    drives = f" · drives {wording.escape(plan.drives.title, 200)}" if plan.drives is not None else ""
    return (
        f"{wording.escape(rollout.kind, 80)} · {wording.from_to(rollout)} · {wording.escape(plan.surface, 60)} · "
        f"risk {plan.risk} · owner {wording.owner(rollout)} · plan {rollout.fingerprint[:6]}{ticket}{drives}"
    )


def state_lines(rollout: Rollout, zone: str, newer: Newer = None) -> list[str]:
    """What the evidence shows so far, what was accepted, and what the rollout waits for; one line each."""
    said = []
    if rollout.plan.why and rollout.state is State.PLANNED:
        said.append(f"Why: {wording.escape(rollout.plan.why)}")
    seen = newer[0] if newer is not None else rollout.evidence
    if seen is not None and rollout.under_way:
        requests = f"{wording.plural(seen.canary_requests, 'request')} on the new version"
        beside = f", {wording.count(seen.control_requests)} on the current one" if seen.control_requests else ""
        said.append(f"{_so_far(seen)} · {requests}{beside} · {_as_of(rollout, zone, newer)}")
        if seen.segments:
            said.append(segments.line(seen.segments, seen.segments_checked))
        if unseen := detectability.so_far(rollout):
            said.append(unseen)
    said += detectability.accepted(rollout)
    if rollout.state is State.ON_HOLD:
        said.append(f'Either `/rollout resume {rollout.id} "why"` or roll back.')
    if rollout.request is not None and not gates.is_open(rollout) and rollout.approvals:
        said.append(f"Approved so far: {', '.join(wording.escape(a.handle, 40) for a in rollout.approvals)}.")
    if rollout.rollback is not None:
        said += _why(rollout.rollback)
    return said


def _as_of(rollout: Rollout, zone: str, newer: Newer) -> str:
    """The time of the numbers, and the newest evidence in the log."""
    evidence = f"evidence #{rollout.evidence.number}" if rollout.evidence is not None else ""
    if newer is not None:
        return f"seen {wording.when(newer[1], zone)}" + (f" · last {evidence}" if evidence else "")
    return f"{evidence}, {wording.when(rollout.evidence_at, zone)}" if rollout.evidence_at else evidence


def _so_far(seen: EvidenceRecorded | Judgement) -> str:
    """The verdict in words, or the limits that still lack data."""
    if not isinstance(seen.verdict, Continue | NoControl):
        return wording.verdict_word(seen.verdict)
    open_ = figures.undecided(seen.measures)
    return f"Not enough data yet for {open_}" if open_ else "Fine so far"


def _why(back: RolledBack) -> list[str]:
    if back.findings:
        return [f"Why: {rollback_alert.measured(back.findings[0])}"]
    return [f"Why: {wording.escape(back.reason)}"] if back.reason else []


def steer(rollout: Rollout) -> Block | None:
    """The buttons for the actions that are possible in this state; None if there are none."""
    details = buttons.run("Details", f"metrics {rollout.id}")
    match rollout.state:
        case State.PLANNED:
            ready = (
                not rollout.live_instead
                and rollout.start is None
                and (not rollout.plan.approvals.needed or gates.is_open(rollout))
            )
            return blocks.actions(buttons.run("Start", f"start {rollout.id}")) if ready else None
        case State.RUNNING | State.WAITING:
            return blocks.actions(
                buttons.pause(rollout), buttons.roll_back(rollout), buttons.feels_off(rollout), details
            )
        case State.ON_HOLD | State.PAUSED:
            return blocks.actions(buttons.resume(rollout), buttons.roll_back(rollout), details)
        case State.DONE:
            return blocks.actions(buttons.roll_back(rollout))
        case _:
            return None
