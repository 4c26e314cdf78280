"""Shortcuts that people took in a rollout: waits and stages skipped, holds overridden, blind spots accepted."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from core.rollout.decisions.reviewing import BREAK_GLASS_MARK
from core.rollout.plans.plan import Plan
from core.rollout.state import events as e
from core.rollout.state import holds
from core.rollout.state.history import HistoryEntry


class ShortcutKind(StrEnum):
    WAIT_SKIPPED = "wait_skipped"
    STAGES_SKIPPED = "stages_skipped"
    BREAK_GLASS = "break_glass"  # it went on although something was missing, which break-glass allows
    HOLD_OVERRIDDEN = "hold_overridden"
    BLIND_SPOTS_ACCEPTED = "blind_spots_accepted"


@dataclass(frozen=True, slots=True, kw_only=True)
class Shortcut:
    """One shortcut: who took it, at which stage, and why. `skipped` names the stages that were left out, if any."""

    kind: ShortcutKind
    by: str  # a stored actor id
    reason: str
    stage: str  # the stage that was left, or in which it was accepted
    at: datetime
    position: int
    skipped: tuple[str, ...] = ()


def find_shortcuts(plan: Plan, entries: Sequence[HistoryEntry]) -> tuple[Shortcut, ...]:
    """Every shortcut of a rollout, in order."""
    return tuple(_iterate_shortcuts(plan, entries))


def count_stages_skipped(shortcuts: Sequence[Shortcut]) -> int:
    """How many stages of the plan were left out."""
    return sum(len(shortcut.skipped) for shortcut in shortcuts)


def _iterate_shortcuts(plan: Plan, entries: Sequence[HistoryEntry]) -> Iterator[Shortcut]:
    index = -1
    asked: tuple[HistoryEntry, str] | None = None  # a skip that waits for approval
    for entry in entries:
        stage = plan.stages[index].name if index >= 0 else ""
        match entry.event:
            case e.Planned():
                plan, index, asked = entry.event.plan, -1, None
            case e.ApprovalRequested() if entry.event.skipped:
                asked = (entry, entry.event.skipped)
            case e.StageEntered() as entered:
                left_out = tuple(one.name for one in plan.stages[index + 1 : entered.index])
                cause, reason = (entry, entered.skipped) if entered.skipped else asked or (entry, "")
                if reason or left_out:
                    yield Shortcut(
                        kind=_classify_skip(reason, left_out),
                        by=cause.actor,
                        reason=reason,
                        stage=stage,
                        at=entry.at,
                        position=cause.position,
                        skipped=left_out,
                    )
                index, asked = entered.index, None
            case e.Held() if not holds.clears_itself(entry.event.key):
                asked = None  # the open request has lapsed
            case e.GlassBroken() as broken if broken.action == "start":
                yield Shortcut(
                    kind=ShortcutKind.BREAK_GLASS,
                    by=broken.by,
                    reason=broken.reason,
                    stage="",
                    at=entry.at,
                    position=entry.position,
                )
            case e.BlindSpotsAccepted() as accepted:
                yield Shortcut(
                    kind=ShortcutKind.BLIND_SPOTS_ACCEPTED,
                    by=accepted.by,
                    reason=accepted.reason,
                    stage=accepted.stage,
                    at=entry.at,
                    position=entry.position,
                )
            case e.Resumed() as resumed if resumed.overrides:
                yield Shortcut(
                    kind=ShortcutKind.HOLD_OVERRIDDEN,
                    by=resumed.by,
                    reason=resumed.reason,
                    stage=stage,
                    at=entry.at,
                    position=entry.position,
                )


def _classify_skip(reason: str, left_out: tuple[str, ...]) -> ShortcutKind:
    if BREAK_GLASS_MARK in reason:
        return ShortcutKind.BREAK_GLASS
    return ShortcutKind.STAGES_SKIPPED if left_out else ShortcutKind.WAIT_SKIPPED
