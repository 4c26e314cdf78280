"""A stand-in for Langfuse: the two questions that are asked of it, answered as its published OpenAPI document says."""

import json
import threading
from base64 import b64encode
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, quote, urlsplit

PUBLIC, SECRET = "pk-lf-1", "sk-lf/2"
LIMIT = 100


@dataclass(slots=True)
class LangfuseStandIn:
    """Traces and scores, page by page. `fail` may answer a request instead: (status, headers, body)."""

    traces: list[dict[str, Any]] = field(default_factory=list)
    scores: list[dict[str, Any]] = field(default_factory=list)
    asked: list[tuple[str, dict[str, str]]] = field(default_factory=list)
    fail: Callable[[str, dict[str, str]], tuple[int, dict[str, str], bytes] | None] = lambda path, asked: None
    _server: ThreadingHTTPServer | None = None

    @property
    def url(self) -> str:
        """Its address with the keys, as a source is given it."""
        assert self._server is not None
        return f"http://{PUBLIC}:{quote(SECRET, safe='')}@127.0.0.1:{self._server.server_port}"

    def start(self) -> "LangfuseStandIn":
        """Serve on a free port."""
        outer = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                parts = urlsplit(self.path)
                asked = {name: values[0] for name, values in parse_qs(parts.query).items()}
                outer.asked.append((parts.path, asked))
                status, headers, body = outer.fail(parts.path, asked) or outer.answer(
                    parts.path, asked, self.headers.get("Authorization", "")
                )
                self.send_response(status)
                for name, value in {**headers, "Content-Length": str(len(body))}.items():
                    self.send_header(name, value)
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *args: object) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()
        return self

    def stop(self) -> None:
        """Stop serving."""
        assert self._server is not None
        self._server.shutdown()
        self._server.server_close()

    def answer(self, path: str, asked: dict[str, str], authorization: str) -> tuple[int, dict[str, str], bytes]:
        """What it answers to one request."""
        if authorization != f"Basic {b64encode(f'{PUBLIC}:{SECRET}'.encode()).decode()}":
            return 401, {}, b'{"message": "Invalid credentials"}'
        kept = {"/api/public/traces": self.traces, "/api/public/v2/scores": self.scores}.get(path)
        if kept is None:
            return 404, {}, b'{"message": "Not Found"}'
        begin, end = (datetime.fromisoformat(asked[key]) if key in asked else None for key in _BOUNDS)
        found = [
            one
            for one in kept
            if (begin is None or datetime.fromisoformat(one["timestamp"]) >= begin)
            and (end is None or datetime.fromisoformat(one["timestamp"]) < end)
        ]
        if asked.get("orderBy") == "timestamp.asc":
            found.sort(key=lambda one: one["timestamp"])
        page, limit = int(asked.get("page", "1")), min(int(asked.get("limit", "50")), LIMIT)
        shown = found[(page - 1) * limit : page * limit]
        if path.endswith("traces"):
            shown = [_select_fields(one, asked.get("fields", "core,io,scores,observations,metrics")) for one in shown]
        meta = {"page": page, "limit": limit, "totalItems": len(found), "totalPages": -(-len(found) // limit)}
        return 200, {"Content-Type": "application/json"}, json.dumps({"data": shown, "meta": meta}).encode()


_BOUNDS = ("fromTimestamp", "toTimestamp")


def build_trace(identity: str, at: datetime, **more: Any) -> dict[str, Any]:
    """A `TraceWithDetails` as its document describes it."""
    return {
        "id": identity,
        "timestamp": at.isoformat().replace("+00:00", "Z"),
        "name": "answer",
        "input": "how do I pay?",
        "output": "like this",
        "sessionId": None,
        "release": None,
        "version": None,
        "userId": None,
        "metadata": {},
        "tags": [],
        "public": False,
        "environment": "production",
        "bookmarked": False,
        "htmlPath": f"/project/p/traces/{identity}",
        "latency": 0.9,
        "totalCost": 0.01,
        "observations": ["o1"],
        "scores": [],
        **more,
    }


def build_score(trace: str, name: str, value: Any, at: datetime, kind: str = "NUMERIC") -> dict[str, Any]:
    """A score as its document describes it."""
    text = {"stringValue": "True" if value else "False"} if kind == "BOOLEAN" else {}
    text = {"stringValue": value} if kind == "CATEGORICAL" else text
    return {
        "id": f"{trace}-{name}",
        "traceId": trace,
        "name": name,
        "value": value if kind != "CATEGORICAL" else None,
        "dataType": kind,
        "source": "EVAL",
        "timestamp": at.isoformat().replace("+00:00", "Z"),
        "createdAt": at.isoformat(),
        "updatedAt": at.isoformat(),
        "environment": "production",
        **text,
    }


def _select_fields(trace: dict[str, Any], fields: str) -> dict[str, Any]:
    groups = fields.split(",")
    left_out = {
        **({} if "io" in groups else {"input": None, "output": None, "metadata": None}),
        **({} if "scores" in groups else {"scores": []}),
        **({} if "observations" in groups else {"observations": []}),
        **({} if "metrics" in groups else {"totalCost": -1, "latency": -1}),
    }
    return {**trace, **left_out}
