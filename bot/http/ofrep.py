"""Flag evaluation over HTTP (OFREP 0.3.0), from the snapshot in memory and with cached response bytes."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from hashlib import blake2b
from typing import Any

import orjson

from bot.http.middleware import bodies
from bot.http.middleware.auth import Denied, Door, Role
from bot.http.middleware.bodies import App, Receive, Scope, Send
from core.flags.evaluation import choose
from core.flags.snapshot import Answer, Snapshot, SurfaceFlags

PREFIX = "/ofrep/"
BULK = "/ofrep/v1/evaluate/flags"
_SINGLE = BULK + "/"
_CORS = (
    (b"access-control-allow-origin", b"*"),
    (b"access-control-expose-headers", b"ETag"),
)
_PREFLIGHT = (
    *_CORS,
    (b"access-control-allow-methods", b"POST, OPTIONS"),
    (
        b"access-control-allow-headers",
        b"authorization, baggage, content-type, if-none-match, traceparent, tracestate, x-api-key",
    ),
    (b"access-control-max-age", b"86400"),
    (b"allow", b"POST, OPTIONS"),
)
_JSON = (b"content-type", b"application/json")
_KEPT = 1_000  # responses: about four per surface, plus those of replaced snapshots


@dataclass(frozen=True, slots=True, kw_only=True)
class Ready:
    """A response as it is sent."""

    body: bytes
    etag: bytes
    headers: list[tuple[bytes, bytes]]


class Malformed(Exception):
    """The request holds no valid evaluation context; `code` is OFREP's error code."""

    def __init__(self, code: str, details: str) -> None:
        super().__init__(details)
        self.code = code


class Flags:
    """ASGI application that answers `/ofrep/`, counts what it answers, and passes everything else to `inner`."""

    def __init__(self, snapshot: Callable[[], Snapshot], door: Door, inner: App) -> None:
        self._snapshot = snapshot
        self._door = door
        self._inner = inner
        self._ready: dict[Answer, Ready] = {}
        self.singles = 0
        self.bulks = 0
        self.refused = 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or not scope["path"].startswith(PREFIX):
            await self._inner(scope, receive, send)
            return
        path: str = scope["path"]
        key = path[len(_SINGLE) :] if path.startswith(_SINGLE) else ""
        try:
            if not self._door.open and scope["method"] != "OPTIONS":
                self._door.admit(scope["headers"], Role.FLAGS)
            if scope["method"] != "POST" or not (key or path == BULK):
                await self._otherwise(scope, send, path, key)
            elif key:
                await self._single(key, scope, receive, send)
            else:
                await self._bulk(scope, receive, send)
        except Malformed as error:
            await self._refuse(send, 400, key, error.code, str(error))
        except bodies.TooLarge as error:
            await self._refuse(
                send, 413, key, "INVALID_CONTEXT", f"{error} An evaluation's context is a few kilobytes."
            )
        except bodies.TooSlow as error:
            await self._refuse(send, 408, key, "GENERAL", f"{error} {error.hint}", (b"connection", b"close"))
        except Denied as error:
            challenge = ((b"www-authenticate", b"Bearer"),) if error.status == 401 else ()
            await self._refuse(send, error.status, key, "GENERAL", f"{error.message} {error.hint}", *challenge)
        except bodies.Encoded as error:
            await self._refuse(send, 415, key, "GENERAL", f"{error} {error.hint}", (b"accept-encoding", b"identity"))
        except bodies.Disconnected:
            return

    async def _single(self, key: str, scope: Scope, receive: Receive, send: Send) -> None:
        context = _context(await bodies.read(scope, receive))
        snapshot = self._snapshot()
        flags = snapshot.surfaces.get(key)
        if flags is None:
            await self._refuse(send, 404, key, "FLAG_NOT_FOUND", f'There is no surface "{key}": apply its file first.')
            return
        self.singles += 1
        await _answer(scope, send, self._bytes(flags, context))

    async def _bulk(self, scope: Scope, receive: Receive, send: Send) -> None:
        context = _context(await bodies.read(scope, receive))
        snapshot = self._snapshot()
        answers = [self._bytes(flags, context).body for flags in snapshot.surfaces.values()]
        self.bulks += 1
        await _answer(scope, send, _ready(b'{"flags":[' + b",".join(answers) + b"]}"))

    def _bytes(self, flags: SurfaceFlags, context: Mapping[str, Any]) -> Ready:
        """The response for one surface, cached by answer."""
        answer = choose(flags, context.get("targetingKey"), context)
        ready = self._ready.get(answer)
        if ready is None:
            if len(self._ready) >= _KEPT:
                self._ready.clear()
            ready = self._ready[answer] = _ready(_success(flags.name, answer))
        return ready

    async def _otherwise(self, scope: Scope, send: Send, path: str, key: str) -> None:
        if scope["method"] == "OPTIONS":
            await _send(send, 204, [*_PREFLIGHT], b"")
        elif key or path == BULK:
            details = f"{scope['method']} is not possible here: evaluate with POST."
            await self._refuse(send, 405, key, "GENERAL", details, (b"allow", b"POST, OPTIONS"))
        else:
            await self._refuse(
                send, 404, key, "GENERAL", f"There is no {path}. Evaluate at {BULK} or {_SINGLE}<surface>."
            )

    async def _refuse(
        self, send: Send, status: int, key: str, code: str, details: str, *headers: tuple[bytes, bytes]
    ) -> None:
        self.refused += 1
        body = orjson.dumps({**({"key": key} if key else {}), "errorCode": code, "errorDetails": details})
        await _send(send, status, [_JSON, (b"content-length", b"%d" % len(body)), *_CORS, *headers], body)


def _context(body: bytes) -> Mapping[str, Any]:
    """The evaluation context; empty if none was sent, which evaluates to the live version."""
    if not body.strip():
        return {}
    try:
        request = orjson.loads(body)
    except orjson.JSONDecodeError as error:
        raise Malformed("PARSE_ERROR", f"The body is not JSON: {error}.") from None
    if not isinstance(request, dict):
        raise Malformed("PARSE_ERROR", 'The body must be an object like {"context": {"targetingKey": "user-1"}}.')
    context = request.get("context")
    if context is None:
        return {}
    if not isinstance(context, dict):
        raise Malformed("INVALID_CONTEXT", '"context" must be an object like {"targetingKey": "user-1"}.')
    if not isinstance(context.get("targetingKey", ""), str | None):
        raise Malformed(
            "INVALID_CONTEXT", '"targetingKey" must be a text: the id of the user, account or conversation.'
        )
    return context


def _success(surface: str, answer: Answer) -> bytes:
    metadata = {
        "rollout": answer.rollout,
        "version": answer.version.name,
        "cohort": answer.cohort,
        "stage": answer.stage,
    }
    if answer.exposure:
        metadata["exposure"] = answer.exposure
    return b'{"key":%b,"value":%b,"variant":%b,"reason":%b,"metadata":%b}' % (
        orjson.dumps(surface),
        answer.version.json,
        orjson.dumps(answer.variant.value),
        orjson.dumps(answer.reason.value),
        orjson.dumps(metadata),
    )


def _ready(body: bytes) -> Ready:
    etag = b'"%b"' % blake2b(body, digest_size=16).hexdigest().encode()
    headers = [_JSON, (b"content-length", b"%d" % len(body)), (b"etag", etag), *_CORS]
    return Ready(body=body, etag=etag, headers=headers)


async def _answer(scope: Scope, send: Send, ready: Ready) -> None:
    """Send the response, or 304 if the caller has it already."""
    for name, value in scope["headers"]:
        if name == b"if-none-match" and _matches(value, ready.etag):
            await _send(send, 304, [(b"etag", ready.etag), *_CORS], b"")
            return
    await _send(send, 200, ready.headers, ready.body)


def _matches(header: bytes, etag: bytes) -> bool:
    """Whether an If-None-Match header names this ETag."""
    return header.strip() == b"*" or any(tag.strip().removeprefix(b"W/") == etag for tag in header.split(b","))


async def _send(send: Send, status: int, headers: list[tuple[bytes, bytes]], body: bytes) -> None:
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})
