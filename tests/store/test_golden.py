"""What stands in logs out there: a stored body of every event type reads as ever, and is written as ever."""

import json
from dataclasses import dataclass, fields
from pathlib import Path
from typing import ClassVar

import pytest

from core.rollout import commands as c
from core.service.service import RolloutService
from core.store.audit.export import export_events
from core.store.audit.verify import verify
from core.store.errors import UnknownEvent
from core.store.formats import chain, codec
from core.store.formats.codec import EventCodec
from core.store.log import event_log
from tests.journey import processes
from tests.service.conftest import Desk

FILES = sorted((Path(__file__).parent / "golden").glob("*.json"))
HOW = "Add an example to tests/store/golden/examples.py, then run `python -m tests.store.golden`."


def kind(file: Path) -> tuple[str, int]:
    """(type, schema version) of `rollout.planned.1.json`; a case may follow the version."""
    group, name, version, *_ = file.stem.split(".")
    return f"{group}.{name}", int(version)


def body(file: Path) -> str:
    return file.read_text(encoding="utf-8").removesuffix("\n")


def newest(type_: str) -> int:
    return getattr(codec.EVENT_CODEC.classes[type_], "SCHEMA", 1)


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.stem)
def test_a_stored_body_reads_as_today_s_class_and_is_written_the_same_to_the_byte(file):
    type_, version = kind(file)
    event = codec.decode(type_, version, body(file))
    written = codec.encode(event)
    assert written[:2] == (type_, newest(type_))
    if version == newest(type_):
        assert written[2] == body(file), f"The shape of {type_} changed: give it the next SCHEMA and an upcaster."
    assert codec.decode(*written) == event


def test_every_event_has_its_file_of_every_version_and_every_file_its_event():
    wanted = {(type_, version) for type_ in codec.EVENT_CODEC.classes for version in range(1, newest(type_) + 1)}
    assert {kind(file) for file in FILES} == wanted, HOW


def test_every_optional_field_is_in_use_somewhere():
    """Else a file would not notice that a field is read differently."""
    used: dict[str, set[str]] = {}
    for file in FILES:
        stored = json.loads(body(file))
        used.setdefault(kind(file)[0], set()).update(k for k, v in stored.items() if v not in (None, "", [], {}, ()))
    for type_, filled in used.items():
        assert filled == {field.name for field in fields(codec.EVENT_CODEC.classes[type_])}, f"{type_}: {HOW}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Grown:
    TYPE: ClassVar[str] = "rollout.grown"
    SCHEMA: ClassVar[int] = 4
    share: float
    of: str
    by: str


def test_an_old_body_passes_every_upcaster_between_its_version_and_today_s():
    passed: list[int] = []

    def lift(version, change):
        def step(stored):
            passed.append(version)
            return change(stored)

        return ("rollout.grown", version), step

    lifts = dict(
        [
            lift(1, lambda b: {"share": b["percent"] / 100}),
            lift(2, lambda b: {**b, "of": "users"}),
            lift(3, lambda b: {**b, "by": "system:engine"}),
        ]
    )
    grown = EventCodec[Grown](Grown, lifts)
    assert grown.decode("rollout.grown", 1, '{"percent":25}') == Grown(share=0.25, of="users", by="system:engine")
    assert passed == [1, 2, 3]
    passed.clear()
    assert grown.decode("rollout.grown", 3, '{"of":"teams","share":0.5}').of == "teams"
    assert passed == [3]
    del lifts["rollout.grown", 2]
    with pytest.raises(UnknownEvent, match=r"There is no upgrade of the event rollout\.grown from version 2"):
        grown.decode("rollout.grown", 1, '{"percent":25}')


@pytest.mark.parametrize(("type_", "version"), [("rollout.teleported", 1), ("rollout.paused", 2)])
def test_what_a_newer_program_wrote_stops_every_decision_and_is_exported_as_it_stands(
    database, database_url, type_, version
):
    desk = Desk(RolloutService(database)).start()
    _append_raw(database, type_, version, '{"where":"Mars"}')
    for service in (desk.service, RolloutService(database)):
        with pytest.raises(UnknownEvent, match=rf"{type_} \(version {version}\).*upgrade this one"):
            Desk(service).say(c.Pause(reason="a look"), command_id="later")
    with database.reading() as connection:
        lines = list(export_events(connection))
        problems = verify(connection).problems
    stored = json.loads(lines[-1])
    assert (stored["type"], stored["schema_version"], stored["data"]) == (type_, version, {"where": "Mars"})
    assert [p.position for p in problems] == [stored["position"]]
    assert "is not known to this program" in problems[0].what
    told = processes.run("audit", "export", DATABASE_URL=database_url)
    assert (told.returncode, told.stdout.splitlines()) == (0, lines)


def test_an_event_that_is_not_known_is_told_even_right_before_one_that_was_altered(database):
    Desk(RolloutService(database)).start()
    _append_raw(database, "rollout.teleported", 1, "{}")
    with database.writing() as connection:
        *_, unknown = event_log.iterate_raw_rows(connection)
        position, stream, version, *others = unknown
        altered = (position + 1, stream, version + 1, *others[:3], "c-2", *others[4:-2], unknown[-1], bytes(32))
        event_log.insert_rows(connection, [altered])
    with database.reading() as connection:
        told = {each.position: each.what for each in verify(connection).problems}
    assert "was altered" in told[position + 1]
    assert "is not known to this program" in told[position]


def _append_raw(database, type_, version, stored):
    with database.writing() as connection:
        position, head = event_log.read_head(connection)
        newest = event_log.read_stream(connection, "rollout:R-1")[-1]
        what = (position + 1, "rollout:R-1", newest.version + 1, "e-1", type_, version)
        at = "2027-01-01T00:00:00.000000Z"
        header = (*what, "c-1", 1, "slack:U1", "", None, None, at, at, None)
        event_log.insert_rows(connection, [(*header, stored, head, chain.hash_event(head, header, stored))])
