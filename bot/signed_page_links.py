"""Links to one page for one person, signed and valid for an hour: who comes from Slack has no token.

The signature covers the page with its query, the person and the time of expiry. What the person may read is asked when
the link is opened.
"""

import hmac
import json
from base64 import urlsafe_b64encode
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from urllib.parse import parse_qsl, quote, urlencode

VALID_FOR = timedelta(hours=1)
PARAMETER = "token"  # a name whose value is kept out of logs
_PURPOSE = b"page link\x1f"


@dataclass(frozen=True, slots=True, kw_only=True)
class LinkedPerson:
    """Whom a link is for, as Slack names them; `enterprise` is empty outside of an organisation."""

    team: str
    user: str
    enterprise: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class OpenedLink:
    """A link that is valid for the page that it opened, if `expires` has not passed."""

    person: LinkedPerson
    expires: datetime


class PageLinks:
    """Issues and reads links. `secret` is known to every process of an installation; without a `public_url`, or
    without a secret, there are none. `now` is real time."""

    def __init__(self, secret: str, public_url: str, now: Callable[[], datetime]) -> None:
        self._key = hmac.digest(secret.encode(), _PURPOSE, sha256) if secret else b""
        self._public_url = public_url.rstrip("/")
        self._now = now

    def build(self, page: str, person: LinkedPerson) -> str:
        """The address of `page`, such as `/e/R-1.3`, for this person; empty if there are no links."""
        if not self._key or not self._public_url:
            return ""
        path, _, query = page.partition("?")
        asked = parse_qsl(query, keep_blank_values=True)
        expires = int((self._now() + VALID_FOR).timestamp())
        named = ".".join((person.team, person.enterprise, person.user))
        token = f"{expires}.{named}.{self._sign(path, asked, named, expires)}"
        return f"{self._public_url}{quote(path)}?{urlencode([*asked, (PARAMETER, token)])}"

    def read(self, path: str, query: Iterable[tuple[str, str]], token: str) -> OpenedLink | None:
        """The link whose token came with this page and query; None if it was not issued for exactly that page."""
        parts = token.split(".")
        if not self._key or len(parts) != 5 or not token.isascii() or not parts[0].isdigit() or len(parts[0]) > 12:
            return None
        expires, named = int(parts[0]), ".".join(parts[1:4])
        asked = [(name, value) for name, value in query if name != PARAMETER]
        if not hmac.compare_digest(parts[4], self._sign(path, asked, named, expires)):
            return None
        person = LinkedPerson(team=parts[1], enterprise=parts[2], user=parts[3])
        return OpenedLink(person=person, expires=datetime.fromtimestamp(expires, UTC))

    def is_expired(self, link: OpenedLink) -> bool:
        """Whether the hour of a link is over."""
        return self._now() >= link.expires

    def _sign(self, path: str, asked: Iterable[tuple[str, str]], named: str, expires: int) -> str:
        signed = json.dumps([path, sorted(asked), named, expires]).encode()
        return urlsafe_b64encode(hmac.digest(self._key, signed, sha256)).decode().rstrip("=")
