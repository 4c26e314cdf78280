"""What the words and the text after a verb mean: a function per verb that takes more than a rollout and a text."""

import re
from collections.abc import Collection
from dataclasses import dataclass
from difflib import get_close_matches

from bot.commands.parsing import typed_line
from bot.commands.parsing.parsed_command import Misunderstood, ParsedCommand, ParseResult, format_command
from bot.commands.verb import FreeTextForm, VerbArguments
from bot.commands.verbs import TYPED_VERBS, VERB_ALIASES
from core.metrics.catalogue import CATALOGUE
from core.rollout.state.model import RolloutState
from core.rollout.workspace.subscriptions import AUDIENCES

_PERCENT = re.compile(r"(\d+(?:\.\d+)?)%?")
DECIDE_WORDS = ("keep", "back")
_NOTICE_WORDS = ("preview", "send", "ack")
_BETWEEN_VERSIONS = ("->", "→", "to", "and", "vs", "with", "..")
_ROLLOUT_ID = re.compile(r"R-\d+[:,]?", re.IGNORECASE)
_MENTION = re.compile(r"<@([UW][A-Z0-9]+)(?:\|[^>]*)?>")


@dataclass(frozen=True, slots=True, kw_only=True)
class Token:
    """A word of a line, or a text in quotes without them."""

    text: str
    quoted: bool


def parse_arguments(verb: str, tokens: list[Token], flags: dict[str, str], own_metrics: Collection[str]) -> ParseResult:
    """Read what follows a verb, without its flags; metrics may be `own_metrics` beside those of the catalogue."""
    texts = [t.text for t in tokens if t.quoted]
    words = [t.text for t in tokens if not t.quoted]
    if texts and TYPED_VERBS[verb].text is FreeTextForm.NONE and verb != "whois":
        return _report_leftover(verb, texts[0], "")
    if len(texts) > 1:
        return _report_leftover(verb, texts[1], "")
    text = typed_line.unwrap_mentions(texts[0]) if texts else ""
    match verb:
        case "help":
            return _parse_help(words)
        case "list":
            return _parse_list(words, flags)
        case "whois":
            return _parse_whois([t.text for t in tokens], flags)
        case "complaint":
            return _parse_complaint(words, text, flags)
        case "customers":
            return _parse_customers(words, flags)
        case "move-back":
            return _parse_move_back(words, text, flags)
        case "metrics" | "explain":
            return _parse_metrics(verb, words, flags, [*CATALOGUE, *own_metrics])
        case "notice":
            return _parse_notice(words, flags)
        case "digest":
            return _parse_digest(words, flags)
        case "versions" | "diff":
            return _parse_versions(verb, words, flags)
        case "decide":
            return _parse_decide(words, text, flags)
        case "advance":
            return _parse_advance(words, text, flags)
        case "subscribe" | "unsubscribe":
            return _parse_subscription(verb, words, flags)
        case "evidence":
            return _parse_evidence(words, flags)
        case "freeze":
            return _parse_freeze(words, text, flags)
        case "break-glass":
            return _parse_break_glass(words, text, flags)
    if len(words) > 1:
        return _report_leftover(verb, words[1], _quote_rest(verb, words) if not text else "")
    return ParsedCommand(verb=verb, rollout=words[0] if words else "", text=text, flags=flags)


def _quote_rest(verb: str, words: list[str]) -> str:
    return (
        f'{verb} {words[0]} "{" ".join(words[1:])}"'
        if TYPED_VERBS[verb].text is FreeTextForm.QUOTED
        else f"{verb} {words[0]}"
    )


def _report_leftover(verb: str, what: str, suggestion: str) -> Misunderstood:
    quotes = ' Put what you want to say in quotes: "…".' if TYPED_VERBS[verb].text is FreeTextForm.QUOTED else ""
    return Misunderstood(
        hint=f'I don\'t know what "{what}" means here.{quotes} Usage: {TYPED_VERBS[verb].usage}',
        suggestion=suggestion,
    )


def _parse_help(words: list[str]) -> ParseResult:
    if len(words) > 1:
        return _report_leftover("help", words[1], f"help {words[0]}")
    if not words:
        return ParsedCommand(verb="help")
    name = VERB_ALIASES.get(words[0].lower(), words[0].lower())
    if name in TYPED_VERBS:
        return ParsedCommand(verb="help", args=(name,))
    close = get_close_matches(name, list(TYPED_VERBS), n=1)
    return Misunderstood(
        hint=f'I don\'t know "{words[0]}".' + (f" Did you mean `{close[0]}`?" if close else " Type `/rollout help`."),
        suggestion=f"help {close[0]}" if close else "",
    )


def _parse_list(words: list[str], flags: dict[str, str]) -> ParseResult:
    if words:
        return _report_leftover("list", words[0], "list")
    if "state" in flags:
        state = flags["state"].lower().replace("-", "_").replace(" ", "_")
        if state not in set(RolloutState):
            return Misunderstood(hint=f'There is no state "{flags["state"]}". The states: {", ".join(RolloutState)}.')
        flags = {**flags, "state": state}
    return ParsedCommand(verb="list", flags=flags)


def _parse_whois(words: list[str], flags: dict[str, str]) -> ParseResult:
    usage = TYPED_VERBS["whois"].usage
    at = next((i for i, word in enumerate(words) if i and word.lower() == "at"), len(words))
    if at < len(words):
        if "at" in flags or not words[at + 1 :]:
            return Misunderstood(hint=f"At what time? Usage: {usage}", suggestion="")
        flags = {**flags, "at": " ".join(words[at + 1 :])}
    named = words[:at]
    if not named:
        return Misunderstood(hint=f"Whose version? Usage: {usage}")
    if len(named) > 2:
        return _report_leftover("whois", named[2], f"whois {named[0]} {named[1]}")
    if "where" in flags and not all(all(one.partition("=")) for one in flags["where"].split(",")):
        hint = f'"{flags["where"]}" is not an attribute, such as plan=pro. Usage: {usage}'
        return Misunderstood(hint=hint, suggestion=format_command("whois", *named))
    return ParsedCommand(verb="whois", args=(_MENTION.sub(r"\1", named[0]), *named[1:]), flags=flags)


def _parse_complaint(words: list[str], text: str, flags: dict[str, str]) -> ParseResult:
    rollout = flags.get("id", "")
    if words and not rollout and _ROLLOUT_ID.fullmatch(words[0]):  # as every other verb takes it
        rollout, words = words[0].strip(":,"), words[1:]
    told = text or " ".join(words)  # quoted or not
    if not told or (text and words):
        hint = f"What happened? Put it in quotes. Usage: {TYPED_VERBS['complaint'].usage}"
        return Misunderstood(hint=hint, suggestion=f'complaint "{" ".join((*words, text))}"' if told else "")
    arguments = VerbArguments(unit=_MENTION.sub(r"\1", flags.get("user", "")))
    return ParsedCommand(verb="complaint", rollout=rollout, arguments=arguments, text=told, flags=flags)


def _parse_customers(words: list[str], flags: dict[str, str]) -> ParseResult:
    if "public" in flags:
        return Misunderstood(
            hint="Ids of customers are shown to you alone: leave out --public.",
            suggestion=format_command("customers", *words),
        )
    pages = [word for word in words[1:] if word.isdecimal() and 0 < int(word) < 10**6]
    if words[1:] != pages or len(pages) > 1:
        return _report_leftover("customers", words[-1], f"customers {words[0]}")
    return ParsedCommand(verb="customers", rollout=words[0] if words else "", args=tuple(pages), flags=flags)


def _parse_move_back(words: list[str], text: str, flags: dict[str, str]) -> ParseResult:
    usage = TYPED_VERBS["move-back"].usage
    if not words:
        return Misunderstood(hint=f"Whom? Usage: {usage}")
    if len(words) > 2:
        quoted = f'move-back {words[0]} {words[1]} "{" ".join(words[2:])}"'
        return _report_leftover("move-back", words[2], "" if text else quoted)
    arguments, rollout = VerbArguments(unit=_MENTION.sub(r"\1", words[0])), words[1] if len(words) > 1 else ""
    return ParsedCommand(verb="move-back", rollout=rollout, arguments=arguments, text=text, flags=flags)


def _parse_metrics(verb: str, words: list[str], flags: dict[str, str], metrics: list[str]) -> ParseResult:
    names = [w for w in words if w.lower() in metrics]
    others = [w for w in words if w.lower() not in metrics]
    if len(others) > 1:
        close = get_close_matches(others[1].lower(), metrics, n=1)
        hint = f'There is no metric "{others[1]}".' + (f" Did you mean {close[0]}?" if close else "")
        suggestion = f"{verb} {others[0]} {close[0]}" if close else format_command("metrics", others[0])
        return Misunderstood(hint=hint, suggestion=suggestion)
    if len(names) > 1:
        return _report_leftover(verb, names[1], format_command(verb, *others, names[0]))
    if verb == "explain" and not names:
        return _ask_which_metric(others, metrics)
    if "segment" in flags and not all(flags["segment"].partition("=")):
        hint = f'"{flags["segment"]}" is not a segment, such as language=de. Usage: {TYPED_VERBS[verb].usage}'
        return Misunderstood(hint=hint, suggestion=format_command("segments", *others))
    return ParsedCommand(
        verb=verb, rollout=others[0] if others else "", args=tuple(n.lower() for n in names), flags=flags
    )


def _ask_which_metric(others: list[str], metrics: list[str]) -> Misunderstood:
    close = get_close_matches(others[0].lower(), metrics, n=1) if others else []
    if close:
        hint = f'There is no metric "{others[0]}". Did you mean {close[0]}?'
        return Misunderstood(hint=hint, suggestion=f"explain {close[0]}")
    hint = f"Which metric? Usage: {TYPED_VERBS['explain'].usage}"
    return Misunderstood(hint=hint, suggestion=format_command("metrics", *others))


def _parse_versions(verb: str, words: list[str], flags: dict[str, str]) -> ParseResult:
    words = [word for word in words if verb != "diff" or word.lower() not in _BETWEEN_VERSIONS]
    most = 3 if verb == "diff" else 1
    if len(words) > most:
        return _report_leftover(verb, words[most], format_command(verb, *words[:most]))
    return ParsedCommand(verb=verb, args=tuple(words), flags=flags)


def _parse_digest(words: list[str], flags: dict[str, str]) -> ParseResult:
    words = [word for word in words if word.lower() != "week"]  # `this week`, `week 48`
    if len(words) > 1:
        return _report_leftover("digest", words[1], f"digest {words[0]}")
    return ParsedCommand(verb="digest", args=tuple(words), flags=flags)


def _parse_notice(words: list[str], flags: dict[str, str]) -> ParseResult:
    what = [w.lower() for w in words if w.lower() in _NOTICE_WORDS]
    others = [w for w in words if w.lower() not in _NOTICE_WORDS]
    if len(what) > 1 or len(others) > 1:
        return _report_leftover("notice", (what if len(what) > 1 else others)[1], "")
    return ParsedCommand(verb="notice", rollout=others[0] if others else "", args=tuple(what), flags=flags)


def _parse_decide(words: list[str], text: str, flags: dict[str, str]) -> ParseResult:
    lowered = [w.lower() for w in words]
    at = next((i for i, word in enumerate(lowered) if word in DECIDE_WORDS), None)
    if at is None:
        return Misunderstood(hint=f"Keep the new version, or go back? Usage: {TYPED_VERBS['decide'].usage}")
    before, after = words[:at], words[at + 1 :]
    if len(before) > 1 or (text and after):
        return _report_leftover("decide", before[1] if len(before) > 1 else after[0], "")
    return ParsedCommand(
        verb="decide",
        rollout=before[0] if before else "",
        arguments=VerbArguments(choice=lowered[at]),
        text=text or " ".join(after),
        flags=flags,
    )


def _parse_freeze(words: list[str], text: str, flags: dict[str, str]) -> ParseResult:
    """`[surface] until Mon 08:00 "why"`: the surface is in `rollout`; `args` are until or for, and when."""
    at = next((i for i, word in enumerate(words) if word.lower() in ("until", "till", "for")), None)
    usage = f"Usage: {TYPED_VERBS['freeze'].usage}"
    if at is None or at == len(words) - 1:
        return Misunderstood(hint=f"Until when? {usage}")
    if at > 1:
        return _report_leftover("freeze", words[1], "")
    if not text:
        return Misunderstood(hint=f"Why? Put it in quotes: people read it in every thread. {usage}")
    kind = "for" if words[at].lower() == "for" else "until"
    when = " ".join(words[at + 1 :])
    return ParsedCommand(verb="freeze", rollout=words[0] if at else "", args=(kind, when), text=text, flags=flags)


def _parse_break_glass(words: list[str], text: str, flags: dict[str, str]) -> ParseResult:
    """`R-1 advance to 50% "why"`."""
    lowered = [w.lower() for w in words]
    at = next((i for i, word in enumerate(lowered) if word in ("advance", "start")), None)
    if at is None:
        return Misunderstood(hint=f"To do what? Usage: {TYPED_VERBS['break-glass'].usage}")
    after = [w for w in lowered[at + 1 :] if w != "to"]
    percent = _PERCENT.fullmatch("".join(after)) if after else None
    if at > 1 or (after and (percent is None or lowered[at] == "start" or float(percent.group(1)) > 100)):
        return _report_leftover("break-glass", words[1] if at > 1 else after[0], "")
    arguments = VerbArguments(choice=lowered[at], to_percent=float(percent.group(1)) if percent is not None else None)
    return ParsedCommand(
        verb="break-glass", rollout=words[0] if at else "", arguments=arguments, text=text, flags=flags
    )


def _parse_evidence(words: list[str], flags: dict[str, str]) -> ParseResult:
    """`#12 R-1`, in either order; a single number is that of the evidence."""
    numbers = [w.lstrip("#") for w in words if re.fullmatch(r"#?\d+", w)]
    others = [w for w in words if not re.fullmatch(r"#?\d+", w)] or numbers[1:2]
    if not numbers:
        return Misunderstood(hint=f"Which number? Usage: {TYPED_VERBS['evidence'].usage}")
    if len(words) > 2 or len(others) > 1:
        return _report_leftover("evidence", words[2] if len(words) > 2 else others[1], "")
    return ParsedCommand(verb="evidence", rollout=others[0] if others else "", args=(numbers[0],), flags=flags)


def _parse_subscription(verb: str, words: list[str], flags: dict[str, str]) -> ParseResult:
    """`[surface] as audience`: the surface is in `rollout`, the audience in `args`."""
    lowered = [w.lower() for w in words]
    at = lowered.index("as") if "as" in lowered else len(words)
    before, after = words[:at], lowered[at + 1 :]
    if len(before) > 1 or len(after) > 1:
        return _report_leftover(verb, (before if len(before) > 1 else after)[1], "")
    if after and after[0] not in AUDIENCES:
        close = get_close_matches(after[0], AUDIENCES, n=1)
        hint = f'There is no audience "{after[0]}". The audiences: {", ".join(AUDIENCES)}.'
        return Misunderstood(hint=hint, suggestion=f"{verb} {' '.join(before)} as {close[0]}" if close else "")
    if at < len(words) and not after:
        return Misunderstood(hint=f"As whom? Usage: {TYPED_VERBS[verb].usage}")
    return ParsedCommand(verb=verb, rollout=before[0] if before else "", args=tuple(after), flags=flags)


def _parse_advance(words: list[str], text: str, flags: dict[str, str]) -> ParseResult:
    reason = {**flags, "skip-wait": text} if text and "skip-wait" not in flags else flags
    if text and "skip-wait" in flags:
        return Misunderstood(hint='Give the reason once: --skip-wait "why".')
    lowered = [w.lower() for w in words]
    at = lowered.index("to") if "to" in lowered else len(words)
    before, after = words[:at], words[at + 1 :]
    if len(before) > 1:
        percent = _PERCENT.fullmatch(before[1])
        meant = format_command("advance", before[0], "to", f"{percent.group(1)}%") if percent else ""
        return _report_leftover("advance", before[1], meant)
    to_percent = None
    if at < len(words):
        joined = "".join(after)
        percent = _PERCENT.fullmatch(joined)
        if percent is None or float(percent.group(1)) > 100:
            return Misunderstood(hint=f'To how much? "{" ".join(after)}" is not a percentage, such as 25%.')
        to_percent = float(percent.group(1))
    arguments = VerbArguments(to_percent=to_percent)
    return ParsedCommand(verb="advance", rollout=before[0] if before else "", arguments=arguments, flags=reason)
