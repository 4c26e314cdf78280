"""What every verb needs besides its words: who asks, when, and under which command id."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime

from bot.commands import resolve
from core.rollout.context import Actor
from core.rollout.model import Rollout
from core.rollout.refusal import Refused
from core.rollout.world import World
from core.service import Service


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """Who asks, when, and from where. `thread_ts` is the Slack thread, if any, which may belong to a rollout."""

    service: Service
    by: Actor
    at: datetime
    command_id: str
    source: str = "slack"
    thread_ts: str = ""


class Unsure(Refused):
    """Refused because it is unclear what is meant. `choices` are (label, command) pairs that would be clear."""

    def __init__(self, message: str, *, hint: str = "", choices: tuple[tuple[str, str], ...] = ()) -> None:
        super().__init__(message, hint=hint, code="unsure")
        self.choices = choices


def rollout(reference: str, asked: Asked, world: World, again: str, *, only_running: bool = False) -> Rollout:
    """The rollout that `reference` means.

    Raises `ClarificationNeeded` if that is unclear, with choices that run `retry_command` (`{id}` stands for the
    rollout).
    """
    found = resolve.find(reference, world, thread_ts=asked.thread_ts, only_running=only_running)
    if isinstance(found, Rollout):
        return found
    raise unsure(found, again)


def unsure(found: resolve.Unclear, again: str) -> Unsure:
    """The question to ask, with a choice for each rollout that may be meant."""
    hint = "" if found.candidates else "See /rollout list --all."
    return Unsure(found.question, hint=hint, choices=choices(found.candidates, again))


def choices(rollouts: Iterable[Rollout], again: str) -> tuple[tuple[str, str], ...]:
    """(label, command) for each rollout; `{id}` in `retry_command` stands for it."""
    return tuple((f"{again.partition(' ')[0]} {r.id} {r.plan.name}", again.format(id=r.id)) for r in rollouts)


def members_only(asked: Asked) -> None:
    """Raise `Refused` for guests."""
    if not asked.by.full_member:
        raise Refused(
            "Guests can see where a rollout stands, and no more.", hint="Ask anyone in the channel.", code="forbidden"
        )
