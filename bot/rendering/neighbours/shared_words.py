"""Parts that several rollouts change at once, in words: who changes what as well, and when they moved."""

from typing import Any

from bot.rendering import reach_words, wording
from core.rollout.concurrency.shared_parts import OtherMove, SharedPart


def describe(shared: SharedPart) -> str:
    """That another rollout changes the same part, and what that means, in one sentence."""
    other = shared.rollout
    name, surface = wording.escape(other.plan.name, 60), wording.escape(other.plan.surface, 60)
    named = f", {wording.escape(shared.name, 80)}" if shared.name else ""
    part = f"the same model{named}" if shared.part == "model" else f"the same piece of a prompt{named}"
    where = f"{surface}, at {reach_words.format_share(other)}" if other.is_under_way else f"{surface}, ended"
    return f"Shared: {other.id} {name} ({where}) changes {part}: a shift in one may come from the other."


def describe_move(move: OtherMove, zone: str) -> str:
    """One step of another rollout: `R-7 (sales-assistant) to 25 %, Tue 24 Nov 12:00`."""
    when = wording.format_local_time(move.at, zone)
    return f"{move.rollout} ({wording.escape(move.surface, 60)}) {_format_step(move)}, {when}"


def format_mark(move: OtherMove) -> str:
    """The label of the mark in a chart: `R-7 25 %`."""
    reached = "back" if move.is_rollback else reach_words.format_share_of(move.percent, move.audience)
    return f"{move.rollout} {reached}"


def to_json(shared: SharedPart) -> dict[str, Any]:
    """For programs: which part of which rollout; `name` is empty for a piece of a text."""
    other = shared.rollout
    return {"part": shared.part, "name": shared.name, "rollout": other.id, "surface": other.plan.surface}


def _format_step(move: OtherMove) -> str:
    return "rolled back" if move.is_rollback else f"to {reach_words.format_share_of(move.percent, move.audience)}"
