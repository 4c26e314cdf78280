"""Clients of other systems, as the settings name them: Slack, flag systems, what reverts code."""

from collections.abc import Callable, Collection, Mapping

from slack_sdk import WebClient

from bot.actuators.adapters import open_system
from bot.actuators.code_reverts.code_revert import RevertSystem
from bot.actuators.code_reverts.deploy_webhook import DeployWebhook
from bot.actuators.code_reverts.github_revert import GithubRevert
from bot.actuators.flag_system import FlagSystem
from bot.outbound.client import OutboundClient
from bot.process.machine_clock import utc_now
from bot.settings import Settings
from bot.slack.directory import SlackDirectory
from core.rollout.plans.plan import CodeRevert, DrivenFlag

SLACK_TIMEOUT = 10  # seconds per call


def build_web_client(settings: Settings) -> WebClient | None:
    """A client for Slack's Web API, or for the server that `SLACK_API_URL` names; None without a bot token."""
    if not settings.has_slack:
        return None
    if not settings.slack_api_url:
        return WebClient(token=settings.slack_bot_token, timeout=SLACK_TIMEOUT)
    base_url = settings.slack_api_url.rstrip("/") + "/"
    return WebClient(token=settings.slack_bot_token, base_url=base_url, timeout=SLACK_TIMEOUT)


def build_handle_resolver(settings: Settings) -> Callable[[str], str]:
    """A function from an @handle to its Slack user id; it returns the handle itself without a Slack."""
    slack = build_web_client(settings)
    return SlackDirectory(slack, utc_now).resolve_handle if slack is not None else return_handle


def build_channel_check(settings: Settings) -> Callable[[str], str]:
    """A function that says why nothing could be posted in a channel; it says nothing without a Slack."""
    slack = build_web_client(settings)
    return SlackDirectory(slack, utc_now).explain_channel if slack is not None else find_no_fault


def open_flag_system(settings: Settings, outbound: OutboundClient, driven: DrivenFlag) -> FlagSystem:
    """The flag system that a plan drives; raises `PermanentFailure` if this installation may not talk to it."""
    return open_system(outbound, driven, settings.access_to(driven.system))


def open_revert_system(settings: Settings, outbound: OutboundClient, revert: CodeRevert) -> RevertSystem:
    """What reverts code as a plan names it; raises `PermanentFailure` if this installation may not talk to it."""
    if revert.system == "github":
        return GithubRevert(outbound, revert, url=settings.github_url, token=settings.github_token)
    return DeployWebhook(outbound, revert, url=settings.webhook_url, secret=settings.webhook_secret, now=utc_now)


def build_outbound_client(settings: Settings) -> OutboundClient:
    """The HTTP client for flag systems, which calls public addresses and the configured private hosts only."""
    return OutboundClient(settings.private_hosts)


def find_no_handles(users: Collection[str]) -> Mapping[str, str]:
    """What is known of people without a Slack: nothing."""
    return {}


def find_no_fault(channel: str) -> str:
    """What is known of a channel without a Slack: nothing."""
    return ""


def return_handle(handle: str) -> str:
    """The handle itself, in place of a Slack user id."""
    return handle
