"""Parse what was typed after `/rollout`: a verb with its parts, or what was not understood."""

import re
from collections.abc import Collection, Mapping
from dataclasses import replace
from difflib import get_close_matches

from bot.commands.parsing import free_text, resolve, rollback_intent, typed_line, typed_stratum
from bot.commands.parsing.parsed_command import Misunderstood, ParsedCommand, ParseResult, quote_text
from bot.commands.parsing.verb_arguments import Token, parse_arguments
from bot.commands.verbs import TYPED_VERBS, VERB_ALIASES, takes_rest_of_line

_LOOKALIKES = str.maketrans(
    {"“": '"', "”": '"', "„": '"', "«": '"', "»": '"', "‘": "'", "’": "'", "–": "-", "‑": "-", "−": "-"}
    | {"—": "--", "\u00a0": " ", "\u202f": " ", "\u2007": " "}
    | dict.fromkeys("\u200b\u200c\u200d\u2060\ufeff\u200e\u200f\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069")
)
_TOKEN = re.compile(r'(--[A-Za-z-]*=)?"((?:[^"\\]|\\.)*)"|(\S+)')
_EVERYWHERE = {"public": False}  # flags of every verb


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
            if mentions_rollback and not mistyped and not line.lower().startswith(("approve", "reverted"))
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
    answer = wrong or parse_arguments(verb, rest, flags, own_metrics)
    quoted = next((i for i, token in enumerate(rest) if token.quoted), len(rest))
    for end in range(min(quoted, len(rest) - 1), 0, -1) if has_lost_quotes else ():
        if isinstance(answer, ParsedCommand):
            break
        text = Token(text=" ".join(token.text for token in rest[end:]), quoted=True)
        shorter = parse_arguments(verb, [*rest[:end], text], flags, own_metrics)
        answer = shorter if isinstance(shorter, ParsedCommand) and shorter.text else answer
    return replace(answer, again=_write_again(answer, rest, flags)) if isinstance(answer, ParsedCommand) else answer


def _write_again(parsed: ParsedCommand, rest: list[Token], flags: Mapping[str, str]) -> str:
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


def _tokenize(line: str) -> list[Token]:
    found = []
    for match in _TOKEN.finditer(line):
        flag, quoted, bare = match.groups()
        if flag:
            found.append(Token(text=flag[:-1], quoted=False))
        if quoted is not None:
            found.append(Token(text=re.sub(r"\\(.)", r"\1", quoted).strip(), quoted=True))
        elif bare.startswith("--") and "=" in bare:
            name, _, value = bare.partition("=")
            found += [Token(text=name, quoted=False), Token(text=value, quoted=False)]
        else:
            found.append(Token(text=bare, quoted=False))
    return found


def split_words(line: str) -> list[str]:
    """The words of a line and the texts in it, without their quotes."""
    return [token.text for token in _tokenize(line)]


def _suggest_verb(tokens: list[Token], rest_of_line: str) -> Misunderstood:
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


def _flags_of(verb: str) -> dict[str, bool]:
    """The flags that a verb takes: its own, those of every verb, and those of verbs that change or show something."""
    row = TYPED_VERBS[verb]
    tried = {"dry-run": False} if row.build is not None else {}
    shown = {"json": False} if row.has_json else {}
    return {**row.flags, **_EVERYWHERE, **tried, **shown}


def _parse_flags(verb: str, tokens: list[Token]) -> tuple[dict[str, str], list[Token], Misunderstood | None]:
    allowed = _flags_of(verb)
    flags: dict[str, str] = {}
    rest: list[Token] = []
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
        value = next(waiting, None) if allowed[name] else Token(text="yes", quoted=False)
        if value is None or not value.text:
            return {}, [], Misunderstood(hint=f"--{name} needs a value: {TYPED_VERBS[verb].usage}")
        flags[name] = value.text
    return flags, rest, None
