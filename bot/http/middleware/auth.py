"""Authorizes callers by bearer token and role; tokens are compared in constant time."""

import hmac
from base64 import b64decode
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from hashlib import sha256
from urllib.parse import urlsplit

from core.rollout.context import Actor


class Role(StrEnum):
    """What a token allows. `admin` includes all other roles."""

    FLAGS = "flags"
    INGEST = "ingest"
    OPERATOR = "operator"
    ADMIN = "admin"


@dataclass(frozen=True, slots=True, kw_only=True)
class Caller:
    """Who sends a request. `key` keeps the idempotency keys of different tokens apart and reveals nothing of the
    token."""

    roles: frozenset[Role]
    key: str
    actor: Actor

    def may(self, *roles: Role) -> bool:
        """Whether the caller has one of `roles`; an admin has every role."""
        return Role.ADMIN in self.roles or not self.roles.isdisjoint(roles)


class Denied(Exception):
    """The request is denied: 401 without a valid token, 403 for a wrong role or another site, 429 above the rate
    limit."""

    def __init__(self, status: int, code: str, message: str, hint: str, *, retry_after: int | None = None) -> None:
        super().__init__(message)
        self.status, self.code, self.message, self.hint = status, code, message, hint
        self.retry_after = retry_after


LOCAL = Caller(roles=frozenset(Role), key="local", actor=Actor(id="token:local", handle="local"))
_LOOPBACK = frozenset({"127.0.0.1", "localhost", "::1"})
Headers = Iterable[tuple[bytes, bytes]]


class Door:
    """Authorizes callers by their token; without any tokens (loopback only), everybody on this machine.

    `tokens` are (role, token), or (role@Slack user, token) for one that is bound to a person.
    """

    def __init__(self, tokens: Sequence[tuple[str, str]]) -> None:
        self._known = tuple(
            (sha256(token.encode()).digest(), Role(holder.partition("@")[0]), holder.partition("@")[2])
            for holder, token in tokens
        )

    @property
    def open(self) -> bool:
        """Whether no tokens are configured, so that none is required."""
        return not self._known

    def admit(self, headers: Headers, *roles: Role) -> Caller:
        """The caller, who has one of `roles` or is an admin; raises `AccessDenied` otherwise."""
        if not self._known:
            return LOCAL
        presented = _presented(headers)
        caller = self._caller(presented) if presented else None
        if caller is None:
            what = "The token is not one of ROLLOUT_TOKENS" if presented else "This needs a token"
            raise Denied(401, "unauthorized", f"{what}.", "Send the header Authorization: Bearer <token>.")
        if not caller.may(*roles):
            needed = " or ".join(dict.fromkeys((*roles, Role.ADMIN)))
            raise Denied(403, "forbidden", f"The {caller.actor.handle} may not do this.", f"It needs {needed}.")
        return caller

    def admit_person(self, headers: Headers, *roles: Role) -> Caller:
        """Like `authorize`, but also denies cross-site requests from a browser that is authorized implicitly: without
        tokens on this machine, or with a remembered password."""
        if not self._known:
            _check_host(headers)
        if not self._known or _remembered(headers):
            _check_origin(headers)
        return self.admit(headers, *roles)

    def _caller(self, presented: bytes) -> Caller | None:
        digest = sha256(presented).digest()
        fitting = [(role, person) for known, role, person in self._known if hmac.compare_digest(known, digest)]
        roles = frozenset(role for role, _ in fitting)
        if not roles:
            return None
        named = "+".join(role for role in Role if role in roles)
        person = next((person for _, person in fitting if person), "")
        bound = f"@{person}" if person else ""
        actor = Actor(id=f"token:{named}{bound}", handle=f"{named} token{f' of {person}' if person else ''}")
        return Caller(roles=roles, key=digest.hex()[:16], actor=actor)


def _presented(headers: Headers) -> bytes:
    """The token of a bearer, basic or X-API-Key header; empty without one."""
    for name, value in headers:
        if name == b"authorization":
            scheme, _, token = value.partition(b" ")
            if scheme.lower() == b"bearer":
                return token.strip()
            if scheme.lower() == b"basic":
                return _password(token.strip())
        elif name == b"x-api-key":
            return value.strip()
    return b""


def _password(encoded: bytes) -> bytes:
    """The password of basic authentication, the only way for a browser to send a token."""
    try:
        return b64decode(encoded, validate=True).partition(b":")[2]
    except ValueError:
        return b""


def _remembered(headers: Headers) -> bool:
    """Whether the token came as a password, which a browser sends along with requests of any site's page."""
    return any(name == b"authorization" and value[:6].lower() == b"basic " for name, value in headers)


def _check_host(headers: Headers) -> None:
    """Deny a Host that is not loopback: by DNS rebinding, another site's page could pass for ours."""
    host = _value(headers, b"host")
    if host and _name(f"//{host}") not in _LOOPBACK:
        raise Denied(
            403,
            "forbidden",
            f"Without ROLLOUT_TOKENS only this machine is answered, not {host}.",
            "Set ROLLOUT_TOKENS.",
        )


def _check_origin(headers: Headers) -> None:
    """Deny requests from a page of another origin."""
    origin = _value(headers, b"origin")
    if origin and origin.partition("://")[2] != _value(headers, b"host"):
        raise Denied(403, "forbidden", f"A page of {origin} may not act here.", "Send a token as Bearer.")


def _value(headers: Headers, wanted: bytes) -> str:
    return next((value.decode("latin-1") for name, value in headers if name == wanted), "")


def _name(address: str) -> str:
    try:
        return urlsplit(address).hostname or ""
    except ValueError:
        return ""
