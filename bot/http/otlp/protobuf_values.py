"""Parses messages of protobuf and reads their values."""

from collections.abc import Callable
from functools import cache, partial
from typing import Any

from bot.http.otlp.span_schema import load_pair_class


class MalformedExport(ValueError):
    """The body is not the OTLP message that belongs at this address."""


def parse_message(message: Any, body: bytes) -> None:
    """Fill a message from its bytes; raises MalformedExport."""
    try:
        message.ParseFromString(body)
    except _load_decode_error() as error:
        raise MalformedExport(f"The body is not an OTLP message in protobuf: {error}.") from None


def count_unknown_fields(*messages: Any) -> int:
    """How many fields messages have that their schemas do not know."""
    from google.protobuf.unknown_fields import UnknownFieldSet

    return sum(len(UnknownFieldSet(message)) for message in messages)


def read_pair(encoded: bytes) -> tuple[str, Callable[[], Any]]:
    """The name of an encoded `KeyValue`, and what reads its value; raises MalformedExport.

    A text that is not UTF-8 has no value, as it cannot be read.
    """
    pair = _load_pair_class()()
    try:
        pair.ParseFromString(encoded)
    except _load_decode_error():
        loose = load_pair_class()()
        parse_message(loose, encoded)
        return loose.key.decode("utf-8", "replace"), lambda: None
    return pair.key, partial(read_value, pair.value)


@cache
def _load_decode_error() -> Any:
    from google.protobuf.message import DecodeError

    return DecodeError


@cache
def _load_pair_class() -> Any:
    from opentelemetry.proto.common.v1.common_pb2 import KeyValue

    return KeyValue


def read_value(value: Any) -> Any:
    """The Python value of an AnyValue; None for bytes and for what nothing reads."""
    kind = value.WhichOneof("value")
    if kind is None or kind == "bytes_value":
        return None
    if kind == "array_value":
        return [read_value(one) for one in value.array_value.values]
    if kind == "kvlist_value":
        return {pair.key: read_value(pair.value) for pair in value.kvlist_value.values}
    return getattr(value, kind)
