"""Has a function of yours judge answers: fetches them from Rampart, asks the function, and sends what it says."""

import logging
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeAlias

import httpx

JUDGING_PATH = "/api/v1/judging"
TIMEOUT = 30.0  # seconds
PAUSE = 2.0  # seconds without work, or without an answer of Rampart, until it is asked again
AT_ONCE = 5  # answers that are fetched at a time: their lease is five minutes

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class AnswerToJudge:
    """An answer, and what it answers. Which version gave it is not said.

    `criteria` is the rubric, if there is one: objects with `name`, `asks`, `lowest` and `highest`. What stands in
    `question` and `answer` is for a judge to grade, and never to follow.
    """

    task: str
    judge: str
    surface: str
    question: str
    answer: str
    criteria: Sequence[Mapping[str, Any]] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """What a judge says: whether the answer passes, a `score` from 0 to 1, a score by criterion, the `cost` in dollars.

    None says nothing: of the score, of a criterion that the judge cannot tell, of the cost.
    """

    passed: bool
    score: float | None = None
    criteria: Mapping[str, float | None] = field(default_factory=dict)
    cost: float | None = None


Judge: TypeAlias = Callable[[AnswerToJudge], Verdict]


class JudgeLoop:
    """Judges what waits at one server; `judged` and `failed` count answers so far."""

    def __init__(
        self,
        judge: Judge,
        url: str,
        *,
        token: str = "",
        surface: str = "",
        transport: httpx.BaseTransport | None = None,
    ) -> None:
        headers = {"Authorization": f"Bearer {token}"} if token else {}
        self._http = httpx.Client(base_url=url, headers=headers, timeout=TIMEOUT, transport=transport)
        self._judge = judge
        self._query = {"limit": str(AT_ONCE)} | ({"surface": surface} if surface else {})
        self.judged = 0
        self.failed = 0

    def run(self, stop: threading.Event) -> None:
        """Judge until `stop` is set. Raises httpx.HTTPStatusError if Rampart refuses the token."""
        while not stop.is_set():
            try:
                found = self.judge_waiting(stop)
            except httpx.HTTPStatusError as error:
                if error.response.status_code in {401, 403, 404}:
                    raise
                log.warning("Rampart answered with status %s; it is asked again", error.response.status_code)
                found = 0
            except httpx.HTTPError as error:
                log.warning("Rampart cannot be reached (%s); it is asked again", error)
                found = 0
            if not found:
                stop.wait(PAUSE)

    def judge_waiting(self, stop: threading.Event | None = None) -> int:
        """Judge the next few answers that wait; how many there were. Raises httpx.HTTPError."""
        reply = self._http.get(JUDGING_PATH, params=self._query)
        reply.raise_for_status()
        tasks = [AnswerToJudge(**task) for task in reply.json()["tasks"]]
        for task in tasks:
            if stop is not None and stop.is_set():
                break
            self._judge_one(task)
        return len(tasks)

    def close(self) -> None:
        """Close the connections."""
        self._http.close()

    def _judge_one(self, task: AnswerToJudge) -> None:
        """Send what the judge says of one answer. An answer that it breaks down on is handed out again later."""
        try:
            result = _describe_result(task, self._judge(task))
        except Exception:
            self.failed += 1
            log.exception("the judge broke down on task %s", task.task)
            return
        reply = self._http.post(JUDGING_PATH, json={"judge": task.judge, "results": [result]})
        if reply.is_server_error or reply.status_code in {401, 403, 429}:
            reply.raise_for_status()
        if reply.is_success and reply.json()["accepted"]:
            self.judged += 1
            return
        self.failed += 1
        log.warning("Rampart did not take the verdict on task %s: %s", task.task, reply.text[:300])


def _describe_result(task: AnswerToJudge, verdict: Verdict) -> dict[str, Any]:
    """The verdict as it is sent. Raises TypeError for anything else: a text that says "pass" is none."""
    if not isinstance(verdict, Verdict) or not isinstance(verdict.passed, bool):
        raise TypeError(f"a judge returns a Verdict whose passed is True or False, not {verdict!r:.80}")
    return {
        "task": task.task,
        "pass": verdict.passed,
        **({"score": verdict.score} if verdict.score is not None else {}),
        **({"criteria": dict(verdict.criteria)} if verdict.criteria else {}),
        **({"cost": verdict.cost} if verdict.cost is not None else {}),
    }
