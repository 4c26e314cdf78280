"""The modal of one's own notifications: what to follow, what to see first, and quiet hours; built, and its answers
read."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import time
from typing import Any
from zoneinfo import ZoneInfo

from bot.rendering.blocks import inputs, modals
from core.rollout import commands as c
from core.rollout.state.surface import Surface
from core.rollout.workspace.subscriptions import AUDIENCES, Subscriber, Topic

CALLBACK = "notifications"
TOPICS, ROLE, QUIET_FROM, QUIET_UNTIL, ZONE = "topics", "role", "quiet_from", "quiet_until", "zone"
_NO_ROLE = "none"
_ROLE_TEXTS = {
    _NO_ROLE: "What needs me",
    "support": "What changes this week (support)",
    "marketing": "What changes this week (marketing)",
    "engineering": "What needs me (engineering)",
    "downstream": "What needs me (a team that builds on it)",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class UnusableAnswers(Exception):
    """Answers that cannot be saved: what is wrong, by block id."""

    errors: Mapping[str, str]


def build_form(person: Subscriber, surfaces: Sequence[Surface], zone: str) -> dict[str, Any]:
    """The form as it is now; `zone` is the person's time zone in Slack, for those who never chose one."""
    return modals.build_form(
        CALLBACK,
        "My notifications",
        [
            inputs.multi_menu(
                TOPICS,
                "What do you follow?",
                _list_choices(person, surfaces),
                hint="You get its notices and what follows as direct messages.",
                initial=[_join(topic) for topic in person.topics],
            ),
            inputs.menu(
                ROLE,
                "What do you want to see first here?",
                list(_ROLE_TEXTS.items()),
                initial=person.role or _NO_ROLE,
            ),
            inputs.time_input(QUIET_FROM, "Quiet hours from", initial=_format_time(person.quiet_from)),
            inputs.time_input(QUIET_UNTIL, "Quiet hours until", initial=_format_time(person.quiet_until)),
            inputs.text_input(
                ZONE,
                "Your time zone",
                initial=person.zone or zone,
                hint="Such as Europe/Berlin. A rollback is told at once, at any hour.",
                max_length=60,
            ),
        ],
        submit="Save",
    )


def _list_choices(person: Subscriber, surfaces: Sequence[Surface]) -> list[inputs.Choice]:
    """Every AI feature as every audience; what is followed comes first, since a menu has a hundred choices."""
    titles = {surface.name: surface.title or surface.name for surface in surfaces}
    everything = [Topic(name, audience) for name in titles for audience in AUDIENCES]
    ordered = [*(t for t in person.topics if t in everything), *(t for t in everything if t not in person.topics)]
    return [(_join(topic), f"{titles[topic.surface]} as {topic.audience}") for topic in ordered]


def read_form(view: Mapping[str, Any]) -> c.ChangeNotifications:
    """The command that saves the answers. Raises `UnusableAnswers`."""
    values = view["state"]["values"]
    quiet = {name: values[name][name].get("selected_time") for name in (QUIET_FROM, QUIET_UNTIL)}
    errors: dict[str, str] = {}
    for name, other in ((QUIET_FROM, QUIET_UNTIL), (QUIET_UNTIL, QUIET_FROM)):
        if quiet[other] and not quiet[name]:
            errors[name] = "Quiet hours need both a beginning and an end. Leave both empty to have none."
    zone = str(values[ZONE][ZONE].get("value") or "").strip()
    if not _is_zone(zone):
        errors[ZONE] = f'"{zone}" is not a time zone: write one such as Europe/Berlin.'
    if errors:
        raise UnusableAnswers(errors=errors)
    role = (values[ROLE][ROLE].get("selected_option") or {}).get("value", _NO_ROLE)
    chosen = values[TOPICS][TOPICS].get("selected_options") or []
    return c.ChangeNotifications(
        role="" if role == _NO_ROLE else role,
        quiet_from=_parse_time(quiet[QUIET_FROM]),
        quiet_until=_parse_time(quiet[QUIET_UNTIL]),
        zone=zone,
        topics=tuple(_split(option["value"]) for option in chosen),
    )


def _join(topic: Topic) -> str:
    return f"{topic.surface}|{topic.audience}"


def _split(value: str) -> tuple[str, str]:
    surface, _, audience = value.rpartition("|")
    return surface, audience


def _format_time(at: time | None) -> str:
    return f"{at:%H:%M}" if at is not None else ""


def _parse_time(text: str | None) -> time | None:
    return time.fromisoformat(text) if text else None


def _is_zone(name: str) -> bool:
    try:
        ZoneInfo(name)
    except (KeyError, ValueError, OSError):
        return False
    return True
