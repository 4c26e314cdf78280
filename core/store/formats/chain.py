"""The hash chain: the hash of each event covers all its columns and the hash of the event before."""

import json
from collections.abc import Sequence
from hashlib import sha256

import orjson

GENESIS_HASH = bytes(32)

# The order is part of the hash: never reorder. A column can only be added at the end, and only with a new log.
HEADER_COLUMNS = (
    "position",
    "stream",
    "version",
    "event_id",
    "type",
    "schema_version",
    "command_id",
    "command_seq",
    "actor",
    "source",
    "cause_id",
    "correlation_id",
    "at",
    "recorded_at",
    "pii_ref",
)


def hash_event(prev_hash: bytes, header: Sequence[str | int | None], body: str) -> bytes:
    """sha256(previous hash || header as a JSON list in the order of `HEADER_COLUMNS` || sha256(body)).

    Text that is not valid Unicode (from a damaged row) is hashed as its original bytes.
    """
    try:
        head = orjson.dumps(header)
    except TypeError:  # damaged text; the standard library writes the same bytes, but takes six times as long
        head = json.dumps(header, ensure_ascii=False, separators=(",", ":")).encode("utf-8", "surrogateescape")
    return sha256(prev_hash + head + sha256(body.encode("utf-8", "surrogateescape")).digest()).digest()
