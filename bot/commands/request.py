"""Who asked, when, and under which id: what every verb needs besides its words."""

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
    """`thread_ts` is the thread in which it was asked, where Slack says so: it may be a rollout's."""

    service: Service
    by: Actor
    at: datetime
    command_id: str
    source: str = "slack"
    thread_ts: str = ""


class Unsure(Refused):
    """Nothing was done because it is not clear what is meant. `choices` are (label, command) that would be clear."""

    def __init__(self, message: str, *, hint: str = "", choices: tuple[tuple[str, str], ...] = ()) -> None:
        super().__init__(message, hint=hint, code="unsure")
        self.choices = choices


def rollout(reference: str, asked: Asked, world: World, again: str, *, only_running: bool = False) -> Rollout:
    """The rollout meant; `Unsure` otherwise, with choices that run `again` (`{id}` stands for the rollout)."""
    found = resolve.find(reference, world, thread_ts=asked.thread_ts, only_running=only_running)
    if isinstance(found, Rollout):
        return found
    raise unsure(found, again)


def unsure(found: resolve.Unclear, again: str) -> Unsure:
    """The question, with a choice for each rollout that may be meant."""
    hint = "" if found.candidates else "See /rollout list --all."
    return Unsure(found.question, hint=hint, choices=choices(found.candidates, again))


def choices(rollouts: Iterable[Rollout], again: str) -> tuple[tuple[str, str], ...]:
    """(label, command) for each, where `{id}` in `again` stands for it."""
    return tuple((f"{again.partition(' ')[0]} {r.id} {r.plan.name}", again.format(id=r.id)) for r in rollouts)


def members_only(asked: Asked) -> None:
    """`Refused` for a guest."""
    if not asked.by.full_member:
        raise Refused(
            "Guests can see where a rollout stands, and no more.", hint="Ask anyone in the channel.", code="forbidden"
        )
