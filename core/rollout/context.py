"""What a decision may know besides the rollout itself: who asks, when, the surface and the policy."""

import re
from dataclasses import dataclass
from datetime import datetime

from core.rollout.policy import Policy
from core.rollout.surface import Surface

_USER = re.compile(r"[UW][A-Z0-9]+")
_PERSON = re.compile(r"slack:[^/]*/(.+)|token:[^@]*@(.+)")


def person_in(actor_id: str) -> str:
    """The Slack user behind a stored id: of `slack:E1/U1`, of `slack:T1/U1` (in older logs of organisations, too), and
    of a token that is bound to a person, `token:operator@U1`. Empty where nobody knows: of a bare token, of the command
    line."""
    found = _PERSON.fullmatch(actor_id)
    return (found.group(1) or found.group(2)) if found else ""


def is_user(reference: str) -> bool:
    """Whether it is the id of a Slack user, and no handle."""
    return bool(_USER.fullmatch(reference))


def is_same_person(one: str, other: str) -> bool:
    """Whether two stored ids are one human's: people are told apart by their Slack user, whichever way they come."""
    return one == other or (bool(person_in(one)) and person_in(one) == person_in(other))


@dataclass(frozen=True, slots=True, kw_only=True)
class Actor:
    """Who asks. `id` is stored: `slack:T1/U1` (in an organisation `slack:E1/U1`), `cli:ana`, `token:operator`,
    `token:operator@U1` of a token that is bound to a person, `system:engine`."""

    id: str
    handle: str = ""  # as people write it: @ana
    groups: tuple[str, ...] = ()  # Slack user groups, as @name
    full_member: bool = True  # not a guest, a bot, or somebody of another workspace
    channel: str = ""  # where the command was given, as #name; empty where that is not known
    channel_id: str = ""
    zone: str = ""  # the time zone that this person's times are in; empty where that is not known

    @property
    def from_slack(self) -> bool:
        return self.id.startswith("slack:")

    @property
    def is_system(self) -> bool:
        return self.id.startswith("system:")

    @property
    def name(self) -> str:
        return self.handle or self.id.rpartition(":")[2]

    def is_person(self, reference: str) -> bool:
        """Whether `reference` (a user id or an @handle, as files and policies write it) means this actor."""
        user = person_in(self.id) or self.id
        return bool(reference) and (
            reference in {user, self.handle} or reference.lstrip("@") == self.handle.lstrip("@")
        )


ENGINE = Actor(id="system:engine", handle="Rampart")


@dataclass(frozen=True, slots=True, kw_only=True)
class Context:
    at: datetime
    by: Actor
    policy: Policy
    surface: Surface | None
    new_id: str = ""  # the id a new rollout would get
    authors: tuple[str, ...] = ()  # ids of all who ever applied the version that is asked about
    others: tuple[str, ...] = ()  # ids of other rollouts under way on the surface
    driving: tuple[str, ...] = ()  # ids of other rollouts under way that drive the same flag
