"""The state of the sandbox's Slack that its API, deliveries and page share: workspace, faults, and records."""

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Literal

from bot.sandbox.rules.check_payload import Violation
from bot.sandbox.rules.slack_rate_limits import RateLimits
from bot.sandbox.workspace.faults import FaultPlan
from bot.sandbox.workspace.trigger_ids import TriggerIds
from bot.sandbox.workspace.workspace import SandboxMessage, SandboxWorkspace

Json = dict[str, Any]
DeliveryKind = Literal["command", "message_action", "block_actions", "view_submission", "view_closed", "event"]


@dataclass(frozen=True, slots=True, kw_only=True)
class ApiCall:
    """One recorded Web API call; `status` is 0 if a planned fault lost the answer."""

    method: str
    args: Json
    status: int
    answer: Json
    ms: float
    at: datetime

    @property
    def ok(self) -> bool:
        """Whether the call succeeded."""
        return self.status == 200 and bool(self.answer.get("ok"))


@dataclass(frozen=True, slots=True, kw_only=True)
class Delivery:
    """One recorded delivery attempt; `acked` is whether the app acknowledged successfully within three seconds."""

    kind: DeliveryKind
    label: str
    person: str
    transport: Literal["http", "socket"]
    payload: Json
    status: int
    acked: bool
    ms: float
    answer: Json | str | None
    error: str | None
    attempt: int
    at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class ResponsePost:
    """One recorded use of a response URL; `message` is the resulting message, if any."""

    token: str
    body: Json
    message: SandboxMessage | None
    at: datetime


@dataclass(slots=True, kw_only=True)
class SlackState:
    """The workspace with planned faults, rate limits, trigger ids, and records of calls, deliveries and violations."""

    workspace: SandboxWorkspace
    faults: FaultPlan
    rate_limits: RateLimits
    triggers: TriggerIds
    monotonic: Callable[[], float]
    url: str = ""
    violations: list[Violation] = field(default_factory=list)
    api_calls: list[ApiCall] = field(default_factory=list)
    deliveries: list[Delivery] = field(default_factory=list)
    response_posts: list[ResponsePost] = field(default_factory=list)

    def record_call(self, call: ApiCall) -> None:
        """Record a Web API call."""
        with self.workspace.changes.lock:
            self.api_calls.append(call)
            self.workspace.changes.announce()

    def record_delivery(self, delivery: Delivery) -> None:
        """Record a delivery attempt."""
        with self.workspace.changes.lock:
            self.deliveries.append(delivery)
            self.workspace.changes.announce()

    def record_response(self, post: ResponsePost) -> None:
        """Record one use of a response URL."""
        with self.workspace.changes.lock:
            self.response_posts.append(post)
            self.workspace.changes.announce()

    def record_violations(self, violations: list[Violation]) -> None:
        """Record broken rules; tests assert that there are none."""
        with self.workspace.changes.lock:
            self.violations.extend(violations)
            self.workspace.changes.announce()
