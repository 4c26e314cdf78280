"""Tokens for the addresses of event streams: a browser's EventSource sends no headers, so the address has to hold one.

They are signed with the token of whoever asked for the address, open streams and nothing else, and expire.
"""

import hmac
import time
from base64 import urlsafe_b64encode
from collections.abc import Callable, Iterable, Sequence
from hashlib import sha256

from bot.http.middleware.auth import HeaderItems, TokenRole, read_token

VALID_SECONDS = 7_200
"""Seconds for which a token is valid; up to `_ROUNDED_SECONDS` more, so that one address serves for a while."""
RENEWED_AFTER_SECONDS = 3_600
_ROUNDED_SECONDS = 300
_PURPOSE = b"event stream\x1f"
_ROLES = frozenset({TokenRole.FLAGS, TokenRole.SNAPSHOT, TokenRole.ADMIN})


class StreamTokens:
    """Issues and checks the tokens. `tokens` are those of `TokenAuth`; without any, none is needed."""

    def __init__(self, tokens: Sequence[tuple[str, str]], now: Callable[[], float] = time.time) -> None:
        self._signing_keys = tuple(
            _derive_key(token.encode()) for holder, token in tokens if TokenRole(holder.partition("@")[0]) in _ROLES
        )
        self._now = now

    @property
    def is_open(self) -> bool:
        """Whether streams need no token."""
        return not self._signing_keys

    def count_renewals(self) -> int:
        """A number that grows every hour. Whoever got an address under a smaller one should fetch a new address."""
        return int(self._now()) // RENEWED_AFTER_SECONDS

    def issue(self, headers: HeaderItems) -> str:
        """A token for the sender of an authorized request; empty if none is needed."""
        if self.is_open:
            return ""
        expires = (int(self._now()) + VALID_SECONDS) // _ROUNDED_SECONDS * _ROUNDED_SECONDS + _ROUNDED_SECONDS
        return f"{expires}.{_sign(_derive_key(read_token(headers)), expires)}"

    def find_expiry(self, token: str) -> float | None:
        """When `token` expires, in seconds since 1970; None if it is not valid, or no longer."""
        digits, _, signature = token.partition(".")
        if not (digits.isascii() and digits.isdigit() and len(digits) < 13 and signature.isascii()):
            return None
        expires = int(digits)
        if expires <= self._now() or not _matches_any(signature, (_sign(key, expires) for key in self._signing_keys)):
            return None
        return float(expires)


def _derive_key(token: bytes) -> bytes:
    return hmac.digest(token, _PURPOSE, sha256)


def _sign(key: bytes, expires: int) -> str:
    return urlsafe_b64encode(hmac.digest(key, b"%d" % expires, sha256)[:18]).decode()


def _matches_any(signature: str, expected: Iterable[str]) -> bool:
    matches = [hmac.compare_digest(signature, each) for each in expected]  # all of them, in constant time
    return any(matches)
