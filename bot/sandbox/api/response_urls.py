"""Response URLs: up to five answers within 30 minutes of a command or click, without an API token."""

import threading
from dataclasses import dataclass, field
from typing import Any

from bot.sandbox.api import validation
from bot.sandbox.rules import limits
from bot.sandbox.rules.check_payload import Violation
from bot.sandbox.rules.errors import BrokenRulesError, MethodError
from bot.sandbox.workspace import people
from bot.sandbox.workspace.slack_state import ResponsePost, SlackState
from bot.sandbox.workspace.workspace import SandboxMessage

Json = dict[str, Any]
_FIELDS = {"text", "blocks", "response_type", "replace_original", "delete_original", "thread_ts", "metadata"}
_IGNORED = {"attachments", "unfurl_links", "unfurl_media", "mrkdwn", "parse", "link_names"}


@dataclass(slots=True, kw_only=True)
class _IssuedUrl:
    """An issued response URL: for whom, where and when, and how often it was used."""

    person: str
    channel: str
    issued: float
    thread_ts: str | None
    source_ts: str | None
    posts: int = 0


@dataclass(slots=True, kw_only=True)
class ResponseUrls:
    """Issues response URLs and accepts the answers posted to them."""

    slack: SlackState
    _lock: threading.Lock = field(default_factory=threading.Lock)
    _issued: dict[str, _IssuedUrl] = field(default_factory=dict)

    def issue(self, person: str, channel: str, source: SandboxMessage | None = None) -> str:
        """Create the token of a new response URL; `source` is the message whose button was pressed."""
        with self._lock:
            token = f"{len(self._issued) + 1:04d}{person.lower()}"
            self._issued[token] = _IssuedUrl(
                person=person,
                channel=channel,
                issued=self.slack.monotonic(),
                thread_ts=source.thread_ts if source else None,
                source_ts=source.ts if source else None,
            )
            return token

    def url_for(self, token: str) -> str:
        """The URL to which the app posts its answers."""
        return f"{self.slack.url}/response/{token}"

    def post(self, token: str, body: Json) -> None:
        """Handle one post to a response URL; MethodError if the URL is unknown, expired or used up, or the body bad."""
        with self._lock:
            promise = self._issued.get(token)
            if promise is None:
                raise MethodError("invalid_token")
            if self.slack.monotonic() - promise.issued > limits.value("response_url.seconds"):
                raise self._broken_rule(
                    "response_url.seconds", "expired_url", "the response URL is older than 30 minutes"
                )
            if promise.posts >= limits.value("response_url.posts"):
                raise self._broken_rule(
                    "response_url.posts", "too_many_posts", "the response URL was used five times already"
                )
            promise.posts += 1
        if unknown := set(body) - _FIELDS - _IGNORED:
            raise MethodError("invalid_payload", [f"unknown fields: {', '.join(sorted(unknown))}"])
        message = self.post_answer(promise.person, promise.channel, body, promise.thread_ts, promise.source_ts)
        self.slack.record_response(
            ResponsePost(token=token, body=body, message=message, at=self.slack.workspace.clock())
        )

    def post_answer(
        self, person: str, channel: str, body: Json, thread_ts: str | None, source_ts: str | None
    ) -> SandboxMessage | None:
        """Post, replace or delete a message as an answer's body asks; also used for bodies of acknowledgements."""
        workspace = self.slack.workspace
        source = workspace.find_message(channel, source_ts) if source_ts else None
        if body.get("delete_original"):
            if source is not None:
                workspace.delete(source)
            return None
        text, blocks = validation.parse_content(self.slack, body)
        if body.get("replace_original") and source is not None:
            return workspace.edit(source, text=text, blocks=blocks)
        return workspace.post(
            SandboxMessage(
                channel=channel,
                ts=workspace.new_ts(),
                user=people.BOT_USER_ID,
                text=text,
                blocks=blocks,
                thread_ts=body.get("thread_ts") or thread_ts,
                ephemeral_to=None if body.get("response_type") == "in_channel" else person,
            )
        )

    def _broken_rule(self, rule: str, error: str, message: str) -> BrokenRulesError:
        source = limits.LIMITS[rule].source
        return BrokenRulesError(error, [Violation(rule=rule, where="/response_url", message=message, source=source)])
