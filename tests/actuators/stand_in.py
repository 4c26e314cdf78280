"""A strict Unleash in small: its admin API for one strategy, with the answers of the real one, and faults on demand."""

import json
import re
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from core.rollout.plans.plan import DrivenFlag

TOKEN = "user:4e7ab1c2-a-token-for-tests"
PATH = re.compile(r"/api/admin/projects/([^/]+)/features/([^/]+)/environments/([^/]+)/strategies/([^/]+)")
ENVIRONMENT = re.compile(r"/api/admin/projects/([^/]+)/features/([^/]+)/environments/([^/]+)")
ENVIRONMENTS = {"production", "development"}


def strategy(percent: str) -> dict[str, Any]:
    """As Unleash 8.2 answers it."""
    return {
        "id": "s-1",
        "name": "flexibleRollout",
        "title": "",
        "disabled": False,
        "constraints": [],
        "parameters": {"groupId": "new-prompt", "rollout": percent, "stickiness": "default"},
        "variants": [{"name": "kept", "weight": 1000, "weightType": "variable", "stickiness": "default"}],
        "sortOrder": 0,
        "segments": [],
    }


@dataclass(slots=True)
class StandIn:
    """`percent` is what it is at. `log` holds every call that reached it; `history` every percentage it was set to."""

    url: str = ""
    feature: str = "new-prompt"
    percent: str = "0"
    log: list[str] = field(default_factory=list)
    history: list[str] = field(default_factory=list)
    wrong: list[str] = field(default_factory=list)  # what no caller should ever do
    strategy: dict[str, Any] = field(default_factory=lambda: strategy("0"))
    others: list[dict[str, Any]] = field(default_factory=list)  # further strategies of the feature in production
    gone: bool = False
    is_on: bool = True  # the feature, in production
    stale_reads: int = 0  # how many further reads answer what was before the newest write
    before: str = "0"
    fails: list[tuple[str, Callable[["Call"], None]]] = field(default_factory=list)
    on_call: Callable[[str], None] = lambda _: None
    lock: threading.Lock = field(default_factory=threading.Lock)

    @property
    def driven(self) -> DrivenFlag:
        return DrivenFlag(
            url=self.url,
            project="default",
            environment="production",
            feature=self.feature,
            strategy="s-1",
            system="unleash",
        )

    def fail_next(self, method: str, how: Callable[["Call"], None], times: int = 1) -> None:
        """The next calls by this method go wrong in this way."""
        self.fails += [(method, how)] * times

    def set_by_hand(self, percent: int) -> None:
        """Somebody moves the slider in Unleash."""
        self.set(str(percent))

    def set(self, percent: str) -> None:
        if percent != self.percent:
            self.before, self.percent = self.percent, percent
        self.strategy["parameters"]["rollout"] = percent
        self.history.append(percent)

    @property
    def patches(self) -> list[str]:
        return [entry.partition(" ")[2] for entry in self.log if entry.startswith("PATCH")]


class Call(BaseHTTPRequestHandler):
    """One request. What is not exactly what the real one takes is answered as the real one does, and noted."""

    protocol_version = "HTTP/1.1"
    unleash: StandIn

    def do_GET(self) -> None:
        self._serve("GET", self.read)

    def do_PATCH(self) -> None:
        self._serve("PATCH", self.write)

    def do_PUT(self) -> None:
        self.unleash.wrong.append("PUT: it would empty the variants")
        self.answer(405, {"name": "MethodNotAllowed"})

    do_POST = do_DELETE = do_PUT

    def _serve(self, method: str, act: Callable[[], None]) -> None:
        unleash = self.unleash
        length = int(self.headers.get("Content-Length") or 0)
        self.body = self.rfile.read(length)
        with unleash.lock:
            said = json.loads(self.body)[0]["value"] if self.body else ""
            unleash.log.append(f"{method} {said}".strip())
            failing = next((x for x in unleash.fails if x[0] == method), None)
            if failing is not None:
                unleash.fails.remove(failing)
        unleash.on_call(f"{method} {said}".strip())
        if failing is not None:
            failing[1](self)
        else:
            act()

    def _allowed(self) -> bool:
        if self.headers.get("Authorization") != TOKEN:
            self.answer(401, {"name": "AuthenticationRequired", "message": "You must log in to use Unleash."})
            return False
        named = PATH.fullmatch(self.path)
        project, feature, environment, asked = named.groups() if named else ("", "", "", "")
        if (project, feature) != ("default", self.unleash.feature):
            self.answer(403)  # so the real one answers for a feature that is not there
        elif asked != "s-1" or self.unleash.gone:
            self.answer(404, {"name": "NotFoundError", "message": f"Could not find strategy with id: {asked}"})
        elif environment != "production":
            self.answer(404, {"name": "NotFoundError", "message": f"Could not find environment {environment}"})
        else:
            return True
        return False

    def read(self) -> None:
        """The feature in an environment, with all of its strategies there."""
        named, unleash = ENVIRONMENT.fullmatch(self.path), self.unleash
        if self.headers.get("Authorization") != TOKEN:
            self.answer(401, {"name": "AuthenticationRequired", "message": "You must log in to use Unleash."})
        elif named is None or (named[1], named[2]) != ("default", unleash.feature) or named[3] not in ENVIRONMENTS:
            self.answer(404, {"name": "NotFoundError", "message": f"There's no feature named {named and named[2]}"})
        else:
            with unleash.lock:
                stale = unleash.stale_reads > 0
                unleash.stale_reads -= stale
                found = {**unleash.strategy, "parameters": dict(unleash.strategy["parameters"])}
                if stale:
                    found["parameters"]["rollout"] = unleash.before
            strategies = [found, *unleash.others] if named[3] == "production" and not unleash.gone else []
            self.answer(200, {"name": named[3], "enabled": unleash.is_on, "strategies": strategies})

    def write(self) -> None:
        if not self._allowed():
            return
        if not isinstance(json.loads(self.body)[0]["value"], str):
            self.answer(400, {"name": "BadDataError", "message": "The `/parameters/rollout` property must be string."})
            return
        self.take()
        self.answer(200, self.unleash.strategy)

    def take(self) -> None:
        """What a PATCH does, whatever is answered."""
        match json.loads(self.body):
            case [{"op": "replace", "path": "/parameters/rollout", "value": str(percent)}]:
                with self.unleash.lock:
                    self.unleash.set(percent)
            case other:
                self.unleash.wrong.append(f"PATCH {other}")

    def answer(self, status: int, body: Any = None, **headers: str) -> None:
        text = json.dumps(body).encode()
        self.send_response(status)
        for name, value in {"Content-Type": "application/json", "Content-Length": str(len(text)), **headers}.items():
            self.send_header(name.replace("_", "-"), value)
        self.end_headers()
        self.wfile.write(text)

    def log_message(self, *_: Any) -> None:
        """Not into the output of the tests."""


def status(code: int, **headers: str) -> Callable[[Call], None]:
    """Refuses with this status."""
    return lambda call: call.answer(code, {"name": "AnError", "message": f"You sent {TOKEN}"}, **headers)


def accepted_but_cut(call: Call) -> None:
    """It does what it was asked, and the answer never arrives."""
    call.take()
    call.connection.close()
    call.close_connection = True


def silent(*, accept: bool) -> Callable[[Call], None]:
    """Says nothing until the caller hangs up; what was asked is done, or not, before that."""

    def act(call: Call) -> None:
        if accept:
            call.take()
        with suppress(OSError):
            while call.connection.recv(65536):
                pass
        call.close_connection = True

    return act


@contextmanager
def running(feature: str = "new-prompt") -> Iterator[StandIn]:
    """A stand-in on loopback, until the end of the block."""
    unleash = StandIn(feature=feature)
    handler = type("Handler", (Call,), {"unleash": unleash})
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    server.daemon_threads = True
    server.handle_error = lambda *_: None  # type: ignore[method-assign]  # callers that hang up
    unleash.url = f"http://127.0.0.1:{server.server_address[1]}"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    try:
        yield unleash
        assert unleash.wrong == []
    finally:
        server.shutdown()
        server.server_close()
        thread.join(5)
