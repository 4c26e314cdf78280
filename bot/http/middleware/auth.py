"""Authorizes callers by bearer token and role; tokens are compared in constant time."""

import hmac
from base64 import b64decode
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from hashlib import sha256
from urllib.parse import urlsplit

from core.rollout.context import Actor


class TokenRole(StrEnum):
    """What a token allows. `admin` includes all other roles."""

    FLAGS = "flags"
    SNAPSHOT = "snapshot"
    INGEST = "ingest"
    JUDGE = "judge"
    OPERATOR = "operator"
    ADMIN = "admin"


@dataclass(frozen=True, slots=True, kw_only=True)
class Caller:
    """Who sends a request. `key` keeps the idempotency keys of different tokens apart and reveals nothing of the
    token."""

    roles: frozenset[TokenRole]
    key: str
    actor: Actor

    def has_role(self, *roles: TokenRole) -> bool:
        """Whether the caller has one of `roles`; an admin has every role."""
        return TokenRole.ADMIN in self.roles or not self.roles.isdisjoint(roles)


class AccessDenied(Exception):
    """The request is denied: 401 without a valid token, 403 for a wrong role or another site, 429 above the rate
    limit."""

    def __init__(self, status: int, code: str, message: str, hint: str, *, retry_after: int | None = None) -> None:
        super().__init__(message)
        self.status, self.code, self.message, self.hint = status, code, message, hint
        self.retry_after = retry_after


LOCAL_CALLER = Caller(roles=frozenset(TokenRole), key="local", actor=Actor(id="token:local", handle="local"))
_LOOPBACK = frozenset({"127.0.0.1", "localhost", "::1"})
HeaderItems = Iterable[tuple[bytes, bytes]]


class TokenAuth:
    """Authorizes callers by their token; without any tokens (loopback only), everybody on this machine.

    `tokens` are (role, token), or (role@Slack user, token) for one that is bound to a person.
    """

    def __init__(self, tokens: Sequence[tuple[str, str]]) -> None:
        self._known_tokens = tuple(
            (sha256(token.encode()).digest(), TokenRole(holder.partition("@")[0]), holder.partition("@")[2])
            for holder, token in tokens
        )

    @property
    def is_open(self) -> bool:
        """Whether no tokens are configured, so that none is required."""
        return not self._known_tokens

    def authorize(self, headers: HeaderItems, *roles: TokenRole) -> Caller:
        """The caller, who has one of `roles` or is an admin; raises `AccessDenied` otherwise."""
        if not self._known_tokens:
            return LOCAL_CALLER
        presented = read_token(headers)
        caller = self._find_caller(presented) if presented else None
        if caller is None:
            what = "The token is not one of ROLLOUT_TOKENS" if presented else "This needs a token"
            raise AccessDenied(401, "unauthorized", f"{what}.", "Send the header Authorization: Bearer <token>.")
        if not caller.has_role(*roles):
            needed = " or ".join(dict.fromkeys((*roles, TokenRole.ADMIN)))
            raise AccessDenied(403, "forbidden", f"The {caller.actor.handle} may not do this.", f"This needs {needed}.")
        return caller

    def authorize_person(self, headers: HeaderItems, *roles: TokenRole) -> Caller:
        """Like `authorize`, but also denies cross-site requests from a browser that is authorized implicitly: without
        tokens on this machine, or with a remembered password."""
        if not self._known_tokens:
            _check_host(headers)
        if not self._known_tokens or _uses_basic_auth(headers):
            _check_origin(headers)
        return self.authorize(headers, *roles)

    def _find_caller(self, token: bytes) -> Caller | None:
        digest = sha256(token).digest()
        matches = [(role, person) for known, role, person in self._known_tokens if hmac.compare_digest(known, digest)]
        roles = frozenset(role for role, _ in matches)
        if not roles:
            return None
        role_names = "+".join(role for role in TokenRole if role in roles)
        person = next((person for _, person in matches if person), "")
        bound = f"@{person}" if person else ""
        actor = Actor(id=f"token:{role_names}{bound}", handle=f"{role_names} token{f' of {person}' if person else ''}")
        return Caller(roles=roles, key=digest.hex()[:16], actor=actor)


def read_token(headers: HeaderItems) -> bytes:
    """The token of a bearer, basic or X-API-Key header; empty without one."""
    for name, value in headers:
        if name == b"authorization":
            scheme, _, token = value.partition(b" ")
            if scheme.lower() == b"bearer":
                return token.strip()
            if scheme.lower() == b"basic":
                return _decode_password(token.strip())
        elif name == b"x-api-key":
            return value.strip()
    return b""


def _decode_password(encoded: bytes) -> bytes:
    """The password of basic authentication, the only way for a browser to send a token."""
    try:
        return b64decode(encoded, validate=True).partition(b":")[2]
    except ValueError:
        return b""


def _uses_basic_auth(headers: HeaderItems) -> bool:
    """Whether the token came as a password, which a browser sends along with requests of any site's page."""
    return any(name == b"authorization" and value[:6].lower() == b"basic " for name, value in headers)


def _check_host(headers: HeaderItems) -> None:
    """Deny a Host that is not loopback: by DNS rebinding, another site's page could pass for ours."""
    host = _find_header(headers, b"host")
    if host and _parse_hostname(f"//{host}") not in _LOOPBACK:
        raise AccessDenied(
            403,
            "forbidden",
            f"Without ROLLOUT_TOKENS, only requests to this machine's loopback are answered, not to {host}.",
            "Set ROLLOUT_TOKENS.",
        )


def _check_origin(headers: HeaderItems) -> None:
    """Deny requests from a page of another origin."""
    origin = _find_header(headers, b"origin")
    if origin and origin.partition("://")[2] != _find_header(headers, b"host"):
        raise AccessDenied(403, "forbidden", f"A page from {origin} may not act here.", "Send a token as Bearer.")


def _find_header(headers: HeaderItems, wanted: bytes) -> str:
    return next((value.decode("latin-1") for name, value in headers if name == wanted), "")


def _parse_hostname(address: str) -> str:
    try:
        return urlsplit(address).hostname or ""
    except ValueError:
        return ""
