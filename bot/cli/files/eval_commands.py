"""Commands on the results of offline evals: hand them to the gate that waits for them, or check them in CI."""

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal, NoReturn, assert_never

import typer

from bot.cli import session, text_files
from bot.cli.files import file_commands
from core.rollout.refusal import Refused

if TYPE_CHECKING:
    from core.evals.eval_run import EvalRun, ReadingChoices
    from core.rollout.commands import RecordEval

OutputFormat = Literal["text", "github", "json"]
Results = Annotated[
    Path,
    typer.Argument(
        help="Results of promptfoo, Inspect, DeepEval, MLflow or OpenAI Evals, JUnit XML, CSV, Parquet, or JSON."
    ),
]
Baseline = Annotated[Path | None, typer.Option(help="Results of the current version, from a file of their own.")]
Suite = Annotated[str, typer.Option(help="The gate's suite, if the plan has more than one gate.")]
Scorer = Annotated[str, typer.Option(help="The scorer that decides; without it all of them have to pass.")]
PassAt = Annotated[float | None, typer.Option(help="The score from which on a case passes, if scores are numbers.")]
Encoding = Annotated[str, typer.Option(help="The encoding of a CSV file that is not UTF-8, such as windows-1252.")]
Format = Annotated[OutputFormat, typer.Option(help="text, github (annotations of a workflow run) or json.")]
Json = Annotated[bool, typer.Option("--json", help="The same as --format json.")]

evals = typer.Typer(help="Results of offline evals.", no_args_is_help=True)


def add_to(app: typer.Typer) -> None:
    """Add these commands to the program."""
    app.add_typer(evals, name="evals")


@evals.command(name="import")
def import_results(
    file: Results,
    rollout: Annotated[str, typer.Option(help="The rollout they are for; else the only one that waits.")] = "",
    baseline: Baseline = None,
    suite: Suite = "",
    scorer: Scorer = "",
    pass_at: PassAt = None,
    encoding: Encoding = "",
    format: Format = "text",  # noqa: A002
    as_json: Json = False,
) -> None:
    """Hand the results of an offline run to the gate that waits for them. Exits with 0 if its terms are met."""
    from core.evals.eval_run import ReadingChoices, UnreadableEvals
    from core.rollout.decisions.eval_command import build_eval_command, find_waiting_rollout
    from core.rollout.state.model import RolloutState
    from core.service.service import CommandRequest

    form: OutputFormat = "json" if as_json else format
    with session.open_service() as service:
        world = service.load_world()
        try:
            found = (
                world.require_rollout(rollout.upper(), hint="See rollout list.")
                if rollout
                else find_waiting_rollout(world.open_rollouts, suite)
            )
            choices = ReadingChoices(dimensions=found.plan.segments, scorer=scorer, pass_at=pass_at, encoding=encoding)
            run = _read_files(file, baseline, choices)
            command = build_eval_command(found, suite, run)
            handled = service.handle(
                CommandRequest(
                    command=command,
                    command_id=session.new_command_id(),
                    by=session.current_user(),
                    at=session.current_time(),
                    rollout=found.id,
                )
            )
        except UnreadableEvals as unreadable:
            _exit_unreadable(file, str(unreadable), form)
        except Refused as refused:
            session.exit_refused(refused)
    is_held = handled.rollout is not None and handled.rollout.state is RolloutState.ON_HOLD
    still = f' {found.id} is still on hold: rollout resume {found.id} "why"' if is_held else ""
    _exit_with_outcome(command, run, file, form, still)


@evals.command(name="check")
def check_results(
    file: Results,
    plan: Annotated[Path, typer.Option(help="The rollout file whose gate they have to pass.")],
    surface: Annotated[
        Path | None, typer.Option(help="Its surface file, if it names metrics that are defined there.")
    ] = None,
    baseline: Baseline = None,
    suite: Suite = "",
    scorer: Scorer = "",
    pass_at: PassAt = None,
    encoding: Encoding = "",
    format: Format = "text",  # noqa: A002
    as_json: Json = False,
) -> None:
    """Hold results against the gate of a rollout file, without a database and without recording anything, as in CI."""
    from core.evals.eval_run import ReadingChoices, UnreadableEvals
    from core.files import build_plan
    from core.files.kinds.rollout_file import RolloutFile
    from core.files.read_file import parse_file
    from core.files.syntax import problems
    from core.rollout.decisions.eval_command import GateSubject, judge_run

    try:
        own = file_commands.collect_own_metrics([surface] if surface is not None else [])
        parsed = parse_file(text_files.read_text(plan), str(plan), own_metrics=own)
    except problems.UnreadableFile as unreadable:
        print(problems.render_text(unreadable.problems), file=sys.stderr)
        raise SystemExit(1) from None
    if not isinstance(parsed, RolloutFile):
        print(f"{plan} is not a rollout file.", file=sys.stderr)
        raise SystemExit(1)
    subject = GateSubject(
        title=parsed.rollout,
        stages=build_plan.build_stages(parsed),
        from_version=parsed.change.from_version,
        to_version=parsed.change.to.version or "",
    )
    choices = ReadingChoices(
        dimensions=build_plan.select_segments(parsed), scorer=scorer, pass_at=pass_at, encoding=encoding
    )
    form: OutputFormat = "json" if as_json else format
    try:
        run = _read_files(file, baseline, choices)
        outcome = judge_run(subject, suite, run)
    except UnreadableEvals as unreadable:
        _exit_unreadable(file, str(unreadable), form)
    except Refused as refused:
        session.exit_refused(refused)
    _exit_with_outcome(outcome, run, file, form)


def _read_files(file: Path, baseline: Path | None, choices: "ReadingChoices") -> "EvalRun":
    """The results in the files. Parquet is read by a process of its own, which a damaged file may end."""
    import gc

    from core.evals import read_run
    from core.evals.eval_run import UnreadableEvals

    bodies = file.read_bytes(), baseline.read_bytes() if baseline else None
    if not any(body is not None and read_run.is_parquet(body) for body in bodies):
        gc.disable()  # all that is read stays until the end; looking for garbage in it took half of the time
        return read_run.read_with_current(*bodies, choices)
    from concurrent.futures import ProcessPoolExecutor
    from concurrent.futures.process import BrokenProcessPool
    from multiprocessing import get_context

    with ProcessPoolExecutor(max_workers=1, mp_context=get_context("spawn")) as reader:
        try:
            return reader.submit(read_run.read_with_current, *bodies, choices).result()
        except BrokenProcessPool:
            raise UnreadableEvals("The Parquet file is damaged. Export it again.") from None


def _exit_with_outcome(
    outcome: "RecordEval", run: "EvalRun", file: Path, form: OutputFormat, still: str = ""
) -> NoReturn:
    """Print what the gate says and exit: 0 if its terms are met, 1 if not. `still` is what keeps the rollout where it
    is although they are met."""
    from core.files.syntax.problems import format_annotation

    counted = {"passed": outcome.passed, "failed": outcome.failed, "errors": outcome.errors}
    errors = "1 error" if outcome.errors == 1 else f"{outcome.errors} errors"
    summary = f"{outcome.passed} passed, {outcome.failed} failed, {errors}"
    made_by = f" ({run.tool})" if run.tool else ""
    match form:
        case "json":
            print(json.dumps({**counted, "ok": outcome.ok, "reasons": outcome.reasons, "cases": outcome.cases}))
        case "github":
            title = f"{outcome.suite or 'Checks'}: {summary}"
            for reason in outcome.reasons:
                print(format_annotation("error", reason, file=str(file), title=title))
            if outcome.ok:
                print(format_annotation("notice", f"The gate has passed.{still}", file=str(file), title=title))
        case "text":
            print(f"{summary}{made_by}")
            print("\n".join(outcome.reasons) or f"The gate has passed.{still}")
        case _:
            assert_never(form)
    raise SystemExit(0 if outcome.ok else 1)


def _exit_unreadable(file: Path, why: str, form: OutputFormat) -> NoReturn:
    """Say what is wrong with the results and exit with 1."""
    from core.files.syntax.problems import format_annotation

    if form == "github":
        print(format_annotation("error", why, file=str(file), title="These eval results cannot be used"))
    print(f"{file}: {why}", file=sys.stderr)
    raise SystemExit(1)
