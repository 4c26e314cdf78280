"""Commands on files: lint, plan, apply, export, and the results of offline evals."""

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, NoReturn

import typer

from bot.cli import session
from core.rollout.refusal import Refused

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

    from core.files.foresight.foresight import Foreseen
    from core.files.foresight.known_traffic import Known
    from core.files.foresight.timeline import Row
    from core.files.read_file import File
    from core.files.syntax.problems import Problem, Unreadable
    from core.rollout.plan import Plan
    from core.rollout.world import World

Json = Annotated[bool, typer.Option("--json", help="For machines.")]


def add_to(app: typer.Typer) -> None:
    """Add these commands to the program."""
    app.command()(lint)
    app.command()(plan)
    app.command()(apply)
    app.command()(export)
    app.command(name="schema")(schema)
    app.add_typer(evals, name="evals")


evals = typer.Typer(help="Results of offline evals.", no_args_is_help=True)


def lint(
    files: Annotated[list[Path], typer.Argument(help="Rollout, surface or policy files.")],
    format: Annotated[str, typer.Option(help="text, github or json.")] = "text",  # noqa: A002
) -> None:
    """Check files without a database: every problem with its line, and what was probably meant."""
    from bot.rendering import wording
    from core.files.checks import checks
    from core.files.read_file import read
    from core.files.syntax import problems
    from core.rollout.policy import BUILT_IN

    found: list[Problem] = []
    written: list[File] = []
    for path in files:
        try:
            written.append(read(_text(path), str(path)))
            found += checks.check(written[-1], None, BUILT_IN, None)
        except problems.Unreadable as unreadable:
            found += unreadable.problems
    found += checks.together(written)
    match format:
        case "json":
            print(json.dumps([problems.as_json(p) for p in found], indent=2))
        case "github":
            print(problems.render_github(found), end="")
        case _:
            print(problems.render(found) if found else f"{wording.plural(len(files), 'file')}, nothing to say.")
    raise SystemExit(1 if problems.errors(found) else 0)


def plan(file: Annotated[Path, typer.Argument(help="A rollout file.")], as_json: Json = False) -> None:
    """What would happen when, who is told, what must be approved, and what could be seen. Changes nothing."""
    from bot.cli import background
    from bot.rendering.answers import plan_foresight
    from core.files.foresight import foresight, timeline
    from core.files.syntax import problems

    try:
        with session.service() as service:
            world, now = service.world(), session.now()
            plan, warnings = planned(file, world, now)
            known = background.known(service, world.surfaces[plan.surface], world, now)
    except Refused as refused:
        session.refuse(refused)
    rows = timeline.timeline(plan, world.surfaces[plan.surface], world.policy, now)
    design = foresight.design_of(plan, world.policy)
    seen = [foresight.foresee(design, stage, known) for stage in design.compared]
    if as_json:
        print(json.dumps(_plan_as_json(plan, rows, warnings, [one for of in seen for one in of], known), indent=2))
        return
    if others := [warning for warning in warnings if not warning.message.startswith(foresight.SAID)]:
        print(problems.render(others))
    print(f"{plan.name}: {plan.surface} {plan.from_version} -> {plan.to_version}, {plan.risk} risk")
    print("\n".join(timeline.lines(rows)))
    if not seen or not seen[0]:
        return
    print()
    print("\n".join(plan_foresight.lines(seen[0], known)))
    for warning in plan_foresight.warnings(seen[0], plan.risk, seen[1:]):
        typer.secho(f"  ! {warning}", fg=typer.colors.RED)


def planned(path: Path, world: "World", now: "datetime") -> "tuple[Plan, tuple[Problem, ...]]":
    """The plan of a rollout file in this world, and what is unwise about it.

    Exits if the file cannot be read, after printing why. `Refused` is left to the caller.
    """
    from core import apply_file
    from core.files.read_file import read
    from core.files.rollout_file import RolloutFile
    from core.files.syntax import problems

    try:
        written = read(_text(path), str(path))
        if not isinstance(written, RolloutFile):
            print(f"{path} is not a rollout file; only those have a plan.", file=sys.stderr)
            raise SystemExit(1)
        return apply_file.plan_of(written, world, now, lambda handle: handle)
    except problems.Unreadable as unreadable:
        _show(unreadable)


def _plan_as_json(
    plan: "Plan",
    rows: "Sequence[Row]",
    warnings: "Sequence[Problem]",
    seen: "Sequence[Foreseen]",
    known: "Known",
) -> dict[str, object]:
    from bot.rendering.answers import plan_foresight
    from core.files.syntax import problems

    return {
        "rollout": plan.name,
        "surface": plan.surface,
        "from": plan.from_version,
        "to": plan.to_version,
        "risk": str(plan.risk),
        "timeline": [
            {
                "earliest": row.when_earliest.isoformat(),
                "latest": None if row.when_latest is None else row.when_latest.isoformat(),
                "what": row.what,
                "percent": row.percent,
                "requests_expected": row.requests_expected,
            }
            for row in rows
        ],
        "traffic": {
            "daily_requests": known.daily_requests,
            "pace_from": known.pace_from,
            "levels": known.measured or "assumed",
        },
        "limits": [plan_foresight.as_json(one) for one in seen],
        "warnings": [problems.as_json(warning) for warning in warnings],
    }


def apply(
    files: Annotated[list[Path], typer.Argument(help="Surface, policy or rollout files.")], as_json: Json = False
) -> None:
    """Apply files, in order. The same content twice changes nothing."""
    from bot.app import door, resolver
    from core import apply_file
    from core.files.syntax import problems

    texts = [
        _text(path) for path in files
    ]  # read all files first, so that a missing one stops the command before anything is applied
    answers = []
    with session.service() as service:
        refusal = door(session.settings()).refusal
        for path, text in zip(files, texts, strict=True):
            try:
                applied = apply_file.apply_text(
                    service,
                    text,
                    str(path),
                    by=session.somebody(),
                    at=session.now(),
                    command_id=session.command_id(),
                    resolve_handle=resolver(session.settings()),
                    not_driven=refusal,
                )
            except problems.Unreadable as unreadable:
                _show(unreadable)
            except Refused as refused:
                session.refuse(refused)
            answers.append({"kind": applied.kind, "id": applied.id, "changed": applied.changed})
            if not as_json:
                if applied.warnings:
                    print(problems.render(applied.warnings))
                print(f"{applied.kind} {applied.id}: {'applied' if applied.changed else 'nothing changed'}")
    if as_json:
        print(json.dumps(answers, indent=2))


def export(rollout: Annotated[str, typer.Argument(help="Its id, as R-1.")]) -> None:
    """A rollout as a file that reads back to the same plan."""
    from core.files import write_file

    with session.service() as service:
        found = service.world().find(rollout.upper())
    if found is None:
        print(f"There is no {rollout}.", file=sys.stderr)
        raise SystemExit(1)
    print(write_file.export(found.plan), end="")


def schema() -> None:
    """The JSON Schema of the files, for editors."""
    from core.files import json_schema as schemas

    print(json.dumps(schemas.schema(), indent=2))


@evals.command(name="import")
def import_results(
    file: Annotated[Path, typer.Argument(help="CSV with the columns case, category, pass.")],
    rollout: Annotated[str, typer.Option(help="Which rollout they are for, as R-1.")],
    suite: Annotated[str, typer.Option(help="Which gate's suite, where the plan has more than one.")] = "",
    as_json: Json = False,
) -> None:
    """Hand the results of an offline run to the gate that waits for them."""
    from core.evals import results
    from core.rollout.eval_results import record_eval
    from core.service import Request

    with session.service() as service:
        found = service.world().find(rollout.upper())
        if found is None:
            print(f"There is no {rollout}.", file=sys.stderr)
            raise SystemExit(1)
        try:
            command = record_eval(found, suite, results.read_csv(_results(file)))
            service.handle(
                Request(
                    command=command,
                    command_id=session.command_id(),
                    by=session.somebody(),
                    at=session.now(),
                    rollout=found.id,
                )
            )
        except results.UnreadableEvals as unreadable:
            print(f"{file}: {unreadable}", file=sys.stderr)
            raise SystemExit(1) from None
        except Refused as refused:
            session.refuse(refused)
    if as_json:
        print(json.dumps({"passed": command.passed, "failed": command.failed, "errors": command.errors}))
    else:
        print(f"{command.passed} passed, {command.failed} failed, {command.errors} errors")
        print("\n".join(command.reasons) or "The gate is passed.")
    raise SystemExit(0 if command.ok else 1)


def _results(path: Path) -> str:
    from core.evals import results

    try:
        return results.decode(path.read_bytes())
    except results.UnreadableEvals as unreadable:
        raise OSError(f"{path}: {unreadable}") from None


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except UnicodeDecodeError:
        raise OSError(f"{path} is not UTF-8 text") from None


def _show(unreadable: "Unreadable") -> NoReturn:
    from core.files.syntax import problems

    print(problems.render(unreadable.problems), file=sys.stderr)
    raise SystemExit(1)
