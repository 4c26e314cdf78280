"""Answers of the OTLP endpoints, in the encoding of the request: what was taken, errors, and when to send again."""

from collections.abc import Sequence
from enum import StrEnum
from typing import Any

import orjson
from starlette.responses import Response

_MAX_REASONS = 5


class Encoding(StrEnum):
    """How messages are encoded, by content type."""

    PROTOBUF = "application/x-protobuf"
    JSON = "application/json"


class Signal(StrEnum):
    """What an export holds."""

    TRACES = "traces"
    LOGS = "logs"
    METRICS = "metrics"


_REJECTED_FIELDS = {
    Signal.TRACES: "rejectedSpans",
    Signal.LOGS: "rejectedLogRecords",
    Signal.METRICS: "rejectedDataPoints",
}


def find_encoding(content_type: str) -> Encoding | None:
    """The encoding that a content type names; None for any other."""
    named = content_type.partition(";")[0].strip().lower()
    return next((encoding for encoding in Encoding if encoding == named), None)


def build_answer(signal: Signal, encoding: Encoding, rejected: int, reasons: Sequence[str]) -> Response:
    """The answer to an export that was taken, with what was rejected of it and why.

    Reasons without a rejection warn, as OTLP says.
    """
    why = "; ".join(reasons[:_MAX_REASONS])
    if encoding is Encoding.JSON:
        partial = {_REJECTED_FIELDS[signal]: str(rejected), "errorMessage": why}
        return _build_json_response(200, {"partialSuccess": partial} if rejected or why else {})
    if not rejected and not why:
        return Response(b"", media_type=encoding)
    # The three responses have the same fields: partial_success is 1, and in it the number is 1 and the message 2.
    partial_success = b"\x08" + _encode_number(rejected) + b"\x12" + _encode_text(why)
    return Response(b"\x0a" + _encode_number(len(partial_success)) + partial_success, media_type=encoding)


def build_error(status: int, message: str, encoding: Encoding, *, retry_after: int | None = None) -> Response:
    """An error: a `google.rpc.Status` with a message, as OTLP asks for."""
    headers = {} if retry_after is None else {"Retry-After": str(retry_after)}
    if encoding is Encoding.JSON:
        return _build_json_response(status, {"message": message}, headers)
    return Response(b"\x12" + _encode_text(message), status, headers, media_type=encoding)  # field 2 is the message


def _build_json_response(status: int, content: dict[str, Any], headers: dict[str, str] | None = None) -> Response:
    return Response(orjson.dumps(content), status, headers, media_type=Encoding.JSON)


def _encode_text(text: str) -> bytes:
    """A text as protobuf has it: its length, then its bytes."""
    encoded = text.encode("utf-8", "replace")
    return _encode_number(len(encoded)) + encoded


def _encode_number(number: int) -> bytes:
    """A number as protobuf's base-128 varint."""
    encoded = bytearray()
    while number > 0x7F:
        encoded.append(number & 0x7F | 0x80)
        number >>= 7
    encoded.append(number)
    return bytes(encoded)
