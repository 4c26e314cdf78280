"""How text that people wrote, people, and times are written: in Slack's mrkdwn, in Markdown, or as plain text."""

import re
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime

from bot.rendering import wording

_MARKDOWN_SIGNS = re.compile(r"([\\`*_{}\[\]<>()#+!|~])")


@dataclass(frozen=True, slots=True, kw_only=True)
class Markup:
    """One way to write text: `escape` makes a person's text safe, `person` names an actor, `time` writes a moment in a
    zone."""

    escape: Callable[[str], str]
    person: Callable[[str], str]
    time: Callable[[datetime, str], str]


def name_actor(actor: str) -> str:
    """An actor in plain text: `@U0DANA0001`, `ana (command line)`, `Rampart`."""
    return re.sub(r"<@([UW][A-Z0-9]+)>", r"@\1", wording.format_actor(actor)).replace("&amp;", "&")


def escape_markdown(text: str) -> str:
    """Text as one line of Markdown in which no sign has a meaning."""
    return _MARKDOWN_SIGNS.sub(r"\\\1", wording.to_single_line(text))


SLACK = Markup(escape=wording.escape, person=wording.format_actor, time=wording.format_local_time)
PLAIN = Markup(escape=wording.to_single_line, person=name_actor, time=wording.format_plain_time)
MARKDOWN = Markup(
    escape=escape_markdown,
    person=lambda actor: escape_markdown(name_actor(actor)),
    time=wording.format_plain_time,
)
