"""A small HTTP server that stands for a system's API: it answers by the system's rules, with faults on demand."""

import json
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qsl, unquote, urlsplit


@dataclass(slots=True)
class ApiCall:
    """One request: `path` is decoded piece by piece, so that a slash within a name stays within it."""

    method: str
    path: tuple[str, ...]
    query: dict[str, str]
    headers: dict[str, str]
    body: Any


Answer = tuple[int, Any] | None
"""None: the connection is closed without one."""


@dataclass(slots=True)
class ApiServer:
    """`answer` is the system. `fail_next` makes the next calls of a method go wrong; `log` holds what was asked."""

    answer: Callable[[ApiCall], Answer]
    url: str = ""
    log: list[str] = field(default_factory=list)
    fails: list[tuple[str, int, dict[str, str]]] = field(default_factory=list)

    def fail_next(self, method: str, status: int, times: int = 1, **headers: str) -> None:
        self.fails += [(method, status, headers)] * times

    @property
    def writes(self) -> int:
        return sum(not one.startswith("GET") for one in self.log)


def _read_body(body: bytes, content_type: str) -> Any:
    """What was sent: JSON parsed, a form as its text, None for nothing."""
    if content_type.startswith("multipart/"):
        return body.decode()
    return json.loads(body) if body else None


@contextmanager
def serving(answer: Callable[[ApiCall], Answer]) -> Iterator[ApiServer]:
    """The server on loopback, until the end of the block."""
    api = ApiServer(answer)
    lock = threading.Lock()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            parts = urlsplit(self.path)
            body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            call = ApiCall(
                self.command,
                tuple(unquote(piece) for piece in parts.path.split("/")[1:]),
                dict(parse_qsl(parts.query)),
                {name.lower(): value for name, value in self.headers.items()},
                _read_body(body, self.headers.get("Content-Type") or ""),
            )
            with lock:
                api.log.append(f"{self.command} {self.path}")
                failing = next((one for one in api.fails if one[0] == self.command), None)
                if failing is not None:
                    api.fails.remove(failing)
                    status, said, headers = failing[1], {"message": "You sent a secret"}, failing[2]
                else:
                    answered, headers = api.answer(call), {}
                    if answered is None:
                        self.close_connection = True
                        return
                    status, said = answered
            text = json.dumps(said).encode()
            self.send_response(status)
            for name, value in {"Content-Length": str(len(text)), **headers}.items():
                self.send_header(name.replace("_", "-"), value)
            self.end_headers()
            self.wfile.write(text)

        do_POST = do_PATCH = do_PUT = do_DELETE = do_GET

        def log_message(self, *_: Any) -> None:
            """Not into the output of the tests."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    api.url = f"http://127.0.0.1:{server.server_address[1]}"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    try:
        yield api
    finally:
        server.shutdown()
        server.server_close()
        thread.join(5)
