"""Commands on files: lint, plan, apply, export."""

import json
import sys
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, NoReturn

import typer

from bot.cli import session
from bot.cli.files import prompt_files
from core.rollout.refusal import Refused

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

    from core.files.foresight.detection import LimitForesight
    from core.files.foresight.known_traffic import KnownTraffic
    from core.files.foresight.timeline import TimelineRow
    from core.files.read_file import AnyFile
    from core.files.rollout_file import RolloutFile
    from core.files.syntax.problems import FileProblem, UnreadableFile
    from core.metrics.catalogue import Metric
    from core.metrics.own_metrics import OwnMetrics
    from core.rollout.plans.plan import Plan
    from core.rollout.state.world import World

Json = Annotated[bool, typer.Option("--json", help="Print JSON.")]


def add_to(app: typer.Typer) -> None:
    """Add these commands to the program."""
    app.command()(lint)
    app.command()(plan)
    app.command()(apply)
    app.command()(create)
    app.command()(export)
    app.command(name="schema")(schema)


def lint(
    files: Annotated[list[Path], typer.Argument(help="Rollout, surface or policy files.")],
    format: Annotated[str, typer.Option(help="text, github or json.")] = "text",  # noqa: A002
) -> None:
    """Check files without a database. Shows every problem with its line and a likely correction."""
    from bot.rendering import wording
    from core.files.checks import check_files
    from core.files.read_file import parse_file
    from core.files.syntax import problems
    from core.rollout.plans.policy import DEFAULT_POLICY

    found: list[FileProblem] = []
    written: list[AnyFile] = []
    own_metrics = collect_own_metrics(files)
    for path in files:
        try:
            written.append(parse_file(_read_text(path), str(path), prompt_files.read_beside(path), own_metrics))
            found += check_files.check(written[-1], None, DEFAULT_POLICY, None)
        except problems.UnreadableFile as unreadable:
            found += unreadable.problems
    found += check_files.check_together(written)
    match format:
        case "json":
            print(json.dumps([problems.to_json(p) for p in found], indent=2))
        case "github":
            print(problems.render_github(found), end="")
        case _:
            print(
                problems.render_text(found) if found else f"{wording.pluralize(len(files), 'file')}, no problems found."
            )
    raise SystemExit(1 if problems.select_errors(found) else 0)


def collect_own_metrics(files: "Sequence[Path]") -> "OwnMetrics | None":
    """What the surface and policy files among these define; None if there are none. Problems in them are not told."""
    from core.files.policy_file import PolicyFile
    from core.files.read_file import parse_file
    from core.files.surface_file import SurfaceFile
    from core.files.syntax.problems import UnreadableFile
    from core.metrics.own_metrics import OwnMetrics

    everywhere: list[Metric] = []
    by_surface: dict[str, tuple[Metric, ...]] = {}
    found = False
    for path in files:
        with suppress(UnreadableFile):
            file = parse_file(_read_text(path), str(path), prompt_files.read_beside(path))
            defined = () if file.kind == "rollout" else tuple(terms.to_metric() for terms in file.metrics)
            match file:
                case SurfaceFile():
                    found, by_surface[file.surface] = True, defined
                case PolicyFile():
                    found, everywhere = True, [*everywhere, *defined]
                case _:
                    continue
    return OwnMetrics(everywhere=tuple(everywhere), by_surface=by_surface) if found else None


def plan(file: Annotated[Path, typer.Argument(help="A rollout file.")], as_json: Json = False) -> None:
    """Show what changes, what would happen when, who is notified and approves, and what could be detected. Changes
    nothing."""
    from bot.commands.answers import version_queries
    from bot.rendering import wording
    from bot.rendering.answers.planning import plan_foresight
    from bot.rendering.documents import difference_text
    from bot.rendering.messages import layer_words, plan_facts
    from bot.rendering.numbers import unseen_by_evals
    from core.files import build_plan
    from core.files.foresight import detection, timeline
    from core.files.syntax import problems
    from core.report_sources import eval_coverage, traffic_history
    from core.rollout.serving import layering

    try:
        with session.open_service() as service:
            world, now = service.load_world(), session.current_time()
            written = _read_rollout_file(file, world)
            plan, warnings = _build_plan(written, world, now)
            known = traffic_history.load_known_traffic(service, world.surfaces[plan.surface], world, now)
            planned = world.find_rollout(plan.name)
            evals = planned.evals if planned is not None and planned.plan.to_version == plan.to_version else {}
            coverage = eval_coverage.load_coverage(service, plan, world, evals)
    except Refused as refused:
        session.exit_refused(refused)
    rows = timeline.build_timeline(plan, world.surfaces[plan.surface], world.policy, now)
    design = detection.design_from_plan(plan, world.policy)
    seen = [detection.foresee_limits(design, stage, known) for stage in design.compared_stages]
    pair = version_queries.build_plan_pair(plan, world.surfaces[plan.surface])
    if as_json:
        shown = _plan_as_json(plan, rows, warnings, [one for of in seen for one in of], known)
        changes = difference_text.pair_to_json(pair)
        print(json.dumps({**shown, "changes": changes, "evals": unseen_by_evals.coverage_to_json(coverage)}, indent=2))
        return
    if others := [warning for warning in warnings if not warning.message.startswith(detection.TOO_LATE_PREFIX)]:
        print(problems.render_text(others))
    print(f"{plan.name}: {plan.surface} {plan.from_version} -> {plan.to_version}, {plan.risk} risk")
    print("\nWhat changes")
    print("\n".join(difference_text.format_lines(pair)[1:]))
    print("\nWhat people will notice")
    print("\n".join(f"  {wording.to_plain_text(line)}" for line in plan_facts.list_noticed(plan)))
    print("\nWhen")
    print("\n".join(timeline.format_lines(rows)))
    if layer := layer_words.describe_plan(plan, layering.find_planned_reach(plan, world.policy)):
        print(f"{layer_words.TITLE}: {wording.to_plain_text(layer)}")
    if baseline := build_plan.find_baseline_used(written, world.surfaces[plan.surface]):
        print(plan_foresight.describe_sample_sizes(plan, baseline))
    if lines := unseen_by_evals.list_lines(plan, evals, coverage):
        print(f"\n{unseen_by_evals.TITLE}")
        print("\n".join(f"  {wording.to_plain_text(line)}" for line in lines))
    if not seen or not seen[0]:
        return
    print()
    print("\n".join(plan_foresight.render_lines(seen[0], known)))
    for warning in plan_foresight.render_warnings(seen[0], plan.risk, seen[1:]):
        typer.secho(f"  ! {warning}", fg=typer.colors.RED)


def load_plan(path: Path, world: "World", now: "datetime") -> "tuple[Plan, tuple[FileProblem, ...]]":
    """The plan of a rollout file in this world, and what is unwise about it.

    Exits if the file cannot be read, after printing why. `Refused` is left to the caller.
    """
    return _build_plan(_read_rollout_file(path, world), world, now)


def _build_plan(file: "RolloutFile", world: "World", now: "datetime") -> "tuple[Plan, tuple[FileProblem, ...]]":
    from core import apply_file
    from core.files.syntax import problems

    try:
        return apply_file.plan_from_file(file, world, now, lambda handle: handle)
    except problems.UnreadableFile as unreadable:
        _exit_unreadable(unreadable)


def _read_rollout_file(path: Path, world: "World") -> "RolloutFile":
    """The rollout file at `path`. Exits if it cannot be read, after printing why."""
    from core.files.read_file import parse_file
    from core.files.rollout_file import RolloutFile
    from core.files.syntax import problems

    try:
        written = parse_file(_read_text(path), str(path), prompt_files.read_beside(path), world.own_metrics)
        if not isinstance(written, RolloutFile):
            print(f"{path} is not a rollout file; only those have a plan.", file=sys.stderr)
            raise SystemExit(1)
    except problems.UnreadableFile as unreadable:
        _exit_unreadable(unreadable)
    return written


def _plan_as_json(
    plan: "Plan",
    rows: "Sequence[TimelineRow]",
    warnings: "Sequence[FileProblem]",
    seen: "Sequence[LimitForesight]",
    known: "KnownTraffic",
) -> dict[str, object]:
    from bot.rendering.answers.planning import plan_foresight
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
        "limits": [plan_foresight.to_json(one) for one in seen],
        "warnings": [problems.to_json(warning) for warning in warnings],
    }


def apply(
    files: Annotated[list[Path], typer.Argument(help="Surface, policy or rollout files.")], as_json: Json = False
) -> None:
    """Apply files in order. Applying the same content again changes nothing."""
    from bot.connections import build_handle_resolver, build_outbound_client
    from core import apply_file
    from core.files.syntax import problems

    # read all files first, so that a missing one stops the command before anything is applied
    texts = [_read_text(path) for path in files]
    answers = []
    with session.open_service() as service:
        refusal = build_outbound_client(session.load_settings()).explain_refusal
        for path, text in zip(files, texts, strict=True):
            try:
                applied = apply_file.apply_text(
                    service,
                    text,
                    str(path),
                    by=session.current_user(),
                    at=session.current_time(),
                    command_id=session.new_command_id(),
                    resolve_handle=build_handle_resolver(session.load_settings()),
                    read_prompt=prompt_files.read_beside(path),
                    explain_undrivable=refusal,
                )
            except problems.UnreadableFile as unreadable:
                _exit_unreadable(unreadable)
            except Refused as refused:
                session.exit_refused(refused)
            answers.append({"kind": applied.kind, "id": applied.id, "changed": applied.changed})
            if not as_json:
                if applied.warnings:
                    print(problems.render_text(applied.warnings))
                print(f"{applied.kind} {applied.id}: {'applied' if applied.changed else 'nothing changed'}")
    if as_json:
        print(json.dumps(answers, indent=2))


def create(
    surface: Annotated[str, typer.Argument(help="The AI feature; without it, the first one.")] = "",
) -> None:
    """Print a rollout file to fill in: from what is live on an AI feature, with the usual limits."""
    from bot.commands.answers import plan_queries
    from core.files import rollout_form

    try:
        with session.open_service() as service:
            world = service.load_world()
        found = world.surfaces[plan_queries.find_surface(world, surface)]
    except Refused as refused:
        session.exit_refused(refused)
    print(rollout_form.write_starting_file(found, world.policy), end="")


def export(
    rollout: Annotated[str, typer.Argument(help="Its id, such as R-1.")],
    again: Annotated[bool, typer.Option("--again", help="For another attempt: a new name, from what is live.")] = False,
) -> None:
    """Print a rollout as a file that reads back to the same plan."""
    from bot.commands.answers import investigation_queries
    from core.files import write_file

    with session.open_service() as service:
        world = service.load_world()
        found = world.find_rollout(rollout.upper())
        name = investigation_queries.choose_next_name(world, found.plan.name) if found is not None else ""
    if found is None:
        print(f"There is no {rollout}.", file=sys.stderr)
        raise SystemExit(1)
    if again:
        print(write_file.export_next_attempt(found.plan, name, world.surfaces[found.plan.surface].live), end="")
        return
    print(write_file.export_plan(found.plan), end="")


def schema() -> None:
    """Print the JSON Schema of the files, for editors."""
    from core.files import json_schema as schemas

    print(json.dumps(schemas.build_schema(), indent=2))


def _read_text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except UnicodeDecodeError:
        raise OSError(f"{path} is not UTF-8 text") from None


def _exit_unreadable(unreadable: "UnreadableFile") -> NoReturn:
    from core.files.syntax import problems

    print(problems.render_text(unreadable.problems), file=sys.stderr)
    raise SystemExit(1)
