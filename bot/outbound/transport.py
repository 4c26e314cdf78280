"""An httpx transport that connects only to addresses it has checked, within one deadline and a limit of bytes."""

import socket
import ssl
import time
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from contextlib import contextmanager
from functools import cache
from typing import Any

import httpcore
import httpx

from bot.outbound.addresses import is_public

TIMEOUT = 5.0  # from the name lookup, which itself cannot be bounded, to the last byte
MAX_RESPONSE_BYTES = 256 * 1024

ResolveHost = Callable[[str, int], Sequence[str]]


class CallRefused(httpx.TransportError):
    """This address may not be called; the text says why and what to do."""


class HostUnresolved(httpx.TransportError):
    """The name has no address right now."""


class ResponseTooLarge(httpx.TransportError):
    """The response has more bytes than the transport reads."""


def resolve_host(host: str, port: int) -> Sequence[str]:
    """The addresses that this machine resolves a host to; decimal and octal notations are resolved, too."""
    found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return tuple(dict.fromkeys(str(entry[4][0]) for entry in found))


def find_allowed_addresses(host: str, port: int, private_hosts: Collection[str], resolve: ResolveHost) -> Sequence[str]:
    """The addresses of a host, resolved once: all are public, or the host is one of `private_hosts` (lower case).

    Raises `CallRefused` or `HostUnresolved`.
    """
    try:
        found = resolve(host, port)
    except (OSError, UnicodeError) as error:
        raise HostUnresolved(f"the address of {host} cannot be found: {error}") from error
    if not found:
        raise HostUnresolved(f"{host} has no address")
    closed = [address for address in found if not is_public(address)]
    if closed and host.lower() not in private_hosts:
        raise CallRefused(
            f"{host} is {closed[0]}, which is not a public internet address: if that is intended, name the host in "
            "ALLOW_PRIVATE_HOSTS"
        )
    return found


class GuardedTransport(httpx.BaseTransport):
    """Calls public hosts over HTTPS; hosts in `private_hosts` may have private addresses and use plain HTTP.

    Raises `CallRefused`, `HostUnresolved`, `ResponseTooLarge` and httpx's own errors, none of which quotes what was
    sent. Redirects are for the client to follow or not: each is a request that is checked again. The limit of bytes is
    that of the body as it comes: ask for no compression, or bound what it unfolds to. Of the environment
    only SSL_CERT_FILE and SSL_CERT_DIR count, for a certificate authority of your own; proxy settings are ignored.
    """

    def __init__(
        self,
        private_hosts: Iterable[str],
        *,
        resolve: ResolveHost,
        timeout: float,
        max_bytes: int,
        load_tls: Callable[[], ssl.SSLContext] | None,
    ) -> None:
        self._max_bytes = max_bytes
        self._private_hosts = frozenset(host.lower() for host in private_hosts)
        self._resolve = resolve
        self._timeout = timeout
        self._load_tls = load_tls or _load_authorities

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        """Send one request on a connection of its own; the body of the response is read as it is iterated."""
        deadline = time.monotonic() + self._timeout
        addresses = self.check_url(request.url)
        pool = httpcore.ConnectionPool(
            ssl_context=self._load_tls(),
            network_backend=_PinnedBackend(addresses, deadline),
            max_keepalive_connections=0,
            retries=0,
        )
        url = httpcore.URL(
            scheme=request.url.raw_scheme,
            host=request.url.raw_host,
            port=request.url.port,
            target=request.url.raw_path,
        )
        try:
            with _translated_errors():
                response = pool.handle_request(
                    httpcore.Request(request.method, url, headers=request.headers.raw, content=request.stream)
                )
        except BaseException:
            pool.close()
            raise
        return httpx.Response(
            response.status,
            headers=response.headers,
            stream=_BoundedStream(response, pool, self._max_bytes),
            request=request,
        )

    def check_url(self, url: httpx.URL) -> Sequence[str]:
        """The addresses of the host, resolved once: only these are connected to, since a second lookup could differ.

        Raises `CallRefused` unless it is HTTPS to a public address, or a private host; `HostUnresolved`.
        """
        host = url.host
        if url.scheme != "https" and not (url.scheme == "http" and host in self._private_hosts):
            raise CallRefused(
                f"{host} would be called over {url.scheme or 'nothing'}: write https, or name it in ALLOW_PRIVATE_HOSTS"
            )
        return find_allowed_addresses(
            host, url.port or (443 if url.scheme == "https" else 80), self._private_hosts, self._resolve
        )


class _BoundedStream(httpx.SyncByteStream):
    """The body of a response, up to `max_bytes`; closing it closes the connection."""

    def __init__(self, response: httpcore.Response, pool: httpcore.ConnectionPool, max_bytes: int) -> None:
        self._response = response
        self._max_bytes = max_bytes
        self._pool = pool

    def __iter__(self) -> Iterator[bytes]:
        size = 0
        with _translated_errors():
            for part in self._response.iter_stream():
                size += len(part)
                if size > self._max_bytes:
                    raise ResponseTooLarge(f"more than {self._max_bytes // 1024} KB")
                yield part

    def close(self) -> None:
        self._response.close()
        self._pool.close()


@contextmanager
def _translated_errors() -> Iterator[None]:
    """httpcore's errors as httpx's, without texts that quote a header or the response, and with them the token."""
    try:
        yield
    except httpcore.TimeoutException:
        raise httpx.ReadTimeout("no answer in time") from None
    except httpcore.LocalProtocolError:
        raise httpx.LocalProtocolError("the request cannot be written") from None
    except httpcore.RemoteProtocolError:
        raise httpx.RemoteProtocolError("the answer is not HTTP") from None
    except httpcore.NetworkError as error:
        raise httpx.NetworkError(str(error) or type(error).__name__) from error


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
            # so that a silent address leaves time for the next
            share = _remaining_seconds(self._deadline) / (len(self._addresses) - number)
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
