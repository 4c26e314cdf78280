"""Rollouts that ended long ago are in no process's memory, and still on every list and page."""

from typing import Any

import pytest

from bot.http.pages import routes
from core.rollout import commands as c
from core.service.apply_file import apply_text
from core.store.maintenance import checkpointing
from tests.http.conftest import ADMIN, ROLLOUT

ROLLOUTS = "/api/v1/rollouts"


@pytest.fixture
def old(everywhere: Any) -> Any:
    """Eleven rollouts that were abandoned or rolled back a month ago; a worker has taken a checkpoint since."""
    running, service = everywhere, everywhere.service
    for number in range(11):
        text = ROLLOUT.replace("rollout: tone", f"rollout: tone-{number}").replace("new.md", f"new-{number}.md")
        command_id = f"apply-{number}"
        applied = apply_text(service, text, "r.yaml", by=ADMIN, at=running.now(), command_id=command_id)
        running.do(c.Start(), rollout=applied.id)
        running.do(c.RollBack(reason="odd"), rollout=applied.id)
    running.wait(days=30)
    at = running.now()
    checkpointing.take_checkpoint(service.database, service.world_cache, by="system:checkpoint", at=at, recorded_at=at)
    assert "R-1" not in service.load_world().rollouts
    return running


def test_a_list_goes_back_to_the_first_one(old: Any, serve: Any) -> None:
    client = serve(old)
    met, before = [], {}
    while before is not None:
        answer = client.get(ROLLOUTS, params={"limit": 4, **before}).json()
        assert len(answer["rollouts"]) <= 4
        met += [one["id"] for one in answer["rollouts"]]
        before = {"before": answer["next"]} if answer["next"] else None
    assert met == [f"R-{number}" for number in range(11, 0, -1)]
    assert client.get(ROLLOUTS, params={"before": "1; DROP TABLE"}).status_code == 422


def test_it_has_its_page_its_answers_and_its_history(old: Any, serve: Any) -> None:
    client = serve(old)
    assert client.get(f"{ROLLOUTS}/R-1").json()["state"] == "rolled_back"
    assert client.get(f"{ROLLOUTS}/R-1/events").json()["events"]
    assert "tone-0" in client.get("/r/R-1").text


def test_the_overview_leads_to_older_ones(old: Any, serve: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(routes, "ROLLOUTS_PER_PAGE", 8)
    client = serve(old)
    first = client.get("/").text
    assert '<a href="/?before=R-4">Older</a>' in first
    assert "tone-10" in first
    assert '/r/R-1"' not in first
    older = client.get("/", params={"before": "R-4"}).text
    assert '/r/R-1"' in older
    assert '<a href="/">Newest</a>' in older
    assert "Older" not in older


def test_the_figures_count_them(old: Any, serve: Any) -> None:
    assert 'rampart_rollouts{state="archived"} 3.0' in serve(old).get("/metrics").text
