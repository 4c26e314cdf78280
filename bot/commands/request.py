"""What every verb needs besides its words: who asks, when, and under which command id."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import TypeAlias

from bot.commands.parsing import resolve
from bot.commands.parsing.parsed_command import ParsedCommand
from bot.rendering.blocks.blocks import Message
from core.rollout import commands as c
from core.rollout.context import Actor, Context
from core.rollout.permissions import roles
from core.rollout.refusal import Refused
from core.rollout.state.events import NewEvent
from core.rollout.state.model import Rollout
from core.rollout.state.world import World
from core.service.service import CommandOutcome, CommandRequest, RolloutService


@dataclass(frozen=True, slots=True, kw_only=True)
class CommandContext:
    """Who asks, when, and from where. `thread_ts` is the Slack thread, if any, which may belong to a rollout."""

    service: RolloutService
    by: Actor
    at: datetime
    command_id: str
    source: str = "slack"
    thread_ts: str = ""
    link_page: Callable[[str], str] = lambda page: ""
    """The address under which this person alone may open a page for an hour; empty where there is none."""

    def submit(self, command: c.Command, rollout: str = "") -> CommandOutcome:
        """Carry out a command of this person. Raises what `RolloutService.handle` raises."""
        return self.service.handle(self._build_request(command, rollout))

    def preview(self, command: c.Command, rollout: str = "") -> tuple[NewEvent, ...]:
        """The events that `submit` would record. Writes nothing; raises the refusal that `submit` would raise."""
        return self.service.preview(self._build_request(command, rollout))

    def _build_request(self, command: c.Command, rollout: str) -> CommandRequest:
        return CommandRequest(
            command=command,
            command_id=self.command_id,
            by=self.by,
            at=self.at,
            rollout=rollout,
            source=self.source,
        )


AnswersByVerb: TypeAlias = Mapping[str, Callable[[ParsedCommand, CommandContext], Message]]


class ClarificationNeeded(Refused):
    """Refused because it is unclear what is meant. `choices` are (label, command) pairs that would be clear."""

    def __init__(self, message: str, *, hint: str = "", choices: tuple[tuple[str, str], ...] = ()) -> None:
        super().__init__(message, hint=hint, code="unsure")
        self.choices = choices


def require_rollout(reference: str, context: CommandContext, world: World, retry_command: str) -> Rollout:
    """The rollout that `reference` means.

    Raises `ClarificationNeeded` if that is unclear, with choices that run `retry_command` (`{id}` stands for the
    rollout).
    """
    found = resolve.find_rollout(reference, world, thread_ts=context.thread_ts)
    if isinstance(found, Rollout):
        return found
    raise build_clarification(found, retry_command)


def require_rollout_for_member(reference: str, context: CommandContext, retry_command: str) -> tuple[World, Rollout]:
    """The world, and of it the rollout as in `require_rollout`. Raises `Refused` for guests."""
    require_member(context)
    world = context.service.load_world()
    return world, require_rollout(reference, context, world, retry_command)


def build_clarification(found: resolve.Unclear, retry_command: str) -> ClarificationNeeded:
    """The question to ask, with a choice for each rollout that may be meant."""
    hint = "" if found.candidates else "See /rollout list --all."
    return ClarificationNeeded(found.question, hint=hint, choices=build_choices(found.candidates, retry_command))


def build_choices(rollouts: Iterable[Rollout], retry_command: str) -> tuple[tuple[str, str], ...]:
    """(label, command) for each rollout; `{id}` in `retry_command` stands for it."""
    return tuple(
        (f"{retry_command.partition(' ')[0]} {r.id} {r.plan.name}", retry_command.format(id=r.id)) for r in rollouts
    )


def require_role(role: str, context: CommandContext, world: World) -> None:
    """Raise `Refused` unless the person has this role, `operator` or `admin`; empty means every full member."""
    roles.check_role(role, Context(at=context.at, by=context.by, policy=world.policy, surface=None))


def require_member(context: CommandContext) -> None:
    """Raise `Refused` for guests."""
    if not context.by.is_full_member:
        raise Refused(
            "Guests can only see where a rollout stands.", hint="Ask anyone in the channel.", code="forbidden"
        )
