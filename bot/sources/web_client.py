"""Asks a source over HTTP for JSON: at allowed addresses only, within one deadline, again where it is busy."""

import json
import math
import time
from base64 import b64encode
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any
from urllib.parse import quote, unquote, urlencode, urlsplit

import orjson

from bot.outbound.client import OutboundClient
from bot.outbound.errors import PermanentFailure, RetryLater
from bot.outbound.response import OutboundResponse
from bot.outbound.transport import ResolveHost, resolve_host
from bot.sources.errors import SourceFailure

MAX_BYTES = 16 * 1024 * 1024
"""Of one answer: a page of traces with their texts, or a quarter of an hour of counters."""
TRIES = 4
LEFT_FOR_STORING = 0.25
"""The share of a pull's time that is kept for storing what it has."""
_FIRST_WAIT = 0.5  # seconds before the second try, doubled before each further one
_MAX_QUOTED = 200


class WebClient:
    """Asks one source. `address` is `https://host/path`, with `user:password@` or `token@` before the host."""

    def __init__(
        self,
        address: str,
        private_hosts: Collection[str],
        timeout: float,
        resolve: ResolveHost = resolve_host,
        wait: Callable[[float], None] = time.sleep,
    ) -> None:
        """Everything that is asked shares `timeout` seconds. `SourceFailure` if the address cannot be read."""
        self._base, self._authorization = _parse_address(address)
        self._private_hosts = private_hosts
        self._resolve = resolve
        self._wait = wait
        self._timeout = timeout
        self._deadline = time.monotonic() + timeout

    @property
    def is_time_nearly_over(self) -> bool:
        """Whether no further page or chunk should be asked for: what is there is stored now, the rest comes next."""
        return self._deadline - time.monotonic() < LEFT_FOR_STORING * self._timeout

    def get(self, path: str, asked: Sequence[tuple[str, str]] = ()) -> Any:
        """The JSON at a path below the address. `SourceFailure` if it cannot be had in time."""
        query = f"?{urlencode(asked, quote_via=quote)}" if asked else ""
        return self._ask("GET", f"{path}{query}", None)

    def post(self, path: str, body: Mapping[str, Any]) -> Any:
        """The JSON that is answered to a question in JSON. `SourceFailure` as for `get`."""
        return self._ask("POST", path, orjson.dumps(body))

    def post_form(self, path: str, asked: Sequence[tuple[str, str]]) -> Any:
        """The JSON that is answered to a form, which may be longer than an address. `SourceFailure` as for `get`."""
        return self._ask("POST", path, urlencode(asked).encode(), kind="application/x-www-form-urlencoded")

    def _ask(self, method: str, path: str, body: bytes | None, kind: str = "application/json") -> Any:
        headers = {"Accept": "application/json", **self._authorization}
        if body is not None:
            headers["Content-Type"] = kind
        why = SourceFailure("it takes longer than its timeout")
        for attempt in range(TRIES):
            left = self._deadline - time.monotonic()
            if left <= 0:
                raise why
            client = OutboundClient(self._private_hosts, resolve=self._resolve, timeout=left, max_bytes=MAX_BYTES)
            try:
                response = client.call(method, f"{self._base}{path}", headers, body)
            except PermanentFailure as failure:
                raise SourceFailure(str(failure), is_lasting=True) from None
            except RetryLater as failure:
                why, pause = SourceFailure(str(failure)), _FIRST_WAIT * 2**attempt
            else:
                if not response.is_temporary_failure:
                    return _read_answer(response)
                why = SourceFailure(f"it answers with {response.status}")
                pause = response.retry_after or _FIRST_WAIT * 2**attempt
            if pause >= self._deadline - time.monotonic():
                raise why  # the next pull asks again
            if attempt + 1 < TRIES:
                self._wait(pause)
        raise why


def _parse_address(address: str) -> tuple[str, Mapping[str, str]]:
    """(the address without a password, the header that carries it). No error names any part of it."""
    try:
        parts = urlsplit(address)
        port = parts.port
    except ValueError:
        why = "its address cannot be read: write https://host, or https://token@host"
        raise SourceFailure(why, is_lasting=True) from None
    if "@" in parts.path:  # what should be the password ends up in the host, which errors name
        raise SourceFailure("its address cannot be read: write / in its password as %2F", is_lasting=True)
    if parts.scheme not in ("http", "https") or not parts.hostname or parts.query or parts.fragment:
        raise SourceFailure("its address is no https://host or https://user:password@host", is_lasting=True)
    host = f"[{parts.hostname}]" if ":" in parts.hostname else parts.hostname
    base = f"{parts.scheme}://{host}{f':{port}' if port else ''}{parts.path.rstrip('/')}"
    if not parts.username:
        return base, {}
    user = unquote(parts.username)
    if parts.password is None:
        return base, {"Authorization": f"Bearer {user}"}
    return base, {"Authorization": f"Basic {b64encode(f'{user}:{unquote(parts.password)}'.encode()).decode()}"}


def _read_answer(response: OutboundResponse) -> Any:
    if response.status in (401, 403):
        raise SourceFailure("it refuses the user, the password or the token", is_lasting=True)
    found = _parse_json(response.body)
    if response.status >= 400:
        raise SourceFailure(f"it refuses the query with {response.status}{_quote_error(found)}", is_lasting=True)
    if found is None:
        raise SourceFailure("it answers with something that is not JSON")
    return found


def _parse_json(body: bytes) -> Any:
    """The JSON of an answer; None if it is none. Half a character, as where a text was cut within an emoji, is `?`, and
    a number that no float can hold is null."""
    try:
        return orjson.loads(body)
    except orjson.JSONDecodeError:
        pass
    try:
        whole = json.dumps(
            json.loads(body, parse_int=_read_number, parse_float=_read_number), ensure_ascii=False
        ).encode(errors="replace")
        return orjson.loads(whole)
    except (ValueError, RecursionError):
        return None


def _read_number(text: str) -> float | None:
    number = float(text)
    return number if math.isfinite(number) else None


def _quote_error(found: Any) -> str:
    """What the source itself says of the query, which is ours; nothing where it says it elsewhere."""
    said = found.get("error") or found.get("message") or found.get("detail") if isinstance(found, dict) else None
    return f": {said[:_MAX_QUOTED]}" if isinstance(said, str) else ""
