"""The read-only pages: what people wrote is shown escaped, and nothing is loaded from elsewhere."""

import re
from collections.abc import Collection, Mapping
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

import pytest

from bot.process.process_state import StandaloneStatus
from bot.rendering import markup
from core.judging.model.judgement import Judgement
from core.judging.model.state import JudgingState
from core.judging.model.verdict import Continue, Finding, Measure
from core.metrics.observation import Observation
from core.rollout import commands as c
from core.rollout.context import ENGINE, Actor
from core.rollout.state.events import rollout_stream
from core.service import rollout_look
from core.service.service import CommandRequest
from core.store.log import event_log
from core.store.log.event_log import EventOrigin
from core.store.observations import observation_sums
from core.store.observations.observation_batch import PlacedObservation
from core.store.transaction import append_transaction


def look() -> c.LookResult:
    measure = Measure(
        metric="refusal_rate",
        title="Declined to answer",
        limit_text="rises by 1 pp",
        canary=0.064,
        control=None,
        difference=None,
        low=None,
        high=None,
        log_e=0.0,
        word="Not enough data",
        n_canary=10,
        n_control=0,
        unit="%",
        relative=False,
        weaker=False,
        note="<b>noted</b>",
    )
    return c.LookResult(
        judgement=Judgement(
            verdict=Continue(),
            measures=(measure,),
            state=JudgingState(),
            canary_requests=10,
            control_requests=0,
            canary_units=7,
            control_units=0,
            exposed_requests=10,
            exposed_units=7,
        ),
        first_look=1,
        last_look=2,
        state_before="",
        looks="ab12",
        state_after="cd34",
    )


def test_what_people_wrote_is_escaped(running: Any, serve: Any, canary: Any) -> None:
    client = serve(running)
    canary(running)
    running.do(c.Pause(reason="<img src=x onerror=alert(1)>"))
    for path in ("/", "/r/R-1"):
        page = client.get(path)
        assert page.status_code == 200
        assert "text/html" in page.headers["content-type"]
        assert "default-src 'none'" in page.headers["content-security-policy"]
        assert "<script" not in page.text
        assert "<img" not in page.text
    assert "&lt;script&gt;alert(1)&lt;/script&gt;" in client.get("/r/R-1").text
    assert "&lt;img src=x" in client.get("/r/R-1").text


def test_the_overview_says_who_waits_for_whom(running: Any, serve: Any, canary: Any, rollout_file: str) -> None:
    client = serve(running)
    canary(running)
    running.apply(rollout_file.replace("rollout: tone", "rollout: shorter").replace("new.md", "shorter.md"))
    running.do(c.Start(queue=True), "R-2")
    assert "1st in the queue, behind R-1" in client.get("/").text


def test_a_piece_of_evidence_shows_the_unknown_as_a_dash(running: Any, serve: Any, canary: Any) -> None:
    client = serve(running)
    canary(running)
    tick = CommandRequest(command=c.Tick(look=look()), command_id="tick-1", by=ENGINE, at=running.now(), rollout="R-1")
    running.service.handle(tick)
    assert '<a href="/e/R-1.1">' in client.get("/r/R-1").text
    page = client.get("/e/R-1.1").text
    assert client.get("/e/1").headers["location"] == "/e/R-1.1", "as the card names it: evidence #1"
    assert "Declined to answer" in page
    assert "10 requests from 7 people" in page
    assert '<td class="n" data-label="Old">–</td>' in page
    assert "&lt;b&gt;noted&lt;/b&gt;" in page
    assert client.get("/style.css").headers["content-type"].startswith("text/css")


def looked_at(running: Any) -> None:
    """Four looks at a canary that declines as often as the current version."""
    stage = running.service.load_world().rollouts["R-1"].stage_index
    for look in range(4):
        with running.service.database.writing_outside_log() as connection:
            observation_sums.add_observations(
                connection, [placed(f"u{look}-{i}", i, stage, running.now()) for i in range(400)]
            )
        running.wait(seconds=10)
        rollout_look.evaluate_rollout(running.service, "R-1", running.now(), every=timedelta(seconds=10))


def placed(unit: str, number: int, stage: int, at: datetime) -> PlacedObservation:
    declined = {"refusal_rate": float(number % 50 < 2)}
    observation = Observation(surface="support-assistant", unit=unit, at=at, readings=declined)
    arm = "canary" if number % 2 else "control"
    return PlacedObservation(rollout="R-1", stage=stage, arm=arm, unit=unit, observation=observation)


def recorded(running: Any, **changes: Any) -> int:
    """Evidence as the engine writes it, with what it saw in segments and what it only tells; its number."""
    tick = CommandRequest(command=c.Tick(look=look()), command_id="tick", by=ENGINE, at=running.now(), rollout="R-1")
    running.service.handle(tick)
    number = running.service.load_world().rollouts["R-1"].evidence.number + 1
    seen = replace(running.service.load_world().rollouts["R-1"].evidence, number=number, **changes)
    with append_transaction(running.service.database, running.service.world_cache, "seen") as log:
        entry = event_log.NewEvent(stream=rollout_stream("R-1"), event=seen)
        log.append(
            [entry], EventOrigin(command_id="seen", actor=ENGINE.id, at=running.now(), recorded_at=running.now())
        )
    return number


def test_the_pages_draw_how_a_difference_developed(running: Any, serve: Any, canary: Any) -> None:
    client = serve(running)
    canary(running)
    running.do(c.Pause(reason="look at it"))
    looked_at(running)
    page = client.get("/r/R-1").text
    assert '<svg class="chart" viewBox' in page
    assert 'role="img" aria-labelledby="chart-0-t chart-0-d"' in page
    assert "What could have been noticed" in page
    assert "style=" not in page


def test_every_time_of_a_page_is_in_the_zone_of_the_policy_and_says_so(running: Any, serve: Any, canary: Any) -> None:
    running.apply("version: 1\nkind: policy\ntimezone: Asia/Tokyo\n")
    client = serve(running)
    canary(running)
    looked_at(running)
    number = recorded(running)
    for path in ("/", "/r/R-1", f"/e/R-1.{number}", "/v/support-assistant/v43", "/digest/this"):
        page = client.get(path).text
        assert "JST" in page, path
        assert "UTC" not in page, path
    assert ">21:0" in client.get("/r/R-1").text  # the time axis of a chart


def test_evidence_shows_limit_segments_notes_and_power(running: Any, serve: Any, canary: Any) -> None:
    client = serve(running)
    canary(running)
    running.do(c.Pause(reason="look at it"))
    looked_at(running)
    row = replace(
        look().judgement.measures[0],
        control=0.04,
        difference=0.001,
        low=-0.02,
        high=0.02,
        word="Fine",
        n_canary=800,
        n_control=800,
        amount=0.01,
        role="rollback",
        needed=5.08,
        cleared=True,
    )
    cut = replace(row, segment="language=<i>de", word="Worse", note="")
    small = replace(cut, segment="language=sv", word="Not enough data", n_canary=41)
    better = Finding(
        metric="cost_per_request",
        kind="",
        limit_text="",
        canary=0.1,
        control=0.2,
        low=None,
        difference=-0.5,
        high=None,
        log_e=0.0,
        threshold=0.0,
        title="Cost",
        unit="US$",
        relative=True,
        note="better than expected: check for leakage",
    )
    number = recorded(running, measures=(row,), segments=(cut, small), segments_checked=14, notes=(better,))
    page = client.get(f"/e/R-1.{number}").text.replace("\N{NO-BREAK SPACE}", " ")
    assert "limit +1.0 pp" in page
    assert "shown to be within the limit" in page
    assert "language=&lt;i&gt;de" in page
    assert "14 checked, worst first." in page
    assert "Not judged, too few requests: language=sv (41)." in page
    assert "Cost · -50.0 % · unusually much better: the owner should check for leakage" in page
    assert "as bad as +2.0 pp" in page
    assert "would be noticed in about" in page


def test_what_does_not_exist_is_not_found(running: Any, serve: Any) -> None:
    client = serve(running)
    for path in ("/r/R-9", "/e/R-9.1", "/e/nonsense", "/nothing"):
        assert client.get(path).status_code == 404


def test_a_small_segment_with_a_verdict_was_checked(running: Any, serve: Any, canary: Any) -> None:
    client = serve(running)
    canary(running)
    small = replace(look().judgement.measures[0], segment="language=de", word="Worse")
    number = recorded(running, segments=(small,), segments_checked=0)
    page = client.get(f"/e/R-1.{number}").text
    assert "language=de" in page
    assert "1 checked, worst first." in page
    assert "None was large enough" not in page


def test_the_page_keeps_apart_what_people_notice_and_what_stays(running: Any, serve: Any, rollout_file: str) -> None:
    client = serve(running)
    running.apply(rollout_file + "behaviour_changes:\n  - {text: Refunds go to a person., kind: unchanged}\n")
    running.do(c.Start())
    assert "<li>Not changing: Refunds go to a person.</li>" in client.get("/r/R-1").text


def test_a_browser_may_give_the_token_as_a_password(running: Any, serve: Any) -> None:
    client = serve(running, tokens=[("operator", "operator-token")])
    refused = client.get("/")
    challenges = refused.headers.get_list("www-authenticate")
    assert (refused.status_code, challenges) == (401, ["Bearer", 'Basic realm="Rampart"']), "Chromium reads one of each"
    assert client.get("/", auth=("anybody", "operator-token")).status_code == 200
    assert client.get("/", auth=("anybody", "wrong")).status_code == 401


@pytest.mark.shows("E71")
def test_a_version_has_a_page_with_its_content_and_what_differs(running: Any, serve: Any, rollout_file: str) -> None:
    client = serve(running)
    change = "{prompt: new.md, params: {temperature: 0.1}, tools: [<b>refund</b>]}"
    running.apply(rollout_file.replace("{prompt: new.md}", change))
    page = client.get("/v/support-assistant/v43").text
    assert 'Difference from <a href="/v/support-assistant/v42">v42</a>' in page
    assert "<del>old</del><ins>new</ins>.md" in page.replace("\n", "")
    assert '<td>params.temperature</td><td data-label="v42">–</td><td data-label="v43"><ins>0.1</ins></td>' in page
    assert "&lt;b&gt;refund&lt;/b&gt;" in page
    assert "planned in R-1" in page
    assert "<b>" not in page
    other = client.get("/v/support-assistant/v42?from=v43").text
    assert "live since" in other
    assert '"><del>0.1</del></td><td data-label="v42">–</td>' in other


def test_an_unknown_version_or_surface_is_not_found(running: Any, serve: Any) -> None:
    client = serve(running)
    for path in ("/v/support-assistant/v99", "/v/nothing/v1", "/v/support-assistant/v42?from=v99"):
        answer = client.get(path, headers={"accept": "text/html"})
        assert answer.status_code == 404
        assert "text/html" in answer.headers["content-type"]


def test_a_plan_shows_what_somebody_has_to_know_who_decides(running: Any, serve: Any, rollout_file: str) -> None:
    client = serve(running)
    running.apply(rollout_file)
    page = client.get("/r/R-1").text.replace("\N{NO-BREAK SPACE}", " ")
    assert "<h2>What changes</h2>" in page
    assert "prompt: 1 of 2 words removed, 1 added. Nothing else changes. v43 stands for exactly this content" in page
    assert "<li>Declined to answer, a rise of 1 pp: rolls back; " in page
    assert "<h2>When, if no limit breaks</h2>" in page
    running.do(c.Start())
    assert "<h2>When, if no limit breaks</h2>" not in client.get("/r/R-1").text


def test_pages_and_files_name_people_as_others_call_them(running: Any, serve: Any, canary: Any) -> None:
    names = {"U0MIA00001": "@mia<b>"}

    def find_handles(users: Collection[str]) -> Mapping[str, str]:
        return {user: names[user] for user in users if user in names}

    client = serve(running, find_handles=find_handles)
    canary(running)
    for user in ("U0MIA00001", "U0GONE0001"):
        by = Actor(id=f"slack:T0SANDBOX1/{user}", handle="", is_full_member=True)
        command = c.Pause(reason="look at it") if user == "U0MIA00001" else c.Resume(reason="seen")
        request = CommandRequest(command=command, command_id=user, by=by, at=running.now(), rollout="R-1")
        running.service.handle(request)
    page, table = client.get("/r/R-1").text, client.get("/r/R-1/history.csv").text
    assert "@mia&lt;b&gt;" in page
    assert "@mia<b>" in table
    for text in (page, table):
        assert "@U0GONE0001" in text
        assert "@U0MIA00001" not in text


def test_the_history_of_a_page_is_in_sentences_and_can_be_downloaded(running: Any, serve: Any, canary: Any) -> None:
    client = serve(running)
    canary(running)
    running.do(c.Pause(reason="look at it"))
    page = client.get("/r/R-1").text.replace("\N{NO-BREAK SPACE}", " ")
    assert "Paused by ana (command line): “look at it”. It stays at 5 %." in page
    assert "UTC</time></td>" in page
    table = client.get("/r/R-1/history.csv")
    assert table.headers["content-type"] == "text/csv; charset=utf-8"
    assert table.headers["content-disposition"] == 'attachment; filename="history-R-1.csv"'
    assert table.text.splitlines()[0] == "\ufeffposition,time,who,what,type"
    assert client.get("/r/R-1/history.json").json()["events"][0]["type"] == "rollout.planned"
    assert client.get("/r/R-9/history.csv").status_code == 404
    assert client.get("/r/R-1/history.xml").status_code == 422


def test_a_rollback_has_a_page_to_investigate_it_by(running: Any, serve: Any, canary: Any) -> None:
    client = serve(running)
    canary(running)
    looked_at(running)
    assert client.get("/r/R-1/investigation").status_code == 404
    running.do(c.RollBack(reason="<b>odd</b>"))
    assert '<a href="/r/R-1/investigation">' in client.get("/r/R-1").text
    page = client.get("/r/R-1/investigation").text.replace("\N{NO-BREAK SPACE}", " ")
    assert "<strong>What moved first?</strong> ana (command line) rolled it back: “&lt;b&gt;odd&lt;/b&gt;”." in page
    cells = page.replace("\n", "")
    assert '<td class="n" data-label="New">4.0 %</td><td class="n" data-label="Old">4.0 %</td>' in cells, (
        "the new version beside the old one"
    )
    assert '<svg class="chart" viewBox' in page
    assert "<b>odd" not in page
    bundle = client.get("/r/R-1/investigation.zip")
    assert bundle.headers["content-type"] == "application/zip"
    assert bundle.content.startswith(b"PK")


def test_no_line_of_a_page_ends_between_a_number_and_its_sign(running: Any, serve: Any, canary: Any) -> None:
    client = serve(running)
    canary(running)
    assert "5\N{NO-BREAK SPACE}%" in client.get("/").text
    assert markup.join_numbers("in 22 min, 5 h or 5 hours") == "in 22\xa0min, 5\xa0h or 5 hours"
    assert markup.join_numbers("(-0.4 … +2.1), and so on …") == "(-0.4\xa0…\xa0+2.1), and so on …"
    for path in ("/", "/r/R-1"):
        assert re.findall(r".{0,20}\d (?:%|pp|ms|s|min|h)(?!\w)", client.get(path).text) == []


def test_the_overview_says_since_when_a_version_is_live_that_came_with_its_file(running: Any, serve: Any) -> None:
    page = serve(running).get("/").text
    assert '<td data-label="Since">Tue 24 Nov 2026 12:00:00 UTC</td>' in page
    assert '<td data-label="Made live by">its file</td>' in page


def test_a_page_speaks_of_missing_looks_after_three_ticks_and_never_within_seconds(running: Any, serve: Any) -> None:
    """In the demonstration a tick is a fraction of a second, and a short wait is no fault."""

    class Status(StandaloneStatus):
        def look_ages(self) -> Mapping[str, float]:
            return {"R-1": 9.0, "R-2": 11.0, "R-3": 5.0}

        unwatched_rollouts = frozenset({"R-3"})

    page = serve(running, process_status=Status(), tick=lambda: timedelta(milliseconds=200)).get("/").text
    assert [one for one in ("R-1", "R-2", "R-3") if f"{one} has had no look" in page] == ["R-2", "R-3"]
    slow = serve(running, process_status=Status(), tick=lambda: timedelta(seconds=4)).get("/").text
    assert "R-2 has had no look" not in slow


def test_the_overview_says_what_those_ended_with_that_have_ended(running: Any, serve: Any, canary: Any) -> None:
    client = serve(running)
    canary(running)
    tick = CommandRequest(command=c.Tick(look=look()), command_id="tick", by=ENGINE, at=running.now(), rollout="R-1")
    running.service.handle(tick)
    assert "Last evidence" not in client.get("/").text
    running.do(c.RollBack(reason="wrong"))
    page = client.get("/").text
    assert "<th>Last evidence</th>" in page
    ended = page.partition("<h2>Ended</h2>")[2].partition("</table>")[0]
    assert '<td data-label="Last evidence">Not fully judged: too little known yet <small>Tue 24 Nov 2026' in ended
