"""Asks over HTTP which version to serve, one question after the other: a full client takes longer than the server."""

import socket
from typing import Any
from urllib.parse import urlsplit

import httptools
import orjson

_TIMEOUT = 30.0  # seconds
_READ_AT_ONCE = 65536  # bytes


class EvaluationClient:
    """One connection to the API at `url`, which has to be closed."""

    def __init__(self, url: str) -> None:
        parts = urlsplit(url)
        self._host = parts.netloc.encode()
        self._connection = socket.create_connection((parts.hostname, parts.port), timeout=_TIMEOUT)
        self._connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._parser = httptools.HttpResponseParser(self)
        self._parts: list[bytes] = []
        self._is_complete = False

    def evaluate(self, surface: str, context: dict[str, Any]) -> dict[str, Any]:
        """What OFREP answers for this context. Raises ConnectionError if it is not answered."""
        body = orjson.dumps({"context": context})
        self._parts.clear()
        self._is_complete = False
        self._connection.sendall(
            b"POST /ofrep/v1/evaluate/flags/%b HTTP/1.1\r\nHost: %b\r\nContent-Type: application/json\r\n"
            b"Content-Length: %d\r\n\r\n%b" % (surface.encode(), self._host, len(body), body)
        )
        while not self._is_complete:
            received = self._connection.recv(_READ_AT_ONCE)
            if not received:
                raise ConnectionError("The server closed the connection before it had answered.")
            self._parser.feed_data(received)
        answered = b"".join(self._parts)
        if (status := self._parser.get_status_code()) != 200:
            raise ConnectionError(f"An evaluation was answered with {status}: {answered.decode(errors='replace')}")
        found: dict[str, Any] = orjson.loads(answered)
        return found

    def close(self) -> None:
        """Close the connection."""
        self._connection.close()

    def on_body(self, body: bytes) -> None:
        """A part of the response's body; called by the parser."""
        self._parts.append(body)

    def on_message_complete(self) -> None:
        """The response has ended; called by the parser."""
        self._is_complete = True
