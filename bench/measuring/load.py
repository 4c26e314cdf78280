"""A load generator: a process of its own that keeps connections open, as fast as answers come or at a fixed rate."""

import asyncio
import json
import subprocess
import sys
import time
from collections import Counter, deque
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from hashlib import sha256
from hmac import new as hmac
from itertools import count
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit
from uuid import uuid4

ROOT = Path(__file__).parents[2]
PATIENCE = 30  # seconds for the last answers
UNIQUE = "{n}"  # in a header or body: replaced by a text that no other request has


@dataclass(frozen=True, slots=True, kw_only=True)
class Ask:
    """A POST that is sent again and again."""

    path: str
    body: str
    headers: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Load:
    """`asks` take turns. With a `rate` (a second) latencies count from when a request was due, not from when it could
    be sent; without one every connection sends as soon as it was answered. `secret` signs as Slack does."""

    url: str
    asks: tuple[Ask, ...]
    seconds: float
    connections: int = 16
    rate: float | None = None
    secret: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Answered:
    """What came back; latencies in seconds."""

    count: int
    seconds: float
    p50: float
    p99: float
    statuses: dict[str, int]
    sample: str

    @property
    def rate(self) -> float:
        """Answers a second."""
        return self.count / self.seconds


def run(load: Load) -> Answered:
    """Send it all from another process. RuntimeError where anything was answered with other than 200."""
    done = subprocess.run(
        [sys.executable, "-m", "bench.measuring.load"],
        input=json.dumps(asdict(load)),
        stdout=subprocess.PIPE,
        text=True,
        cwd=ROOT,
        check=True,
    )
    answered = Answered(**json.loads(done.stdout))
    if set(answered.statuses) != {"200"}:
        raise RuntimeError(f"{load.url} answered {answered.statuses}, lastly: {answered.sample[:500]}")
    return answered


class Connection(asyncio.Protocol):
    """One connection with at most one request under way."""

    def __init__(
        self, answered: Callable[["Connection", int, bytes], None], lost: Callable[["Connection"], None]
    ) -> None:
        self._answered = answered
        self._lost = lost
        self._transport: Any = None
        self._received = b""
        self.due = 0.0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport

    def connection_lost(self, exc: Exception | None) -> None:
        self._lost(self)

    def send(self, request: bytes, due: float) -> None:
        """Send a request that was due at this moment of the monotonic clock."""
        self.due = due
        self._transport.write(request)

    def data_received(self, data: bytes) -> None:
        self._received += data
        head, found, body = self._received.partition(b"\r\n\r\n")
        if not found:
            return
        length = int(head.lower().partition(b"content-length:")[2].partition(b"\r\n")[0])
        if len(body) >= length:
            self._received = b""
            self._answered(self, int(head[9:12]), body)

    def close(self) -> None:
        """Hang up."""
        self._transport.close()


class Generator:
    """Sends one `Load` and keeps account of the answers."""

    def __init__(self, load: Load) -> None:
        self._load = load
        address = urlsplit(load.url)
        self._host, self._port = str(address.hostname), int(address.port or 80)
        self._prepared = [self._prepare(ask) for ask in load.asks]
        self._prefix, self._numbers = uuid4().hex[:12], count(1)
        self._turn = 0
        self._latencies: list[float] = []
        self._statuses: Counter[str] = Counter()
        self._sample = b""
        self._open: set[Connection] = set()
        self._idle: deque[Connection] = deque()
        self._pending: deque[float] = deque()
        self._until = 0.0
        self._closing = False

    async def run(self) -> Answered:
        """From the first request to the last answer."""
        loop = asyncio.get_running_loop()  # its own clock only counts whole milliseconds
        for _ in range(self._load.connections):
            _, connection = await loop.create_connection(
                lambda: Connection(self._take, self._gone), self._host, self._port
            )
            self._open.add(connection)
        began = time.monotonic()
        self._until = began + self._load.seconds
        self._idle.extend(self._open)
        if self._load.rate is None:
            while self._idle:
                self._idle.popleft().send(self._next(), time.monotonic())
        else:
            await self._at_fixed_rate(began, self._load.rate)
        give_up = time.monotonic() + PATIENCE
        while len(self._idle) < len(self._open) and time.monotonic() < give_up:
            await asyncio.sleep(0.002)
        seconds = time.monotonic() - began
        if unanswered := len(self._open) - len(self._idle):
            self._statuses["unanswered"] = unanswered
        self._closing = True
        for connection in list(self._open):
            connection.close()
        self._latencies.sort()
        return Answered(
            count=len(self._latencies),
            seconds=seconds,
            p50=_quantile(self._latencies, 0.5),
            p99=_quantile(self._latencies, 0.99),
            statuses=dict(self._statuses),
            sample=self._sample.decode(errors="replace"),
        )

    async def _at_fixed_rate(self, began: float, rate: float) -> None:
        for number in range(int(rate * self._load.seconds)):
            due = began + number / rate
            await asyncio.sleep(max(0.0, due - time.monotonic()))
            if self._idle:
                self._idle.popleft().send(self._next(), due)
            elif not self._open:
                return  # nobody is there any more; the account says so
            else:
                self._pending.append(due)

    def _take(self, connection: Connection, status: int, body: bytes) -> None:
        moment = time.monotonic()
        self._latencies.append(moment - connection.due)
        self._statuses[str(status)] += 1
        if status != 200 or not self._sample:
            self._sample = body
        if self._pending:
            connection.send(self._next(), self._pending.popleft())
        elif self._load.rate is None and moment < self._until:
            connection.send(self._next(), moment)
        else:
            self._idle.append(connection)

    def _gone(self, connection: Connection) -> None:
        """The server hung up: harmless between two requests, a failure during one."""
        self._open.discard(connection)
        if connection in self._idle:
            self._idle.remove(connection)
        elif not self._closing:
            self._statuses["lost"] += 1

    def _next(self) -> bytes:
        prepared = self._prepared[self._turn % len(self._prepared)]
        self._turn += 1
        return prepared() if callable(prepared) else prepared

    def _prepare(self, ask: Ask) -> bytes | Callable[[], bytes]:
        unique = UNIQUE in ask.body or any(UNIQUE in value for value in ask.headers.values())
        if not unique and not self._load.secret:
            return _bytes(self._host, self._port, ask.path, ask.headers, ask.body.encode())
        return lambda: self._fresh(ask)

    def _fresh(self, ask: Ask) -> bytes:
        word = f"{self._prefix}{next(self._numbers)}"
        body = ask.body.replace(UNIQUE, word).encode()
        headers = {name: value.replace(UNIQUE, word) for name, value in ask.headers.items()}
        if self._load.secret:
            stamp = int(time.time())
            signed = hmac(self._load.secret.encode(), b"v0:%d:%s" % (stamp, body), sha256).hexdigest()
            headers |= {"x-slack-request-timestamp": str(stamp), "x-slack-signature": f"v0={signed}"}
        return _bytes(self._host, self._port, ask.path, headers, body)


def _bytes(host: str, port: int, path: str, headers: dict[str, str], body: bytes) -> bytes:
    lines = [f"POST {path} HTTP/1.1", f"host: {host}:{port}", f"content-length: {len(body)}"]
    lines += [f"{name}: {value}" for name, value in headers.items()]
    return "\r\n".join([*lines, "", ""]).encode() + body


def _quantile(ordered: Sequence[float], share: float) -> float:
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))]


def main() -> None:
    """Read a load as JSON from standard input, print what was answered."""
    import uvloop

    asked = json.load(sys.stdin)
    load = Load(**{**asked, "asks": tuple(Ask(**ask) for ask in asked["asks"])})
    print(json.dumps(asdict(uvloop.run(Generator(load).run()))))


if __name__ == "__main__":
    main()
