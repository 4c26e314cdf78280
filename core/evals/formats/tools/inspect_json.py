"""Takes from a JSON log of Inspect what is read of it, without making the messages and events, most of its size."""

from collections.abc import Mapping
from typing import Any

import msgspec
import orjson

_Part = msgspec.Raw | msgspec.UnsetType
_START = 4096  # bytes in which Inspect writes how the run ended and what it was


class _SampleFields(msgspec.Struct):
    id: _Part = msgspec.UNSET
    epoch: _Part = msgspec.UNSET
    input: _Part = msgspec.UNSET
    target: _Part = msgspec.UNSET
    metadata: _Part = msgspec.UNSET
    scores: _Part = msgspec.UNSET
    error: _Part = msgspec.UNSET
    model_usage: _Part = msgspec.UNSET
    working_time: _Part = msgspec.UNSET
    total_time: _Part = msgspec.UNSET


class _LogFields(msgspec.Struct):
    status: msgspec.Raw
    eval: msgspec.Raw
    samples: list[_SampleFields]
    results: _Part = msgspec.UNSET
    error: _Part = msgspec.UNSET
    invalidated: _Part = msgspec.UNSET


_DECODER = msgspec.json.Decoder(_LogFields)


def parse_inspect_json(body: bytes) -> Mapping[str, Any] | None:
    """The fields of the log and of its samples that are read, as in the whole document.

    None for whatever is no such log, or is none that can be read this way: the whole document then says what is wrong.
    """
    start = body[:_START]
    if b'"status"' not in start or b'"eval"' not in start:
        return None
    try:
        found = _DECODER.decode(body)
        log = _parse_fields(found)
        samples = [_parse_fields(sample) for sample in found.samples]
    except (msgspec.MsgspecError, orjson.JSONDecodeError):
        return None
    results = log.get("results")
    if isinstance(results, dict) and "results" in results:
        return None
    return {**log, "samples": samples}


def _parse_fields(found: msgspec.Struct) -> dict[str, Any]:
    """The fields that are there, each parsed as the whole document would be."""
    return {
        name: orjson.loads(memoryview(part))
        for name, part in msgspec.structs.asdict(found).items()
        if isinstance(part, msgspec.Raw)
    }
