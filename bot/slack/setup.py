"""Lists which Slack settings are missing or wrong, in the order in which one obtains them."""

from bot.settings import Settings

BOT_TOKEN_HINT = "the bot token (xoxb-…) is under OAuth & Permissions once the app is installed"  # noqa: S105
APP_TOKEN_HINT = "Basic Information, App-Level Tokens: one with connections:write"  # noqa: S105
_TOKEN_KINDS = {"xoxb-": "a bot token", "xapp-": "an app-level token", "xoxp-": "a user token"}


def list_missing(settings: Settings) -> tuple[str, ...]:
    """Each missing or wrong Slack setting and where to find its value; empty if no Slack is configured."""
    wanted = settings.slack_bot_token or settings.slack_app_token or settings.slack_signing_secret
    if not wanted:
        return ()
    problems = []
    if not settings.slack_bot_token:
        problems.append(f"SLACK_BOT_TOKEN is not set, so nothing is posted in Slack: {BOT_TOKEN_HINT}")
    elif kind := _find_wrong_kind(settings.slack_bot_token, "xoxb-"):
        problems.append(f"SLACK_BOT_TOKEN is {kind}: {BOT_TOKEN_HINT}")
    if kind := _find_wrong_kind(settings.slack_app_token, "xapp-"):
        problems.append(f"SLACK_APP_TOKEN is {kind}; it begins with xapp- ({APP_TOKEN_HINT})")
    if not settings.slack_app_token and not settings.slack_signing_secret:
        problems.append(
            "Slack cannot reach Rampart, so no command and no button works. Set SLACK_APP_TOKEN "
            f"({APP_TOKEN_HINT}) for "
            "Socket Mode; or SLACK_SIGNING_SECRET (Basic Information, App Credentials) and ROLLOUT_PUBLIC_URL"
        )
    return tuple(problems)


def _find_wrong_kind(token: str, wanted: str) -> str:
    """What kind of token this is, if plainly not the wanted one; empty otherwise."""
    return next((kind for start, kind in _TOKEN_KINDS.items() if start != wanted and token.startswith(start)), "")
