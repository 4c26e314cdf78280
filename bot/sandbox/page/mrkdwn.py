"""Converts Slack's mrkdwn to safe HTML: everything is escaped, and only known marks become tags."""

import re
from collections.abc import Callable
from datetime import tzinfo
from html import escape

from markupsafe import Markup

from bot.sandbox.workspace import plain_text
from bot.sandbox.workspace.workspace import SandboxWorkspace

_TOKENS = re.compile(r"```(?P<pre>.+?)```|`(?P<code>[^`\n]+)`|<(?P<token>[^<>\n]+)>", re.DOTALL)
_STYLES = (
    (re.compile(r"(?<![\w*])\*(?=\S)([^*\n]+?)(?<=\S)\*(?![\w*])"), r"<b>\1</b>"),
    (re.compile(r"(?<![\w_])_(?=\S)([^_\n]+?)(?<=\S)_(?![\w_])"), r"<i>\1</i>"),
    (re.compile(r"(?<![\w~])~(?=\S)([^~\n]+?)(?<=\S)~(?![\w~])"), r"<s>\1</s>"),
)
_QUOTE = re.compile(r"^&gt; ?(.*)$", re.MULTILINE)
_BEFORE_SIGN = re.compile(r"(?<=\d) (?=(?:%|pp|ms|s|min|h)(?!\w))")
_EMOJI = re.compile(r":([a-z0-9_+-]+):")
_EMOJI_CHARACTERS = {
    "white_check_mark": "✅",
    "heavy_check_mark": "✔️",
    "x": "❌",
    "warning": "⚠️",
    "rotating_light": "🚨",
    "rocket": "🚀",
    "hourglass": "⏳",
    "hourglass_flowing_sand": "⏳",
    "eyes": "👀",
    "tada": "🎉",
    "double_vertical_bar": "⏸️",
    "rewind": "⏪",
    "large_green_circle": "🟢",
    "large_yellow_circle": "🟡",
    "red_circle": "🔴",
    "chart_with_upwards_trend": "📈",
    "mega": "📣",
    "lock": "🔒",
}
_OPEN, _CLOSE = "\ue000", "\ue001"


def to_html(workspace: SandboxWorkspace, text: str, zone: tzinfo) -> Markup:
    """mrkdwn as HTML, with mentions resolved, dates in `zone` and no line that ends between a number and its sign."""
    kept: list[str] = []

    def keep(found: re.Match[str]) -> str:
        kept.append(_render_token(workspace, found, zone))
        return f"{_OPEN}{len(kept) - 1}{_CLOSE}"

    marked = _TOKENS.sub(keep, text.replace(_OPEN, "").replace(_CLOSE, ""))
    html = _BEFORE_SIGN.sub("\N{NO-BREAK SPACE}", _escape_text(marked))
    for pattern, replacement in _STYLES:
        html = pattern.sub(replacement, html)
    html = _QUOTE.sub(r"<blockquote>\1</blockquote>", html)
    html = _EMOJI.sub(lambda found: _EMOJI_CHARACTERS.get(found.group(1), found.group(0)), html)
    html = html.replace("</blockquote>\n", "</blockquote>").replace("\n", "<br>")
    html = re.sub(f"{_OPEN}(\\d+){_CLOSE}", lambda found: kept[int(found.group(1))], html)
    return Markup(html)  # noqa: S704  (every part was escaped above)


def plain_to_html(text: str) -> Markup:
    """Plain text as HTML, with line breaks and emoji."""
    html = _EMOJI.sub(lambda found: _EMOJI_CHARACTERS.get(found.group(1), found.group(0)), escape(text))
    return Markup(html.replace("\n", "<br>"))  # noqa: S704  (escaped)


def safe_address(address: str) -> str | None:
    """The address if it is safe to link to (http, https or mailto), else None."""
    return address if address.lower().startswith(("http://", "https://", "mailto:")) else None


def _escape_text(text: str) -> str:
    decoded = text
    for entity, character in (("&lt;", "<"), ("&gt;", ">"), ("&amp;", "&")):
        decoded = decoded.replace(entity, character)
    return escape(decoded)


def _render_token(workspace: SandboxWorkspace, found: re.Match[str], zone: tzinfo) -> str:
    if (pre := found.group("pre")) is not None:
        return f"<pre>{_escape_text(pre.strip(chr(10)))}</pre>"
    if (code := found.group("code")) is not None:
        return f"<code>{_escape_text(code)}</code>"
    token = found.group("token")
    readers: tuple[Callable[[], str | None], ...] = (
        lambda: _wrap_in_span("mention", plain_text.resolve_mention(workspace, token)),
        lambda: _wrap_in_span("date", plain_text.resolve_date(token, workspace.clock(), zone)),
        lambda: _render_link(token),
    )
    return next((html for read in readers if (html := read()) is not None), _escape_text(f"<{token}>"))


def _wrap_in_span(kind: str, text: str | None) -> str | None:
    return None if text is None else f'<span class="{kind}">{_escape_text(text)}</span>'


def _render_link(token: str) -> str | None:
    address, _, label = token.partition("|")
    address = address.replace("&amp;", "&")
    if safe_address(address) is None:
        return None
    return f'<a href="{escape(address)}" target="_blank" rel="noopener noreferrer">{_escape_text(label or address)}</a>'
