"""The HTTP client for addresses that users configure: it connects only to what it has checked, with a deadline."""

import socket
import ssl
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any
from urllib.parse import urlsplit

import httpcore
import httpx

from bot.outbound.addresses import is_public
from bot.outbound.attempts import PermanentFailure, RetryLater

TIMEOUT = 5.0  # from the name lookup, which itself cannot be bounded, to the last byte
MAX_RESPONSE_BYTES = 256 * 1024

ResolveHost = Callable[[str, int], Sequence[str]]


@dataclass(frozen=True, slots=True, kw_only=True)
class OutboundResponse:
    """A response. Header names are in lower case."""

    status: int
    headers: Mapping[str, str]
    body: bytes


def resolve_host(host: str, port: int) -> Sequence[str]:
    """The addresses that this machine resolves a host to; decimal and octal notations are resolved, too."""
    found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return tuple(dict.fromkeys(str(entry[4][0]) for entry in found))


class OutboundClient:
    """Calls public hosts over HTTPS; hosts in `private_hosts` may have private addresses and use plain HTTP.

    Of the environment only SSL_CERT_FILE and SSL_CERT_DIR count, for a certificate authority of your own; proxy
    settings are ignored.
    """

    def __init__(
        self,
        private_hosts: Iterable[str] = (),
        *,
        resolve: ResolveHost = resolve_host,
        timeout: float = TIMEOUT,
        load_tls: Callable[[], ssl.SSLContext] | None = None,
    ) -> None:
        self._private_hosts = frozenset(host.lower() for host in private_hosts)
        self._resolve = resolve
        self._timeout = timeout
        self._load_tls = load_tls or _load_authorities

    def call(self, method: str, url: str, headers: Mapping[str, str], body: bytes | None = None) -> OutboundResponse:
        """Send one request without following redirects. `PermanentFailure` if it is not allowed, `RetryLater` if it
        failed."""
        deadline = time.monotonic() + self._timeout
        parts = urlsplit(url)
        host = parts.hostname or ""
        port = parts.port or (443 if parts.scheme == "https" else 80)
        self._check_scheme(parts.scheme, host)
        backend = _PinnedBackend(self._resolve_allowed(host, port), deadline)
        with httpcore.ConnectionPool(
            ssl_context=self._load_tls(), network_backend=backend, max_keepalive_connections=0, retries=0
        ) as pool:
            try:
                with pool.stream(method, url, headers=_encode_headers(headers), content=body) as response:
                    answer = _read_response(host, response)
            except httpcore.TimeoutException:
                raise RetryLater(f"{host} did not answer within {self._timeout:g} s") from None
            except httpcore.LocalProtocolError:
                # The error's text contains the header, and with it the token.
                raise PermanentFailure(
                    "the request cannot be built: is the token one line of plain characters?"
                ) from None
            except httpcore.RemoteProtocolError:
                # The error's text quotes the response, which may repeat the token.
                raise RetryLater(
                    f"{host} cannot be reached: it closes the connection, or does not speak HTTP"
                ) from None
            except httpcore.NetworkError as error:
                raise RetryLater(f"{host} cannot be reached: {error or type(error).__name__}") from error
        if 300 <= answer.status < 400:
            raise PermanentFailure(
                f"{host} answers with a redirect ({answer.status}), and redirects are not followed: write the "
                "address that it leads to, if you trust it"
            )
        return answer

    def explain_refusal(self, url: str) -> str:
        """Why this address may never be called; empty if it may be, or if its name cannot be resolved right now."""
        parts = urlsplit(url)
        host = parts.hostname or ""
        try:
            self._check_scheme(parts.scheme, host)
            self._resolve_allowed(host, parts.port or (443 if parts.scheme == "https" else 80))
        except PermanentFailure as never:
            return str(never)
        except RetryLater:
            return ""
        return ""

    def _check_scheme(self, scheme: str, host: str) -> None:
        """Raise PermanentFailure unless it is HTTPS, or HTTP to a private host."""
        if scheme == "https" or (scheme == "http" and host in self._private_hosts):
            return
        raise PermanentFailure(
            f"{host} would be called over {scheme or 'nothing'}: write https, or name it in ALLOW_PRIVATE_HOSTS"
        )

    def _resolve_allowed(self, host: str, port: int) -> Sequence[str]:
        """Resolve and check the host once; only these addresses are connected to, since a second lookup could
        differ."""
        try:
            found = self._resolve(host, port)
        except (OSError, UnicodeError) as error:
            raise RetryLater(f"the address of {host} cannot be found: {error}") from error
        if not found:
            raise RetryLater(f"{host} has no address")
        closed = [address for address in found if not is_public(address)]
        if closed and host not in self._private_hosts:
            raise PermanentFailure(
                f"{host} is {closed[0]}, which is not a public internet address: if that is intended, name the host in "
                "ALLOW_PRIVATE_HOSTS"
            )
        return found


def _encode_headers(headers: Mapping[str, str]) -> list[tuple[bytes, bytes]]:
    """Encode the headers as UTF-8, so that a system itself rejects a token with odd characters."""
    return [(name.encode(), value.encode()) for name, value in (*headers.items(), ("Accept-Encoding", "identity"))]


def _read_response(host: str, response: httpcore.Response) -> OutboundResponse:
    """Read the response; PermanentFailure if its body is too large."""
    body = bytearray()
    for part in response.iter_stream():
        body += part
        if len(body) > MAX_RESPONSE_BYTES:
            raise PermanentFailure(
                f"{host} answers with more than {MAX_RESPONSE_BYTES // 1024} KB: that cannot be the right system"
            )
    headers = {name.decode("latin-1").lower(): value.decode("latin-1") for name, value in response.headers}
    return OutboundResponse(status=response.status, headers=headers, body=bytes(body))


@cache
def _load_authorities() -> ssl.SSLContext:
    return httpx.create_ssl_context()


class _PinnedBackend(httpcore.NetworkBackend):
    """Connects to the checked addresses only; certificates are still verified against the host name."""

    def __init__(self, addresses: Sequence[str], deadline: float) -> None:
        self._addresses = addresses
        self._deadline = deadline
        self._network = httpcore.SyncBackend()

    def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,
        socket_options: Iterable[httpcore.SOCKET_OPTION] | None = None,
    ) -> httpcore.NetworkStream:
        failed: Exception | None = None
        for number, address in enumerate(self._addresses):
            share = _remaining_seconds(self._deadline) / (
                len(self._addresses) - number
            )  # so that a silent address leaves time for the next
            try:
                reached = self._network.connect_tcp(address, port, share, local_address, socket_options)
                return _DeadlineStream(reached, self._deadline)
            except (httpcore.NetworkError, httpcore.ConnectTimeout) as error:
                failed = error
        raise failed or httpcore.ConnectError("no address")


class _DeadlineStream(httpcore.NetworkStream):
    """A connection with one deadline for everything, however slowly bytes arrive."""

    def __init__(self, stream: httpcore.NetworkStream, deadline: float) -> None:
        self._stream = stream
        self._deadline = deadline

    def read(self, max_bytes: int, timeout: float | None = None) -> bytes:
        return self._stream.read(max_bytes, _remaining_seconds(self._deadline))

    def write(self, buffer: bytes, timeout: float | None = None) -> None:
        self._stream.write(buffer, _remaining_seconds(self._deadline))

    def close(self) -> None:
        self._stream.close()

    def start_tls(
        self, ssl_context: ssl.SSLContext, server_hostname: str | None = None, timeout: float | None = None
    ) -> httpcore.NetworkStream:
        secured = self._stream.start_tls(ssl_context, server_hostname, _remaining_seconds(self._deadline))
        return _DeadlineStream(secured, self._deadline)

    def get_extra_info(self, info: str) -> Any:
        return self._stream.get_extra_info(info)


def _remaining_seconds(deadline: float) -> float:
    """Seconds until the deadline; raises httpcore.ReadTimeout once it has passed."""
    left = deadline - time.monotonic()
    if left <= 0:
        raise httpcore.ReadTimeout("no time is left")
    return left
