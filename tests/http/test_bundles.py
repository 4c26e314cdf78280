"""A bundle over HTTP: one file, one address to read it, and the commands of a rollout by its name."""

from typing import Any

import pytest

from core.rollout import commands as c
from core.rollout.context import Actor
from core.rollout.refusal import Refused
from core.rollout.state.model import RolloutState
from core.service.apply_file import apply_text
from core.service.service import CommandRequest
from tests.http.test_pages import looked_at

BUNDLES = "/api/v1/bundles"


@pytest.fixture
def bundle_file(rollout_file: str) -> str:
    other = rollout_file.replace("rollout: tone", "rollout: sales-tone").replace("support-assistant", "sales-assistant")
    return f"version: 1\nbundle: shorter\ntogether: [tone, sales-tone]\n---\n{rollout_file}---\n{other}"


@pytest.fixture
def client(running: Any, serve: Any, surface_file: str) -> Any:
    running.apply(surface_file.replace("support-assistant", "sales-assistant"))
    return serve(running)


def test_one_file_plans_all_and_the_same_again_changes_nothing(client: Any, bundle_file: str) -> None:
    first = client.post("/api/v1/files", content=bundle_file).json()
    assert {"kind": "bundle", "id": "shorter", "changed": True, "rollouts": ["R-1", "R-2"]}.items() <= first.items()
    again = client.post("/api/v1/files", content=bundle_file).json()
    assert {"changed": False, "rollouts": ["R-1", "R-2"]}.items() <= again.items()
    assert "Bundle shorter, together: with R-2 sales-tone (sales-assistant, planned)." in client.get("/r/R-1").text
    assert client.get("/").text.count("<small>bundle shorter</small>") == 2
    found = client.get(f"{BUNDLES}/shorter").json()
    assert (found["bundle"], found["order"], [one["id"] for one in found["rollouts"]]) == (
        "shorter",
        "together",
        ["R-1", "R-2"],
    )
    assert client.get("/api/v1/rollouts/R-2").json()["bundle"]["name"] == "shorter"
    assert client.get(f"{BUNDLES}/longer").json()["message"] == "There is no bundle longer. Open now: shorter."


def test_it_is_started_and_rolled_back_by_its_name(client: Any, running: Any, bundle_file: str) -> None:
    client.post("/api/v1/files", content=bundle_file)

    def send(**body: str) -> Any:
        return client.post("/api/v1/rollouts/shorter/commands", json=body)

    assert send(command="start").status_code == 200
    world = running.service.load_world()
    assert [one.state for one in world.rollouts.values()] == [RolloutState.RUNNING] * 2
    assert send(command="advance", reason="now").json()["message"].startswith("shorter is a bundle. Name one of its")
    assert send(command="rollback", reason="answers are wrong").json()["state"] == "rolled_back"
    states = [one["state"] for one in client.get(f"{BUNDLES}/shorter").json()["rollouts"]]
    assert states == ["rolled_back", "rolled_back"]
    assert send(command="rollback").json()["events"] == []


def test_the_plan_of_each_is_shown_before_anything_is_planned(client: Any, bundle_file: str) -> None:
    found = client.post("/api/v1/plans", content=bundle_file).json()
    assert (found["bundle"], [one["surface"] for one in found["rollouts"]]) == (
        "shorter",
        ["support-assistant", "sales-assistant"],
    )
    told = client.post("/api/v1/plans", content=bundle_file, headers={"Accept": "text/markdown"}).text
    assert "## Rollout tone: support-assistant" in told
    assert "## Rollout sales-tone: sales-assistant" in told
    assert client.get("/api/v1/rollouts").json()["rollouts"] == []


@pytest.mark.parametrize(
    ("accept", "kind"),
    [
        ("text/markdown;q=0", "application/json"),
        ("text/markdown;q=0.5, application/json", "application/json"),
        ("application/json;q=0.5, Text/Markdown; charset=utf-8 ; q=0.9", "text/markdown; charset=utf-8"),
        ("text/markdown, application/json", "text/markdown; charset=utf-8"),
        ("text/markdownish, */*;q=x", "application/json"),
        ("text/markdown;q=nan", "application/json"),
    ],
)
def test_a_plan_comes_in_the_form_that_is_asked_for(client: Any, bundle_file: str, accept: str, kind: str) -> None:
    answer = client.post("/api/v1/plans", content=bundle_file, headers={"Accept": accept})
    assert answer.headers["content-type"] == kind


def test_what_is_wrong_in_any_document_is_refused_and_nothing_is_planned(client: Any, bundle_file: str) -> None:
    refused = client.post("/api/v1/files", content=bundle_file.replace("sales-tone]", "sale-tone]"))
    assert refused.status_code == 422
    assert 'Did you mean "sales-tone"?' in refused.json()["message"]
    assert client.get("/api/v1/rollouts").json()["rollouts"] == []


def test_an_agent_plans_a_bundle_without_a_date_and_never_starts_it(
    client: Any, running: Any, bundle_file: str
) -> None:
    agent = Actor(id="agent:codex/ana", handle="ana")
    apply_text(running.service, bundle_file, "b.yaml", by=agent, at=running.now(), command_id="a1")
    start = CommandRequest(command=c.Start(), command_id="a2", by=agent, at=running.now(), rollout="shorter")
    with pytest.raises(Refused, match="An agent may plan a rollout, pause it and roll it back"):
        running.service.handle(start)
    dated = bundle_file.replace("risk: low", "risk: low\nstart: 2026-12-01 10:00 Europe/Berlin")
    with pytest.raises(Refused, match="an agent may not start a rollout"):
        apply_text(running.service, dated, "b.yaml", by=agent, at=running.now(), command_id="a3")


def test_the_page_of_each_marks_when_the_other_moved(client: Any, running: Any, bundle_file: str) -> None:
    for text in bundle_file.split("---\n")[1:]:
        running.apply(text)
    running.do(c.Start(), "R-1")
    running.do(c.Start(), "R-2")
    running.wait(minutes=2)
    running.do(c.Advance(reason="the cohort is happy"))
    looked_at(running)
    running.do(c.Advance(reason="the cohort is happy"), "R-2")
    looked_at(running)
    page = client.get("/r/R-1").text.replace("\N{NO-BREAK SPACE}", " ")
    assert "Shared: R-2 sales-tone (sales-assistant, at 5 %) changes the same piece of a prompt, new.md" in page
    assert "R-2 (sales-assistant) to 5 %, " in page
    assert '<line class="other"' in page
    assert "Meanwhile: R-2 5 % at " in page
    assert "R-1 (support-assistant) to 5\N{NO-BREAK SPACE}%, " in client.get("/r/R-2").text
    assert client.get("/api/v1/rollouts/R-2").json()["shared"] == [
        {"part": "prompt", "name": "new.md", "rollout": "R-1", "surface": "support-assistant"}
    ]
