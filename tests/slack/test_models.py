"""Models: another one that answers is told to the engineers, and so is one that will be switched off."""

import json
import threading
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest

from bot.http.observations.writer import ObservationBatch, ObservationWriter
from bot.jobs.models.answered_models import AnsweredModels
from bot.jobs.models.retirement_watch import RetirementWatch
from bot.outbound.client import OutboundClient
from core.rollout.serving import exposure

LIST = [
    {"model": "large-3-2026-03-01", "retires": "2027-02-15", "replacement": "large-4"},
    {"model": "other-1", "retires": "2027-02-15"},
]


def said(office: Any) -> list[str]:
    return [office.shown(m) for m in office.sandbox.list_messages("#ai-rollouts")]


def report(office: Any, *items: dict[str, Any]) -> None:
    """Observations as an application sends them, and the report of models that follows a second later."""
    answered = AnsweredModels(office.service)
    writer = ObservationWriter(
        office.service.database,
        lambda: exposure.build_snapshot(office.service.load_world()),
        lambda: office.at,
        answered.note,
    )
    body = json.dumps(
        [
            {"surface": "support-assistant", "unit": "u1", **({} if "variant" in item else {"version": "v42"}), **item}
            for item in items
        ]
    ).encode()
    batch = ObservationBatch(body=body, content_type="application/json", token="", key="")
    answer = json.loads(writer.submit(batch).result(timeout=20))
    writer.close()
    assert answer["rejected"] == []
    answered.submit_new(office.at)


@pytest.mark.shows("E70")
def test_a_response_of_another_model_is_told_once_even_without_a_rollout(office: Any) -> None:
    office.apply(office.surface_file)
    report(
        office, {"model": "large-3-2026-06-15"}, {"model": "acme-ai/large-3-20260301"}, {"model": "large-3-2026-06-15"}
    )
    report(office, {"model": "large-3-2026-06-15"})
    office.deliver()
    (told,) = said(office)
    assert told.startswith(
        "Another model answers: Support assistant v42 should call large-3-2026-03-01, but a response came from "
        "large-3-2026-06-15."
    )


def test_each_arm_is_held_against_the_model_of_its_version(office: Any) -> None:
    office.start()
    report(office, {"variant": "canary", "model": "large-9-2026-01-01"}, {"variant": "control", "model": "large-3"})
    office.deliver()
    told = [text for text in said(office) if "Another model answers" in text]
    assert len(told) == 1
    assert "v43 should call large-3-2026-03-01, but a response came from large-9-2026-01-01" in told[0]


def test_the_model_that_a_trace_names_as_a_segment_counts_too(office: Any) -> None:
    office.apply(office.surface_file)
    report(office, {"segments": {"model": "small-1"}})
    office.deliver()
    assert "a response came from small-1" in said(office)[0]


@pytest.fixture
def provider() -> Iterator[tuple[str, list[Any]]]:
    """An address that answers with the list, and what it answers with."""
    content: list[Any] = [200, LIST]

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(content[0])
            self.end_headers()
            self.wfile.write(json.dumps(content[1]).encode())

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}/models", content
    server.shutdown()
    server.server_close()


@pytest.mark.shows("E70")
@pytest.mark.parametrize("by", ["file", "address"])
def test_a_retirement_is_told_once_a_step_and_proposes_only(office: Any, provider: Any, tmp_path: Any, by: str) -> None:
    file = tmp_path / "retirements.json"
    file.write_text(json.dumps(LIST))
    watch = RetirementWatch(str(file) if by == "file" else provider[0], OutboundClient({"127.0.0.1"}), office.service)
    office.apply(office.surface_file)
    office.at = datetime(2026, 11, 16, 9, 0, tzinfo=UTC)  # 91 days before
    watch.warn_due(office.at)
    office.deliver()
    assert said(office) == []
    for _ in range(3):
        watch.warn_due(office.later(days=1).at)
    office.deliver()
    (told,) = said(office)
    assert told == (
        "Model retirement: large-3-2026-03-01 is switched off in 88 days, on Mon 15 Feb 2027.\n"
        "AI features that call it: Support assistant (v42).\n"
        "Proposal: plan a rollout to large-4 with `template: model-upgrade-high-stakes`, which takes about four weeks. "
        "Nothing changes by itself, and nobody is moved back to it once it is off."
    )
    assert office.service.load_world().surfaces["support-assistant"].live == "v42"


def test_a_list_that_cannot_be_read_changes_nothing_and_is_read_again(office: Any, provider: Any) -> None:
    address, content = provider
    watch = RetirementWatch(address, OutboundClient({"127.0.0.1"}), office.service)
    office.apply(office.surface_file)
    office.at = datetime(2027, 2, 1, 9, 0, tzinfo=UTC)
    for content[:] in ([503, []], [200, {"models": 1}]):
        watch.warn_due(office.at)
    assert office.service.load_world().surfaces["support-assistant"].retirements == ()
    content[:] = [200, LIST]
    watch.warn_due(office.at)
    assert [one.days for one in office.service.load_world().surfaces["support-assistant"].retirements] == [14]


def test_a_private_address_is_not_called_unless_it_is_allowed(office: Any, provider: Any) -> None:
    watch = RetirementWatch(provider[0], OutboundClient(), office.service)
    office.apply(office.surface_file)
    office.at = datetime(2027, 2, 1, 9, 0, tzinfo=UTC)
    watch.warn_due(office.at)
    assert office.service.load_world().surfaces["support-assistant"].retirements == ()


def upgrade(office: Any) -> str:
    """The rollout file with another model instead of another prompt."""
    text: str = office.rollout_file
    return text.replace(
        "to: {prompt: prompts/system.md@sha256:9f2c51e0}",
        "to: {model: {provider: acme-ai, name: large-4, snapshot: '2026-11-30'}}",
    )


@pytest.fixture
def told(office: Any, tmp_path: Any) -> Callable[..., list[str]]:
    """Writes the list with this day for a model, lets it be read, and returns what the engineers are told then."""

    def tell(day: str, model: str = "large-3-2026-03-01") -> list[str]:
        file = tmp_path / "retirements.json"
        file.write_text(json.dumps([{"model": model, "retires": day}]))
        before = len(said(office))
        RetirementWatch(str(file), OutboundClient(), office.service).warn_due(office.at)
        office.deliver()
        return [text for text in said(office)[before:] if "Model retirement" in text]

    return tell


def test_a_plan_says_what_the_way_back_is_once_the_old_model_is_off(office: Any, told: Any) -> None:
    office.apply(office.surface_file)
    told("2026-11-30")
    office.apply(upgrade(office))
    office.deliver()
    (warned,) = told("2026-12-02")
    assert "These can be rolled back until Tue 1 Dec 2026 only: R-1 to Support assistant (v42)." in warned
    assert office.typed("ana", "plan R-1").acked
    shown = office.shown(office.whispered("ana"))
    expected = (
        "v42 can be called until 2026-12-01. Its provider switches large-3-2026-03-01 off on 2026-12-02. From the next "
        "day on nobody is moved back to it: the way back is a new rollout from v43 to a model that can be called."
    )
    assert expected in shown


def test_a_day_that_moves_is_told_at_once_and_back_again(office: Any, told: Any) -> None:
    office.apply(office.surface_file)
    assert len(told("2026-11-30")) == 1
    (moved,) = told("2027-06-01")
    assert moved.startswith("Model retirement: large-3-2026-03-01 is switched off in 190 days, on Tue 1 Jun 2027.")
    assert told("2027-06-01") == []
    assert len(told("2026-11-30")) == 1


@pytest.mark.parametrize(
    ("day", "said_first", "proposed"),
    [
        (
            "2026-12-13",
            "is switched off in 20 days, on Sun 13 Dec 2026.",
            "Do now: plan a rollout with shorter stages of its own. The usual `template: model-upgrade-high-stakes` "
            "takes about four weeks, and only 20 days are left.",
        ),
        (
            "2026-11-24",
            "is switched off in 1 day, on Tue 24 Nov 2026.",
            "Do now: plan a rollout with `template: emergency-fix`, which takes hours. The usual `template: "
            "model-upgrade-high-stakes` takes about four weeks, and only 1 day is left.",
        ),
        (
            "2026-11-20",
            "has been switched off since Fri 20 Nov 2026.",
            "Do now: plan a rollout with `template: emergency-fix`, which reaches everyone within about an hour. Until "
            "then people may get no answers;",
        ),
    ],
)
def test_who_is_told_late_is_told_at_once_what_the_days_left_allow(
    office: Any, told: Any, day: str, said_first: str, proposed: str
) -> None:
    office.apply(office.surface_file)
    (warned,) = told(day)
    assert warned.splitlines()[0] == f"Model retirement: large-3-2026-03-01 {said_first}"
    assert proposed in warned


def test_a_plan_that_reaches_everyone_too_late_says_so(office: Any, told: Any) -> None:
    office.apply(office.surface_file)
    told("2026-11-25")
    office.apply(upgrade(office).replace("hold: 1m}", "hold: 2d}"))
    office.deliver()
    assert office.typed("ana", "plan R-1").acked
    shown = office.shown(office.whispered("ana"))
    assert "everyone has v43 Nov 25, 2026 at 09:40 at the earliest" in shown
    assert "those who have v42 until then get no answers after 2026-11-24" in shown


def test_a_model_that_only_a_plan_leads_to_is_told_too(office: Any, told: Any) -> None:
    office.apply(office.surface_file)
    office.apply(upgrade(office))
    office.deliver()
    (warned,) = told("2026-12-24", "large-4-2026-11-30")
    assert warned.splitlines()[1:] == [
        "These lead to it, so name another model in their files: R-1 to Support assistant (v43).",
        "Nothing changes by itself.",
    ]
