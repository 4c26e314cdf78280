"""Clients of other systems, as the settings name them: Slack, flag systems, what reverts code."""

from collections.abc import Collection, Mapping

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
from core.files.command_from_file import FileLookups
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


def build_directory(settings: Settings) -> SlackDirectory | None:
    """Who is who in Slack; None without a bot token."""
    slack = build_web_client(settings)
    return SlackDirectory(slack, utc_now) if slack is not None else None


def build_file_lookups(settings: Settings, directory: SlackDirectory | None) -> FileLookups:
    """What is looked up for files, as far as there is a Slack."""
    explain_refusal = build_outbound_client(settings).explain_refusal
    if directory is None:
        return FileLookups(explain_undrivable=explain_refusal)
    return FileLookups(
        resolve_handle=directory.resolve_handle,
        explain_undrivable=explain_refusal,
        explain_channel=directory.explain_channel,
    )


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
