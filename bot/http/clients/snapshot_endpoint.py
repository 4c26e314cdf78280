"""`/api/v1/snapshot`: the document with which clients evaluate in their own process, as raw ASGI."""

import gzip
import math
import re
from collections.abc import Callable

from bot.http.middleware.auth import AccessDenied, TokenAuth, TokenRole
from bot.http.middleware.bodies import AsgiApp, Receive, Scope, Send
from bot.http.middleware.etags import matches_etag, read_etag
from bot.http.middleware.problems import build_denial, build_problem
from bot.process.client_positions import ClientPositions, TooManyClients
from bot.process.process_state import ProcessStatus
from core.flags.document import DocumentEncoder, SnapshotDocument
from core.flags.snapshot import Snapshot

SNAPSHOT_PATH = "/api/v1/snapshot"
CLIENT_HEADER = b"rampart-client"
_MAX_ETAG = 64
_PIECE = 64 * 1024  # bytes that are sent at a time
_CLIENT_ID = re.compile(rb"[\w.:-]{8,100}")


class SnapshotEndpoint:
    """ASGI application that answers `/api/v1/snapshot` and passes everything else to `inner`.

    GET hands out the document. `Age` is how many seconds ago this process knew what the log says: whoever evaluates by
    the document counts from there. A client that names itself in `Rampart-Client` is tracked, and DELETE ends that.
    """

    def __init__(
        self,
        snapshot: Callable[[], Snapshot],
        auth: TokenAuth,
        encoder: DocumentEncoder,
        clients: ClientPositions,
        process_status: ProcessStatus,
        inner: AsgiApp,
    ) -> None:
        self._snapshot, self._auth, self._encoder, self._clients = snapshot, auth, encoder, clients
        self._process_status, self._inner = process_status, inner
        self._compressed: tuple[str, bytes] = ("", b"")  # (ETag, gzipped body) of the newest document
        self.sent_count = 0
        self.unchanged_count = 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or scope["path"] != SNAPSHOT_PATH:
            await self._inner(scope, receive, send)
            return
        try:
            self._auth.authorize_person(scope["headers"], TokenRole.SNAPSHOT)
            match scope["method"]:
                case "GET" | "HEAD":
                    await self._send_snapshot(scope, send)
                case "DELETE":
                    self._clients.forget(_read_client(scope))
                    await _send_bytes(send, 204, [], b"")
                case method:
                    message = f"{method} is not possible at {SNAPSHOT_PATH}."
                    allow = {"Allow": "DELETE, GET, HEAD"}
                    problem = build_problem(405, "method_not_allowed", message, "See /docs.", headers=allow)
                    await problem(scope, receive, send)
        except AccessDenied as denied:
            await build_denial(denied)(scope, receive, send)
        except TooManyClients:
            problem = build_problem(
                503,
                "unavailable",
                "This process has as many clients as it can keep track of.",
                "Start more web processes.",
                headers={"Retry-After": "5"},
            )
            await problem(scope, receive, send)

    async def _send_snapshot(self, scope: Scope, send: Send) -> None:
        age = self._process_status.seconds_since_report  # before the snapshot, so that it is not taken for younger
        snapshot = self._snapshot()
        document = self._encoder.encode(snapshot)
        self._clients.record_document(document.etag, snapshot.position)
        known = next((value for name, value in scope["headers"] if name == b"if-none-match"), b"")
        if client := _read_client(scope):
            held = read_etag(known)[:_MAX_ETAG].decode("latin-1")
            self._clients.record_contact(client, held, document.etag)
        etag = f'W/"{document.etag}"'.encode()  # weak, as the compressed body has it too
        headers = [
            (b"etag", etag),
            (b"age", b"%d" % math.ceil(age)),
            (b"cache-control", b"no-cache"),
            (b"vary", b"accept-encoding"),
            (b"rampart-position", b"%d" % snapshot.position),
        ]
        if known and matches_etag(known, etag):
            self.unchanged_count += 1
            await _send_bytes(send, 304, headers, b"")
            return
        self.sent_count += 1
        body = document.body
        if any(name == b"accept-encoding" and b"gzip" in value.lower() for name, value in scope["headers"]):
            body = self._compress(document)
            headers.append((b"content-encoding", b"gzip"))
        headers += [(b"content-type", b"application/json"), (b"content-length", b"%d" % len(body))]
        await _send_bytes(send, 200, headers, b"" if scope["method"] == "HEAD" else body)

    def _compress(self, document: SnapshotDocument) -> bytes:
        if self._compressed[0] != document.etag:
            self._compressed = (document.etag, gzip.compress(document.body, 6, mtime=0))
        return self._compressed[1]


def _read_client(scope: Scope) -> str:
    """The id that a client gave itself; empty without one that is valid."""
    given = next((value for name, value in scope["headers"] if name == CLIENT_HEADER), b"")
    return given.decode("latin-1") if _CLIENT_ID.fullmatch(given) else ""


async def _send_bytes(send: Send, status: int, headers: list[tuple[bytes, bytes]], body: bytes) -> None:
    """Send the response piece by piece: of a slow reader's body only a piece is kept, however many read at once."""
    await send({"type": "http.response.start", "status": status, "headers": headers})
    for start in range(0, max(1, len(body)), _PIECE):
        piece, following = body[start : start + _PIECE], start + _PIECE
        await send({"type": "http.response.body", "body": piece, "more_body": following < len(body)})
