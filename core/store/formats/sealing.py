"""Encrypts each person's text with their own key: deleting the key erases the text, and the chain stays valid."""

import base64
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from uuid import uuid4

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESSIV

ERASED = "(erased)"
_KEY_BITS = 512  # AES-SIV with 256-bit keys (RFC 5297)


@dataclass(frozen=True, slots=True, kw_only=True)
class SealingKey:
    """The key that encrypts one person's text. `key_id` is random, and reveals nothing about the person."""

    key_id: str
    secret: bytes

    @classmethod
    def generate(cls) -> "SealingKey":
        """A new random key."""
        return cls(key_id=str(uuid4()), secret=AESSIV.generate_key(_KEY_BITS))

    def seal(self, body: Mapping[str, Any], fields: Sequence[str], event_id: str) -> dict[str, Any]:
        """Encrypt these fields of `body`; empty ones stay empty.

        Deterministic per event id (AES-SIV needs no random nonce), so that a log can be reproduced byte for byte; the
        same text in another event gives different bytes.
        """
        cipher = AESSIV(self.secret)
        sealed = dict(body)
        for name in fields:
            if sealed.get(name):
                data = cipher.encrypt(sealed[name].encode(), [event_id.encode()])
                sealed[name] = base64.b64encode(data).decode()
        return sealed


def unseal(body: Mapping[str, Any], fields: Sequence[str], event_id: str, secret: bytes | None) -> dict[str, Any]:
    """Decrypt what `SealingKey.seal` encrypted; without the secret, or with a wrong one, the fields read `ERASED`."""
    cipher = AESSIV(secret) if secret is not None else None
    opened = dict(body)
    for name in fields:
        if opened.get(name):
            opened[name] = _decrypt_or_erased(cipher, opened[name], event_id)
    return opened


def _decrypt_or_erased(cipher: AESSIV | None, sealed: str, event_id: str) -> str:
    if cipher is None:
        return ERASED
    try:
        return cipher.decrypt(base64.b64decode(sealed), [event_id.encode()]).decode()
    except (InvalidTag, ValueError):
        return ERASED
