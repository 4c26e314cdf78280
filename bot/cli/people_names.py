"""The names of people in answers of the command line: from the log, and from Slack where a token is set."""

from collections.abc import Collection, Mapping
from typing import TYPE_CHECKING

from bot.cli import session

if TYPE_CHECKING:
    from bot.rendering.markup import FindHandles
    from core.service.service import RolloutService


def build_handle_finder(service: "RolloutService", *, is_urgent: bool = False) -> "FindHandles":
    """What finds the handles of Slack user ids. An urgent command asks nobody: its answer waits for nothing."""
    owners = {rollout.plan.owner: rollout.plan.owner_handle for rollout in service.load_world().rollouts.values()}

    def find_handles(users: Collection[str]) -> Mapping[str, str]:
        known = {user: owners[user] for user in users if owners.get(user)}
        asked = {} if is_urgent else _ask_slack(frozenset(users) - known.keys())
        return {**known, **asked}

    return find_handles


def _ask_slack(users: Collection[str]) -> Mapping[str, str]:
    from bot.process.machine_clock import utc_now
    from bot.slack.directory import SlackDirectory
    from bot.startup import connections

    slack = connections.build_web_client(session.load_settings())
    return SlackDirectory(slack, utc_now).find_handles(users) if slack is not None else {}
