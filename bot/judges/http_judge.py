"""A judge behind an address: it gets one question and one answer, and says whether the answer passes."""

import json
from dataclasses import dataclass
from typing import Any

from bot.outbound.client import OutboundClient
from bot.outbound.errors import PermanentFailure, RetryLater


class InvalidVerdict(ValueError):
    """The judge answered, but not with a verdict."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


@dataclass(frozen=True, slots=True, kw_only=True)
class CallFailed:
    """The judge could not be asked."""

    reason: str


class HttpJudge:
    """Calls the judge at `url`, through a client that checks addresses; `token` goes only there."""

    def __init__(self, client: OutboundClient, *, url: str, token: str = "") -> None:
        self._client = client
        self._url = url
        self._token = token

    def judge(self, *, task: str, judge: str, surface: str, question: str, answer: str) -> tuple[bool, float | None]:
        """(whether the answer passes, its score from 0 to 1 or None).

        `RetryLater` or `PermanentFailure` if it could not be asked, `InvalidVerdict` if it says anything else. Question
        and answer are data in fields of their own: what stands in them is for the judge to grade, not to follow.
        """
        asked = {"task": task, "judge": judge, "surface": surface, "question": question, "answer": answer}
        headers = {"Content-Type": "application/json", "Accept": "application/json", "User-Agent": "rampart"}
        if self._token:
            headers["Authorization"] = f"Bearer {self._token}"
        response = self._client.call("POST", self._url, headers, json.dumps(asked).encode())
        if response.status in {401, 403}:
            raise PermanentFailure(f"the judge refuses the token ({response.status}): set JUDGE_TOKEN")
        if response.status != 200:
            raise RetryLater(f"the judge answered with status {response.status}")
        return _parse_verdict(response.body)


def _parse_verdict(body: bytes) -> tuple[bool, float | None]:
    try:
        found: Any = json.loads(body)
    except ValueError:
        raise InvalidVerdict("the judge did not answer with JSON") from None
    if not isinstance(found, dict) or not isinstance(found.get("pass"), bool):
        raise InvalidVerdict('the judge must answer {"pass": true or false, "score": 0 to 1}')
    score = found.get("score")
    if score is None:
        return found["pass"], None
    if isinstance(score, bool) or not isinstance(score, int | float) or not 0 <= score <= 1:
        raise InvalidVerdict("the score of the judge must lie between 0 and 1")
    return found["pass"], float(score)
