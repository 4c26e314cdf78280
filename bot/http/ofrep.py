"""Flag evaluation over HTTP (OFREP 0.3.0), from the snapshot in memory and with cached response bytes."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from hashlib import blake2b
from typing import Any, Protocol

import orjson

from bot.http.middleware import bodies
from bot.http.middleware.auth import AccessDenied, HeaderItems, TokenAuth, TokenRole
from bot.http.middleware.bodies import AsgiApp, Receive, Scope, Send
from bot.http.middleware.etags import matches_etag
from core.flags.conversations import format_conversation
from core.flags.evaluation import choose_answer
from core.flags.snapshot import FlagAnswer, Snapshot, SurfaceFlags

OFREP_PREFIX = "/ofrep/"
BULK_PATH = "/ofrep/v1/evaluate/flags"
_SINGLE_PREFIX = BULK_PATH + "/"
_CORS_HEADERS = (
    (b"access-control-allow-origin", b"*"),
    (b"access-control-expose-headers", b"ETag"),
)
_PREFLIGHT_HEADERS = (
    *_CORS_HEADERS,
    (b"access-control-allow-methods", b"POST, OPTIONS"),
    (
        b"access-control-allow-headers",
        b"authorization, baggage, content-type, if-none-match, traceparent, tracestate, x-api-key",
    ),
    (b"access-control-max-age", b"86400"),
    (b"allow", b"POST, OPTIONS"),
)
_JSON_HEADER = (b"content-type", b"application/json")
_MAX_CACHED = 1_000  # responses: about four per surface, plus those of replaced snapshots


@dataclass(slots=True, kw_only=True)
class CachedResponse:
    """A response as it is sent, and how often it was."""

    body: bytes
    etag: bytes
    headers: list[tuple[bytes, bytes]]
    surface: str = ""
    count: int = 0


class StreamDescriber(Protocol):
    """Gives the addresses of event streams; `StreamEndpoint` implements it."""

    def describe_stream(self, headers: HeaderItems) -> bytes:
        """OFREP's `eventStreams` for the sender of these headers, as JSON."""

    def count_renewals(self) -> int:
        """Another number whenever addresses that were given before should be replaced."""


class MalformedEvaluation(Exception):
    """The request holds no valid evaluation context; `code` is OFREP's error code."""

    def __init__(self, code: str, details: str) -> None:
        super().__init__(details)
        self.code = code


class OfrepEndpoint:
    """ASGI application that answers `/ofrep/`, counts what it answers, and passes everything else to `inner`."""

    def __init__(
        self, snapshot: Callable[[], Snapshot], auth: TokenAuth, streams: StreamDescriber, inner: AsgiApp
    ) -> None:
        self._snapshot = snapshot
        self._auth = auth
        self._streams = streams
        self._inner = inner
        self._responses: dict[FlagAnswer, CachedResponse] = {}
        self.single_count = 0
        self.bulk_count = 0
        self.refused_count = 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or not scope["path"].startswith(OFREP_PREFIX):
            await self._inner(scope, receive, send)
            return
        path: str = scope["path"]
        key = path[len(_SINGLE_PREFIX) :] if path.startswith(_SINGLE_PREFIX) else ""
        try:
            if not self._auth.is_open and scope["method"] != "OPTIONS":
                self._auth.authorize(scope["headers"], TokenRole.FLAGS)
            if scope["method"] != "POST" or not (key or path == BULK_PATH):
                await self._answer_unroutable(scope, send, path, key)
            elif key:
                await self._evaluate_one(key, scope, receive, send)
            else:
                await self._evaluate_all(scope, receive, send)
        except MalformedEvaluation as error:
            await self._send_error(send, 400, key, error.code, str(error))
        except bodies.BodyTooLarge as error:
            await self._send_error(
                send,
                413,
                key,
                "INVALID_CONTEXT",
                f"{error} The context of an evaluation should have a few kilobytes at most.",
            )
        except bodies.BodyTooSlow as error:
            await self._send_error(send, 408, key, "GENERAL", f"{error} {error.hint}", (b"connection", b"close"))
        except AccessDenied as error:
            challenge = ((b"www-authenticate", b"Bearer"),) if error.status == 401 else ()
            await self._send_error(send, error.status, key, "GENERAL", f"{error.message} {error.hint}", *challenge)
        except bodies.BodyEncoded as error:
            await self._send_error(
                send, 415, key, "GENERAL", f"{error} {error.hint}", (b"accept-encoding", b"identity")
            )
        except bodies.SenderDisconnected:
            return

    async def _evaluate_one(self, key: str, scope: Scope, receive: Receive, send: Send) -> None:
        context = _parse_context(await bodies.read_body(scope, receive))
        snapshot = self._snapshot()
        flags = snapshot.surfaces.get(key)
        if flags is None:
            await self._send_error(
                send, 404, key, "FLAG_NOT_FOUND", f'There is no surface "{key}": apply its file first.'
            )
            return
        self.single_count += 1
        await _send_response(scope, send, self._get_response(flags, context))

    async def _evaluate_all(self, scope: Scope, receive: Receive, send: Send) -> None:
        context = _parse_context(await bodies.read_body(scope, receive))
        snapshot = self._snapshot()
        answers = b",".join([self._get_response(flags, context).body for flags in snapshot.surfaces.values()])
        self.bulk_count += 1
        # The address of the stream is another one each time: the ETag follows the answers, and the hour in which an
        # address has to be renewed.
        body = b'{"flags":[%b],"eventStreams":%b}' % (answers, self._streams.describe_stream(scope["headers"]))
        renewed = b"%d:" % self._streams.count_renewals()
        await _send_response(scope, send, _build_response(body, renewed + answers))

    def _get_response(self, flags: SurfaceFlags, context: Mapping[str, Any]) -> CachedResponse:
        """The response for one surface, cached by answer."""
        answer = choose_answer(flags, context.get("targetingKey"), context)
        response = self._responses.get(answer)
        if response is None:
            if len(self._responses) >= _MAX_CACHED:
                self._responses.clear()
            response = self._responses[answer] = _build_response(_encode_evaluation(flags.name, answer))
            response.surface = flags.name
        response.count += 1
        return response

    def count_answers(self) -> Iterator[tuple[str, FlagAnswer, int]]:
        """(surface, answer, how often it was given); counts begin again from zero now and then."""
        for answer, response in tuple(self._responses.items()):
            yield response.surface, answer, response.count

    async def _answer_unroutable(self, scope: Scope, send: Send, path: str, key: str) -> None:
        if scope["method"] == "OPTIONS":
            await _send_bytes(send, 204, [*_PREFLIGHT_HEADERS], b"")
        elif key or path == BULK_PATH:
            details = f"{scope['method']} is not possible here: evaluate with POST."
            await self._send_error(send, 405, key, "GENERAL", details, (b"allow", b"POST, OPTIONS"))
        else:
            await self._send_error(
                send, 404, key, "GENERAL", f"There is no {path}. Evaluate at {BULK_PATH} or {_SINGLE_PREFIX}<surface>."
            )

    async def _send_error(
        self, send: Send, status: int, key: str, code: str, details: str, *headers: tuple[bytes, bytes]
    ) -> None:
        self.refused_count += 1
        body = orjson.dumps({**({"key": key} if key else {}), "errorCode": code, "errorDetails": details})
        await _send_bytes(
            send, status, [_JSON_HEADER, (b"content-length", b"%d" % len(body)), *_CORS_HEADERS, *headers], body
        )


def _parse_context(body: bytes) -> Mapping[str, Any]:
    """The evaluation context; empty if none was sent, which evaluates to the live version."""
    if not body.strip():
        return {}
    try:
        request = orjson.loads(body)
    except orjson.JSONDecodeError as error:
        raise MalformedEvaluation("PARSE_ERROR", f"The body is not JSON: {error}.") from None
    if not isinstance(request, dict):
        raise MalformedEvaluation(
            "PARSE_ERROR", 'The body must be an object like {"context": {"targetingKey": "user-1"}}.'
        )
    context = request.get("context")
    if context is None:
        return {}
    if not isinstance(context, dict):
        raise MalformedEvaluation("INVALID_CONTEXT", '"context" must be an object like {"targetingKey": "user-1"}.')
    if not isinstance(context.get("targetingKey", ""), str | None):
        raise MalformedEvaluation(
            "INVALID_CONTEXT", '"targetingKey" must be a text: the id of the user, account or conversation.'
        )
    return context


def _encode_evaluation(surface: str, answer: FlagAnswer) -> bytes:
    metadata = {
        "rollout": answer.rollout,
        "version": answer.version.name,
        "cohort": answer.cohort,
        "stage": answer.stage,
    }
    if answer.exposure:
        metadata["exposure"] = answer.exposure
    if answer.stratum:
        metadata["stratum"] = answer.stratum
    metadata["conversation"] = format_conversation(surface, answer)
    return b'{"key":%b,"value":%b,"variant":%b,"reason":%b,"metadata":%b}' % (
        orjson.dumps(surface),
        answer.version.json,
        orjson.dumps(answer.variant.value),
        orjson.dumps(answer.reason.value),
        orjson.dumps(metadata),
    )


def _build_response(body: bytes, identity: bytes | None = None) -> CachedResponse:
    """The response with `body`, whose ETag is a hash of `identity`, or of the body itself."""
    etag = b'"%b"' % blake2b(body if identity is None else identity, digest_size=16).hexdigest().encode()
    headers = [_JSON_HEADER, (b"content-length", b"%d" % len(body)), (b"etag", etag), *_CORS_HEADERS]
    return CachedResponse(body=body, etag=etag, headers=headers)


async def _send_response(scope: Scope, send: Send, response: CachedResponse) -> None:
    """Send the response, or 304 if the caller has it already."""
    for name, value in scope["headers"]:
        if name == b"if-none-match" and matches_etag(value, response.etag):
            await _send_bytes(send, 304, [(b"etag", response.etag), *_CORS_HEADERS], b"")
            return
    await _send_bytes(send, 200, response.headers, response.body)


async def _send_bytes(send: Send, status: int, headers: list[tuple[bytes, bytes]], body: bytes) -> None:
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})
