"""Asks a deploy system to revert code, by a webhook signed as Standard Webhooks has it."""

import base64
import binascii
import hashlib
import hmac
import json
from collections.abc import Callable
from datetime import datetime

import httpx

from bot.actuators.code_reverts.code_revert import RevertOrder
from bot.outbound.client import OutboundClient
from bot.outbound.errors import PermanentFailure, RetryLater
from core.rollout.plans.plan import CodeRevert

EVENT = "rollout.rolled_back"
_SECRET_PREFIX = "whsec_"  # noqa: S105 - the prefix of secrets, and none itself


class DeployWebhook:
    """One address. It gets the signature only if it is the one for which the secret was configured."""

    def __init__(
        self, client: OutboundClient, revert: CodeRevert, *, url: str, secret: str, now: Callable[[], datetime]
    ) -> None:
        if not secret or not url:
            name = "DEPLOY_WEBHOOK_URL" if secret else "DEPLOY_WEBHOOK_SECRET"
            raise PermanentFailure(
                f"{name} is not set, so no deploy system can be asked: set it and restart the workers"
            )
        if revert.url != url:
            raise PermanentFailure(
                f"the plan names {revert.url}, but the secret is for another address (DEPLOY_WEBHOOK_URL): correct "
                "`reverts.webhook.url` in a new rollout"
            )
        self._client, self._url, self._key, self._now = client, url, _parse_secret(secret), now

    def request_revert(self, order: RevertOrder) -> str:
        """Send the request; returns its host. The same `webhook-id` at every attempt lets the receiver act once."""
        body = json.dumps(
            {
                "type": EVENT,
                "timestamp": order.at.isoformat(),
                "data": {
                    "rollout": order.rollout,
                    "surface": order.surface,
                    "version": order.version,
                    "code": order.code,
                    "reason": order.reason,
                },
            },
            separators=(",", ":"),
        ).encode()
        sent = str(int(self._now().timestamp()))
        headers = {
            "Content-Type": "application/json",
            "User-Agent": "rampart",
            "webhook-id": order.id,
            "webhook-timestamp": sent,
            "webhook-signature": sign(self._key, order.id, sent, body),
        }
        answer = self._client.call("POST", self._url, headers, body)
        if answer.is_temporary_failure:
            raise RetryLater(f"the deploy system answers {answer.status}", seconds=answer.retry_after)
        if answer.status >= 300:
            raise PermanentFailure(f"the deploy system rejects the request ({answer.status})")
        return httpx.URL(self._url).host  # a webhook's path may be a secret, and what is returned is recorded


def sign(key: bytes, message_id: str, timestamp: str, body: bytes) -> str:
    """The `webhook-signature` header: HMAC-SHA256 over id, timestamp and body, joined by dots (Standard Webhooks)."""
    signed = b".".join((message_id.encode(), timestamp.encode(), body))
    return "v1," + base64.b64encode(hmac.new(key, signed, hashlib.sha256).digest()).decode()


def _parse_secret(secret: str) -> bytes:
    try:
        return base64.b64decode(secret.removeprefix(_SECRET_PREFIX), validate=True)
    except (binascii.Error, ValueError):
        raise PermanentFailure("DEPLOY_WEBHOOK_SECRET is not whsec_ and a text in base64: copy it again") from None
