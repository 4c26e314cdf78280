"""The rubric of a judge: tasks carry its criteria, scores come back by criterion, and each is compared by itself."""

import json
from collections.abc import Callable
from datetime import timedelta
from itertools import count
from typing import Any

import pytest

from bot.jobs.judging import answer_judging
from bot.judges.http_judge import HttpJudge
from bot.outbound.client import OutboundClient
from bot.rendering.numbers import noticed_words
from core.files.syntax.problems import UnreadableFile
from core.rollout import commands as c
from core.rollout.refusal import Refused
from core.rollout.state.model import RolloutState
from core.service.rollout_look import evaluate_rollout
from tests.http.test_shadow_eval import _answers, _cells, _hand_in, _judge_all, judge_server, judged
from tests.trials.length import pick

__all__ = ["judge_server", "judged"]  # fixtures

RUBRIC = """judging:
  judge: support-judge-v3
  share: 100%
  criteria:
    - tone
    - directness
    - sycophancy
    - handover
    - {name: refund_rules, asks: "Does it follow the refund rules?"}
"""
NAMES = ["tone", "directness", "sycophancy", "handover", "refund_rules"]


@pytest.fixture
def rubric(everywhere: Any, surface_file: str, rollout_file: str) -> Any:
    """A canary, for hours, of a surface whose judge has a rubric."""
    everywhere.apply(surface_file + RUBRIC)
    everywhere.apply(rollout_file.replace("min_hold: 1m, max_hold: 30m", "min_hold: 4h, max_hold: 8h"))
    everywhere.do(c.Start())
    everywhere.wait(minutes=2)
    everywhere.do(c.Advance(reason="the cohort is happy"))
    everywhere.wait(hours=2)  # by then reports without an exposure are those of this stage
    return everywhere


@pytest.mark.shows("E5")
def test_tasks_carry_the_criteria_of_the_rubric_and_scores_count_by_criterion(rubric: Any, serve: Any) -> None:
    http = serve(rubric)
    sampled = _hand_in(http, _answers("canary", 10))["sampled"]
    task = http.get("/api/v1/judging").json()["tasks"][0]
    assert [one["name"] for one in task["criteria"]] == NAMES
    assert task["criteria"][0]["asks"].startswith("Is the tone friendly")
    assert task["criteria"][-1] == {
        "name": "refund_rules",
        "asks": "Does it follow the refund rules?",
        "lowest": 1,
        "highest": 5,
    }
    rubric.wait(minutes=6)
    _judge_all(http, lambda _: {"pass": True, "criteria": {"tone": 4, "refund_rules": 2.5, "handover": None}})
    assert _cells(rubric, "judge_tone")["canary"] == (sampled, 4 * sampled)
    assert _cells(rubric, "judge_refund_rules")["canary"] == (sampled, 2.5 * sampled)
    assert _cells(rubric, "judge_handover") == {}, "that a judge cannot tell is no score"
    assert _cells(rubric, "judge_directness") == {}


def test_a_criterion_that_the_rubric_does_not_have_is_rejected_by_name_and_the_task_waits(
    rubric: Any, serve: Any
) -> None:
    http = serve(rubric)
    sampled = _hand_in(http, _answers("canary", 10))["sampled"]
    tasks = http.get("/api/v1/judging").json()["tasks"]
    results = [{"task": task["task"], "pass": True, "criteria": {"tone": 4, "humour": 5}} for task in tasks]
    (first, *_) = http.post("/api/v1/judging", json={"judge": "support-judge-v3", "results": results}).json()[
        "rejected"
    ]
    assert first["code"] == "unknown_criterion"
    assert '"humour" is no criterion of this rubric; it asks for tone, directness, sycophancy' in first["message"]
    assert _cells(rubric, "eval_pass_rate") == {}, "nothing of it is counted"
    rubric.wait(minutes=6)
    assert _judge_all(http, lambda _: {"pass": True, "criteria": {"tone": 4}}) == sampled


@pytest.mark.parametrize("score", [0, 6, "4", True, -1])
def test_a_score_off_the_scale_is_refused(rubric: Any, serve: Any, score: Any) -> None:
    http = serve(rubric)
    _hand_in(http, _answers("canary", 10))
    task = http.get("/api/v1/judging").json()["tasks"][0]["task"]
    result = {"task": task, "pass": True, "criteria": {"tone": score}}
    reply = http.post("/api/v1/judging", json={"judge": "support-judge-v3", "results": [result]})
    assert reply.status_code == 422
    assert "tone" in reply.text
    assert _cells(rubric, "judge_tone") == {}


def test_without_a_rubric_a_task_is_as_before_and_scores_are_rejected(judged: Any, serve: Any) -> None:
    http = serve(judged)
    _hand_in(http, _answers("canary", 20))
    task = http.get("/api/v1/judging").json()["tasks"][0]
    assert "criteria" not in task
    result = {"task": task["task"], "pass": True, "criteria": {"tone": 4}}
    reply = http.post("/api/v1/judging", json={"judge": "support-judge-v3", "results": [result]}).json()
    assert reply["rejected"][0]["code"] == "unknown_criterion"


def test_a_judge_behind_an_address_scores_by_criterion_too(rubric: Any, serve: Any, judge_server: Any) -> None:
    url, asked, says = judge_server
    judge = HttpJudge(OutboundClient({"127.0.0.1"}), url=url)
    sampled = _hand_in(serve(rubric), _answers("canary", 10))["sampled"]
    for wrong in ({"humour": 3}, {"tone": 9}, {"tone": "good"}, "good"):
        says[0] = json.dumps({"pass": True, "criteria": wrong}).encode()
        assert answer_judging.ask_judge(rubric.service, judge, rubric.now()) == 0
        rubric.wait(minutes=6)
        with rubric.service.database.writing_outside_log() as connection:  # so that none fails for good meanwhile
            connection.exec_driver_sql("UPDATE shadow_sample SET attempt = 0, state = 'waiting'")
    says[0] = b'{"pass": true, "criteria": {"tone": 3, "sycophancy": null}}'
    while answer_judging.ask_judge(rubric.service, judge, rubric.now()):
        pass
    assert _cells(rubric, "judge_tone")["canary"] == (sampled, 3 * sampled)
    assert [one["name"] for one in asked[-1]["criteria"]] == NAMES


def test_a_rollout_has_one_rubric_throughout(rubric: Any, surface_file: str) -> None:
    with pytest.raises(Refused, match="by one judge and one rubric"):
        rubric.apply(surface_file + RUBRIC.replace("    - tone\n", ""))


@pytest.mark.parametrize(
    ("written", "said"),
    [
        ("[tone, tone]", '"tone" is there twice'),
        ("[humour]", '"humour" is not built in (tone, directness, sycophancy, handover): say what the judge is asked'),
        ("[{name: Tone!, asks: x}]", "String should match pattern"),
    ],
)
def test_a_rubric_that_cannot_be_asked_is_a_problem_with_its_line(
    everywhere: Any, surface_file: str, written: str, said: str
) -> None:
    with pytest.raises(UnreadableFile) as refusal:
        everywhere.apply(f"{surface_file}judging: {{judge: j, criteria: {written}}}\n")
    assert said in str(refusal.value)


def _let_judges_score(running: Any, http: Any, scores: Callable[[str, int], dict[str, float]]) -> Any:
    """Look again and again while answers of both versions are scored; the rollout once it is decided."""
    number = count()
    for _ in range(pick(5, 12)):
        begin = int(running.now().timestamp())
        observed = [
            {
                "surface": "support-assistant",
                "unit": f"{arm}-{begin}-{i}",
                "variant": arm,
                "metrics": {"latency_ms": 900, "refusal_rate": False, "cost_per_request": 0.01},
            }
            for arm, many in (("canary", 40), ("control", 760))
            for i in range(many)
        ]
        http.post("/api/v1/observations", json={"observations": observed})
        for arm, batches in (("canary", 1), ("control", 6)):
            for batch in range(batches):
                _hand_in(http, _answers(arm, 300, f"{arm} says", begin=begin * 10_000 + 300 * batch))
        _judge_all(http, lambda task: {"pass": True, "criteria": scores(task["answer"].split()[0], next(number))})
        running.wait(seconds=20)
        evaluate_rollout(running.service, "R-1", running.now(), every=timedelta(seconds=20))
        rollout = running.service.load_world().rollouts["R-1"]
        if rollout.state is not RolloutState.RUNNING:
            break
    return rollout


@pytest.mark.shows("E5")
def test_a_tone_that_drops_holds_the_rollout_and_is_named_with_both_scores(rubric: Any, serve: Any) -> None:
    """Every answer passes, and people do nothing else: only the tone differs, by half a point."""

    def score(arm: str, number: int) -> dict[str, float]:
        usual = 4 + (number % 10 == 0)
        return {"tone": usual if arm == "control" else usual - (number % 2), "directness": usual}

    rollout = _let_judges_score(rubric, serve(rubric), score)
    assert rollout.state is RolloutState.ON_HOLD, "a criterion holds and never rolls back by itself"
    assert "a drop of 0.2 of 5" in rollout.hold.text
    tone = next(m for m in rollout.measures if m.metric == "judge_tone")
    assert tone.control == pytest.approx(4.1, abs=0.05)
    assert tone.canary == pytest.approx(3.6, abs=0.05)
    lines = noticed_words.list_lines(rollout, rollout.measures)
    assert any("tone 4.1 to 3.6, beyond chance; directness 4.1 to 4.1." in line for line in lines), lines


def test_a_rubric_whose_scores_do_not_differ_holds_nothing(rubric: Any, serve: Any) -> None:
    rollout = _let_judges_score(rubric, serve(rubric), lambda _, number: {"tone": 3 + number % 3, "handover": 5})
    assert rollout.hold is None
