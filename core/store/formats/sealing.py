"""What people wrote, sealed with a key of their own: without the key it is gone, and the chain still holds."""

import base64
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from uuid import uuid4

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESSIV

ERASED = "(erased)"
_BITS = 512  # AES-SIV with 256-bit keys (RFC 5297)


@dataclass(frozen=True, slots=True, kw_only=True)
class Key:
    """What one person's text is sealed with. `key_id` says nothing about the person."""

    key_id: str
    secret: bytes

    @classmethod
    def new(cls) -> "Key":
        return cls(key_id=str(uuid4()), secret=AESSIV.generate_key(_BITS))

    def seal(self, body: Mapping[str, Any], fields: Sequence[str], event_id: str) -> dict[str, Any]:
        """`body` with these fields sealed; empty ones stay empty.

        The same text in another event gives other bytes; the same event gives the same ones, so that a log can be made
        again elsewhere, byte for byte (AES-SIV needs no random nonce).
        """
        cipher = AESSIV(self.secret)
        sealed = dict(body)
        for name in fields:
            if sealed.get(name):
                data = cipher.encrypt(sealed[name].encode(), [event_id.encode()])
                sealed[name] = base64.b64encode(data).decode()
        return sealed


def unseal(body: Mapping[str, Any], fields: Sequence[str], event_id: str, secret: bytes | None) -> dict[str, Any]:
    """`body` as it was before `Key.seal`; without the secret, or where it does not fit, the fields say `ERASED`."""
    cipher = AESSIV(secret) if secret is not None else None
    opened = dict(body)
    for name in fields:
        if opened.get(name):
            opened[name] = _opened(cipher, opened[name], event_id)
    return opened


def _opened(cipher: AESSIV | None, sealed: str, event_id: str) -> str:
    if cipher is None:
        return ERASED
    try:
        return cipher.decrypt(base64.b64decode(sealed), [event_id.encode()]).decode()
    except (InvalidTag, ValueError):
        return ERASED
