"""Verifies the log: positions, versions, the hash chain, and everything that must follow from the events."""

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection

from core.rollout.events import WordsErased
from core.store.audit import anchors
from core.store.database.append_queries import COLUMNS
from core.store.database.driver import fetch
from core.store.errors import UnknownEvent
from core.store.formats import chain
from core.store.log.answered_commands import IMPORTED
from core.store.log.event_log import head, pages
from core.store.schema import triggers
from core.store.world import rollout_rows

_BODY, _PREV, _HASH = (COLUMNS.index(name) for name in ("body", "prev_hash", "hash"))


@dataclass(frozen=True, slots=True, kw_only=True)
class Problem:
    """Something wrong with the log, and its position (None if it has none)."""

    position: int | None
    what: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """The problems found, the number of events `checked`, and the (position, hash) of the newest event."""

    problems: tuple[Problem, ...]
    checked: int
    head: tuple[int, bytes]


def verify(connection: Connection, *, first: int | None = None, last: int | None = None) -> Report:
    """Check events `first` to `last`; by default all of them, and also everything that must follow from them.

    A missing tail is noticed because `commands` and `outbox` refer to later positions. Memory grows with the number of
    streams, not with the length of the log.
    """
    whole = first is None and last is None
    reading = _Reading(connection, first or 1)
    folding = rollout_rows.Folding()
    unfoldable: list[Problem] = []
    for page in pages(connection, first or 1, last):
        reading.take(page)
        # Damaged events are not folded, and an unknown event stops the folding but not the checking.
        if whole and not unfoldable:
            try:
                folding.take(reading.sound(page))
            except UnknownEvent as error:
                what = f"is not known to this program: {error}"
                unfoldable.append(Problem(position=folding.position, what=what))
    reading.finish()
    problems = reading.problems + unfoldable
    position, newest = head(connection)
    if last is not None and reading.expected <= last:
        problems.append(Problem(position=reading.expected, what="is missing, and so is everything after it"))
    problems += _missing_tail(connection, position)
    for name in triggers.missing(connection):
        problems.append(Problem(position=None, what=f"the trigger {name} is missing or altered"))
    if whole:
        problems += _before_the_first(connection)
        problems += _commands(connection)
        problems += _outbox(connection)
        problems += _anchors(connection)
        problems += _keys(connection, reading)
        problems += [] if problems else _read_model(connection, folding.rows())
    return Report(problems=tuple(problems), checked=reading.checked, head=(position, newest))


class _Reading:
    """One pass over the rows of the log, in order, that collects what is wrong with them."""

    def __init__(self, connection: Connection, first: int) -> None:
        self.connection = connection
        self.problems: list[Problem] = []
        self.checked = 0
        self.expected = first
        self.versions: dict[str, int] = {}
        self.met: dict[str, tuple[int, int, int]] = {}  # by stream, if `first` > 1: first position, version, unknown
        self.first = first
        query = "SELECT hash, command_id, command_seq FROM events WHERE position = ?"
        before = fetch(connection, query, (first - 1,)) if first > 1 else []
        self.hashes: tuple[bytes, ...] = (bytes(before[0][0]) if before else chain.GENESIS,)
        self.command: tuple[str, int] | None = (before[0][1], before[0][2]) if before else ("", 0)
        self.unknown = 0  # missing or altered events, whose streams and versions are not known
        self.recorded_at = ""
        self.sealed: dict[str, int] = {}  # key id -> position of the first event sealed with it
        self.erased: set[str] = set()
        self.sound_until: int | None = None  # position of the first problem

    def take(self, rows: Iterable[tuple[Any, ...]]) -> None:
        """Check the next rows. A single condition accepts a sound row, since nearly every row of every log is one."""
        link = chain.link
        for row in rows:
            position, stream, version, _, kind, _, command, seq, _, _, _, _, _, recorded_at, key, body, prev, stored = (
                row
            )
            computed = link(prev, row[:_BODY], body)
            before = self.command
            if (
                computed == stored
                and position == self.expected
                and prev in self.hashes
                and version == self.versions.get(stream, 0) + 1
                and before is not None
                and seq == (before[1] + 1 if command == before[0] else 1)
                and recorded_at >= self.recorded_at
            ):
                self.hashes = (computed,)
                self.versions[stream] = version
                self.command = (command, seq)
                self.recorded_at = recorded_at
                self.expected = position + 1
                self.checked += 1
                if key is not None:
                    self.sealed.setdefault(key, position)
                if kind == WordsErased.TYPE:
                    self.erased.add(json.loads(body)["key_id"])
            else:
                if self.sound_until is None:
                    self.sound_until = min(position, self.expected)
                self._look_closely(row, computed)

    def sound(self, rows: Sequence[tuple[Any, ...]]) -> Sequence[tuple[Any, ...]]:
        """The rows before the first problem."""
        until = self.sound_until
        return rows if until is None else [row for row in rows if row[0] < until]

    def _look_closely(self, row: tuple[Any, ...], computed: bytes) -> None:
        """Find out what is wrong with a row that the quick check did not accept."""
        position, stream, version = row[0], row[1], row[2]
        if position < self.expected:
            self._wrong(position, "is there more than once")
            return
        if position > self.expected:
            gone = f"{self.expected}" if position == self.expected + 1 else f"{self.expected} to {position - 1}"
            self._wrong(self.expected, f"is missing (positions {gone})")
            self._does_not_count(position - self.expected)
        prev_hash, stored_hash = bytes(row[_PREV]), bytes(row[_HASH])
        if computed != stored_hash:
            self._wrong(position, "was altered: its content does not give its hash")
        # The row may follow the stored or the computed hash of the one before, so that one flipped bit is one problem.
        if position == self.expected and prev_hash not in self.hashes and computed == stored_hash:
            self._wrong(position, "does not continue the chain: its previous hash is not that of the event before")
        self.hashes = (stored_hash, computed)
        self.expected = position + 1
        self.checked += 1
        if computed != stored_hash:
            self._does_not_count(1)
            return
        if self.first > 1 and stream not in self.versions:
            self.met[stream] = (position, version, self.unknown)
        else:
            self._version(position, stream, version, self.versions.get(stream, 0), self.unknown)
        self.versions[stream] = version
        self._command(position, row[6], row[7])
        if row[13] < self.recorded_at:
            self._wrong(position, "was recorded before the event in front of it")
        self.recorded_at = row[13]

    def finish(self) -> None:
        """After the last row, check the versions that continue streams from before the first row; sort the problems."""
        newest = "SELECT max(version) FROM events WHERE stream = ? AND position < ?"
        for stream, (position, version, unknown) in self.met.items():
            before: int | None = fetch(self.connection, newest, (stream, self.first))[0][0]
            self._version(position, stream, version, before or 0, unknown)
        self.problems.sort(key=lambda problem: problem.position or 0)

    def _version(self, position: int, stream: str, version: int, before: int, unknown: int) -> None:
        if not before + 1 <= version <= before + 1 + unknown:
            self._wrong(position, f"is version {version} of {stream}, expected {before + 1}")

    def _does_not_count(self, events: int) -> None:
        """Do not report consequences of events that are missing or altered."""
        self.unknown += events
        self.command = None

    def _command(self, position: int, command_id: str, seq: int) -> None:
        before, before_seq = self.command or (command_id, seq - 1)
        if seq != (before_seq + 1 if command_id == before else 1):
            self._wrong(position, f"is event {seq} of the command {command_id}, which does not follow")
        self.command = (command_id, seq)

    def _wrong(self, position: int, what: str) -> None:
        self.problems.append(Problem(position=position, what=what))


def _before_the_first(connection: Connection) -> list[Problem]:
    strays = fetch(connection, "SELECT position FROM events WHERE position < 1 ORDER BY position", ())
    return [Problem(position=position, what="is no position of a log, which begins with 1") for (position,) in strays]


def _missing_tail(connection: Connection, newest: int) -> list[Problem]:
    known = [
        fetch(connection, query, ())[0][0] or 0
        for query in ("SELECT max(last_position) FROM commands", "SELECT max(position) FROM outbox")
    ]
    if max(known) <= newest:
        return []
    return [
        Problem(position=newest + 1, what=f"is missing: the log was cut, positions up to {max(known)} were written")
    ]


def _commands(connection: Connection) -> list[Problem]:
    # Only first events: the pass has checked that the events of a command follow one another.
    repeated = (
        "SELECT min(position), command_id FROM events WHERE command_seq = 1 GROUP BY command_id HAVING count(*) > 1"
    )
    problems = [
        Problem(position=position, what=f"has a twin: the command {command} was carried out twice")
        for position, command in fetch(connection, repeated, ())
    ]
    orphans = (
        "SELECT position, c.command_id FROM events e JOIN"
        " (SELECT first_position AS position, command_id FROM commands"
        " UNION SELECT last_position, command_id FROM commands) c USING (position) WHERE e.command_id <> c.command_id"
    )
    problems += [
        Problem(position=position, what=f"should belong to the command {command}")
        for position, command in fetch(connection, orphans, ())
    ]
    return problems


def _keys(connection: Connection, reading: _Reading) -> list[Problem]:
    """Sealed text whose key is gone though no event erased it; imported events are exempt: they have no keys."""
    if not reading.sealed:
        return []  # an older schema may not have the table
    kept = {row[0] for row in fetch(connection, "SELECT key_id FROM person_key", ())}
    imported = "SELECT 1 FROM events e JOIN commands c USING (command_id) WHERE e.position = ? AND c.fingerprint = ?"
    return [
        Problem(position=position, what=f"cannot be read: its key {key} is gone, and no event says that it was erased")
        for key, position in reading.sealed.items()
        if key not in kept | reading.erased and not fetch(connection, imported, (position, IMPORTED))
    ]


def _outbox(connection: Connection) -> list[Problem]:
    orphans = (
        "SELECT o.position, o.id FROM outbox o LEFT JOIN events e ON e.position = o.position WHERE e.position IS NULL"
    )
    return [
        Problem(position=position, what=f"is missing, though outbox row {row} follows from it")
        for position, row in fetch(connection, orphans, ())
    ]


def _anchors(connection: Connection) -> list[Problem]:
    compared = anchors.compare(connection, anchors.recorded(connection))
    return [Problem(position=position, what=what) for position, what in compared.differing]


def _read_model(connection: Connection, wanted: Mapping[str, Any]) -> list[Problem]:
    found = rollout_rows.stored(connection)
    return [
        Problem(position=None, what=f"the read model of {name} differs from the log")
        for name in sorted(wanted.keys() | found.keys())
        if wanted.get(name) != found.get(name)
    ]
