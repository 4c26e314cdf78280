"""Which version is live changes by a rollout alone: no file, request or field of one moves it."""

import pytest

from core.flags.evaluation import choose_answer
from core.rollout.serving.exposure import build_snapshot

SURFACE = "support-assistant"


def served(running) -> str:
    """What a user gets who is in no rollout."""
    world = running.service.load_world()
    return choose_answer(build_snapshot(world).surfaces[SURFACE], "u1", {}).version.name


@pytest.fixture
def client(running, serve):
    return serve(running)


@pytest.mark.shows("E73")
@pytest.mark.parametrize("method", ["PUT", "PATCH", "POST", "DELETE"])
@pytest.mark.parametrize(
    "path", [f"/api/v1/surfaces/{SURFACE}", f"/api/v1/surfaces/{SURFACE}/live", "/api/v1/surfaces", "/api/v1/flags"]
)
def test_there_is_nothing_to_write_a_live_version_to(running, client, method, path):
    before = running.service.load_world().position
    answer = client.request(method, path, json={"surface": SURFACE, "live": "v43", "version": "v43"})
    assert answer.status_code in (404, 405)
    assert (running.service.load_world().position, served(running)) == (before, "v42")


@pytest.mark.shows("E73")
def test_the_file_of_a_surface_that_names_another_live_version_is_refused_with_the_way_there_is(
    running, client, surface_file
):
    before = running.service.load_world().position
    other = surface_file.replace("version: v42", "version: v43").replace("old.md", "unapproved.md")
    refused = client.post("/api/v1/files", content=other)
    assert refused.status_code == 409
    assert "v42 is live on support-assistant; a file cannot make v43 live." in refused.text
    assert "Plan a rollout: that is the only way to make a version live." in refused.text
    assert (running.service.load_world().position, served(running)) == (before, "v42")


def test_nor_does_such_a_file_give_the_live_version_another_content(running, client, surface_file):
    client.post("/api/v1/files", content=surface_file.replace("old.md", "unapproved.md"))
    assert running.service.load_world().surfaces[SURFACE].live_content["prompt"] == "old.md"


def test_a_plan_serves_nobody_its_version_before_it_is_started(running, client, rollout_file):
    assert client.post("/api/v1/files", content=rollout_file).is_success
    assert running.service.load_world().rollouts["R-1"].plan.to_version == "v43"
    assert {
        choose_answer(build_snapshot(running.service.load_world()).surfaces[SURFACE], f"u{i}", {}).version.name
        for i in range(500)
    } == {"v42"}
