"""Verifies the log: positions, versions, the hash chain, and everything that must follow from the events."""

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection

from core.rollout.state.events import WordsErased
from core.store.audit import witnesses
from core.store.database.append_queries import EVENT_COLUMNS
from core.store.database.driver import fetch_all
from core.store.errors import UnknownEvent
from core.store.formats import chain
from core.store.log.answered_commands import IMPORTED_FINGERPRINT
from core.store.log.event_log import iterate_raw_pages, read_head
from core.store.schema import triggers
from core.store.world import rollout_rows

_BODY_INDEX, _PREV_HASH_INDEX, _HASH_INDEX = (EVENT_COLUMNS.index(name) for name in ("body", "prev_hash", "hash"))


@dataclass(frozen=True, slots=True, kw_only=True)
class LogProblem:
    """Something wrong with the log, and its position (None if it has none)."""

    position: int | None
    what: str


@dataclass(frozen=True, slots=True, kw_only=True)
class VerificationReport:
    """The problems found, the number of events `checked`, and the (position, hash) of the newest event."""

    problems: tuple[LogProblem, ...]
    checked: int
    head: tuple[int, bytes]


def verify(connection: Connection, *, first: int | None = None, last: int | None = None) -> VerificationReport:
    """Check events `first` to `last`; by default all of them, and also everything that must follow from them.

    A missing tail is noticed because `commands` and `outbox` refer to later positions. Memory grows with the number of
    streams, not with the length of the log.
    """
    whole = first is None and last is None
    reading = _ChainCheck(connection, first or 1)
    folding = rollout_rows.RolloutRowFold()
    unfoldable: list[LogProblem] = []
    for page in iterate_raw_pages(connection, first or 1, last):
        reading.check_rows(page)
        # Damaged events are not folded, and an unknown event stops the folding but not the checking.
        if whole and not unfoldable:
            try:
                folding.apply_rows(reading.select_sound(page))
            except UnknownEvent as error:
                what = f"is not known to this program: {error}"
                unfoldable.append(LogProblem(position=folding.position, what=what))
    reading.finish()
    problems = reading.problems + unfoldable
    position, newest = read_head(connection)
    furthest = last if last is not None else first
    if furthest is not None and reading.expected <= furthest:
        problems.append(LogProblem(position=reading.expected, what="is missing, and so is everything after it"))
    problems += _find_missing_tail(connection, position)
    for name in triggers.find_missing(connection):
        problems.append(LogProblem(position=None, what=f"the trigger {name} is missing or altered"))
    if whole:
        problems += _find_before_first(connection)
        problems += _check_commands(connection)
        problems += _check_outbox(connection)
        problems += _check_anchors(connection)
        problems += _check_keys(connection, reading)
        problems += [] if problems else _check_read_model(connection, folding.build_rows())
    return VerificationReport(problems=tuple(problems), checked=reading.checked, head=(position, newest))


class _ChainCheck:
    """One pass over the rows of the log, in order, that collects what is wrong with them."""

    def __init__(self, connection: Connection, first: int) -> None:
        self.connection = connection
        self.problems: list[LogProblem] = []
        self.checked = 0
        self.expected = first
        self.versions: dict[str, int] = {}
        self.first_versions: dict[
            str, tuple[int, int, int]
        ] = {}  # by stream, if `first` > 1: first position, version, unknown
        self.first = first
        query = "SELECT hash, command_id, command_seq FROM events WHERE position = ?"
        before = fetch_all(connection, query, (first - 1,)) if first > 1 else []
        self.hashes: tuple[bytes, ...] = (bytes(before[0][0]) if before else chain.GENESIS_HASH,)
        self.command: tuple[str, int] | None = (before[0][1], before[0][2]) if before else ("", 0)
        self.unknown_events = 0  # missing or altered events, whose streams and versions are not known
        self.recorded_at = ""
        self.sealed: dict[str, int] = {}  # key id -> position of the first event sealed with it
        self.erased: set[str] = set()
        self.sound_until: int | None = None  # position of the first problem

    def check_rows(self, rows: Iterable[tuple[Any, ...]]) -> None:
        """Check the next rows. A single condition accepts a sound row, since nearly every row of every log is one."""
        link = chain.hash_event
        for row in rows:
            position, stream, version, _, kind, _, command, seq, _, _, _, _, _, recorded_at, key, body, prev, stored = (
                row
            )
            computed = link(prev, row[:_BODY_INDEX], body)
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
                self._diagnose_row(row, computed)

    def select_sound(self, rows: Sequence[tuple[Any, ...]]) -> Sequence[tuple[Any, ...]]:
        """The rows before the first problem."""
        until = self.sound_until
        return rows if until is None else [row for row in rows if row[0] < until]

    def _diagnose_row(self, row: tuple[Any, ...], computed: bytes) -> None:
        """Find out what is wrong with a row that the quick check did not accept."""
        position, stream, version = row[0], row[1], row[2]
        if position < self.expected:
            self._add_problem(position, "occurs more than once")
            return
        if position > self.expected:
            gone = f"{self.expected}" if position == self.expected + 1 else f"{self.expected} to {position - 1}"
            self._add_problem(self.expected, f"is missing (positions {gone})")
            self._skip_unknown(position - self.expected)
        prev_hash, stored_hash = bytes(row[_PREV_HASH_INDEX]), bytes(row[_HASH_INDEX])
        if computed != stored_hash:
            self._add_problem(position, "was altered: its hash does not match its content")
        # The row may follow the stored or the computed hash of the one before, so that one flipped bit is one problem.
        if position == self.expected and prev_hash not in self.hashes and computed == stored_hash:
            self._add_problem(
                position, "does not continue the chain: its previous hash is not that of the event before"
            )
        self.hashes = (stored_hash, computed)
        self.expected = position + 1
        self.checked += 1
        if computed != stored_hash:
            self._skip_unknown(1)
            return
        if self.first > 1 and stream not in self.versions:
            self.first_versions[stream] = (position, version, self.unknown_events)
        else:
            self._check_version(position, stream, version, self.versions.get(stream, 0), self.unknown_events)
        self.versions[stream] = version
        self._check_command(position, row[6], row[7])
        if row[13] < self.recorded_at:
            self._add_problem(position, "was recorded before the event that it follows")
        self.recorded_at = row[13]

    def finish(self) -> None:
        """After the last row, check the versions that continue streams from before the first row; sort the problems."""
        newest = "SELECT max(version) FROM events WHERE stream = ? AND position < ?"
        for stream, (position, version, unknown) in self.first_versions.items():
            before: int | None = fetch_all(self.connection, newest, (stream, self.first))[0][0]
            self._check_version(position, stream, version, before or 0, unknown)
        self.problems.sort(key=lambda problem: problem.position or 0)

    def _check_version(self, position: int, stream: str, version: int, before: int, unknown: int) -> None:
        if not before + 1 <= version <= before + 1 + unknown:
            self._add_problem(position, f"is version {version} of {stream}, expected {before + 1}")

    def _skip_unknown(self, events: int) -> None:
        """Do not report consequences of events that are missing or altered."""
        self.unknown_events += events
        self.command = None

    def _check_command(self, position: int, command_id: str, seq: int) -> None:
        before, before_seq = self.command or (command_id, seq - 1)
        if seq != (before_seq + 1 if command_id == before else 1):
            self._add_problem(position, f"is event {seq} of the command {command_id}, which is out of sequence")
        self.command = (command_id, seq)

    def _add_problem(self, position: int, what: str) -> None:
        self.problems.append(LogProblem(position=position, what=what))


def _find_before_first(connection: Connection) -> list[LogProblem]:
    strays = fetch_all(connection, "SELECT position FROM events WHERE position < 1 ORDER BY position", ())
    return [
        LogProblem(position=position, what="is not a position of a log, which begins with 1") for (position,) in strays
    ]


def _find_missing_tail(connection: Connection, newest: int) -> list[LogProblem]:
    known = [
        fetch_all(connection, query, ())[0][0] or 0
        for query in ("SELECT max(last_position) FROM commands", "SELECT max(position) FROM outbox")
    ]
    if max(known) <= newest:
        return []
    return [
        LogProblem(position=newest + 1, what=f"is missing: the log was cut, positions up to {max(known)} were written")
    ]


def _check_commands(connection: Connection) -> list[LogProblem]:
    # Only first events: the pass has checked that the events of a command follow one another.
    repeated = (
        "SELECT min(position), command_id FROM events WHERE command_seq = 1 GROUP BY command_id HAVING count(*) > 1"
    )
    problems = [
        LogProblem(position=position, what=f"has a duplicate: the command {command} was carried out twice")
        for position, command in fetch_all(connection, repeated, ())
    ]
    orphans = (
        "SELECT position, c.command_id FROM events e JOIN"
        " (SELECT first_position AS position, command_id FROM commands"
        " UNION SELECT last_position, command_id FROM commands) c USING (position) WHERE e.command_id <> c.command_id"
    )
    problems += [
        LogProblem(position=position, what=f"should belong to the command {command}")
        for position, command in fetch_all(connection, orphans, ())
    ]
    return problems


def _check_keys(connection: Connection, reading: _ChainCheck) -> list[LogProblem]:
    """Sealed text whose key is gone though no event erased it; imported events are exempt: they have no keys."""
    if not reading.sealed:
        return []  # an older schema may not have the table
    kept = {row[0] for row in fetch_all(connection, "SELECT key_id FROM person_key", ())}
    imported = "SELECT 1 FROM events e JOIN commands c USING (command_id) WHERE e.position = ? AND c.fingerprint = ?"
    return [
        LogProblem(position=position, what=f"cannot be read: its key {key} is gone, but no event records its erasure")
        for key, position in reading.sealed.items()
        if key not in kept | reading.erased and not fetch_all(connection, imported, (position, IMPORTED_FINGERPRINT))
    ]


def _check_outbox(connection: Connection) -> list[LogProblem]:
    orphans = (
        "SELECT o.position, o.id FROM outbox o LEFT JOIN events e ON e.position = o.position WHERE e.position IS NULL"
    )
    return [
        LogProblem(position=position, what=f"is missing, but outbox row {row} refers to it")
        for position, row in fetch_all(connection, orphans, ())
    ]


def _check_anchors(connection: Connection) -> list[LogProblem]:
    compared = witnesses.compare_anchors(connection, witnesses.load_anchors(connection))
    return [LogProblem(position=position, what=what) for position, what in compared.differing]


def _check_read_model(connection: Connection, wanted: Mapping[str, Any]) -> list[LogProblem]:
    found = rollout_rows.load_rows(connection)
    return [
        LogProblem(position=None, what=f"the read model of {name} differs from the log")
        for name in sorted(wanted.keys() | found.keys())
        if wanted.get(name) != found.get(name)
    ]
