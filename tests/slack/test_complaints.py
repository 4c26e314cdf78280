"""Complaints: typed, or from the menu of a message; counted for the version that the customer got, once an hour."""

from typing import Any

import pytest

from bot.commands.parsing.grammar import parse
from bot.commands.parsing.parsed_command import ParsedCommand
from bot.sandbox.control import Sandbox
from bot.slack.manifest import build_manifest
from core.flags.bucketing import compute_bucket
from core.judging.model.evidence import CellKey
from core.rollout import commands as c
from core.service.service import CommandRequest
from core.store.observations import observation_sums

NEW = next(u for u in map("cust_{}".format, range(1000)) if compute_bucket("expose", "R-1", u) < 50_000)
OLD = next(u for u in map("cust_{}".format, range(1000)) if compute_bucket("expose", "R-1", u) > 50_000)


def counted(office: Any, arm: str, metric: str = "complaint_rate") -> float:
    with office.service.database.reading() as connection:
        cells = observation_sums.load_sums(connection, "R-1").cells
    cell = cells.get(CellKey(stage=0, arm=arm, segment="", metric=metric))
    return float(cell.value.sum()) if cell else 0.0


@pytest.mark.shows("E51")
def test_a_complaint_counts_for_the_version_that_the_customer_got(office: Any) -> None:
    office.start()
    told = office.typed("sam", f'complaint "answered in English" --user {NEW}', "#support").text
    assert told.startswith("Complaint: @sam about R-1: “answered in English”. The customer got v43")
    assert "counts against the new version (at most once an hour per customer)" in told
    office.typed("mia", f"complaint R-1 too curt --user {OLD}", "#support")
    assert (counted(office, "canary"), counted(office, "control")) == (1, 1)
    assert counted(office, "canary", "requests") == 0  # a complaint is no request
    office.deliver()
    assert any("answered in English" in line for line in office.thread())
    assert any("about R-1: “too curt”" in line for line in office.thread())
    assert NEW not in " ".join(office.thread())


@pytest.mark.parametrize(
    "typed", ["complaint R-1 odd greetings", 'complaint r-1 "odd greetings"', 'complaint "odd greetings" --id R-1']
)
def test_a_complaint_is_about_the_rollout_that_it_names(typed: str) -> None:
    parsed = parse(typed)
    assert isinstance(parsed, ParsedCommand)
    assert (parsed.rollout.upper(), parsed.text) == ("R-1", "odd greetings")


def test_a_customer_counts_once_an_hour_and_every_word_is_kept(office: Any) -> None:
    office.start()
    for word in ("first", "second"):
        office.typed("sam", f'complaint "{word}" --user {NEW}', "#support")
    assert counted(office, "canary") == 1
    office.later(minutes=61).typed("sam", f'complaint "third" --user {NEW}', "#support")
    assert counted(office, "canary") == 2
    assert office.rollout.complaints == {"canary": 3}


def test_without_a_customer_it_counts_for_neither_version(office: Any) -> None:
    office.start()
    told = office.typed("sam", 'complaint "odd greetings"', "#support").text
    assert "Without a customer id we cannot tell which version it was; noted, not counted." in told
    assert (counted(office, "canary"), counted(office, "control")) == (0, 0)
    assert office.rollout.complaints == {"": 1}


def test_who_was_moved_back_no_longer_counts(office: Any) -> None:
    office.start()
    office.typed("sam", f"move-back {NEW} R-1", "#support")
    told = office.typed("sam", f'complaint "still odd" --user {NEW}', "#support").text
    assert "The customer got v42, which is not part of the comparison now, so it is noted but not counted." in told
    assert counted(office, "canary") == 0


def test_a_report_that_is_repeated_is_counted_once(office: Any) -> None:
    office.start()
    command = c.ReportComplaint(text="odd", unit=NEW)
    dana = office.directory.resolve_actor("T0SANDBOX1", "U0DANA0001", moves_forward=True)
    for _ in range(2):
        asked = CommandRequest(command=command, command_id="same", by=dana, at=office.at, rollout="R-1")
        office.service.handle(asked)
        office.later(hours=2)
    assert counted(office, "canary") == 1
    assert office.rollout.complaints == {"canary": 1}


def test_the_menu_of_a_message_opens_a_form_that_reports_it(office: Any) -> None:
    office.start()
    message = office.person("mia").say("Look at this: “Dear valued customer, no.”", "#support")
    assert office.person("sam").use_shortcut(message, "Report AI answer").acked
    form = office.sandbox.wait_for(lambda: office.sandbox.top_modal("sam"))
    assert "valued customer" not in str(form.body)
    office.person("sam").submit(form, {"Customer": NEW, "What was wrong?": "rude"})
    answer = office.sandbox.top_modal("sam")
    assert "counts against the new version (at most once an hour per customer)" in str(answer.body)
    office.deliver()
    assert any("Complaint: @sam about R-1: “rude”" in line for line in office.thread())
    assert counted(office, "canary") == 1


def test_the_form_says_what_is_missing(office: Any) -> None:
    office.plan()
    message = office.person("sam").say("odd", "#support")
    office.person("sam").use_shortcut(message, "Report AI answer")
    office.sandbox.wait_for(lambda: office.sandbox.list_ephemerals("sam"))
    assert "No rollout has started yet" in office.shown(office.whispered("sam"))
    office.later(minutes=10)
    assert "No rollout has started yet" in office.typed("sam", 'complaint "odd"').text
    assert "What happened?" in office.typed("sam", "complaint").text
    refused = office.typed("sam", 'complaint "odd" --id R-1').text
    assert "has not started" in refused


def test_guests_report_nothing(office: Any) -> None:
    office.start()
    message = office.person("gil").say("odd", "#support")
    office.person("gil").use_shortcut(message, "Report AI answer")
    office.sandbox.wait_for(lambda: office.sandbox.list_ephemerals("gil"))
    assert "Guests" in office.shown(office.whispered("gil"))
    assert office.sandbox.top_modal("gil") is None


def test_slack_offers_what_the_manifest_declares(office: Any) -> None:
    declared = {one["callback_id"]: one["name"] for one in build_manifest()["features"]["shortcuts"]}
    assert declared == dict(office.person("sam").shortcuts)
    office.start()
    office.typed("sam", "status R-1")
    with pytest.raises(PermissionError, match="only you see"):
        office.person("sam").use_shortcut(office.whispered("sam"), "Report AI answer")
    with pytest.raises(LookupError, match="no shortcut Delete"):
        office.person("sam").use_shortcut(office.card(), "Delete")
    with pytest.raises(ValueError, match="at most 24 characters"), Sandbox.start(shortcuts={"x": "x" * 25}):
        pass
