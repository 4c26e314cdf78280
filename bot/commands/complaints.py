"""Which rollout a complaint is about."""

from bot.commands import request
from bot.commands.parsing import resolve
from bot.commands.parsing.parsed_command import ParsedCommand, format_command
from bot.commands.request import ClarificationNeeded, CommandContext
from core.rollout.refusal import Refused
from core.rollout.state.model import Rollout
from core.rollout.state.world import World


def find_rollout(parsed: ParsedCommand, context: CommandContext, world: World) -> Rollout:
    """The rollout that was named; else that of the thread, or the only one under way, or the one that started last.

    Raises `ClarificationNeeded` if several are under way, with choices that run the same line for each.
    """
    user = ("--user", parsed.flags["user"]) if "user" in parsed.flags else ()
    again = format_command("complaint", parsed.text, *user).replace("{", "{{").replace("}", "}}") + " --id {id}"
    if parsed.rollout or context.thread_ts:
        return request.require_rollout(parsed.rollout, context, world, again)
    under_way = tuple(rollout for rollout in world.open_rollouts if rollout.is_under_way)
    if len(under_way) > 1:
        raise ClarificationNeeded(
            "Which AI feature is it about? Several are being changed.",
            choices=tuple(
                (f"{r.id} {r.plan.surface}", again.format(id=r.id)) for r in under_way[: resolve.MOST_CANDIDATES]
            ),
        )
    started = under_way or tuple(rollout for rollout in world.rollouts.values() if rollout.started_at is not None)
    newest = max(started, key=_started_at, default=None)
    if newest is None:
        raise Refused(
            "No rollout has started yet, so no customer has met a new version. Nothing was recorded.",
            hint="See /rollout list --all.",
        )
    return newest


def _started_at(rollout: Rollout) -> float:
    return rollout.started_at.timestamp() if rollout.started_at is not None else 0.0
