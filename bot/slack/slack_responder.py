"""Answers each command and click once: with the acknowledgement, or later after a notice that it is in progress."""

import hashlib
import threading
from collections.abc import Callable
from types import TracebackType
from typing import Any, Self

import structlog
from slack_sdk.errors import SlackApiError

from bot.process.block_support import BlockSupport
from bot.process.outage import format_reason
from bot.rendering.blocks import blocks
from bot.rendering.blocks.blocks import Message
from bot.rendering.charts import fallback
from core.rollout.refusal import Refused
from core.store.database.connections import CONNECTION_ERRORS
from core.store.errors import DatabaseBusy

log = structlog.get_logger()

ACKNOWLEDGE_WITHIN = 2.5  # seconds; Slack's own limit is 3
_TOO_LATE = frozenset({"expired_trigger_id", "exchanged_trigger_id", "trigger_expired"})
"""What Slack answers to a form whose button or command is too long ago."""

Acknowledge = Callable[[Message | None], None]
PostLater = Callable[[Message], None]


def build_payload(message: Message, *, is_public: bool = False) -> dict[str, Any]:
    """The payload of an answer to a command or a click. A link that somebody wrote into a reason opens no preview."""
    return {
        "response_type": "in_channel" if is_public else "ephemeral",
        "text": message.text,
        "blocks": list(message.blocks),
        "unfurl_links": False,
        "unfurl_media": False,
    }


def needs_fallback(message: Message) -> bool:
    """Whether the message has a block that some workspaces reject; an acknowledgement would not tell that it was."""
    return any(block["type"] == "data_visualization" for block in message.blocks)


def post_with_fallback(
    post: Callable[[tuple[dict[str, Any], ...]], bool], message: Message, support: BlockSupport
) -> None:
    """Post the blocks, and simpler ones while `post` returns that they were rejected, which `support` remembers."""
    tried: tuple[dict[str, Any], ...] | None = None
    first = support.step
    for step in range(first, fallback.MAX_STEPS + 1):
        shown = fallback.simplify_blocks(message.blocks, step)
        if shown == tried:
            continue
        if post(shown):
            if step > first:
                support.record_refusal(step if step == fallback.MAX_STEPS else fallback.PICTURES)
            return
        tried = shown


class SlackResponder:
    """`with SlackResponder(...) as responder: responder.respond(work())` acknowledges once, in time, even on errors."""

    def __init__(
        self,
        command_id: str,
        acknowledge: Acknowledge,
        post_later: PostLater,
        acknowledge_within: float = ACKNOWLEDGE_WITHIN,
    ) -> None:
        self._ref = hashlib.sha256(command_id.encode()).hexdigest()[:4]
        self._acknowledge = acknowledge
        self._post_later = post_later
        self._lock = threading.Lock()
        self._acknowledged = False
        self._timer = threading.Timer(acknowledge_within, self._acknowledge_late)
        self._timer.daemon = True

    def __enter__(self) -> Self:
        self._timer.start()
        return self

    def respond(self, message: Message | None, *, late: Message | None = None) -> None:
        """Send the answer; None only acknowledges (a modal has opened or closed). `late` is sent instead if it has been
        said already that it is in progress."""
        self._timer.cancel()
        with self._lock:
            first, self._acknowledged = not self._acknowledged, True
        if first:
            self._acknowledge(message)
        elif (later := late or message) is not None:
            self._post_later(later)

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None) -> bool:
        self._timer.cancel()
        match error:
            case None:
                return True
            case Refused():
                self.respond(blocks.build_refusal(error.message, error.hint))
            case SlackApiError() if error.response.get("error") in _TOO_LATE:
                self.respond(blocks.build_refusal("The form took too long to open.", "Please press the button again."))
            case DatabaseBusy():
                self.respond(blocks.build_refusal(f"Nothing was done: {error}", "Try again in a moment."))
            case _ if isinstance(error, CONNECTION_ERRORS):
                log.error("the database did not answer", ref=self._ref, why=format_reason(error))
                what = f"The database did not answer (ref {self._ref}), so this may not have been carried out."
                self.respond(blocks.build_refusal(what, "Try again in a moment; /rollout status shows whether it was."))
            case Exception():
                log.error("a command failed", ref=self._ref, exc_info=error)
                what = f"Something went wrong on our side (ref {self._ref}). It may not have been carried out."
                self.respond(
                    blocks.build_refusal(
                        what, "See /rollout status; if it is urgent: rollout rollback ID on the server."
                    )
                )
            case _:
                return False
        return True

    def _acknowledge_late(self) -> None:
        with self._lock:
            if self._acknowledged:
                return
            self._acknowledged = True
        what = f"Got it, working on it (ref {self._ref}). I'll answer here within 1 min."
        waiting = blocks.build_refusal(what, "If not: rollout rollback ID on the server.")
        self._acknowledge(waiting)
