"""Opens the pull request that reverts a merged one, through GitHub's API; one that is there already is found."""

import json
from typing import Any
from urllib.parse import quote

from bot.actuators.code_reverts.code_revert import RevertOrder
from bot.outbound.client import OutboundClient
from bot.outbound.errors import PermanentFailure, RetryLater
from bot.outbound.response import OutboundResponse
from core.rollout.plans.plan import CodeRevert

_WAIT = "GitHub asks to wait (rate limit)"
_INTERNAL_ERROR = "Something went wrong while executing your query"
_MUTATION = """\
mutation($input: RevertPullRequestInput!) {
  revertPullRequest(input: $input) { revertPullRequest { number url } }
}"""


class GithubRevert:
    """One merged pull request. The token goes only to `url`, for which it was configured, whatever a file names."""

    def __init__(self, client: OutboundClient, revert: CodeRevert, *, url: str, token: str) -> None:
        if not token:
            raise PermanentFailure(
                "GITHUB_TOKEN is not set, so no pull request can be opened: set it and restart the workers"
            )
        if revert.url != url:
            raise PermanentFailure(
                f"the plan names {revert.url}, but the token is for {url} (GITHUB_API_URL): correct "
                "`reverts.github.url` in a new rollout"
            )
        self._client, self._revert, self._token, self._url = client, revert, token, url

    def request_revert(self, order: RevertOrder) -> str:
        """Read the pull request, look for a revert of it, and open one if there is none; returns its address."""
        try:
            return self._find_or_open_revert(order)
        except (AttributeError, IndexError, KeyError, TypeError):  # of what was read, which has another shape
            raise RetryLater(f"{self._url} answers, but not like GitHub") from None

    def _find_or_open_revert(self, order: RevertOrder) -> str:
        repository, number = self._revert.repository, self._revert.pull_request
        merged = self._get(f"/repos/{repository}/pulls/{number}")
        if merged["merged_at"] is None:
            raise PermanentFailure(f"{self._revert.title} is not merged, so there is nothing to revert")
        owner = repository.partition("/")[0]
        head = f"{owner}:revert-{number}-{merged['head']['ref']}"  # how GitHub names the branch of a revert
        for one in self._get(f"/repos/{repository}/pulls?state=all&head={quote(head, safe='')}"):
            if one["state"] == "open" or one.get("merged_at"):  # one that was closed unmerged reverts nothing
                return str(one["html_url"])
        return self._open_revert(merged["node_id"], order)

    def _open_revert(self, node: str, order: RevertOrder) -> str:
        text = f"Rampart rolled back {order.rollout} of {order.surface}: the flag is off already. {order.reason}"
        asked = {"pullRequestId": node, "title": f"Revert {self._revert.title}", "body": text}
        body = json.dumps({"query": _MUTATION, "variables": {"input": asked}}).encode()
        # an Enterprise Server has its REST API below /api/v3
        response = self._call("POST", f"{self._url.removesuffix('/v3')}/graphql", body)
        answer = self._parse(response)
        if errors := answer.get("errors"):
            message = str(errors[0].get("message"))
            if errors[0].get("type") == "RATE_LIMITED":
                raise RetryLater(_WAIT, seconds=response.retry_after, counts_as_attempt=False)
            if message.startswith(_INTERNAL_ERROR):
                raise RetryLater("GitHub answers with an internal error", seconds=response.retry_after)
            raise PermanentFailure(f"GitHub cannot revert {self._revert.title}: {message[:200]}")
        return str(answer["data"]["revertPullRequest"]["revertPullRequest"]["url"])

    def _get(self, path: str) -> Any:
        return self._parse(self._call("GET", f"{self._url}{path}"))

    def _call(self, method: str, url: str, body: bytes | None = None) -> OutboundResponse:
        headers = {
            "Accept": "application/vnd.github+json",
            "Authorization": f"Bearer {self._token}",
            "Content-Type": "application/json",
            "User-Agent": "rampart",
            "X-GitHub-Api-Version": "2022-11-28",
        }
        answer = self._client.call(method, url, headers, body)
        if _is_rate_limit(answer):
            raise RetryLater(_WAIT, seconds=answer.retry_after, counts_as_attempt=False)
        if answer.is_temporary_failure:
            raise RetryLater(f"GitHub answers {answer.status}", seconds=answer.retry_after)
        if answer.status >= 300:
            raise PermanentFailure(_explain(answer.status, self._revert))
        return answer

    def _parse(self, answer: OutboundResponse) -> Any:
        try:
            return json.loads(answer.body)
        except ValueError:
            raise RetryLater(f"{self._url} answers, but not like GitHub") from None


def _is_rate_limit(answer: OutboundResponse) -> bool:
    """Whether GitHub asks to wait: by its primary limit, or by a secondary one, which leaves requests remaining."""
    if answer.status == 429:
        return True
    headers = answer.headers
    return answer.status == 403 and (
        headers.get("x-ratelimit-remaining") == "0"
        or "retry-after" in headers
        or b"secondary rate limit" in answer.body.lower()
    )


def _explain(status: int, revert: CodeRevert) -> str:
    match status:
        case 401:
            return "GitHub rejects the token (401): set GITHUB_TOKEN to a valid one, and restart the workers"
        case 403:
            return f"GitHub forbids it (403): the token needs to read and write pull requests of {revert.repository}"
        case 404:
            return f"GitHub knows no {revert.title} (404), or the token may not see it"
        case _:
            return f"GitHub rejects the request ({status})"
