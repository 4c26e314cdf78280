"""Everything that the sandbox's Slack knows, in one place that its doors share."""

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Literal

from bot.sandbox.rules.rate_limits import RateLimits
from bot.sandbox.rules.rules import Violation
from bot.sandbox.workspace.faults import Faults
from bot.sandbox.workspace.trigger_ids import Triggers
from bot.sandbox.workspace.workspace import Message, Workspace

Json = dict[str, Any]
Kind = Literal["command", "block_actions", "view_submission", "view_closed", "event"]


@dataclass(frozen=True, slots=True, kw_only=True)
class ApiCall:
    """One call of the Web API; `status` is 0 when the answer was lost on purpose."""

    method: str
    args: Json
    status: int
    answer: Json
    ms: float
    at: datetime

    @property
    def ok(self) -> bool:
        """Did Slack take it?"""
        return self.status == 200 and bool(self.answer.get("ok"))


@dataclass(frozen=True, slots=True, kw_only=True)
class Delivery:
    """One thing told to the app; `acked` says whether it answered with success within three seconds."""

    kind: Kind
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
    """One use of a response URL; `message` is what it left to be read, if anything."""

    token: str
    body: Json
    message: Message | None
    at: datetime


@dataclass(slots=True, kw_only=True)
class SlackSide:
    """The state beside the workspace itself: what was called, delivered, broken and promised."""

    workspace: Workspace
    faults: Faults
    rate_limits: RateLimits
    triggers: Triggers
    monotonic: Callable[[], float]
    url: str = ""
    violations: list[Violation] = field(default_factory=list)
    api_calls: list[ApiCall] = field(default_factory=list)
    deliveries: list[Delivery] = field(default_factory=list)
    response_posts: list[ResponsePost] = field(default_factory=list)

    def record_call(self, call: ApiCall) -> None:
        """Keep a Web API call for whoever watches the wire."""
        with self.workspace.changes.lock:
            self.api_calls.append(call)
            self.workspace.changes.announce()

    def record_delivery(self, delivery: Delivery) -> None:
        """Keep what was told to the app, and how it answered."""
        with self.workspace.changes.lock:
            self.deliveries.append(delivery)
            self.workspace.changes.announce()

    def record_response(self, post: ResponsePost) -> None:
        """Keep one use of a response URL."""
        with self.workspace.changes.lock:
            self.response_posts.append(post)
            self.workspace.changes.announce()

    def record_violations(self, violations: list[Violation]) -> None:
        """Keep broken rules, which a test asserts to be none."""
        with self.workspace.changes.lock:
            self.violations.extend(violations)
            self.workspace.changes.announce()
