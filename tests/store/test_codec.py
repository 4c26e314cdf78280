"""Events as stored: one canonical form, names that never change, old shapes lifted, unknown ones refused."""

import json
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, ClassVar

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.judging.model.verdict import Finding, Hold, RollBack
from core.rollout.state.events import Completed, EvidenceRecorded, Held, RolledBack, StageEntered
from core.store.errors import NotStorable, UnknownEvent
from core.store.formats import codec
from core.store.formats.codec import EventCodec


@dataclass(frozen=True, slots=True, kw_only=True)
class Moved:
    TYPE: ClassVar[str] = "test.moved"
    SCHEMA: ClassVar[int] = 3
    to: str
    share: float
    lasting: timedelta = timedelta(0)
    at: datetime | None = None
    extra: Any = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Stopped:
    TYPE: ClassVar[str] = "test.stopped"


LIFTS = {
    ("test.moved", 1): lambda body: {"to": body["target"], "share": 1.0},
    ("test.moved", 2): lambda body: {**body, "to": body["to"].upper()},
}
TEST = EventCodec[Moved | Stopped](Moved | Stopped, LIFTS)


def finding(**changes):
    values = {"canary": 0.08, "control": 0.02, "difference": 0.06, "low": 0.01, "high": None, "log_e": 3.1}
    return Finding(metric="refusal_rate", kind="rises_by", limit_text="1 pp", threshold=3.0, **{**values, **changes})


def test_the_form_is_canonical():
    event = Moved(to="ü\n", share=0.1, lasting=timedelta(minutes=90), at=datetime(2026, 1, 2, 3, 4, 5, 6, tzinfo=UTC))
    assert TEST.encode(event) == (
        "test.moved",
        3,
        '{"at":"2026-01-02T03:04:05.000006Z","extra":null,"lasting":"PT1H30M","share":0.1,"to":"ü\\n"}',
    )
    assert TEST.encode(Stopped()) == ("test.stopped", 1, "{}")


@given(
    st.builds(
        Moved,
        to=st.text(st.characters(exclude_categories=["Cs"])),
        share=st.floats(allow_nan=False, allow_infinity=False),
        lasting=st.timedeltas(timedelta(days=-9999), timedelta(days=9999)),
        extra=st.recursive(
            st.none()
            | st.booleans()
            | st.integers(-(2**53), 2**53)
            | st.text(st.characters(exclude_categories=["Cs"])),
            lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text("abc"), inner, max_size=3),
        ),
    )
)
def test_every_event_comes_back_as_it_was(event):
    stored = TEST.encode(event)
    assert TEST.decode(*stored) == event
    assert TEST.encode(TEST.decode(*stored)) == stored


@pytest.mark.parametrize("value", [float("nan"), float("inf"), float("-inf")])
def test_what_json_cannot_hold_is_refused(value):
    with pytest.raises(NotStorable, match="JSON cannot"):
        TEST.encode(Moved(to="a", share=value))


def test_what_would_come_back_different_is_refused():
    with pytest.raises(NotStorable, match="does not read back"):
        TEST.encode(Moved(to="a", share=1.0, extra=("a", "tuple")))


def test_old_shapes_are_lifted_step_by_step():
    assert TEST.decode("test.moved", 1, '{"target":"canary"}') == Moved(to="CANARY", share=1.0)
    assert TEST.decode("test.moved", 2, '{"to":"b","share":0.5}') == Moved(to="B", share=0.5)


@pytest.mark.parametrize(
    ("stored", "message"),
    [
        (("test.unheard", 1, "{}"), "upgrade"),
        (("test.moved", 4, "{}"), "upgrade"),
        (("test.moved", 0, "{}"), "There is no upgrade of"),
        (("test.moved", 3, '{"to":"a"}'), "shape"),
        (("test.moved", 3, "{"), "shape"),
    ],
)
def test_what_is_not_known_is_never_guessed(stored, message):
    with pytest.raises(UnknownEvent, match=message):
        TEST.decode(*stored)


def test_two_events_cannot_share_a_name():
    @dataclass(frozen=True)
    class Again:
        TYPE: ClassVar[str] = "test.moved"

    with pytest.raises(ValueError, match="share a stored name"):
        EventCodec[Any](Moved | Again, {})


@pytest.mark.parametrize(
    "event",
    [
        StageEntered(index=1, name="canary", percent=5),
        Held(key="k", text="t", findings=(finding(), finding(segment="language=de"))),
        RolledBack(
            by="system:engine",
            reason="r",
            findings=(finding(),),
            version="v41",
            after_done=False,
            verdict_seconds=None,
            judged_seconds=0.25,
            exposed_requests=10,
            exposed_units=3,
        ),
        Completed(version="v42", retired="v41"),
    ],
)
def test_events_of_rollouts_come_back(event):
    assert codec.decode(*codec.encode(event)) == event


@pytest.mark.parametrize("verdict", [Hold(findings=(finding(),)), RollBack(findings=(finding(),))])
def test_verdicts_of_one_shape_are_told_apart(verdict):
    event = EvidenceRecorded(
        number=1,
        reason="verdict",
        verdict=verdict,
        measures=(),
        canary_requests=1,
        control_requests=1,
        canary_units=1,
        control_units=1,
        first_look=1,
        last_look=2,
        state_before="a",
        looks="b",
        state_after="c",
    )
    assert codec.decode(*codec.encode(event)) == event


def test_stored_names_never_change():
    names = {kind.__name__: name for name, kind in codec.EVENT_CODEC.classes.items()}
    assert names["RolledBack"] == "rollout.rolled_back"
    assert all(name.split(".")[0] in ("rollout", "surface", "workspace") for name in names.values())


@given(st.lists(st.none() | st.integers(-(2**53), 2**53) | st.text(st.characters(exclude_categories=["Cs"]))))
def test_the_two_ways_to_write_a_header_write_the_same_bytes(header):
    assert orjson.dumps(header) == json.dumps(header, ensure_ascii=False, separators=(",", ":")).encode()
