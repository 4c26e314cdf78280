"""What a typed line comes to: a verb with its parts, or what was not understood; and a command as it would be typed."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TypeAlias

from bot.commands.verb import VerbArguments


@dataclass(frozen=True, slots=True, kw_only=True)
class ParsedCommand:
    """A known verb and its parts: `rollout` as typed (empty if left out), `text` without its quotes.

    For a verb with one free text, `rest_of_line` is everything after the verb; `rollout` and `text` are only its
    likeliest reading, as where the text begins depends on which rollouts exist. For every other verb, `again` is the
    line to type once it is clear which rollout is meant, which stands for `{id}`.
    """

    verb: str
    rollout: str = ""
    args: tuple[str, ...] = ()  # of a verb that only looks
    # Of one that changes something; neither text nor flags.
    arguments: VerbArguments = field(default_factory=VerbArguments)
    text: str = ""
    flags: Mapping[str, str] = field(default_factory=dict)
    rest_of_line: str = field(default="", compare=False)
    again: str = field(default="", compare=False)
    unknown: tuple[str, ...] = ()  # flags that the verb does not have, as typed


@dataclass(frozen=True, slots=True, kw_only=True)
class Misunderstood:
    """A line that was not understood. `hint` says what was wrong and what would be right.

    `suggestion` is a command that may have been meant; `about` is a line that may name its rollout.
    """

    hint: str
    suggestion: str = ""
    about: str = ""


ParseResult: TypeAlias = ParsedCommand | Misunderstood


def quote_text(text: str) -> str:
    """A text in quotes, as it would be typed."""
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'


def format_command(verb: str, *rest: str) -> str:
    """A command as it would be typed."""
    return " ".join([verb, *(f'"{r}"' if " " in r else r for r in rest if r)])
