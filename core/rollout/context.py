"""What a decision may know besides the rollout itself: who asks, when, the surface and the policy."""

from dataclasses import dataclass
from datetime import datetime

from core.rollout.policy import Policy
from core.rollout.surface import Surface


@dataclass(frozen=True, slots=True, kw_only=True)
class Actor:
    """Who asks. `id` is stored: `slack:T1/U1`, `cli:ana`, `token:operator`, `system:engine`."""

    id: str
    handle: str = ""  # as people write it: @ana
    groups: tuple[str, ...] = ()  # Slack user groups, as @name
    full_member: bool = True  # not a guest, a bot, or somebody of another workspace
    channel: str = ""  # where the command was given, as #name

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
        user = self.id.rpartition("/")[2] if self.from_slack else self.id
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
    others: tuple[str, ...] = ()  # ids of other rollouts under way on the surface
    driving: tuple[str, ...] = ()  # ids of other rollouts under way that drive the same flag
