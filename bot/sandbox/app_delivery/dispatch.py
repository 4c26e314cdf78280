"""Delivers payloads to the app: measures and records acknowledgements, retries events, shows failures."""

import threading
import time
from dataclasses import dataclass, field

from bot.sandbox.app_delivery.envelopes import OutgoingPayload
from bot.sandbox.app_delivery.transports import RetryInfo, Transport
from bot.sandbox.workspace import people
from bot.sandbox.workspace.slack_state import Delivery, SlackState
from bot.sandbox.workspace.workspace import SandboxMessage


@dataclass(slots=True, kw_only=True)
class AppDispatcher:
    """Delivers payloads to the app over one transport and records every attempt."""

    slack: SlackState
    transport: Transport
    _last_outgoing: OutgoingPayload | None = None
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def deliver(self, outgoing: OutgoingPayload) -> Delivery:
        """Deliver once; an unacknowledged event is retried once, immediately (Slack retries after 1 and 5 min too)."""
        with self._lock:
            self._last_outgoing = outgoing
        delivery = self._attempt_delivery(outgoing, None)
        if not delivery.acked and outgoing.kind == "event":
            delivery = self._attempt_delivery(outgoing, RetryInfo(number=1, reason=delivery.error or "unknown_error"))
        if not delivery.acked:
            self._show_failure(outgoing, delivery)
        return delivery

    def deliver_again(self) -> Delivery:
        """Deliver the last payload again, as Slack does when the acknowledgement got lost; LookupError if none."""
        with self._lock:
            outgoing = self._last_outgoing
        if outgoing is None:
            raise LookupError("nothing was delivered yet")
        return self._attempt_delivery(
            outgoing, RetryInfo(number=1, reason="http_timeout") if outgoing.kind == "event" else None
        )

    def _attempt_delivery(self, outgoing: OutgoingPayload, retry: RetryInfo | None) -> Delivery:
        begun = time.perf_counter()
        answer = self.transport.send(outgoing, retry)
        delivery = Delivery(
            kind=outgoing.kind,
            label=outgoing.label,
            person=outgoing.person,
            transport=self.transport.name,
            payload=outgoing.payload,
            status=answer.status,
            acked=answer.acked,
            ms=(time.perf_counter() - begun) * 1000,
            answer=answer.body,
            error=answer.error,
            attempt=retry.number if retry else 0,
            at=self.slack.workspace.clock(),
        )
        self.slack.record_delivery(delivery)
        return delivery

    def _show_failure(self, outgoing: OutgoingPayload, delivery: Delivery) -> None:
        if outgoing.kind not in ("command", "message_action", "block_actions") or not outgoing.channel:
            return
        reason = "operation_timeout" if delivery.error == "http_timeout" else "dispatch_failed"
        workspace = self.slack.workspace
        workspace.post(
            SandboxMessage(
                channel=outgoing.channel,
                ts=workspace.new_ts(),
                user=people.SLACKBOT_ID,
                text=f'{outgoing.label} failed with the error "{reason}"',
                ephemeral_to=outgoing.person,
            )
        )
