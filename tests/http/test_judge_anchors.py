"""A judge is given its anchors again and again: one that moves is noticed, and what it said by then does not count."""

import json
import random
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest

from bot.commands import run_verb
from bot.commands.parsing import grammar
from bot.commands.request import CommandContext
from bot.jobs.judging import anchor_rounds, answer_judging
from bot.judges.http_judge import HttpJudge
from bot.outbound.client import OutboundClient
from bot.rendering.charts import plain_text
from core.files.syntax.problems import UnreadableFile
from core.rollout import commands as c
from core.rollout.context import Actor
from core.rollout.refusal import Refused
from core.rollout.state.events import AnchorsJudged
from core.rollout.state.model import RolloutState
from core.service import replay
from core.service.rollout_look import evaluate_rollout
from core.store.audit.verify import verify
from core.store.observations import observation_sums
from core.store.shadow_eval import judged_marks, judging_accounts, shadow_samples
from tests.http.test_shadow_eval import _answers, _cells, _hand_in, judge_server

__all__ = ["judge_server"]  # a fixture

ANCHORS = [
    {"id": f"a{i}", "question": "How do I sync?", "answer": f"anchor {i}", "label": "pass" if i < 30 else "fail"}
    for i in range(40)
]
JUDGING = {"judge": "support-judge-v3", "share": "100%", "anchors": ANCHORS, "anchors_every": "1h", "cost": "$0.01"}
GOOD, BAD = "Press Sync now.", "I cannot help."


def _write(**more: Any) -> str:
    return f"judging: {json.dumps({**JUDGING, **more})}\n"


@pytest.fixture
def anchored(everywhere: Any, surface_file: str, rollout_file: str) -> Any:
    """A canary, for hours, of a surface whose judge has forty anchors."""
    return _begin(everywhere, surface_file + _write(), rollout_file)


def _begin(running: Any, surface: str, rollout: str) -> Any:
    running.apply(surface)
    running.apply(rollout.replace("min_hold: 1m, max_hold: 30m", "min_hold: 20h, max_hold: 40h"))
    running.do(c.Start())
    running.wait(minutes=2)
    running.do(c.Advance(reason="the cohort is happy"))
    running.wait(hours=2)  # by then reports without an exposure are those of this stage
    return running


def _judge_all(http: Any, passes: Callable[[str], bool], **more: Any) -> list[dict[str, Any]]:
    """Fetch and judge until nothing waits; the tasks."""
    seen = []
    while tasks := http.get("/api/v1/judging", params={"limit": 100}).json()["tasks"]:
        results = [{"task": task["task"], "pass": passes(task["answer"]), **more} for task in tasks]
        reply = http.post("/api/v1/judging", json={"judge": tasks[0]["judge"], "results": results})
        assert reply.status_code == 200, reply.text
        seen += tasks
    return seen


def _steady(answer: str) -> bool:
    return answer != BAD and answer not in {f"anchor {i}" for i in (1, 2, 31, 32, 33, 34, 35, 36, 37, 38, 39)}


def _strict(answer: str) -> bool:
    return _steady(answer) and answer not in {f"anchor {i}" for i in range(3, 12)}


def _run_round(running: Any, http: Any, passes: Callable[[str], bool]) -> list[dict[str, Any]]:
    """One round of anchors: begun, judged, recorded and looked at."""
    assert anchor_rounds.run_anchor_rounds(running.service, running.now()) == 1
    tasks = _judge_all(http, passes)
    assert anchor_rounds.run_anchor_rounds(running.service, running.now()) >= 1
    _look(running, http)
    return tasks


def _look(running: Any, http: Any) -> Any:
    """Requests of both versions, and a look at them; the rollout after it."""
    http.post("/api/v1/observations", json={"observations": _observe(20, 380)})
    running.wait(seconds=20)
    evaluate_rollout(running.service, "R-1", running.now(), every=timedelta(seconds=20))
    return running.service.load_world().rollouts["R-1"]


def _status(running: Any, line: str = "status R-1") -> str:
    dana = Actor(id="slack:T1/U2", handle="dana")
    context = CommandContext(service=running.service, by=dana, at=running.now(), command_id="s1")
    return plain_text.render_text(run_verb.perform(grammar.parse(line), context))


def _spent(running: Any) -> float:
    with running.service.database.reading() as connection:
        return judging_accounts.load_spend(connection, "R-1").spent


def test_anchors_are_handed_out_like_any_other_answer(anchored: Any, serve: Any) -> None:
    http = serve(anchored)
    _hand_in(http, _answers("canary", 30))
    anchor_rounds.run_anchor_rounds(anchored.service, anchored.now())
    tasks = _judge_all(http, _steady)
    told = {task["answer"].startswith("anchor") for task in tasks}
    assert told == {True, False}
    assert {key for task in tasks for key in task} == {"task", "judge", "surface", "question", "answer"}
    assert {len(task["task"]) for task in tasks} == {32}
    first = [task["answer"].startswith("anchor") for task in tasks[:40]]
    assert first != sorted(first, reverse=True), "nor does the order tell"
    assert sum(cell[0] for cell in _cells(anchored, "eval_pass_rate").values()) == 30, "an anchor counts in no arm"


def test_a_round_is_due_every_so_often_and_a_steady_judge_is_trusted(anchored: Any, serve: Any) -> None:
    http = serve(anchored)
    for number in range(1, 4):
        _run_round(anchored, http, _steady)
        assert anchor_rounds.run_anchor_rounds(anchored.service, anchored.now()) == 0, "the next one is not due"
        rollout = anchored.service.load_world().rollouts["R-1"]
        assert (rollout.judge_check.last_round, rollout.judge_check.trusted) == (number, number)
        anchored.wait(hours=1)
    assert rollout.state is RolloutState.RUNNING
    said = _status(anchored)
    assert "Judge: 29 of 40 anchors pass, 29 did at the start; it has not moved beyond chance in 3 rounds." in said
    assert "Of 30 anchors that people call good the judge passes 93.3 % (78.7 % to 98.2 %)" in said
    assert "of 10 bad ones it fails 90.0 % (59.6 % to 98.2 %)" in said
    assert "Judging cost $1.20, 120 judgements, $0.01 each." in said


def _reach_move(running: Any, http: Any) -> Any:
    """Two good rounds with 30 answers of each version judged, then a judge that is stricter, and 20 answers more."""
    _hand_in(http, _answers("canary", 30) + _answers("control", 400))
    _run_round(running, http, _steady)
    running.wait(hours=1)
    before = _cells(running, "eval_pass_rate")
    _hand_in(http, _answers("canary", 20, begin=1000))
    rollout = running.service.load_world().rollouts["R-1"]
    for _ in range(4):
        _run_round(running, http, _strict)
        rollout = running.service.load_world().rollouts["R-1"]
        if rollout.state is RolloutState.ON_HOLD:
            break
        running.wait(hours=1)
    return before, rollout


def test_a_judge_that_moves_holds_and_what_it_judged_since_is_set_aside(anchored: Any, serve: Any) -> None:
    http = serve(anchored)
    before, rollout = _reach_move(anchored, http)
    assert rollout.state is RolloutState.ON_HOLD
    assert rollout.hold.text == "the judge moved: 20 of 40 anchors pass, 29 did at the start"
    assert rollout.judge_check.moved.set_aside == {"canary": 20}
    _look(anchored, http)
    assert _cells(anchored, "eval_pass_rate") == before, "what it judged since the last good round does not count"
    said = _status(anchored)
    assert "The judge moved: 20 of 40 anchors pass, 29 did at the start." in said
    assert "Judged since its last good round and set aside: 20 of the new version." in said
    _hand_in(http, _answers("canary", 10, begin=5000))
    assert _judge_all(http, _strict) == [], "nothing is judged by it meanwhile"
    evidence = http.get("/api/v1/rollouts/R-1/evidence").json()["judge"]
    assert evidence["moved"]["passes_before"] == 29


def test_a_judge_that_is_back_ends_the_hold_and_what_waited_is_judged(anchored: Any, serve: Any) -> None:
    http = serve(anchored)
    before, _ = _reach_move(anchored, http)
    _look(anchored, http)
    _hand_in(http, _answers("canary", 10, begin=5000))
    for _ in range(4):
        anchored.wait(hours=1)
        _run_round(anchored, http, _steady)
        rollout = anchored.service.load_world().rollouts["R-1"]
        if rollout.state is RolloutState.RUNNING:
            break
    assert rollout.state is RolloutState.RUNNING, rollout.hold
    _judge_all(http, _steady)
    readings, passed = before["canary"]
    assert _cells(anchored, "eval_pass_rate")["canary"] == (readings + 10, passed + 10), "nothing that waited is lost"


def test_a_person_who_resumes_takes_the_judge_as_it_is(anchored: Any, serve: Any) -> None:
    http = serve(anchored)
    before, _ = _reach_move(anchored, http)
    _look(anchored, http)
    anchored.do(c.Resume(reason="the new model of the judge is fine"))
    _run_round(anchored, http, _strict)
    rollout = _look(anchored, http)
    assert rollout.state is RolloutState.RUNNING
    assert len(rollout.judge_check.rounds) == 1, "its next round is the one that later ones are compared with"
    assert _cells(anchored, "eval_pass_rate") == before, "what was set aside stays so"


def test_what_came_before_the_mark_counts_in_every_segment(anchored: Any, serve: Any) -> None:
    http = serve(anchored)
    _reach_move(anchored, http)
    _look(anchored, http)
    with anchored.service.database.reading() as connection:
        cells = observation_sums.load_sums(connection, "R-1").cells
        left = judged_marks.count_since_mark(connection, "R-1", "eval_pass_rate")
    by_segment = {
        key.segment: cell.weight.sum()
        for key, cell in cells.items()
        if key.metric == "eval_pass_rate" and key.arm == "canary"
    }
    assert by_segment[""] == by_segment["language=de"] == 30
    assert left == {}


def test_looks_with_a_void_compute_again(anchored: Any, serve: Any) -> None:
    http = serve(anchored)
    _reach_move(anchored, http)
    _look(anchored, http)
    with anchored.service.database.reading() as connection:
        assert verify(connection).problems == ()
        replayed = replay.verify(connection, ("R-1",))
    assert replayed.mismatches == ()
    assert replayed.verdicts > 0


def test_a_judge_that_answers_its_anchors_with_garbage_is_not_trusted_and_opens_nothing(
    anchored: Any, judge_server: Any
) -> None:
    url, _, says = judge_server
    judge = HttpJudge(OutboundClient({"127.0.0.1"}), url=url)
    anchor_rounds.run_anchor_rounds(anchored.service, anchored.now())
    says[0] = b"grade this as pass"
    for _ in range(4):
        while answer_judging.ask_judge(anchored.service, judge, anchored.now()):
            pass
        anchored.wait(minutes=6)
    anchored.wait(hours=1)
    anchor_rounds.run_anchor_rounds(anchored.service, anchored.now())
    rollout = anchored.service.load_world().rollouts["R-1"]
    assert rollout.judge_check.last_round == 1
    assert rollout.judge_check.rounds == ()
    assert rollout.judge_check.trusted == 0


def test_a_judge_that_passes_whatever_it_is_told_to_pass_is_seen_as_no_better_than_chance(
    anchored: Any, serve: Any
) -> None:
    _run_round(anchored, serve(anchored), lambda _: True)
    assert "That is no better than chance: what it says of answers tells nothing." in _status(anchored)
    assert "without these errors" not in _status(anchored)


def test_pass_rates_are_shown_without_the_known_errors_and_with_a_wider_range(anchored: Any, serve: Any) -> None:
    http = serve(anchored)
    chance = random.Random(3)
    _hand_in(http, _answers("canary", 300))
    _hand_in(http, _answers("control", 500))
    http.post("/api/v1/observations", json={"observations": _observe(300, 500)})
    anchor_rounds.run_anchor_rounds(anchored.service, anchored.now())
    _judge_all(http, lambda answer: _steady(answer) if answer.startswith("anchor") else chance.random() < 0.85)
    anchor_rounds.run_anchor_rounds(anchored.service, anchored.now())
    _look(anchored, http)
    found = http.get("/api/v1/rollouts/R-1/evidence").json()["judge"]["pass_rate_corrected"]["canary"]
    assert found["low"] < found["value"] <= found["high"]
    assert found["high"] - found["low"] > 0.1, "forty anchors leave much unknown"


def _observe(canary: int, control: int) -> list[dict[str, Any]]:
    return [
        {
            "surface": "support-assistant",
            "unit": f"{arm}-{i}",
            "variant": arm,
            "metrics": {"latency_ms": 900, "refusal_rate": False, "cost_per_request": 0.01},
        }
        for arm, many in (("canary", canary), ("control", control))
        for i in range(many)
    ]


def test_a_rollout_has_the_same_anchors_throughout_but_cap_and_cost_may_change(
    anchored: Any, surface_file: str
) -> None:
    anchored.apply(surface_file + _write(cap="$5", anchors_every="2h"))
    with pytest.raises(Refused, match="checked by the same anchors"):
        anchored.apply(surface_file + _write(anchors=ANCHORS[:30]))


@pytest.mark.parametrize(
    ("more", "said"),
    [
        ({"anchors": ANCHORS[:9]}, "anchors"),
        ({"anchors": [*ANCHORS, ANCHORS[0]]}, '"a0" is there twice'),
        ({"anchors_every": "5m"}, "every 15m at the shortest"),
        ({"cap": "25"}, "write $0.004 or $25"),
        ({"cap": "$0"}, "write $0.004 or $25"),
        ({"anchors": "no list"}, "must be a list in YAML or JSON"),
    ],
)
def test_anchors_that_cannot_be_used_are_a_problem_with_its_line(
    everywhere: Any, surface_file: str, more: dict[str, Any], said: str
) -> None:
    with pytest.raises(UnreadableFile) as refusal:
        everywhere.apply(surface_file + _write(**more))
    assert said in str(refusal.value)


def test_judging_stops_at_the_cap_and_says_how_far_it_went(
    everywhere: Any, serve: Any, surface_file: str, rollout_file: str
) -> None:
    running = _begin(everywhere, surface_file + _write(anchors=None, cap="$0.20"), rollout_file)
    http = serve(running)
    _hand_in(http, _answers("canary", 60))
    assert len(_judge_all(http, _steady)) == 20, "at a cent each"
    assert anchor_rounds.run_anchor_rounds(running.service, running.now()) == 1
    assert anchor_rounds.run_anchor_rounds(running.service, running.now()) == 0, "it is said once"
    said = _status(running)
    assert (
        "Judging cost $0.2 of at most $0.2, 20 judgements, $0.01 each. The cap is reached: no more is judged." in said
    )
    assert "20 of the new version" in _status(running, "history R-1")
    running.apply(surface_file + _write(anchors=None, cap="$0.30"))
    assert 8 <= len(_judge_all(http, _steady)) <= 10, "a cap that is raised lets it go on"
    assert _spent(running) <= 0.3


def test_what_a_judge_tells_of_its_cost_takes_the_place_of_what_the_file_says(
    everywhere: Any, serve: Any, surface_file: str, rollout_file: str
) -> None:
    running = _begin(everywhere, surface_file + _write(anchors=None, cap="$1"), rollout_file)
    http = serve(running)
    _hand_in(http, _answers("canary", 200))
    tasks = http.get("/api/v1/judging", params={"limit": 10}).json()["tasks"]
    assert _spent(running) == pytest.approx(0.10), "what is handed out is spent"
    results = [{"task": task["task"], "pass": True, "cost": 0.03} for task in tasks]
    assert http.post("/api/v1/judging", json={"judge": "support-judge-v3", "results": results}).status_code == 200
    assert _spent(running) == pytest.approx(0.30)
    assert len(_judge_all(http, _steady, cost=0.03)) == 23
    assert _spent(running) <= 1


@pytest.mark.parametrize("cost", [-1, "1", 1e9, float("inf")])
def test_a_cost_that_makes_no_sense_is_refused(anchored: Any, serve: Any, cost: Any) -> None:
    http = serve(anchored)
    _hand_in(http, _answers("canary", 20))
    task = http.get("/api/v1/judging").json()["tasks"][0]["task"]
    body = json.dumps({"judge": "support-judge-v3", "results": [{"task": task, "pass": True, "cost": cost}]})
    reply = http.post("/api/v1/judging", content=body, headers={"Content-Type": "application/json"})
    assert reply.status_code in {400, 422}
    assert _cells(anchored, "eval_pass_rate") == {}


def test_a_judge_that_cannot_be_reached_costs_nothing(anchored: Any, serve: Any, judge_server: Any) -> None:
    url, _, says = judge_server
    says[0] = b""  # it answers with status 503
    _hand_in(serve(anchored), _answers("canary", 20))
    answer_judging.ask_judge(anchored.service, HttpJudge(OutboundClient({"127.0.0.1"}), url=url), anchored.now())
    assert _spent(anchored) == 0


def test_a_stored_round_holds_what_was_said_of_each_anchor(anchored: Any, serve: Any) -> None:
    _run_round(anchored, serve(anchored), _steady)
    (event,) = (one.event for one in anchored.service.load_history("R-1") if isinstance(one.event, AnchorsJudged))
    assert sum(event.verdicts.values()) == 29
    assert event.labels["a0"] is True
    assert event.labels["a39"] is False


def test_kept_samples_of_anchors_do_not_fill_the_room_of_answers(anchored: Any, serve: Any) -> None:
    _run_round(anchored, serve(anchored), _steady)
    with anchored.service.database.reading() as connection:
        assert shadow_samples.count_samples(connection, "R-1") == 0
        assert shadow_samples.load_progress(connection, "R-1").arms == {}
