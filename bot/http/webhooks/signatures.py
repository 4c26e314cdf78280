"""Signatures of webhooks: Standard Webhooks, Zendesk's and Intercom's, compared in constant time."""

import hmac
from base64 import b64decode, b64encode
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from hashlib import sha1, sha256

MAX_AGE = timedelta(minutes=5)
"""How old, or how far ahead, a signed time may be: else a recording could be played again."""
_STANDARD_PREFIX = "whsec_"


class HelpDesk(StrEnum):
    """A sender of webhooks, by the form of its signature."""

    ZENDESK = "zendesk"
    INTERCOM = "intercom"
    STANDARD = "standard"


class SignatureRefused(Exception):
    """The request is not signed by the secret, or its time is too far from ours. `hint` says what to look at."""

    def __init__(self, why: str, hint: str = "Check the secret in ROLLOUT_HELP_DESKS.") -> None:
        super().__init__(why)
        self.hint = hint


def verify_signature(desk: HelpDesk, secret: str, headers: Mapping[str, str], body: bytes, now: datetime) -> None:
    """Raise `SignatureRefused` unless the body is signed by the secret. `headers` have names in lower case.

    Without a secret nothing is believed.
    """
    if not secret:
        raise SignatureRefused(f"ROLLOUT_HELP_DESKS has no secret for {desk}.")
    match desk:
        case HelpDesk.STANDARD:
            sent_id, sent_at = headers.get("webhook-id", ""), headers.get("webhook-timestamp", "")
            _check_age(_parse_seconds(sent_at), now)
            signed = f"{sent_id}.{sent_at}.".encode() + body
            expected = b64encode(hmac.new(decode_standard_secret(secret), signed, sha256).digest()).decode()
            given = [
                one.partition(",")[2] for one in headers.get("webhook-signature", "").split()[:16] if one[:3] == "v1,"
            ]
        case HelpDesk.ZENDESK:
            sent_at = headers.get("x-zendesk-webhook-signature-timestamp", "")
            _check_age(_parse_time(sent_at), now)
            expected = b64encode(hmac.new(secret.encode(), sent_at.encode() + body, sha256).digest()).decode()
            given = [headers.get("x-zendesk-webhook-signature", "")]
        case HelpDesk.INTERCOM:
            # Intercom signs by SHA-1, and no time: a repeat is known by the id of its notification.
            expected = "sha1=" + hmac.new(secret.encode(), body, sha1).hexdigest()
            given = [headers.get("x-hub-signature", "")]
    if not any(hmac.compare_digest(expected.encode(), one.encode("utf-8", "replace")) for one in given):
        raise SignatureRefused("The signature does not fit the body and the secret.")


def decode_standard_secret(secret: str) -> bytes:
    """The key of a Standard Webhooks secret, `whsec_` and base64; ValueError if it is not one."""
    return b64decode(secret.removeprefix(_STANDARD_PREFIX), validate=True)


def _check_age(sent_at: datetime | None, now: datetime) -> None:
    if sent_at is None:
        raise SignatureRefused("The signed time is missing or cannot be read.", "See docs/telemetry.md#help-desks.")
    if abs(now - sent_at) > MAX_AGE:
        raise SignatureRefused(
            f"The signed time is more than {MAX_AGE.seconds // 60} minutes from now.",
            "Sign each delivery with the time at which it is sent, and compare the clocks of both machines.",
        )


def _parse_seconds(text: str) -> datetime | None:
    if not (text.isascii() and text.isdigit() and len(text) <= 11):
        return None
    return datetime.fromtimestamp(int(text), UTC)


def _parse_time(text: str) -> datetime | None:
    try:
        found = datetime.fromisoformat(text)
    except ValueError:
        return None
    return found if found.tzinfo is not None else None
