"""How text that people wrote, people, and times are written: in Slack's mrkdwn, in Markdown, or as plain text."""

import re
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from datetime import datetime

from bot.rendering import wording

FindHandles = Callable[[Collection[str]], Mapping[str, str]]
"""Slack user ids -> `@handle` of each that is known."""
_NAMED_PERSON = re.compile(r"@([UW][A-Z0-9]{5,})\b")
_BEFORE_SIGN = re.compile(r"(?<=\d) (?=(?:%|pp|ms|s|min|h)(?!\w))")
_IN_RANGE = re.compile(r"(?<=\d) … (?=[-+]?\d)")
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


def name_people(text: str, find_handles: FindHandles, escape: Callable[[str], str] = str) -> str:
    """Plain text with `@dana` for `@U0DANA0001`; whoever has no known handle keeps their id.

    `escape` makes a handle safe where the text is of another kind, as HTML.
    """
    users = frozenset(_NAMED_PERSON.findall(text))
    handles = find_handles(users) if users else {}
    return _NAMED_PERSON.sub(lambda found: escape(handles[found[1]]) if found[1] in handles else found[0], text)


def join_numbers(page: str) -> str:
    """A page on which no line ends between a number and its sign, or in a range: `5 %`, `1.20 s`, `-0.4 … +2.1`."""
    return _BEFORE_SIGN.sub("\N{NO-BREAK SPACE}", _IN_RANGE.sub("\N{NO-BREAK SPACE}…\N{NO-BREAK SPACE}", page))


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
