"""Exports the log as text, one event per line, and imports it: moves a log between databases, hashes unchanged."""

import json
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Literal

from sqlalchemy import Connection, text
from sqlalchemy.exc import DBAPIError

from core.store.database.append_queries import EVENT_COLUMNS
from core.store.database.connections import Database
from core.store.database.postgres import postgres_roles
from core.store.errors import ImportRefused
from core.store.formats import chain
from core.store.formats.codec import canonical_json
from core.store.log import event_log
from core.store.log.answered_commands import IMPORTED_FINGERPRINT
from core.store.world import rollout_rows

Format = Literal["jsonl", "cloudevents"]
_CHUNK = 500
_BINARY = ("prev_hash", "hash")
# CloudEvents 1.0 allows only lower-case letters and digits in names, and no nulls.
_ATTRIBUTES = {
    "event_id": "id",
    "type": "type",
    "at": "time",
    "stream": "subject",
    "position": "sequence",
    "version": "streamversion",
    "schema_version": "schemaversion",
    "command_id": "commandid",
    "command_seq": "commandseq",
    "actor": "actor",
    "source": "origin",
    "cause_id": "causationid",
    "correlation_id": "correlationid",
    "recorded_at": "recordedat",
    "pii_ref": "piiref",
    "prev_hash": "prevhash",
    "hash": "hash",
}


def export_events(connection: Connection, format: Format = "jsonl") -> Iterator[str]:  # noqa: A002
    """Yield every event as one line, without a line end. Each line holds the total, so that a cut file is noticed."""
    total = event_log.read_head(connection)[0]
    for row in event_log.iterate_raw_rows(connection):
        columns = dict(zip(EVENT_COLUMNS, row, strict=True))
        body = columns.pop("body")
        for name in _BINARY:
            columns[name] = bytes(columns[name]).hex()
        fields = _to_cloud_event(columns, total) if format == "cloudevents" else {**columns, "of": total}
        # The body is written as exactly the bytes that were hashed.
        yield f'{json.dumps(fields, ensure_ascii=False, separators=(",", ":"))[:-1]},"data":{body}}}'


def import_events(database: Database, lines: Iterable[str]) -> int:
    """Fill an empty log from the output of `export_events`, in either format; the number of events.

    ImportRefused, with nothing written, if the log is not empty, or the file is cut, reordered or forged. The outbox is
    not part of the log, so nothing is sent again.
    """
    with postgres_roles.owner_required("import a log"), database.writing() as connection:
        if event_log.read_head(connection)[0]:
            raise ImportRefused("The log is not empty. Import into a new database, so that histories do not mix.")
        position = 0
        chunk: list[tuple[Any, ...]] = []
        for row in _parse_lines(lines):
            position = row[0]
            chunk.append(row)
            if len(chunk) == _CHUNK:
                _insert_chunk(connection, chunk)
                chunk = []
        _insert_chunk(connection, chunk)
        # The log does not hold the answers, but it shows that these commands were carried out: they must not run again.
        connection.execute(
            text(
                "INSERT INTO commands (command_id, fingerprint, first_position, last_position, result, at)"
                " SELECT command_id, :imported, min(position), max(position), '{}', min(at)"
                " FROM events GROUP BY command_id"
            ),
            {"imported": IMPORTED_FINGERPRINT},
        )
        rollout_rows.rebuild(connection)
    return position


def _parse_lines(lines: Iterable[str]) -> Iterator[tuple[Any, ...]]:
    expected, total, prev_hash = 1, None, chain.GENESIS_HASH
    for number, line in enumerate(lines, start=1):
        if not line.strip():
            continue
        row, of = _parse_line(line, number)
        total = of if total is None else total
        if row[0] != expected or of != total:
            raise ImportRefused(f"Line {number} holds event {row[0]} of {of}, expected {expected} of {total}.")
        if row[-2] != prev_hash or chain.hash_event(prev_hash, row[:-3], row[-3]) != row[-1]:
            raise ImportRefused(f"Line {number} was altered: event {expected} does not continue the hash chain.")
        prev_hash = row[-1]
        expected += 1
        yield row
    if total is None:
        raise ImportRefused("The file contains no events.")
    if expected <= total:
        raise ImportRefused(f"The file is truncated: it ends after event {expected - 1} of {total}.")


def _parse_line(line: str, number: int) -> tuple[tuple[Any, ...], int]:
    try:
        fields = json.loads(line)
        if "specversion" in fields:
            fields = _from_cloud_event(fields)
        fields["body"] = canonical_json(fields["data"])
        for name in _BINARY:
            fields[name] = bytes.fromhex(fields[name])
        return tuple(fields[name] for name in EVENT_COLUMNS), int(fields["of"])
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise ImportRefused(f"Line {number} is not an exported event: {error!r}.") from error


def _insert_chunk(connection: Connection, chunk: list[tuple[Any, ...]]) -> None:
    if not chunk:
        return
    try:
        event_log.insert_rows(connection, chunk)
    except DBAPIError as error:
        raise ImportRefused(f"Events {chunk[0][0]} to {chunk[-1][0]} do not form a log: {error.orig}.") from error


def _to_cloud_event(columns: Mapping[str, Any], total: int) -> dict[str, Any]:
    attributes = {name: columns[column] for column, name in _ATTRIBUTES.items() if columns[column] is not None}
    return {
        "specversion": "1.0",
        **attributes,
        "source": f"/{columns['stream']}",
        "datacontenttype": "application/json",
        "dataschema": f"{columns['type']}/{columns['schema_version']}",
        "sequence": str(columns["position"]),
        "sequenceof": str(total),
    }


def _from_cloud_event(attributes: Mapping[str, Any]) -> dict[str, Any]:
    columns = {column: attributes.get(name) for column, name in _ATTRIBUTES.items()}
    position = int(attributes["sequence"])
    return {**columns, "position": position, "of": attributes["sequenceof"], "data": attributes["data"]}
