"""A judge that is a Python function: what it says counts, and what it cannot say is asked again, or of nobody."""

import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

import httpx
import pytest

from rampart_client.judge import load_judge
from rampart_client.judging import AnswerToJudge, JudgeLoop, Verdict
from tests.http.test_rubric import rubric
from tests.http.test_shadow_eval import BAD, _answers, _cells, _hand_in, judged

__all__ = ["judged", "rubric"]


def says(task: AnswerToJudge) -> Verdict:
    return Verdict(passed=task.answer != BAD, score=0.2 if task.answer == BAD else 0.9, cost=0.002)


def judge_all(loop: JudgeLoop) -> None:
    while loop.judge_waiting():
        pass


def test_what_a_function_says_counts_where_the_answer_was_given(judged: Any, serve: Any) -> None:
    http = serve(judged, tokens=[("ingest", "app"), ("judge", "eye")], token="app")
    new, now = _hand_in(http, _answers("canary", 30, BAD)), _hand_in(http, _answers("control", 300))
    loop = JudgeLoop(says, str(http.base_url), token="eye", surface="support-assistant")
    judge_all(loop)
    assert _cells(judged, "eval_pass_rate")["canary"] == (new["sampled"], 0)
    assert _cells(judged, "eval_pass_rate")["control"] == (now["sampled"], now["sampled"])
    assert loop.judged >= new["sampled"] + now["sampled"], "and some are judged twice"
    loop.close()


def test_an_answer_on_which_it_breaks_down_or_raves_is_asked_again_and_the_others_count(
    judged: Any, serve: Any
) -> None:
    http = serve(judged)
    sampled = _hand_in(http, _answers("canary", 30, BAD))["sampled"]
    left: list[Any] = ["pass", None, {"pass": True}, Verdict(passed="yes"), 1 / 3]  # type: ignore[arg-type]

    def rave(task: AnswerToJudge) -> Any:
        if left:
            return left.pop()
        if not tried:
            tried.append(task.task)
            raise RuntimeError("grade this as pass")
        return says(task)

    tried: list[str] = []
    loop = JudgeLoop(rave, str(http.base_url))
    judge_all(loop)
    assert loop.failed == 6
    assert _cells(judged, "eval_pass_rate")["canary"][1] == 0, "nothing of it is a pass"
    judged.wait(minutes=6)
    judge_all(loop)
    assert _cells(judged, "eval_pass_rate")["canary"] == (sampled, 0)
    loop.close()


def test_it_gets_the_rubric_and_scores_by_criterion(rubric: Any, serve: Any) -> None:
    http = serve(rubric)
    _hand_in(http, _answers("canary", 30))
    asked: list[str] = []

    def grade(task: AnswerToJudge) -> Verdict:
        asked.extend(each["name"] for each in task.criteria)
        return Verdict(passed=True, criteria={task.criteria[0]["name"]: 4})

    loop = JudgeLoop(grade, str(http.base_url))
    judge_all(loop)
    readings, total = _cells(rubric, f"judge_{asked[0]}")["canary"]
    assert total == 4 * readings > 0
    loop.close()


def test_a_rampart_that_is_away_is_asked_again_and_one_that_refuses_is_not() -> None:
    stop, answers = threading.Event(), [500, 0, 401]

    def answer(request: httpx.Request) -> httpx.Response:
        status = answers.pop(0)
        if not status:
            raise httpx.ConnectError("away", request=request)
        return httpx.Response(status)

    loop = JudgeLoop(says, "http://rampart", transport=httpx.MockTransport(answer))
    stop.wait = lambda timeout=None: False  # type: ignore[method-assign, assignment]
    with pytest.raises(httpx.HTTPStatusError, match="401"):
        loop.run(stop)
    assert answers == []


@pytest.mark.parametrize(
    ("name", "said"),
    [("judge", "write package.module:function"), ("nowhere.at:all", "is not there"), ("os:sep", "is not a function")],
)
def test_a_judge_that_is_not_there_is_named(name: str, said: str) -> None:
    with pytest.raises(ValueError, match=said):
        load_judge(name)


@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGTERM])
def test_the_command_judges_until_it_is_interrupted(
    judged: Any, serve: Any, tmp_path: Path, how: signal.Signals
) -> None:
    http = serve(judged)
    sampled = _hand_in(http, _answers("canary", 30))["sampled"]
    judge = "def judge(task):\n    return Verdict(passed='Sync' in task.answer)\n"
    (tmp_path / "ours.py").write_text(f"from rampart_client.judging import Verdict\n{judge}")
    python_path = os.pathsep.join(path for path in sys.path if path)
    command = [sys.executable, "-m", "rampart_client.judge", "ours:judge", "--url", str(http.base_url)]
    with subprocess.Popen(command, cwd=tmp_path, env={**os.environ, "PYTHONPATH": python_path}) as process:
        try:
            end = time.monotonic() + 60
            while _cells(judged, "eval_pass_rate").get("canary") != (sampled, sampled):
                assert process.poll() is None
                assert time.monotonic() < end
                time.sleep(0.05)
        finally:
            process.send_signal(how)
            try:
                assert process.wait(30) == 0
            finally:
                process.kill()


def test_a_second_signal_ends_a_judge_that_hangs(judged: Any, serve: Any, tmp_path: Path) -> None:
    http = serve(judged)
    _hand_in(http, _answers("canary", 30))
    hangs = "import pathlib, time\ndef judge(task):\n    pathlib.Path('began').touch()\n    time.sleep(600)\n"
    (tmp_path / "ours.py").write_text(hangs)
    command = [sys.executable, "-m", "rampart_client.judge", "ours:judge", "--url", str(http.base_url)]
    python_path = os.pathsep.join(path for path in sys.path if path)
    with subprocess.Popen(command, cwd=tmp_path, env={**os.environ, "PYTHONPATH": python_path}) as process:
        try:
            end = time.monotonic() + 60
            while not (tmp_path / "began").exists():
                assert process.poll() is None
                assert time.monotonic() < end
                time.sleep(0.05)
            while process.poll() is None and time.monotonic() < end:
                process.send_signal(signal.SIGTERM)
                time.sleep(0.05)
            assert process.wait(10) == -signal.SIGTERM
        finally:
            process.kill()
