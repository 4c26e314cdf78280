"""The HTTP requests of the client: the snapshot, its changes, observations."""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import httpx

SNAPSHOT_PATH = "/api/v1/snapshot"
CHANGES_PATH = "/api/v1/changes"
OBSERVATIONS_PATH = "/api/v1/observations"
REQUEST_TIMEOUT = 5.0  # seconds
STREAM_TIMEOUT = 45.0  # seconds without a byte, three of the server's keep-alives


@dataclass(frozen=True, slots=True, kw_only=True)
class FetchedSnapshot:
    """The answer to a poll. `body` is None if nothing has changed; `age` is in seconds."""

    body: bytes | None
    etag: str
    age: float
    position: int


class Connection:
    """One server, or what stands in front of several. Raises httpx.HTTPError from every method."""

    def __init__(
        self, url: str, token: str, client_id: str, transport: httpx.BaseTransport | None = None, **options: Any
    ) -> None:
        headers = {"Rampart-Client": client_id}
        if token:
            headers["Authorization"] = f"Bearer {token}"
        self._http = httpx.Client(
            base_url=url, headers=headers, timeout=REQUEST_TIMEOUT, transport=transport, **options
        )
        self._is_closed = False

    def fetch_snapshot(self, etag: str) -> FetchedSnapshot:
        """The snapshot, unless it is the one with this ETag."""
        answer = self._http.get(SNAPSHOT_PATH, headers={"If-None-Match": etag} if etag else {})
        self._end_if_late(answer)
        if answer.status_code != httpx.codes.NOT_MODIFIED:
            answer.raise_for_status()
        return FetchedSnapshot(
            body=None if answer.status_code == httpx.codes.NOT_MODIFIED else answer.content,
            etag=answer.headers.get("etag", ""),
            age=float(answer.headers.get("age", "0")),
            position=int(answer.headers.get("rampart-position", "0")),
        )

    def listen(self) -> Iterator[None]:
        """Once whenever the snapshot may have changed, until the stream ends."""
        timeout = httpx.Timeout(REQUEST_TIMEOUT, read=STREAM_TIMEOUT)
        with self._http.stream("GET", CHANGES_PATH, timeout=timeout) as answer:
            if self._end_if_late(answer):
                return
            answer.raise_for_status()
            for line in answer.iter_lines():
                if line.startswith("data:") and "refetchEvaluation" in line:
                    yield

    def send_observations(self, observations: list[Mapping[str, Any]], key: str) -> httpx.Response:
        """The answer to a batch; sent again with the same `key` it counts once."""
        body = json.dumps({"observations": observations}, allow_nan=False).encode()
        headers = {"Content-Type": "application/json", "Idempotency-Key": key}
        return self._http.post(OBSERVATIONS_PATH, content=body, headers=headers)

    def say_goodbye(self) -> None:
        """Tell the server that this client serves nobody any more, so that no rollback waits for it."""
        self._http.delete(SNAPSHOT_PATH, timeout=1.0)

    def close(self) -> None:
        """Close all connections, also those in use."""
        self._is_closed = True
        self._http.close()

    def _end_if_late(self, answer: httpx.Response) -> bool:
        """Close a connection that was being made while the others were closed, which did not know of it."""
        if self._is_closed and (stream := answer.extensions.get("network_stream")) is not None:
            stream.close()
        return self._is_closed
