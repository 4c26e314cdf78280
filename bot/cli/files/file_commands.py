"""Commands on files: lint, plan, apply, export."""

import json
import sys
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal, NoReturn

import typer

from bot.cli import session, text_files
from bot.cli.files import prompt_files
from core.rollout.refusal import Refused

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

    from bot.rendering.answers.served.version_answers import VersionPair
    from core.files.kinds.rollout_file import RolloutFile
    from core.files.read_file import AnyFile
    from core.files.syntax.problems import FileProblem, UnreadableFile
    from core.metrics.catalogue import Metric
    from core.metrics.own_metrics import OwnMetrics
    from core.report_sources.planned_file import PlannedFile
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
    format: Annotated[Literal["text", "github", "json"], typer.Option(help="How it is printed.")] = "text",  # noqa: A002
    workspace: Annotated[bool, typer.Option("--workspace", help="By the policy of the database.")] = False,
) -> None:
    """Check files without a database. Shows every problem with its line and a likely correction."""
    from bot.rendering import wording
    from core.files.checks import check_files
    from core.files.read_file import parse_file
    from core.files.syntax import problems
    from core.rollout.plans.policy import DEFAULT_POLICY

    problems_by_path: dict[Path, Sequence[FileProblem]] = {}
    written: list[AnyFile] = []
    beside: set[Path] = set()  # texts that belong to another file, as anchors do in surfaces/*.yaml
    own_metrics, policy = collect_own_metrics(files), DEFAULT_POLICY
    if workspace:
        with session.open_service() as service:
            world = service.load_world()
        policy, own_metrics = world.policy, own_metrics or world.own_metrics
    for path in files:
        try:
            read = prompt_files.read_beside(path, beside.add)
            written.append(parse_file(text_files.read_text(path), str(path), read, own_metrics))
            problems_by_path[path] = tuple(check_files.check(written[-1], None, policy, None))
        except problems.UnreadableFile as unreadable:
            problems_by_path[path] = unreadable.problems
    checked = [path for path in files if path.resolve() not in beside]
    found = [one for path in dict.fromkeys(checked) for one in problems_by_path[path]]
    found += check_files.check_together(written)
    match format:
        case "json":
            print(json.dumps([problems.to_json(p) for p in found], indent=2))
        case "github" if found:
            print(problems.render_github(found))
        case "github":
            pass
        case "text":
            print(
                problems.render_text(found)
                if found
                else f"{wording.pluralize(len(checked), 'file')}, no problems found."
            )
    raise SystemExit(1 if problems.select_errors(found) else 0)


def collect_own_metrics(files: "Sequence[Path]") -> "OwnMetrics | None":
    """What the surface and policy files among these define; None if there are none. Problems in them are not told."""
    from core.files.kinds.bundle_file import BundleFile
    from core.files.kinds.policy_file import PolicyFile
    from core.files.kinds.rollout_file import RolloutFile
    from core.files.kinds.surface_file import SurfaceFile
    from core.files.read_file import parse_file
    from core.files.syntax.problems import UnreadableFile
    from core.metrics.own_metrics import OwnMetrics

    everywhere: list[Metric] = []
    by_surface: dict[str, tuple[Metric, ...]] = {}
    found = False
    for path in files:
        with suppress(UnreadableFile):
            file = parse_file(text_files.read_text(path), str(path), prompt_files.read_beside(path))
            if isinstance(file, RolloutFile | BundleFile):
                continue
            defined = tuple(terms.to_metric() for terms in file.metrics)
            match file:
                case SurfaceFile():
                    found, by_surface[file.surface] = True, defined
                case PolicyFile():
                    found, everywhere = True, [*everywhere, *defined]
    return OwnMetrics(everywhere=tuple(everywhere), by_surface=by_surface) if found else None


def plan(
    file: Annotated[Path, typer.Argument(help="A rollout or bundle file.")],
    as_json: Json = False,
    format: Annotated[Literal["text", "markdown", "json"], typer.Option(help="How it is printed.")] = "text",  # noqa: A002
) -> None:
    """Show what changes, what would happen when, who is notified and approves, and what could be detected. Changes
    nothing."""
    from bot.commands.answers import version_queries
    from bot.rendering.documents import plan_document
    from bot.rendering.json.plans import plan_to_json
    from core.files.syntax import problems
    from core.report_sources.planned_file import plan_files

    try:
        with session.open_service() as service:
            bundle, planned = plan_files(
                service, text_files.read_text(file), str(file), session.current_time(), prompt_files.read_beside(file)
            )
            zone = service.cached_world().policy.timezone
    except Refused as refused:
        session.exit_refused(refused)
    except problems.UnreadableFile as unreadable:
        _exit_unreadable(unreadable)
    pairs = [(one, version_queries.build_plan_pair(one.plan, one.surface)) for one in planned]
    match "json" if as_json else format:
        case "json":
            shown = [plan_to_json(one, pair) for one, pair in pairs]
            print(json.dumps({"bundle": bundle, "rollouts": shown} if bundle else shown[0], indent=2))
        case "markdown":
            print("\n".join(plan_document.render_markdown(one, pair, zone) for one, pair in pairs), end="")
        case "text":
            for number, (one, pair) in enumerate(pairs):
                print("\n" * (number > 0), end="")
                _print_plan(one, pair)


def _print_plan(planned: "PlannedFile", pair: "VersionPair") -> None:
    from bot.rendering import wording
    from bot.rendering.answers.planning import plan_foresight
    from bot.rendering.documents import difference_text
    from bot.rendering.messages import plan_facts
    from bot.rendering.messages.audience import holdout_words, layer_words
    from bot.rendering.neighbours import shared_words
    from bot.rendering.numbers.detectability import power_words, unseen_by_evals
    from bot.rendering.sentences import driven_words, schedule
    from core.files import build_plan
    from core.files.foresight import timeline
    from core.files.syntax import problems

    plan, outlook = planned.plan, planned.outlook
    if others := [one for one in planned.warnings if not one.is_forecast]:
        print(problems.render_text(others))
    print(f"{plan.name}: {plan.surface} {plan.from_version} -> {plan.to_version}, {plan.risk} risk")
    print("\nWhat changes")
    print("\n".join(difference_text.format_lines(pair)[1:]))
    if planned.shared:
        print("\nOther rollouts")
        print("\n".join(f"  {wording.to_plain_text(shared_words.describe(one))}" for one in planned.shared))
    if plan.driven:
        print("\nWhat it drives")
        print("\n".join(f"  {wording.to_plain_text(line)}" for line in driven_words.list_driven(plan)))
    print("\nWhat people will notice")
    print("\n".join(f"  {wording.to_plain_text(line)}" for line in plan_facts.list_noticed(plan)))
    print(f"\n{schedule.PLAN_DATES_TITLE}")
    print("\n".join(timeline.format_lines(outlook.rows)))
    if layer := layer_words.describe_plan(plan, outlook.reach):
        print(f"{layer_words.TITLE}: {wording.to_plain_text(layer)}")
    if held := holdout_words.describe_plan(plan):
        print(f"{holdout_words.TITLE}: {wording.to_plain_text(held)}")
    if baseline := build_plan.find_baseline_used(planned.file, planned.surface):
        print(plan_foresight.describe_sample_sizes(plan, baseline))
    if lines := unseen_by_evals.list_lines(plan, planned.evals, outlook.coverage):
        print(f"\n{unseen_by_evals.TITLE}")
        print("\n".join(f"  {wording.to_plain_text(line)}" for line in lines))
    if long := power_words.list_lines(outlook.comparisons, outlook.known):
        print(f"\n{power_words.TITLE}")
        print("\n".join(f"  {wording.to_plain_text(line)}" for line in long))
        for warning in power_words.list_warnings(outlook.comparisons):
            typer.secho(f"  ! {warning}", fg=typer.colors.RED)
    if not outlook.foreseen or not outlook.foreseen[0]:
        return
    print()
    print("\n".join(plan_foresight.render_lines(outlook.foreseen[0], outlook.known)))
    for warning in plan_foresight.render_warnings(outlook.foreseen[0], plan.risk, outlook.foreseen[1:]):
        typer.secho(f"  ! {warning}", fg=typer.colors.RED)


def load_plan(path: Path, world: "World", now: "datetime") -> "tuple[Plan, tuple[FileProblem, ...]]":
    """The plan of a rollout file in this world, and what is unwise about it.

    Exits if the file cannot be read, after printing why. `Refused` is left to the caller.
    """
    return _build_plan(_read_rollout_file(path, world), world, now)


def _build_plan(file: "RolloutFile", world: "World", now: "datetime") -> "tuple[Plan, tuple[FileProblem, ...]]":
    from core.files.plan_from_file import plan_from_file
    from core.files.syntax import problems

    try:
        return plan_from_file(file, world, now, lambda handle: handle)
    except problems.UnreadableFile as unreadable:
        _exit_unreadable(unreadable)


def _read_rollout_file(path: Path, world: "World") -> "RolloutFile":
    """The rollout file at `path`. Exits if it cannot be read, after printing why."""
    from core.files.kinds.rollout_file import RolloutFile
    from core.files.read_file import parse_file
    from core.files.syntax import problems

    try:
        written = parse_file(text_files.read_text(path), str(path), prompt_files.read_beside(path), world.own_metrics)
        if not isinstance(written, RolloutFile):
            print(f"{path} is not a rollout file; only those have a plan.", file=sys.stderr)
            raise SystemExit(1)
    except problems.UnreadableFile as unreadable:
        _exit_unreadable(unreadable)
    return written


def apply(
    files: Annotated[list[Path], typer.Argument(help="Surface, policy or rollout files.")], as_json: Json = False
) -> None:
    """Apply files in order. Applying the same content again changes nothing."""
    from bot.startup.connections import build_directory, build_file_lookups
    from core.files.syntax import problems
    from core.service import apply_file

    # read all files first, so that a missing one stops the command before anything is applied
    texts = [text_files.read_text(path) for path in files]
    answers = []
    with session.open_service() as service:
        settings = session.load_settings()
        lookups = build_file_lookups(settings, build_directory(settings))
        for path, text in zip(files, texts, strict=True):
            try:
                applied = apply_file.apply_text(
                    service,
                    text,
                    str(path),
                    by=session.current_user(),
                    at=session.current_time(),
                    command_id=session.new_command_id(),
                    lookups=lookups,
                    read_prompt=prompt_files.read_beside(path),
                )
            except problems.UnreadableFile as unreadable:
                _exit_unreadable(unreadable)
            except Refused as refused:
                session.exit_refused(refused)
            named = {"rollouts": list(applied.rollouts)} if applied.rollouts else {}
            answers.append({"kind": applied.kind, "id": applied.id, "changed": applied.changed, **named})
            if not as_json:
                if applied.warnings:
                    print(problems.render_text(applied.warnings))
                members = f" ({', '.join(applied.rollouts)})" if applied.rollouts else ""
                print(f"{applied.kind} {applied.id}{members}: {'applied' if applied.changed else 'nothing changed'}")
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
        try:
            found = world.require_rollout(rollout.upper(), hint="See rollout list.")
        except Refused as refused:
            session.exit_refused(refused)
        name = investigation_queries.choose_next_name(world, found.plan.name)
    if again:
        print(write_file.export_next_attempt(found.plan, name, world.surfaces[found.plan.surface].live), end="")
        return
    print(write_file.export_plan(found.plan), end="")


def schema() -> None:
    """Print the JSON Schema of the files, for editors."""
    from core.files import json_schema as schemas

    print(json.dumps(schemas.build_schema(), indent=2))


def _exit_unreadable(unreadable: "UnreadableFile") -> NoReturn:
    from core.files.syntax import problems

    print(problems.render_text(unreadable.problems), file=sys.stderr)
    raise SystemExit(1)
