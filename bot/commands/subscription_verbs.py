"""The verbs `subscribe` and `unsubscribe`: direct messages about an AI feature."""

from bot.commands.answers.plan_queries import find_surface
from bot.commands.parsing.parsed_command import ParsedCommand
from bot.commands.request import AnswersByVerb, ClarificationNeeded, CommandContext
from bot.rendering.blocks.blocks import Message
from bot.rendering.messages.notices import subscription_messages
from core.rollout import commands as c
from core.rollout.workspace.subscriptions import AUDIENCES, Unsubscribed


def _subscribe(parsed: ParsedCommand, context: CommandContext) -> Message:
    world = context.service.load_world()
    if not parsed.rollout:
        raise ClarificationNeeded(
            "Which AI feature do you want to follow?",
            choices=tuple((f"subscribe {name} as support", f"subscribe {name} as support") for name in world.surfaces),
        )
    surface = find_surface(world, parsed.rollout)
    if not parsed.args:
        raise ClarificationNeeded(
            f"As whom do you want to follow {surface}?",
            choices=tuple((f"As {audience}", f"subscribe {surface} as {audience}") for audience in AUDIENCES),
        )
    outcome = context.submit(c.Subscribe(surface=surface, audience=parsed.args[0]))
    open_rollouts = [r for r in outcome.world.open_rollouts if r.plan.surface == surface]
    return subscription_messages.render_subscribed(
        outcome.world.surfaces[surface],
        parsed.args[0],
        open_rollouts,
        outcome.world.policy.timezone,
        is_new=bool(outcome.positions),
    )


def _unsubscribe(parsed: ParsedCommand, context: CommandContext) -> Message:
    world = context.service.load_world()
    surface = find_surface(world, parsed.rollout) if parsed.rollout else ""
    audience = parsed.args[0] if parsed.args else ""
    before = world.subscribers.find(context.by.id).topics
    outcome = context.submit(c.Unsubscribe(surface=surface, audience=audience))
    ended = {(r.event.surface, r.event.audience) for r in outcome.recorded if isinstance(r.event, Unsubscribed)}
    left = outcome.world.subscribers.find(context.by.id).topics
    return subscription_messages.render_unsubscribed([topic for topic in before if topic in ended], left)


ANSWERS: AnswersByVerb = {
    "subscribe": _subscribe,
    "unsubscribe": _unsubscribe,
}
