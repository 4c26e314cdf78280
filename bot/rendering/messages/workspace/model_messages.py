"""What a feature's engineers read about models: another one answers, or one is switched off."""

from collections.abc import Sequence
from datetime import date, timedelta

from bot.rendering import wording
from bot.rendering.blocks import blocks
from bot.rendering.blocks.blocks import Message
from core.rollout.models.retirements import UPGRADE_DAYS, ModelUse, ModelUser, list_users
from core.rollout.state.surface import OtherModelAnswered, RetirementTold, Surface
from core.rollout.state.world import World

MAX_USERS = 10
_LEAST_DAYS_FOR_STAGES = 4  # with fewer left, only the shortest template reaches everyone in time


def render_other_model(surface: Surface, event: OtherModelAnswered) -> Message:
    """Another model than the configured one answers for a version."""
    name, version = wording.escape(surface.title or surface.name, 80), wording.escape(event.version, 40)
    answered, configured = wording.escape(event.answered, 100), wording.escape(event.configured, 100)
    return blocks.build_message(
        f"Another model answers: {name} {version} should call {configured}, but a response came from {answered}.",
        blocks.section(
            "Numbers of this version may belong to either model. Find out whether the provider or your gateway changed "
            f"it, and set it back to {configured}. If it is meant to answer now and then, name it in `routing`."
        ),
    )


def render_retirement(world: World, event: RetirementTold, today: date) -> Message:
    """A model that AI features call is switched off; a proposal, as nothing is changed by itself."""
    model, on = wording.escape(event.model, 100), event.on
    left = (on - today).days
    when = f"{on:%a} {on.day} {on:%b %Y}"
    time = f"in {wording.pluralize(left, 'day')}, on {when}" if left > 0 else f"since {when}"
    verb = "is switched off" if left > 0 else "has been switched off"
    users = list(list_users(world, event.model))
    return blocks.build_message(
        f"Model retirement: {model} {verb} {time}.",
        blocks.lines_section(
            [
                *_list_live(users),
                *_list_ways_back(users, on - timedelta(days=1)),
                *_list_planned(users),
                *_propose(users, event.replacement, left),
            ]
        ),
    )


def _list_live(users: Sequence[ModelUser]) -> list[str]:
    calling = [_format_user(one) for one in users if one.use is ModelUse.LIVE]
    return [f"AI features that call it: {wording.join_limited(calling, MAX_USERS)}."] if calling else []


def _list_ways_back(users: Sequence[ModelUser], last: date) -> list[str]:
    back = [f"{one.rollout} to {_format_user(one)}" for one in users if one.use is ModelUse.WAY_BACK]
    until = f"{last:%a} {last.day} {last:%b %Y}"
    return [f"These can be rolled back until {until} only: {wording.join_limited(back, MAX_USERS)}."] if back else []


def _list_planned(users: Sequence[ModelUser]) -> list[str]:
    to = [f"{one.rollout} to {_format_user(one)}" for one in users if one.use is ModelUse.PLANNED]
    named = wording.join_limited(to, MAX_USERS)
    return [f"These lead to it, so name another model in their files: {named}."] if to else []


def _propose(users: Sequence[ModelUser], replacement: str, left: int) -> list[str]:
    """What to do in the days that are left until nobody can call it any more."""
    if not any(one.use is ModelUse.LIVE for one in users):
        return ["Nothing changes by itself."]
    to = f" to {wording.escape(replacement, 100)}" if replacement else ""
    if left <= 0:
        return [
            f"Do now: plan a rollout{to} with `template: emergency-fix`, which reaches everyone within about an hour. "
            "Until then people may get no answers; nothing changes by itself, and nobody is moved back to it."
        ]
    later = "Nothing changes by itself, and nobody is moved back to it once it is off."
    if left >= UPGRADE_DAYS:
        return [
            f"Proposal: plan a rollout{to} with `template: model-upgrade-high-stakes`, which takes about four weeks. "
            f"{later}"
        ]
    short = (
        "`template: emergency-fix`, which takes hours" if left < _LEAST_DAYS_FOR_STAGES else "shorter stages of its own"
    )
    return [
        f"Do now: plan a rollout{to} with {short}. The usual `template: model-upgrade-high-stakes` takes about four "
        f"weeks, and only {wording.pluralize(left, 'day')} {'is' if left == 1 else 'are'} left. {later}"
    ]


def _format_user(user: ModelUser) -> str:
    return f"{wording.escape(user.title, 60)} ({wording.escape(user.version, 40)})"
