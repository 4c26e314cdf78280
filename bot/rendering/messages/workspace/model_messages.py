"""What a feature's engineers read about models: another one answers, or one is switched off."""

from datetime import date

from bot.rendering import wording
from bot.rendering.blocks import blocks
from bot.rendering.blocks.blocks import Message
from core.rollout.models.retirements import list_users
from core.rollout.state.surface import OtherModelAnswered, RetirementTold, Surface
from core.rollout.state.world import World

MAX_USERS = 10


def render_other_model(surface: Surface, event: OtherModelAnswered) -> Message:
    """Another model than the configured one answers for a version."""
    name, version = _format_name(surface), wording.escape(event.version, 40)
    answered, configured = wording.escape(event.answered, 100), wording.escape(event.configured, 100)
    return blocks.build_message(
        f"Another model answers: {name} {version} should call {configured}, but a response came from {answered}.",
        blocks.section(
            "Numbers of this version may belong to either model. Find out whether the provider or your gateway changed "
            "it, and set it back to the dated one. If it is meant to answer now and then, name it in `routing`."
        ),
    )


def render_retirement(world: World, event: RetirementTold, today: date) -> Message:
    """A model that AI features call is switched off; a proposal, as nothing is changed by itself."""
    model, on = wording.escape(event.model, 100), event.on
    left = (on - today).days
    when = f"{on:%a} {on.day} {on:%b %Y}"
    time = f"in {wording.pluralize(left, 'day')}, on {when}" if left > 0 else f"since {when}"
    calling = list_users(world, event.model)
    users = [f"{wording.escape(title, 60)} ({wording.escape(version, 40)})" for title, version in calling]
    to = f" to {wording.escape(event.replacement, 100)}" if event.replacement else ""
    verb = "is switched off" if left > 0 else "has been switched off"
    return blocks.build_message(
        f"Model retirement: {model} {verb} {time}.",
        blocks.lines_section(
            [
                f"AI features that call it: {wording.join_limited(users, MAX_USERS)}.",
                f"Proposal: plan a rollout{to} with `template: model-upgrade-high-stakes`, which takes about four "
                "weeks, and set `rollback_to_available_until` to the last day before. Nothing changes by itself.",
            ]
        ),
    )


def _format_name(surface: Surface) -> str:
    return wording.escape(surface.title or surface.name, 80)
