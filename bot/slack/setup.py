"""Lists which Slack settings are missing or wrong, in the order in which one obtains them."""

from bot.settings import Settings

BOT_TOKEN = "the bot token (xoxb-…) stands under OAuth & Permissions, once the app is installed"  # noqa: S105
APP_TOKEN = "Basic Information, App-Level Tokens: one with connections:write"  # noqa: S105
_KINDS = {"xoxb-": "a bot token", "xapp-": "an app-level token", "xoxp-": "a user token"}


def missing(settings: Settings) -> tuple[str, ...]:
    """Each missing or wrong Slack setting and where to find its value; empty if no Slack is configured."""
    wanted = settings.slack_bot_token or settings.slack_app_token or settings.slack_signing_secret
    if not wanted:
        return ()
    said = []
    if not settings.slack_bot_token:
        said.append(f"SLACK_BOT_TOKEN is not set, so nothing is said in Slack: {BOT_TOKEN}")
    elif kind := _other_kind(settings.slack_bot_token, "xoxb-"):
        said.append(f"SLACK_BOT_TOKEN is {kind}: {BOT_TOKEN}")
    if kind := _other_kind(settings.slack_app_token, "xapp-"):
        said.append(f"SLACK_APP_TOKEN is {kind}; it begins with xapp- ({APP_TOKEN})")
    if not settings.slack_app_token and not settings.slack_signing_secret:
        said.append(
            f"Slack cannot reach Rampart, so no command and no button works. Set SLACK_APP_TOKEN ({APP_TOKEN}) for "
            "Socket Mode; or SLACK_SIGNING_SECRET (Basic Information, App Credentials) and ROLLOUT_PUBLIC_URL"
        )
    return tuple(said)


def _other_kind(token: str, wanted: str) -> str:
    """What kind of token this is, if plainly not the wanted one; empty otherwise."""
    return next((kind for start, kind in _KINDS.items() if start != wanted and token.startswith(start)), "")
