"""Rolling back needs no words: the reason is asked for afterwards, and one click gives it."""

from typing import Any

import pytest

from core.rollout.state.events import RollbackExplained


@pytest.fixture
def office(office: Any) -> Any:
    """R-1 runs its small test."""
    return office.start()


def _recorded(office: Any, kind: type) -> list[Any]:
    return [entry.event for entry in office.service.load_entries("R-1") if isinstance(entry.event, kind)]


def _alert(office: Any) -> Any:
    return next(m for m in office.sandbox.list_replies(office.card()) if "Rolled back: R-1" in office.shown(m))


def test_the_answer_and_the_alert_ask_why_and_one_click_says_it(office: Any):
    office.click("mia", office.card(), "Roll back")
    assert "[ Wrong answers ] [ Too slow ]" in office.shown(office.whispered("mia"))
    office.deliver()
    assert "@mia rolled it back. Why? Nobody has said yet." in office.shown(_alert(office))
    said = office.click("mia", office.whispered("mia"), "Wrong answers")
    assert said == "Explained by @mia: R-1 was rolled back because the answers were wrong."
    (event,) = _recorded(office, RollbackExplained)
    assert (event.cause, event.handle, event.reason) == ("answers", "@mia", "")
    office.deliver()
    shown = office.shown(_alert(office))
    assert "@mia rolled it back because the answers were wrong (@mia)" in shown
    assert "Wrong answers ]" not in shown


def test_something_else_asks_for_words(office: Any):
    office.click("mia", office.card(), "Roll back")
    office.deliver()
    office.person("lee").click(_alert(office), "Something else…")
    lee = office.sandbox.workspace.find_person("lee").id
    view = office.sandbox.wait_for(lambda: office.sandbox.workspace.modals.get(lee))[-1]
    office.person("lee").submit(view, {"reason": "The sale starts today"})
    office.deliver()
    assert "@mia rolled it back because of “The sale starts today” (@lee)" in office.shown(_alert(office))


def test_whoever_gave_a_reason_is_not_asked_again(office: Any):
    office.typed("mia", "rollback R-1 answers are odd")
    assert "[ Wrong answers ]" not in office.shown(office.whispered("mia"))
    office.deliver()
    assert "Nobody has said yet" not in office.shown(_alert(office))


def test_the_same_click_again_changes_nothing(office: Any):
    office.click("mia", office.card(), "Roll back")
    message = office.whispered("mia")
    office.click("mia", message, "Too slow")
    office.click("mia", message, "Too slow")
    assert len(_recorded(office, RollbackExplained)) == 1
