"""Parse what was typed after `/rollout`: a verb with its parts, or what was not understood."""

import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field, replace
from difflib import get_close_matches
from typing import TypeAlias

from bot.commands.parsing import free_text, resolve, rollback_intent, typed_line, typed_stratum
from bot.commands.verbs import TYPED_VERBS, VERB_ALIASES, FreeTextForm, VerbArguments, takes_rest_of_line
from core.metrics.catalogue import CATALOGUE
from core.rollout.state.model import RolloutState
from core.rollout.workspace.subscriptions import AUDIENCES

_LOOKALIKES = str.maketrans(
    {"“": '"', "”": '"', "„": '"', "«": '"', "»": '"', "‘": "'", "’": "'", "–": "-", "‑": "-", "−": "-"}
    | {"—": "--", "\u00a0": " ", "\u202f": " ", "\u2007": " "}
    | dict.fromkeys("\u200b\u200c\u200d\u2060\ufeff\u200e\u200f\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069")
)
_TOKEN = re.compile(r'(--[A-Za-z-]*=)?"((?:[^"\\]|\\.)*)"|(\S+)')
_PERCENT = re.compile(r"(\d+(?:\.\d+)?)%?")

_EVERYWHERE = {"public": False}  # flags of every verb


def _flags_of(verb: str) -> dict[str, bool]:
    """The flags that a verb takes: its own, those of every verb, and those of verbs that change or show something."""
    row = TYPED_VERBS[verb]
    tried = {"dry-run": False} if row.build is not None else {}
    shown = {"json": False} if row.has_json else {}
    return {**row.flags, **_EVERYWHERE, **tried, **shown}


DECIDE_WORDS = ("keep", "back")
_NOTICE_WORDS = ("preview", "send", "ack")
_BETWEEN_VERSIONS = ("->", "→", "to", "and", "vs", "with", "..")
_ROLLOUT_ID = re.compile(r"R-\d+[:,]?", re.IGNORECASE)
_MENTION = re.compile(r"<@([UW][A-Z0-9]+)(?:\|[^>]*)?>")


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
    arguments: VerbArguments = field(
        default_factory=VerbArguments
    )  # of one that changes something; neither text nor flags
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


@dataclass(frozen=True, slots=True, kw_only=True)
class _Token:
    text: str
    quoted: bool


ParseResult: TypeAlias = ParsedCommand | Misunderstood


def parse(line: str, own_metrics: Collection[str] = (), *, has_lost_quotes: bool = False) -> ParseResult:
    """Parse one line, which may name `own_metrics` beside the catalogue's.

    `has_lost_quotes`: it comes from a shell, which takes quotes away, so the words at the end may be the text.

    Nothing is guessed: what is not understood gets a suggestion and is never run. A rollback has no syntax: a line that
    asks for one is understood whatever else it contains, and for one that only mentions it the person is asked back.
    """
    line = re.sub(r"^/?rollout\s+(?=\S)", "", typed_line.strip_invisible(line), flags=re.IGNORECASE)
    if (rest_of_line := rollback_intent.find_rollback_request(line)) is not None:
        return (
            _ask_whether_to_roll_back(line)
            if rollback_intent.is_only_mention(rest_of_line)
            else _parse_free_text("rollback", rest_of_line)
        )
    answer = _parse_verb(line, own_metrics, has_lost_quotes)
    mentions_rollback = rollback_intent.may_mean_rollback(line)
    if isinstance(answer, Misunderstood):
        mistyped = answer.suggestion.startswith("rollback")
        return (
            _ask_whether_to_roll_back(line)
            if mentions_rollback and not mistyped and not line.lower().startswith("approve")
            else answer
        )
    named_so = answer.verb != "help" and rollback_intent.find_rollback_request(answer.rollout) is not None
    return _ask_whether_to_roll_back(line) if named_so and not takes_rest_of_line(answer.verb) else answer


def _ask_whether_to_roll_back(line: str) -> Misunderstood:
    return Misunderstood(
        hint="Do you want to roll back? Nothing has been done yet. `/rollout help rollback` explains it.",
        suggestion="rollback",
        about=line,
    )


def _parse_verb(line: str, own_metrics: Collection[str], has_lost_quotes: bool) -> ParseResult:
    first = line.split(maxsplit=1)[0] if line else ""
    rest_of_line = line[len(first) :].strip()
    name = typed_line.normalize_characters(first).lower().strip("!.,:;`*\"'")
    verb = VERB_ALIASES.get(name, name or "help")
    if verb in TYPED_VERBS and takes_rest_of_line(verb):
        return _parse_free_text(verb, rest_of_line)
    if verb == "plan" and "\n" in rest_of_line:
        return ParsedCommand(verb="plan", text=rest_of_line.strip("`\n "))
    line = line.translate(_LOOKALIKES).strip()
    tokens = _tokenize(line)
    if not tokens:
        return ParsedCommand(verb="help")
    if verb not in TYPED_VERBS:
        return _suggest_verb(tokens, rest_of_line)
    if (line.count('"') - line.count('\\"')) % 2:
        return Misunderstood(hint='A quote is not closed. Put the text in "…".', suggestion=f'{line}"')
    flags, rest, wrong = _parse_flags(verb, tokens[1:])
    answer = wrong or _parse_arguments(verb, rest, flags, own_metrics)
    quoted = next((i for i, token in enumerate(rest) if token.quoted), len(rest))
    for end in range(min(quoted, len(rest) - 1), 0, -1) if has_lost_quotes else ():
        if isinstance(answer, ParsedCommand):
            break
        text = _Token(text=" ".join(token.text for token in rest[end:]), quoted=True)
        shorter = _parse_arguments(verb, [*rest[:end], text], flags, own_metrics)
        answer = shorter if isinstance(shorter, ParsedCommand) and shorter.text else answer
    return replace(answer, again=_write_again(answer, rest, flags)) if isinstance(answer, ParsedCommand) else answer


def _write_again(parsed: ParsedCommand, rest: list[_Token], flags: Mapping[str, str]) -> str:
    """The line with `{id}` in place of its rollout or, where it names none, where the usage has it."""
    words = [quote_text(token.text) if token.quoted else token.text for token in rest]
    words = [word.replace("{", "{{").replace("}", "}}") for word in words]
    if parsed.rollout in (texts := [token.text for token in rest]) and parsed.rollout:
        words[texts.index(parsed.rollout)] = "{id}"
    else:
        usage = re.split(r"[ |]", TYPED_VERBS[parsed.verb].usage)[1:]
        words.insert(next((i for i, word in enumerate(usage) if word.strip("<>[]") == "id"), 0), "{id}")
    for name, value in flags.items():
        if name != "public":
            takes_value = _flags_of(parsed.verb)[name]
            given = quote_text(value).replace("{", "{{").replace("}", "}}") if takes_value else ""
            words.append(f"--{name} {given}".strip())
    return " ".join([parsed.verb, *words])


def _parse_free_text(verb: str, rest_of_line: str) -> ParseResult:
    stratum = typed_stratum.take_stratum(rest_of_line) if verb == "rollback" else None
    if stratum is not None:
        parsed = _parse_free_text("rollback", stratum.line)
        if not isinstance(parsed, ParsedCommand):
            return parsed
        return replace(parsed, flags={**parsed.flags, "stratum": stratum.name})
    read = free_text.split_flags(rest_of_line, _flags_of(verb))
    if any(flag.lstrip("-—–").lower() in free_text.DRY_RUN_FLAGS for flag in read.unknown):
        flag = next(f for f in read.unknown if f.lstrip("-—–").lower() in free_text.DRY_RUN_FLAGS)
        hint = f"`{verb}` has no {flag}, so nothing was done. `/rollout help {verb}` says what it does."
        return Misunderstood(hint=hint, suggestion=f"{verb} {read.text}".strip())
    first, _, rest = read.text.partition(" ")
    starts_quoted = typed_line.normalize_characters(first)[:1] in ('"', "'")
    return ParsedCommand(
        verb=verb,
        rollout="" if starts_quoted else first.strip("`*_~<>()[]{}.,:;!?"),
        text=resolve.extract_text(read.text if starts_quoted else rest),
        flags=dict.fromkeys(read.flags, "yes"),
        rest_of_line=read.text,
        unknown=read.unknown,
    )


def _tokenize(line: str) -> list[_Token]:
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


def split_words(line: str) -> list[str]:
    """The words of a line and the texts in it, without their quotes."""
    return [token.text for token in _tokenize(line)]


def quote_text(text: str) -> str:
    """A text in quotes, as it would be typed."""
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'


def format_command(verb: str, *rest: str) -> str:
    """A command as it would be typed."""
    return " ".join([verb, *(f'"{r}"' if " " in r else r for r in rest if r)])


def _suggest_verb(tokens: list[_Token], rest_of_line: str) -> Misunderstood:
    name = tokens[0].text
    close = _find_nearest_verb(name)
    if not close and len(tokens) > 1 and _find_nearest_verb(name + tokens[1].text) == "rollback":  # rol back
        name, close, rest_of_line = f"{name} {tokens[1].text}", "rollback", rest_of_line.partition(" ")[2]
    if not close:
        return Misunderstood(hint=f'I don\'t know "{name}". Type `/rollout help` to see all commands.')
    rest = [f'"{t.text}"' if t.quoted else t.text for t in tokens[1:]]
    suggestion = f"{close} {rest_of_line}".strip() if takes_rest_of_line(close) else " ".join([close, *rest])
    return Misunderstood(hint=f'I don\'t know "{name}". Did you mean `{close}`?', suggestion=suggestion)


def _find_nearest_verb(name: str) -> str:
    close = get_close_matches(name.lower(), [*TYPED_VERBS, *VERB_ALIASES], n=1, cutoff=0.6)
    return VERB_ALIASES.get(close[0], close[0]) if close else ""


def _parse_flags(verb: str, tokens: list[_Token]) -> tuple[dict[str, str], list[_Token], Misunderstood | None]:
    allowed = _flags_of(verb)
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
            meant = f" Did you mean --{close[0]}?" if close else f" Its flags: {there}."
            return {}, [], Misunderstood(hint=f"`{verb}` has no --{name}.{meant}")
        value = next(waiting, None) if allowed[name] else _Token(text="yes", quoted=False)
        if value is None or not value.text:
            return {}, [], Misunderstood(hint=f"--{name} needs a value: {TYPED_VERBS[verb].usage}")
        flags[name] = value.text
    return flags, rest, None


def _parse_arguments(
    verb: str, tokens: list[_Token], flags: dict[str, str], own_metrics: Collection[str]
) -> ParseResult:
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
        return Misunderstood(hint=hint, suggestion=f"{verb} {others[0]} {close[0]}" if close else "")
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
    if words and words[0].lower() == "week":
        words = words[1:]
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
        return Misunderstood(hint=f"Why? People read it in every thread. {usage}")
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
