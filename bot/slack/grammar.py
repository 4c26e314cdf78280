"""What somebody typed after `/rollout`, as a value: a verb with its parts, or what was not understood."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from difflib import get_close_matches
from typing import TypeAlias

from bot.rendering.help_pages import VERBS
from core.metrics.catalogue import CATALOGUE
from core.rollout.model import State

ALIASES = {"hold": "pause", "roll-back": "rollback", "feelsoff": "feels-off", "": "help"}
_LOOKALIKES = str.maketrans(
    {"“": '"', "”": '"', "„": '"', "«": '"', "»": '"', "‘": "'", "’": "'", "–": "-", "‑": "-", "−": "-"}
    | {"—": "--", "\u00a0": " ", "\u202f": " ", "\u2007": " "}
    | dict.fromkeys("\u200b\u200c\u200d\u2060\ufeff\u200e\u200f\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069")
)
_TOKEN = re.compile(r'(--[A-Za-z-]*=)?"((?:[^"\\]|\\.)*)"|(\S+)')
_PERCENT = re.compile(r"(\d+(?:\.\d+)?)%?")

# Flags by verb; True: a value follows.
_FLAGS: dict[str, dict[str, bool]] = {
    "list": {"mine": False, "all": False, "surface": True, "state": True},
    "start": {"at": True},
    "advance": {"skip-wait": True},
    "metrics": {"segment": True},
}
_EVERYWHERE = {"public": False}
_WITH_TEXT = frozenset({"approve", "reject", "advance", "pause", "resume", "rollback", "abandon", "feels-off"})
_NOTICE_WORDS = ("preview", "send", "ack")
_MENTION = re.compile(r"<@([UW][A-Z0-9]+)(?:\|[^>]*)?>")


@dataclass(frozen=True, slots=True, kw_only=True)
class Parsed:
    """A verb that exists, and its parts: `rollout` as typed (empty where it was left out), `text` as quoted."""

    verb: str
    rollout: str = ""
    args: tuple[str, ...] = ()
    text: str = ""
    flags: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Misunderstood:
    """`hint` says what was not understood and what would be; `suggestion` is a command that may have been meant."""

    hint: str
    suggestion: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Token:
    text: str
    quoted: bool


Parse: TypeAlias = Parsed | Misunderstood


def parse(typed: str) -> Parse:
    """Read one line. Nothing is guessed: what is not understood is answered with a suggestion, never run."""
    line = typed.translate(_LOOKALIKES).strip()
    if (line.count('"') - line.count('\\"')) % 2:
        return Misunderstood(hint='A quote is not closed. Put the text in "…".', suggestion=f'{line}"')
    tokens = _tokens(line)
    if not tokens:
        return Parsed(verb="help")
    name = tokens[0].text.lower()
    verb = ALIASES.get(name, name)
    if verb not in VERBS:
        return _unknown_verb(tokens)
    flags, rest, wrong = _flags(verb, tokens[1:])
    return wrong or _parts(verb, rest, flags, line)


def _tokens(line: str) -> list[_Token]:
    found = []
    for match in _TOKEN.finditer(line):
        flag, quoted, bare = match.groups()
        if flag:
            found.append(_Token(text=flag[:-1], quoted=False))
        if quoted is not None:
            found.append(_Token(text=re.sub(r"\\(.)", r"\1", quoted).strip(), quoted=True))
        elif bare.startswith("--") and "=" in bare:
            name, _, value = bare.partition("=")
            found += [_Token(text=name, quoted=False), _Token(text=value, quoted=False)]
        else:
            found.append(_Token(text=bare, quoted=False))
    return found


def written(verb: str, *rest: str) -> str:
    """A command as it would be typed."""
    return " ".join([verb, *(f'"{r}"' if " " in r else r for r in rest if r)])


def _unknown_verb(tokens: list[_Token]) -> Misunderstood:
    name = tokens[0].text
    close = get_close_matches(name.lower(), [*VERBS, *(a for a in ALIASES if a)], n=1, cutoff=0.6)
    if not close:
        return Misunderstood(hint=f'I don\'t know "{name}". Type `/rollout help` to see what there is.')
    verb = ALIASES.get(close[0], close[0])
    rest = [f'"{t.text}"' if t.quoted else t.text for t in tokens[1:]]
    return Misunderstood(hint=f'I don\'t know "{name}". Did you mean `{verb}`?', suggestion=" ".join([verb, *rest]))


def _flags(verb: str, tokens: list[_Token]) -> tuple[dict[str, str], list[_Token], Misunderstood | None]:
    allowed = {**_FLAGS.get(verb, {}), **_EVERYWHERE}
    flags: dict[str, str] = {}
    rest: list[_Token] = []
    waiting = iter(tokens)
    for token in waiting:
        if token.quoted or not token.text.startswith("--"):
            rest.append(token)
            continue
        name = token.text[2:].lower()
        if name not in allowed:
            close = get_close_matches(name, allowed, n=1)
            there = ", ".join(f"--{a}" for a in allowed)
            meant = f" Did you mean --{close[0]}?" if close else f" It knows {there}."
            return {}, [], Misunderstood(hint=f"`{verb}` has no --{name}.{meant}")
        value = next(waiting, None) if allowed[name] else _Token(text="yes", quoted=False)
        if value is None or not value.text:
            return {}, [], Misunderstood(hint=f"--{name} needs a value: {VERBS[verb].usage}")
        flags[name] = value.text
    return flags, rest, None


def _parts(verb: str, tokens: list[_Token], flags: dict[str, str], line: str) -> Parse:
    texts = [t.text for t in tokens if t.quoted]
    words = [t.text for t in tokens if not t.quoted]
    if texts and verb not in _WITH_TEXT and verb != "whois":
        return _leftover(verb, texts[0], "")
    if len(texts) > 1:
        return _leftover(verb, texts[1], "")
    text = _readable(texts[0]) if texts else ""
    match verb:
        case "help":
            return _help(words)
        case "list":
            return _list(words, flags)
        case "whois":
            return _whois([t.text for t in tokens], flags)
        case "metrics" | "explain":
            return _metrics(verb, words, flags)
        case "notice":
            return _notice(words, flags)
        case "advance":
            return _advance(words, text, flags)
    if len(words) > 1:
        return _leftover(verb, words[1], _quoted_rest(verb, words) if not text else "")
    return Parsed(verb=verb, rollout=words[0] if words else "", text=text, flags=flags)


def _readable(text: str) -> str:
    """Slack's `<@U1|ana>`, `<#C1|support>` and `<https://…>` inside a sentence, as they were typed."""
    named = re.sub(r"<([@#])[A-Z0-9]+\|([^>|]+)>", r"\1\2", text)
    named = re.sub(r"<!subteam\^[A-Z0-9]+\|([^>|]+)>", r"\1", named)
    return re.sub(r"<(https?://[^>|]+)(?:\|[^>]*)?>", r"\1", named)


def _quoted_rest(verb: str, words: list[str]) -> str:
    return f'{verb} {words[0]} "{" ".join(words[1:])}"' if verb in _WITH_TEXT else f"{verb} {words[0]}"


def _leftover(verb: str, what: str, suggestion: str) -> Misunderstood:
    if verb == "pause" and what.lower() == "for":
        return Misunderstood(hint="A pause has no end of its own yet: pause it, and resume it when you are ready.")
    quotes = ' Put what you want to say in quotes: "…".' if verb in _WITH_TEXT else ""
    return Misunderstood(
        hint=f'I don\'t know what "{what}" means here.{quotes} The form is: {VERBS[verb].usage}', suggestion=suggestion
    )


def _help(words: list[str]) -> Parse:
    if len(words) > 1:
        return _leftover("help", words[1], f"help {words[0]}")
    if not words:
        return Parsed(verb="help")
    name = ALIASES.get(words[0].lower(), words[0].lower())
    if name in VERBS:
        return Parsed(verb="help", args=(name,))
    close = get_close_matches(name, list(VERBS), n=1)
    return Misunderstood(
        hint=f'I don\'t know "{words[0]}".' + (f" Did you mean `{close[0]}`?" if close else " Type `/rollout help`."),
        suggestion=f"help {close[0]}" if close else "",
    )


def _list(words: list[str], flags: dict[str, str]) -> Parse:
    if words:
        return _leftover("list", words[0], "list")
    if "state" in flags:
        state = flags["state"].lower().replace("-", "_").replace(" ", "_")
        if state not in set(State):
            return Misunderstood(hint=f'There is no state "{flags["state"]}". There are: {", ".join(State)}.')
        flags = {**flags, "state": state}
    return Parsed(verb="list", flags=flags)


def _whois(words: list[str], flags: dict[str, str]) -> Parse:
    if not words:
        return Misunderstood(hint=f"Whose version? The form is: {VERBS['whois'].usage}")
    if len(words) > 2:
        return _leftover("whois", words[2], f"whois {words[0]} {words[1]}")
    return Parsed(verb="whois", args=(_MENTION.sub(r"\1", words[0]), *words[1:]), flags=flags)


def _metrics(verb: str, words: list[str], flags: dict[str, str]) -> Parse:
    names = [w for w in words if w.lower() in CATALOGUE]
    others = [w for w in words if w.lower() not in CATALOGUE]
    if len(others) > 1:
        close = get_close_matches(others[1].lower(), list(CATALOGUE), n=1)
        hint = f'There is no metric "{others[1]}".' + (f" Did you mean {close[0]}?" if close else "")
        return Misunderstood(hint=hint, suggestion=f"{verb} {others[0]} {close[0]}" if close else "")
    if len(names) > 1:
        return _leftover(verb, names[1], written(verb, *others, names[0]))
    if verb == "explain" and not names:
        return _which_metric(others)
    if "segment" in flags and not all(flags["segment"].partition("=")):
        hint = f'"{flags["segment"]}" is not a segment, such as language=de. The form is: {VERBS[verb].usage}'
        return Misunderstood(hint=hint, suggestion=written("segments", *others))
    return Parsed(verb=verb, rollout=others[0] if others else "", args=tuple(n.lower() for n in names), flags=flags)


def _which_metric(others: list[str]) -> Misunderstood:
    close = get_close_matches(others[0].lower(), list(CATALOGUE), n=1) if others else []
    if close:
        hint = f'There is no metric "{others[0]}". Did you mean {close[0]}?'
        return Misunderstood(hint=hint, suggestion=f"explain {close[0]}")
    hint = f"Which metric? The form is: {VERBS['explain'].usage}"
    return Misunderstood(hint=hint, suggestion=written("metrics", *others))


def _notice(words: list[str], flags: dict[str, str]) -> Parse:
    what = [w.lower() for w in words if w.lower() in _NOTICE_WORDS]
    others = [w for w in words if w.lower() not in _NOTICE_WORDS]
    if len(what) > 1 or len(others) > 1:
        return _leftover("notice", (what if len(what) > 1 else others)[1], "")
    return Parsed(verb="notice", rollout=others[0] if others else "", args=tuple(what), flags=flags)


def _advance(words: list[str], text: str, flags: dict[str, str]) -> Parse:
    reason = {**flags, "skip-wait": text} if text and "skip-wait" not in flags else flags
    if text and "skip-wait" in flags:
        return Misunderstood(hint='Give the reason once: --skip-wait "why".')
    lowered = [w.lower() for w in words]
    at = lowered.index("to") if "to" in lowered else len(words)
    before, after = words[:at], words[at + 1 :]
    if len(before) > 1:
        percent = _PERCENT.fullmatch(before[1])
        meant = written("advance", before[0], "to", f"{percent.group(1)}%") if percent else ""
        return _leftover("advance", before[1], meant)
    args: tuple[str, ...] = ()
    if at < len(words):
        joined = "".join(after)
        percent = _PERCENT.fullmatch(joined)
        if percent is None or float(percent.group(1)) > 100:
            return Misunderstood(hint=f'To how much? "{" ".join(after)}" is not a percentage, such as 25%.')
        args = (percent.group(1),)
    return Parsed(verb="advance", rollout=before[0] if before else "", args=args, flags=reason)
