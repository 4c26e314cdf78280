"""After a rollback the thread has a checklist, and its buttons hand out what is needed to go on."""

import zipfile
from io import BytesIO
from typing import Any

import pytest

from core.rollout.state.events import MessagePosted, RolledBack
from core.rollout.state.model import RolloutState


@pytest.fixture
def office(office: Any) -> Any:
    """R-1 was rolled back by Mia during its small test."""
    office.start()
    office.typed("mia", "rollback R-1 answers are odd")
    office.deliver()
    return office


def _checklist(office: Any) -> Any:
    return next(m for m in office.sandbox.list_replies(office.card()) if "Investigate: R-1" in office.shown(m))


def _sent_file(office: Any) -> tuple[str, bytes]:
    workspace = office.sandbox.workspace
    files = office.sandbox.wait_for(lambda: [f for f in workspace.files.values() if f.content is not None])
    return files[-1].name, files[-1].content


@pytest.mark.shows("E53")
def test_everyone_is_back_before_anybody_is_asked_to_investigate(office: Any):
    entries = office.service.load_entries("R-1")
    back = next(x.position for x in entries if isinstance(x.event, RolledBack))
    told = [x for x in entries if isinstance(x.event, MessagePosted) and x.event.key.startswith("investigation:")]
    assert len(told) == 1
    assert told[0].position > back
    assert (
        "☐ What moved first?  @mia rolled it back: “answers are odd”. Nothing had been measured yet."
        in office.shown(_checklist(office))
    )


@pytest.mark.shows("E53")
def test_the_alert_and_the_checklist_hand_out_the_evidence(office: Any):
    assert "Sent: evidence-R-1.zip" in office.click("mia", _checklist(office), "Get the evidence")
    name, content = _sent_file(office)
    assert name == "evidence-R-1.zip"
    assert "checklist.txt" in zipfile.ZipFile(BytesIO(content)).namelist()
    alert = next(m for m in office.sandbox.list_replies(office.card()) if "Rolled back: R-1" in office.shown(m))
    assert "[ Get the evidence ] [ New rollout from this one ]" in office.shown(alert)


def test_another_attempt_is_the_same_plan_under_another_name(office: Any):
    assert "Sent: support-tone-2.yaml" in office.click("ana", _checklist(office), "New rollout from this one")
    _, content = _sent_file(office)
    office.apply(content.decode())
    second = office.service.load_world().rollouts["R-2"]
    assert second.state is RolloutState.PLANNED
    assert second.plan.name == "support-tone-2"
    assert second.plan.limits == office.rollout.plan.limits


def test_a_plan_that_nobody_got_leaves_nothing_to_investigate(office: Any):
    office.apply(office.files["rollout"].replace("rollout: support-tone", "rollout: other"))
    office.typed("ana", "rollback R-2")
    office.deliver()
    assert not any("Investigate: R-2" in office.shown(m) for m in office.sandbox.list_messages("#ai-rollouts"))
