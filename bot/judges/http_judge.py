"""A judge behind an address: it gets one question and one answer, and says whether the answer passes."""

import json
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from bot.outbound.client import OutboundClient
from bot.outbound.errors import PermanentFailure, RetryLater
from core.shadow_eval.rubric import JudgingCriterion, describe_criteria, read_scores
from core.shadow_eval.spending import MOST_TOLD

REST_SECONDS = 30.0
"""How long a judge is left alone that asks to be, and does not say how long."""
_ASKS_FOR_REST = frozenset({429, 503})


class InvalidVerdict(ValueError):
    """The judge answered, but not with a verdict."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


@dataclass(frozen=True, slots=True, kw_only=True)
class HttpVerdict:
    """What a judge says of one answer: whether it passes, its score from 0 to 1, and a score by criterion.

    `cost` is what asking it cost, in dollars. None means that the judge gave none, or cannot tell.
    """

    passed: bool
    score: float | None
    criteria: Mapping[str, float | None]
    cost: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class CallFailed:
    """The judge could not be asked, or did not answer. `may_be_the_answers`: it may be about what it was asked."""

    reason: str
    may_be_the_answers: bool = False


class HttpJudge:
    """Calls the judge at `url`, through a client that checks addresses; `token` goes only there.

    A judge that asks for a rest, as by a rate limit, is not called before it is over. `count_seconds` is a clock that
    nobody sets.
    """

    def __init__(
        self, client: OutboundClient, *, url: str, token: str = "", count_seconds: Callable[[], float] = time.monotonic
    ) -> None:
        self._client = client
        self._url = url
        self._token = token
        self._count_seconds = count_seconds
        self._rests_until = float("-inf")

    @property
    def rests(self) -> bool:
        """Whether it has asked to be left alone for now."""
        return self._count_seconds() < self._rests_until

    def judge(
        self,
        *,
        task: str,
        judge: str,
        surface: str,
        question: str,
        answer: str,
        criteria: Sequence[JudgingCriterion] = (),
    ) -> HttpVerdict:
        """What the judge says of one answer, and by each of `criteria`.

        `RetryLater` or `PermanentFailure` if it could not be asked, `InvalidVerdict` if it says anything else. Question
        and answer are data in fields of their own: what stands in them is for the judge to grade, not to follow.
        """
        if self.rests:
            raise RetryLater("the judge has asked to be left alone for now", counts_as_attempt=False)
        asked: dict[str, Any] = {
            "task": task,
            "judge": judge,
            "surface": surface,
            "question": question,
            "answer": answer,
        }
        if criteria:
            asked["criteria"] = describe_criteria(criteria)
        headers = {"Content-Type": "application/json", "Accept": "application/json", "User-Agent": "rampart"}
        if self._token:
            headers["Authorization"] = f"Bearer {self._token}"
        response = self._client.call("POST", self._url, headers, json.dumps(asked).encode())
        if response.status in {401, 403}:
            raise PermanentFailure(f"the judge refuses the token ({response.status}): set JUDGE_TOKEN")
        if response.status in _ASKS_FOR_REST:
            seconds = response.retry_after or REST_SECONDS
            self._rests_until = max(self._rests_until, self._count_seconds() + seconds)
            why = f"the judge answered with status {response.status}: it is left alone for {seconds:g} s"
            raise RetryLater(why, seconds=seconds, counts_as_attempt=False)
        if response.status != 200:
            raise RetryLater(f"the judge answered with status {response.status}", may_arrive=True)
        return _parse_verdict(response.body, criteria)


def _parse_verdict(body: bytes, criteria: Sequence[JudgingCriterion]) -> HttpVerdict:
    try:
        found: Any = json.loads(body)
    except (ValueError, RecursionError):
        raise InvalidVerdict("the judge did not answer with JSON") from None
    if not isinstance(found, dict) or not isinstance(found.get("pass"), bool):
        raise InvalidVerdict('the judge must answer {"pass": true or false, "score": 0 to 1}')
    score = found.get("score")
    if score is not None and (not _is_number(score) or not 0 <= score <= 1):
        raise InvalidVerdict("the score of the judge must lie between 0 and 1")
    cost = found.get("cost")
    if cost is not None and (not _is_number(cost) or not 0 <= cost <= MOST_TOLD):
        raise InvalidVerdict(f"the cost of a judgement must lie between $0 and ${MOST_TOLD:,.0f}")
    return HttpVerdict(
        passed=found["pass"],
        score=None if score is None else float(score),
        criteria=_parse_scores(found.get("criteria"), criteria),
        cost=None if cost is None else float(cost),
    )


def _parse_scores(said: Any, criteria: Sequence[JudgingCriterion]) -> Mapping[str, float | None]:
    if said is None:
        return {}
    if not isinstance(said, dict) or not all(score is None or _is_number(score) for score in said.values()):
        raise InvalidVerdict(
            'the judge must answer the criteria as {"criteria": {"tone": 4}}, or null where it cannot tell'
        )
    try:
        read_scores(criteria, said)
    except ValueError as wrong:
        raise InvalidVerdict(str(wrong)) from None
    return said


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)
