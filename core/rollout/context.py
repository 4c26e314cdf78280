"""What a decision may use besides the rollout itself: who asks, when, the surface and the policy."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from zoneinfo import ZoneInfo

from core.rollout.plans.layers import Ranges
from core.rollout.plans.policy import Policy
from core.rollout.state.surface import Surface

_USER = re.compile(r"[UW][A-Z0-9]+")
_PERSON = re.compile(r"slack:[^/]*/(.+)|(?:token|agent):[^@]*@(.+)")


def slack_user_in(actor_id: str) -> str:
    """The Slack user id in a stored actor id; empty if the actor is not known to be a person in Slack.

    It is found in `slack:E1/U1`, `slack:T1/U1` (also in older logs of organisations), `token:operator@U1` (a token
    that is bound to a person) and `agent:codex@U1`, but not in a bare token, in `cli:ana` or in `agent:codex/ana`.
    """
    found = _PERSON.fullmatch(actor_id)
    return (found.group(1) or found.group(2)) if found else ""


def is_slack_user_id(reference: str) -> bool:
    """Whether `reference` is the id of a Slack user and not a handle."""
    return bool(_USER.fullmatch(reference))


def is_same_person(one: str, other: str) -> bool:
    """Whether two stored actor ids belong to the same human, that is to the same Slack user."""
    return one == other or (bool(slack_user_in(one)) and slack_user_in(one) == slack_user_in(other))


@dataclass(frozen=True, slots=True, kw_only=True)
class Actor:
    """Who gives a command. `id` is stored: `slack:T1/U1` (in an organisation `slack:E1/U1`), `cli:ana`,
    `token:operator`, `token:operator@U1` (a token that is bound to a person), `agent:codex@U1` or
    `agent:codex/ana` (a coding agent for a person in Slack, or for who is logged in), or `system:engine`."""

    id: str
    handle: str = ""  # as people write it: @ana
    groups: tuple[str, ...] = ()  # Slack user groups, as @name
    is_full_member: bool = True  # not a guest, a bot, or a member of another workspace
    channel: str = ""  # where the command was given, as #name; empty if unknown
    channel_id: str = ""
    zone: str = ""  # the time zone of this person; empty if unknown

    @property
    def from_slack(self) -> bool:
        """Whether the command came from Slack."""
        return self.id.startswith("slack:")

    @property
    def is_system(self) -> bool:
        """Whether the actor is the program itself."""
        return self.id.startswith("system:")

    @property
    def is_agent(self) -> bool:
        """Whether a coding agent gives the command, for a person."""
        return self.id.startswith("agent:")

    def find_zone(self, default: str) -> str:
        """The person's own time zone, if it is known and exists, else `default`."""
        try:
            return ZoneInfo(self.zone).key if self.zone else default
        except (KeyError, ValueError, OSError):  # this machine may know fewer time zones than Slack
            return default

    @property
    def name(self) -> str:
        """The handle, or the last part of the id."""
        return self.handle or self.id.rpartition(":")[2]

    def matches_reference(self, reference: str) -> bool:
        """Whether `reference` (a user id or @handle, as files and policies write it) means this actor."""
        user = slack_user_in(self.id) or self.id
        return bool(reference) and (
            reference in {user, self.handle} or reference.lstrip("@") == self.handle.lstrip("@")
        )


ENGINE = Actor(id="system:engine", handle="Rampart")


@dataclass(frozen=True, slots=True, kw_only=True)
class Context:
    """What a decision may use besides the rollout itself."""

    at: datetime
    by: Actor
    policy: Policy
    surface: Surface | None  # None only for what concerns no surface
    new_id: str = ""  # the id of a new rollout
    authors: tuple[str, ...] = ()  # actor ids of everyone who ever applied the version to be approved
    other_rollouts_on_surface: tuple[str, ...] = ()  # ids of other rollouts under way on the surface
    queued_ahead: tuple[str, ...] = ()  # ids of those that are ahead of it in the queue of the surface
    ready_ahead: tuple[str, ...] = ()  # those of them that could start now
    bundle_waits: tuple[str, ...] = ()  # what its start waits for in its bundle, one sentence each
    # title of a flag or label -> ids of other rollouts under way that drive it, too
    other_rollouts_on_flag: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    # by id of the rollout: slots of the surface's layer that other rollouts under way hold
    taken_slots: Mapping[str, Ranges] = field(default_factory=dict)

    @property
    def known_surface(self) -> Surface:
        """The surface of a rollout, which exists because a plan for an unknown one is refused earlier."""
        if self.surface is None:
            raise LookupError("this command has no surface")
        return self.surface

    def format_time(self, at: datetime) -> str:
        """A time as messages show it, in the zone of whoever acts where that is known, else the policy's; rounded up
        to full seconds."""
        local = at.astimezone(ZoneInfo(self.by.find_zone(self.policy.timezone)))
        if local.microsecond:
            # rounded up, so that the shown time is not too early
            local += timedelta(seconds=1, microseconds=-local.microsecond)
        return f"{local:%a %d %b %H:%M:%S %Z}" if local.second else f"{local:%a %d %b %H:%M %Z}"
