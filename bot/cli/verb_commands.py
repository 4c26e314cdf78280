"""Every verb of the slash command, with the same grammar, on the same database."""

import json
import sys
from collections.abc import Callable
from typing import TYPE_CHECKING, Annotated

import typer

from bot.cli import people_names, session, shell_answers
from bot.commands.parsing.parsed_command import ParsedCommand, quote_text
from bot.commands.verbs import TYPED_VERBS, VERB_ALIASES, takes_rest_of_line

if TYPE_CHECKING:
    from bot.commands.request import CommandContext
    from core.service.service import RolloutService

_SHELL_HAS_ITS_OWN = frozenset({"help", "create", "plan", "customers"})  # in `root`, `files` and `customers`
_SHOW_WHAT_PEOPLE_READ = frozenset({"notice", "history"})  # word for word, as it is in Slack
_SPELLINGS = {**VERB_ALIASES, "roll": "rollback"}  # "roll" as in "roll back R-1"; Slack accepts these spellings, too


def add_to(app: typer.Typer) -> None:
    """Add a command for every verb, and hidden ones for other spellings."""
    settings = {"allow_extra_args": True, "ignore_unknown_options": True}
    for verb, page in TYPED_VERBS.items():
        if verb not in _SHELL_HAS_ITS_OWN:
            app.command(name=verb, help=f"{page.does} As in Slack: {page.usage}", context_settings=settings)(
                _build_command(verb)
            )
    for spelling in _SPELLINGS:
        app.command(name=spelling, hidden=True, context_settings=settings)(_build_command(spelling))


def _build_command(verb: str) -> Callable[..., None]:
    def run(
        context: typer.Context,
        as_json: Annotated[bool, typer.Option("--json", help="Print JSON, if there is something to read.")] = False,
    ) -> None:
        _run_verb(verb, context.args, as_json)

    return run


def _run_verb(verb: str, args: list[str], as_json: bool) -> None:
    from bot.commands import json_answers, request, run_verb
    from bot.commands.answers import rollout_queries as queries
    from bot.commands.answers import version_queries
    from bot.commands.parsing import grammar
    from bot.rendering import markup
    from bot.rendering.documents import difference_text
    from core.rollout.refusal import Refused

    is_urgent = TYPED_VERBS[_SPELLINGS.get(verb, verb)].is_urgent
    with session.open_service(urgent=is_urgent) as service:
        find_handles = people_names.build_handle_finder(service, is_urgent=is_urgent)
        context = build_context(service)
        known = service.load_world().own_metric_names
        parsed = grammar.parse(_to_typed_line(verb, args), known, has_lost_quotes=True)
        try:
            if as_json and isinstance(parsed, ParsedCommand) and _has_json_answer(parsed):
                print(json.dumps(json_answers.answer_as_json(parsed, context), indent=2))
                return
            if isinstance(parsed, ParsedCommand) and parsed.verb == "history" and "csv" in parsed.flags:
                table = queries.load_history_file(context, parsed.rollout, "csv")[1]
                print(markup.name_people(table, find_handles), end="")
                return
            if isinstance(parsed, ParsedCommand) and parsed.verb == "diff":
                print("\n".join(difference_text.format_lines(version_queries.find_pair(parsed, context))))
                return
            shown = shell_answers.render_answer(run_verb.perform(parsed, context), find_handles)
            print(shown if verb in _SHOW_WHAT_PEOPLE_READ else shell_answers.name_shell_commands(shown))
        except request.ClarificationNeeded as unsure:
            asked = "\n".join(x for x in (unsure.message, unsure.hint) if x)
            print(shell_answers.name_shell_commands(asked), file=sys.stderr)
            for _, command in unsure.choices:
                print(f"  {shell_answers.to_shell_command(command)}", file=sys.stderr)
            raise SystemExit(1) from None
        except Refused as refused:
            answer = run_verb.render_refusal(refused, parsed, context)
            print(shell_answers.render_refusal(answer, find_handles), file=sys.stderr)
            raise SystemExit(1) from None


def _has_json_answer(parsed: ParsedCommand) -> bool:
    """Whether the command only reads, and what it reads can be printed for machines."""
    from bot.commands import run_verb

    return TYPED_VERBS[parsed.verb].has_json and not run_verb.holds_answers(parsed)


def _to_typed_line(verb: str, args: list[str]) -> str:
    """The line as it would be typed in Slack.

    The shell removed the quotes: arguments that need them get them back, while the free text of a verb does not need
    any. Bytes that are no UTF-8 are replaced: no reason can be stored with them.
    """

    args = [argument.encode("utf-8", "surrogateescape").decode("utf-8", "replace") for argument in args]
    if takes_rest_of_line(_SPELLINGS.get(verb, verb)):
        return " ".join([verb, *args])
    return " ".join([verb, *(quote_text(x) if not x or set(x) & set(' \t"') else x for x in args)])


def build_context(service: "RolloutService") -> "CommandContext":
    from bot.commands.request import CommandContext

    return CommandContext(
        service=service,
        by=session.current_user(),
        at=session.current_time(),
        command_id=session.new_command_id(),
        source="cli",
    )
