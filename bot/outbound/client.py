"""One bounded call of a system that users configure, with failures that say whether trying again can help."""

import ssl
from collections.abc import Callable, Iterable, Mapping
from contextlib import closing

import httpx

from bot.outbound.errors import PermanentFailure, RetryLater
from bot.outbound.response import OutboundResponse
from bot.outbound.transport import (
    MAX_RESPONSE_BYTES,
    TIMEOUT,
    CallRefused,
    GuardedTransport,
    HostUnresolved,
    ResolveHost,
    ResponseTooLarge,
    resolve_host,
)


class OutboundClient:
    """Calls through a `GuardedTransport`, whose arguments it takes, and follows no redirect."""

    def __init__(
        self,
        private_hosts: Iterable[str] = (),
        *,
        resolve: ResolveHost = resolve_host,
        timeout: float = TIMEOUT,
        max_bytes: int = MAX_RESPONSE_BYTES,
        load_tls: Callable[[], ssl.SSLContext] | None = None,
    ) -> None:
        self._timeout = timeout
        self._transport = GuardedTransport(
            private_hosts, resolve=resolve, timeout=timeout, max_bytes=max_bytes, load_tls=load_tls
        )

    def call(self, method: str, url: str, headers: Mapping[str, str], body: bytes | None = None) -> OutboundResponse:
        """Send one request. `PermanentFailure` if it is not allowed, `RetryLater` if it failed."""
        # As bytes, so that a system itself rejects a token with odd characters.
        sent = [(name.encode(), value.encode()) for name, value in (*headers.items(), ("Accept-Encoding", "identity"))]
        parsed = _parse_url(url)
        host = parsed.host
        request = httpx.Request(method, parsed, headers=sent, content=body)
        try:
            with httpx.Client(transport=self._transport, trust_env=False) as client:
                response = client.send(request, stream=True)
                with closing(response):
                    content = b"".join(response.iter_raw())  # as it came: what is compressed could be large
        except CallRefused as refused:
            raise PermanentFailure(str(refused)) from None
        except HostUnresolved as unresolved:
            raise RetryLater(str(unresolved)) from unresolved
        except ResponseTooLarge as large:
            raise PermanentFailure(f"{host} answers with {large}: that cannot be the right system") from None
        except httpx.TimeoutException:
            raise RetryLater(f"{host} did not answer within {self._timeout:g} s", may_arrive=True) from None
        except httpx.LocalProtocolError:
            raise PermanentFailure("the request cannot be built: is the token one line of plain characters?") from None
        except httpx.RemoteProtocolError:
            why = f"{host} cannot be reached: it closes the connection, or does not speak HTTP"
            raise RetryLater(why, may_arrive=True) from None
        except httpx.ConnectError as error:
            raise RetryLater(f"{host} cannot be reached: {error}") from error
        except httpx.NetworkError as error:
            raise RetryLater(f"{host} cannot be reached: {error}", may_arrive=True) from error
        if response.is_redirect or 300 <= response.status_code < 400:
            raise PermanentFailure(
                f"{host} answers with a redirect ({response.status_code}), and redirects are not followed: write the "
                "address that it leads to, if you trust it"
            )
        return OutboundResponse(
            status=response.status_code,
            headers={name.lower(): value for name, value in response.headers.items()},
            body=content,
        )

    def explain_refusal(self, url: str) -> str:
        """Why this address may never be called; empty if it may be, or if its name cannot be resolved right now."""
        try:
            self._transport.check_url(_parse_url(url))
        except (CallRefused, PermanentFailure) as refused:
            return str(refused)
        except HostUnresolved:
            return ""
        return ""


def _parse_url(url: str) -> httpx.URL:
    try:
        return httpx.URL(url)
    except httpx.InvalidURL as error:
        raise PermanentFailure(
            f"{url[:200]} is not a public internet address: if that is intended, name the host in ALLOW_PRIVATE_HOSTS, "
            f"spelled as usual ({error})"
        ) from None
