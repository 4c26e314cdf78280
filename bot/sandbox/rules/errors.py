"""Errors of the sandbox's Web API: Slack's error names, sent as HTTP 200 with `ok: false`."""

from collections.abc import Sequence
from typing import Any

from bot.sandbox.rules.check_payload import Violation


class MethodError(Exception):
    """A call that Slack would refuse; `error` is Slack's error name."""

    def __init__(self, error: str, messages: Sequence[str] = (), **extra: Any) -> None:
        super().__init__(error)
        self.error = error
        self.messages = list(messages)
        self.extra = extra

    def to_json(self) -> dict[str, Any]:
        """The response body that Slack would send."""
        body: dict[str, Any] = {"ok": False, "error": self.error, **self.extra}
        if self.messages:
            body["response_metadata"] = {"messages": [f"[ERROR] {message}" for message in self.messages]}
        return body


class BrokenRulesError(MethodError):
    """A call that breaks documented rules; `violations` holds each of them."""

    def __init__(self, error: str, violations: Sequence[Violation]) -> None:
        super().__init__(error, [f"{v.message} [json-pointer:{v.where}]" for v in violations])
        self.violations = list(violations)
