"""The command `rollout customers`: who got a new version, as a table or as CSV, and who of a list did."""

import csv
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from bot.cli import people_names, session, shell_answers, text_files, verb_commands
from bot.commands.parsing.parsed_command import ParsedCommand

if TYPE_CHECKING:
    from bot.commands.request import CommandContext
    from core.rollout.serving.assignment_history import Assignment
    from core.rollout.state.model import Rollout

_CHECKED_HEADER = ("customer", "reported", "assigned")


def add_to(app: typer.Typer) -> None:
    """Add these commands to the program."""
    app.command(name="customers")(list_customers)
    app.command(name="erase-customer")(erase_customer)


def list_customers(
    rollout: Annotated[str, typer.Argument(help="R-1, or a name.")],
    page: Annotated[int, typer.Argument(min=1, help="The page of the table.")] = 1,
    as_csv: Annotated[bool, typer.Option("--csv", help="Print all of them as CSV.")] = False,
    check: Annotated[
        Path | None,
        typer.Option("--check", help="A file with one id a line: print as CSV which version each of them got."),
    ] = None,
) -> None:
    """Which customers got the new version, if the policy keeps their ids. With --check, which of your own list did."""
    from bot.commands import request, run_verb
    from bot.commands.answers import customers_query
    from bot.commands.parsing import grammar
    from bot.rendering import csv_text
    from bot.rendering.answers.served import customers
    from core.rollout.refusal import Refused

    with session.open_service() as service:
        find_handles = people_names.build_handle_finder(service)
        context = verb_commands.build_context(service)
        try:
            found = request.require_rollout(rollout, context, service.load_world(), "customers {id}")
            if check is not None:
                rows = _check_units(found, _read_units(check), context)
                print(csv_text.format_csv([_CHECKED_HEADER, *rows]), end="")
            elif as_csv:
                listed = (customers.build_csv_row(found, one) for one in service.iterate_served_units(found.id))
                print(csv_text.format_csv([customers.CSV_HEADER, *listed]), end="")
            else:
                parsed = grammar.parse(f"customers {found.id} {page}")
                assert isinstance(parsed, ParsedCommand)
                print(shell_answers.render_answer(customers_query.answer(parsed, context), find_handles))
        except Refused as refused:
            answer = run_verb.render_refusal(refused, None, context)
            print(shell_answers.render_refusal(answer, find_handles), file=sys.stderr)
            raise SystemExit(1) from None


def _read_units(file: Path) -> list[str]:
    """The first column of a file, without empty lines."""
    return [row[0].strip() for row in csv.reader(text_files.iterate_lines(file)) if row and row[0].strip()]


def _check_units(rollout: "Rollout", units: list[str], context: "CommandContext") -> Iterator[tuple[str, str, str]]:
    """For each unit: the version that the application reported, and whether it was assigned the new one."""
    from core.rollout.serving import assignment_history

    begun = rollout.started_at or context.at
    intervals = [
        one
        for one in assignment_history.fold_flags(
            rollout.plan.surface,
            (
                (one.stream, one.event, one.at, one.position)
                for one in context.service.load_assignment_events(rollout.plan.surface, begun, context.at)
            ),
        )
        if one.flags.exposure is not None and one.flags.exposure.rollout == rollout.id
    ]
    versions = {"canary": rollout.plan.to_version, "control": rollout.plan.from_version}
    for unit in units:
        arms = set(context.service.load_arms_seen(rollout.id, unit).values())
        reported = [version for arm, version in versions.items() if arm in arms]
        yield unit, " and ".join(reported), _find_assigned(rollout, assignment_history.assign_unit(intervals, unit, {}))


def _find_assigned(rollout: "Rollout", assigned: "tuple[Assignment, ...]") -> str:
    """`yes`, `no`, or why neither can be said."""
    if any(one.version == rollout.plan.to_version for one in assigned):
        return "yes"
    if all(one.version for one in assigned):
        return "no"
    return "depends on attributes" if not rollout.plan.dividing else "decided elsewhere"


def erase_customer(unit: Annotated[str, typer.Argument(help="The id, as applications send it.")]) -> None:
    """Delete the id of one customer from the lists of who got a new version."""
    with session.open_service() as service:
        erased = service.erase_served_unit(unit)
    if not erased:
        print(f"{unit} is in no list of who got a new version.", file=sys.stderr)
        raise SystemExit(1)
    print(f"Deleted from the lists of {erased} rollout{'s' if erased != 1 else ''}. Earlier backups still hold it.")
