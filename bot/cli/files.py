"""Commands on files: lint, plan, apply, export, and the results of offline evals."""

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, NoReturn

import typer

from bot.cli import session
from core.rollout.refusal import Refused

if TYPE_CHECKING:
    from core.spec.problems import Problem, Unreadable

Json = Annotated[bool, typer.Option("--json", help="For machines.")]


def add_to(app: typer.Typer) -> None:
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
    from core.rollout.policy import BUILT_IN
    from core.spec import checks, problems
    from core.spec.reading import read

    found: list[Problem] = []
    for path in files:
        try:
            found += checks.check(read(_text(path), str(path)), None, BUILT_IN, None)
        except problems.Unreadable as unreadable:
            found += unreadable.problems
    match format:
        case "json":
            print(json.dumps([problems.as_json(p) for p in found], indent=2))
        case "github":
            print(problems.render_github(found), end="")
        case _:
            print(problems.render(found) if found else f"{len(files)} file(s), nothing to say.")
    raise SystemExit(1 if problems.errors(found) else 0)


def plan(file: Annotated[Path, typer.Argument(help="A rollout file.")]) -> None:
    """What would happen when: the timeline, who is told, and what must be approved. Changes nothing."""
    from core import applying
    from core.spec import problems, timeline
    from core.spec.reading import read
    from core.spec.rollout_file import RolloutFile

    with session.service() as service:
        world = service.world()
        try:
            written = read(_text(file), str(file))
            if not isinstance(written, RolloutFile):
                print(f"{file} is not a rollout file; only those have a timeline.", file=sys.stderr)
                raise SystemExit(1)
            planned, warnings = applying.plan_of(written, world, session.now(), lambda handle: handle)
        except problems.Unreadable as unreadable:
            _show(unreadable)
        except Refused as refused:
            session.refuse(refused)
    if warnings:
        print(problems.render(warnings))
    rows = timeline.timeline(planned, world.surfaces[planned.surface], world.policy, session.now())
    print(f"{planned.name}: {planned.surface} {planned.from_version} -> {planned.to_version}, {planned.risk} risk")
    print("\n".join(timeline.lines(rows)))


def apply(
    files: Annotated[list[Path], typer.Argument(help="Surface, policy or rollout files.")], as_json: Json = False
) -> None:
    """Apply files, in order. The same content twice changes nothing."""
    from bot.app import resolver
    from core import applying
    from core.spec import problems

    answers = []
    with session.service() as service:
        for path in files:
            try:
                applied = applying.apply_text(
                    service,
                    _text(path),
                    str(path),
                    by=session.somebody(),
                    at=session.now(),
                    command_id=session.command_id(),
                    resolve_handle=resolver(session.settings()),
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
    from core.spec import writing

    with session.service() as service:
        found = service.world().rollouts.get(rollout.upper())
    if found is None:
        print(f"There is no {rollout}.", file=sys.stderr)
        raise SystemExit(1)
    print(writing.export(found.plan), end="")


def schema() -> None:
    """The JSON Schema of the files, for editors."""
    from core.spec import schema as schemas

    print(json.dumps(schemas.schema(), indent=2))


@evals.command(name="import")
def import_results(
    file: Annotated[Path, typer.Argument(help="CSV with the columns case, category, pass.")],
    rollout: Annotated[str, typer.Option(help="Which rollout they are for, as R-1.")],
    suite: Annotated[str, typer.Option(help="Which gate's suite, where the plan has more than one.")] = "",
    as_json: Json = False,
) -> None:
    """Hand the results of an offline run to the gate that waits for them."""
    from bot.http import evals as results
    from core.service import Request

    with session.service() as service:
        found = service.world().rollouts.get(rollout.upper())
        if found is None:
            print(f"There is no {rollout}.", file=sys.stderr)
            raise SystemExit(1)
        try:
            command = results.record(found, suite, results.read_csv(_text(file)))
            service.handle(
                Request(
                    command=command,
                    command_id=session.command_id(),
                    by=session.somebody(),
                    at=session.now(),
                    rollout=found.id,
                )
            )
        except results.Unreadable as unreadable:
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


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except UnicodeDecodeError:
        raise OSError(f"{path} is not UTF-8 text") from None


def _show(unreadable: "Unreadable") -> NoReturn:
    from core.spec import problems

    print(problems.render(unreadable.problems), file=sys.stderr)
    raise SystemExit(1)
