"""Every verb of the slash command, with the same grammar, on the same database."""

import json
import shlex
import sys
from collections.abc import Callable
from typing import TYPE_CHECKING, Annotated, Any

import typer

from bot.cli import session
from bot.commands.verbs import ALIASES, TYPED, takes_rest_of_line

if TYPE_CHECKING:
    from bot.commands.grammar import Parsed
    from bot.commands.request import Asked
    from bot.rendering.numbers.latest import Latest
    from core.rollout.model import Rollout
    from core.service import Service

_SPELLINGS = {**ALIASES, "roll": "rollback"}  # "roll" as in "roll back R-1"; Slack accepts these spellings, too


def add_to(app: typer.Typer) -> None:
    """Add a command for every verb, and hidden ones for other spellings."""
    settings = {"allow_extra_args": True, "ignore_unknown_options": True}
    for verb, page in TYPED.items():
        if verb != "help":
            app.command(name=verb, help=f"{page.does} As in Slack: {page.usage}", context_settings=settings)(
                _command(verb)
            )
    for spelling in _SPELLINGS:
        app.command(name=spelling, hidden=True, context_settings=settings)(_command(spelling))


def _command(verb: str) -> Callable[..., None]:
    def run(
        context: typer.Context,
        as_json: Annotated[
            bool, typer.Option("--json", help="For machines, where there is something to read.")
        ] = False,
    ) -> None:
        _run(verb, context.args, as_json)

    return run


def _run(verb: str, args: list[str], as_json: bool) -> None:
    from bot.commands import execution, grammar, request
    from bot.rendering.charts import plain_text
    from core.rollout.refusal import Refused

    with session.service(urgent=TYPED[_SPELLINGS.get(verb, verb)].urgent) as service:
        asked = _asked(service)
        parsed = grammar.parse(_typed(verb, args))
        try:
            if as_json and isinstance(parsed, grammar.Parsed) and TYPED[parsed.verb].json:
                print(json.dumps(_shown(service, parsed, asked), indent=2))
                return
            print(plain_text.text(execution.perform(parsed, asked)))
        except request.Unsure as unsure:
            print("\n".join(x for x in (unsure.message, unsure.hint) if x), file=sys.stderr)
            print("".join(f"  {_as_command(command)}\n" for _, command in unsure.choices), end="", file=sys.stderr)
            raise SystemExit(1) from None
        except Refused as refused:
            print(plain_text.text(execution.refusal(refused, parsed, asked)), file=sys.stderr)
            raise SystemExit(1) from None


def _typed(verb: str, args: list[str]) -> str:
    """The line as it would be typed in Slack.

    The shell removed the quotes: arguments that need them get them back, while the free text of a verb does not need
    any.
    """
    if takes_rest_of_line(_SPELLINGS.get(verb, verb)):
        return " ".join([verb, *args])
    words, places = [verb], 0
    for argument in args:
        places += not argument.startswith("--")
        reason = verb == "approve" and places > 1 and not argument.startswith("--")
        spaced = not argument or any(x in argument for x in ' \t"')
        words.append(_quoted(argument) if reason or spaced else argument)
    return " ".join(words)


def _as_command(suggestion: str) -> str:
    """A command that Slack offers as a button, in the form to type into a shell."""
    verb, _, rest = suggestion.partition(" ")
    rollout, _, text = rest.partition(" ")
    return " ".join(
        ("rollout", verb, shlex.quote(rollout) if rollout else "", shlex.quote(text) if text else "")
    ).strip()


def _quoted(argument: str) -> str:
    return '"' + argument.replace("\\", "\\\\").replace('"', '\\"') + '"'


def _asked(service: "Service") -> "Asked":
    from bot.commands.request import Asked

    return Asked(
        service=service,
        by=session.somebody(),
        at=session.now(),
        command_id=session.command_id(),
        source="cli",
    )


def _shown(service: "Service", parsed: "Parsed", asked: "Asked") -> dict[str, Any]:
    from bot.commands import queries, resolve
    from bot.rendering.json import evidence, rollouts
    from core import watch
    from core.rollout.model import Rollout
    from core.rollout.refusal import NotFound

    world = service.world()
    if parsed.verb == "list":
        return {"rollouts": [rollouts.rollout_shown(r) for r in queries.listed(parsed, asked)]}
    rollout = resolve.find(parsed.rollout, world)
    if not isinstance(rollout, Rollout):
        raise NotFound(rollout.question)
    match parsed.verb:
        case "status":
            return rollouts.rollout_shown(rollout)
        case "history":
            return {"events": [rollouts.event_shown(r) for r in service.history(rollout.id)]}
        case "explain":
            trend = watch.trend(service, rollout, parsed.args[0])
            return evidence.metric_explained(rollout, _latest(service, rollout, asked), parsed.args[0], trend)
        case "segments":
            return evidence.segments_shown(rollout, _latest(service, rollout, asked))
        case _:
            found = evidence.evidence_shown(rollout, watch.evidence(service, rollout), asked.at)
            return evidence.narrowed(found, parsed.args[0] if parsed.args else "", parsed.flags.get("segment", ""))


def _latest(service: "Service", rollout: "Rollout", asked: "Asked") -> "Latest":
    from bot.rendering.numbers.latest import latest
    from core import watch

    return latest(rollout, watch.evidence(service, rollout), asked.at)
