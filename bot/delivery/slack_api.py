"""Calls Slack's Web API once, and classifies errors as temporary or permanent."""

from collections.abc import Mapping
from http.client import HTTPException
from typing import Any

from slack_sdk import WebClient
from slack_sdk.errors import SlackApiError, SlackClientError

from bot.outbound.errors import PermanentFailure, RetryLater
from core.store.coordination import outbox

TIMEOUT = 7  # seconds, to connect and again for the answer: together they fit into the lease of a message
_DEFAULT_RETRY_AFTER = 30.0  # seconds, if a rate limit does not say how long

_RATE_LIMIT_ERRORS = frozenset({"ratelimited", "rate_limited"})
_TEMPORARY_ERRORS = frozenset(
    {"internal_error", "fatal_error", "service_unavailable", "request_timeout"}
    # The workspace is over its message limit or moving into an organisation: passes by itself.
    | {"message_limit_exceeded", "team_added_to_org", "org_login_required", "external_channel_migrating"}
    # Without a valid token nothing can be sent; once a person has fixed that, everything goes out.
    | {"not_authed", "invalid_auth", "account_inactive", "token_revoked", "token_expired", "missing_scope"}
)


class SlackApi:
    """The Slack of `client`, without automatic retries and with a short timeout."""

    def __init__(self, client: WebClient) -> None:
        # No automatic retries: a broken connection may have delivered the message, so look for it before repeating.
        self._client = WebClient(
            token=client.token,
            base_url=client.base_url,
            timeout=min(client.timeout, TIMEOUT),
            ssl=client.ssl,
            proxy=client.proxy,
            retry_handlers=[],
        )

    def call(self, method: str, arguments: dict[str, Any]) -> Mapping[str, Any]:
        """Slack's response; raises `RetryLater` or `PermanentFailure` on an error."""
        reads = method.startswith("conversations.")  # methods that read take no JSON
        try:
            answered = self._client.api_call(
                method, http_verb="GET" if reads else "POST", **{"params" if reads else "json": arguments}
            )
        except SlackApiError as error:
            raise _build_failure(error, reads) from error
        except (SlackClientError, HTTPException, OSError) as error:
            raise RetryLater(f"{type(error).__name__}: {error}") from error
        assert isinstance(answered.data, dict)
        return answered.data


def _build_failure(error: SlackApiError, is_read: bool) -> RetryLater | PermanentFailure:
    """Whether an error response of Slack is temporary or permanent."""
    answer = error.response
    why = str(answer.get("error", "")) if isinstance(answer.data, dict) else ""
    if answer.status_code == 429 or why in _RATE_LIMIT_ERRORS:
        wait = str(answer.headers.get("Retry-After") or answer.headers.get("retry-after") or "")
        return RetryLater(
            outbox.RATE_LIMITED,
            seconds=float(wait) if wait.isdecimal() else _DEFAULT_RETRY_AFTER,
            counts_as_attempt=False,
        )
    if why == "missing_scope" and is_read:
        return PermanentFailure(why)  # only searching is forbidden, posting is not
    if answer.status_code >= 500 or why in _TEMPORARY_ERRORS or not why:
        return RetryLater(why or f"HTTP {answer.status_code}")
    return PermanentFailure(why)
