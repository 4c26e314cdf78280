"""What coding agents may ask for. Each tool answers with the text that the command line prints."""

import io
import re
import tempfile
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from pathlib import Path
from typing import Annotated

from pydantic import Field

from bot.cli import session
from bot.cli.agents.agent_simulations import AgentSimulations
from bot.cli.failures import explain_failure
from core.rollout.refusal import Refused

File = Annotated[str, Field(description="Path of a rollout file (YAML) on this machine.")]
FileText = Annotated[str, Field(description="The text of a rollout file (YAML).", max_length=256 * 1024)]
RolloutId = Annotated[str, Field(description="Id of a rollout, as R-118.", pattern=r"^[Rr]-[0-9]{1,15}$")]
Reason = Annotated[
    str, Field(description="Why, in plain words: people read it in Slack.", min_length=3, max_length=500)
]
CHANGING = frozenset({"apply", "pause", "rollback"})
_MAX_RUNS = 100

# Calls that wait for their turn: each keeps a thread, and a rollback needs one at any time.
_MOST_WAITING, _MOST_SIMULATIONS = 10, 3
_one_at_a_time = threading.Lock()  # what a command prints is caught by replacing standard output
_places = threading.BoundedSemaphore(_MOST_WAITING)
_simulation_places = threading.BoundedSemaphore(_MOST_SIMULATIONS)
SIMULATIONS = AgentSimulations()


class ToolRefused(Exception):
    """The tool did nothing, or found something wrong. The text says what, and what to do."""


def list_rollouts() -> str:
    """Rollouts that are planned or under way."""
    return _run_command("list")


def status(rollout: RolloutId) -> str:
    """Where a rollout stands and what comes next."""
    return _run_command("status", rollout)


def metrics(rollout: RolloutId) -> str:
    """What is known of a rollout now: each metric in both arms, its limit, and what that allows to conclude."""
    return _run_command("metrics", rollout)


def explain(rollout: RolloutId, metric: Annotated[str, Field(pattern=r"^[a-z0-9_]{1,60}$")]) -> str:
    """One metric in words and numbers: what it means, what would make its limit fire, and its trend."""
    return _run_command("explain", rollout, metric)


def evidence(rollout: RolloutId, number: Annotated[int, Field(ge=1)]) -> str:
    """What was known at one recorded piece of evidence, by its number in the history."""
    return _run_command("evidence", str(number), rollout)


def history(rollout: RolloutId) -> str:
    """Everything that happened to a rollout, who did it and why."""
    return _run_command("history", rollout)


def lint(file: File) -> str:
    """Check a rollout file by the policy of the workspace: every problem with its line and a likely correction.
    Changes nothing."""
    return _run_command("lint", "--workspace", file)


def plan(file: File) -> str:
    """Show what a rollout file means: what changes, who is told and when, who approves, and how soon each limit would
    notice harm. Changes nothing."""
    return _run_command("plan", file)


def simulate(
    file: File,
    traffic: Annotated[str, Field(description="Such as 8000/day; empty: what is known of the AI feature.")] = "",
    runs: Annotated[int, Field(ge=1, le=_MAX_RUNS, description="Rollouts to play, for each harm too.")] = 10,
) -> str:
    """Play a rollout file many times with simulated users: how often it would stop without harm, and how soon with
    harm. Takes seconds to minutes. Changes nothing."""
    more = ["--traffic", traffic] if traffic else []
    refusal = (
        f"{_MOST_SIMULATIONS} simulations are under way or wait, so this one was not begun. Try again in some minutes."
    )
    with _take_place(_simulation_places, refusal):
        status, printed = SIMULATIONS.run("simulate", file, "--runs", str(runs), "--jobs", "1", *more)
    return _answer(status, printed)


def apply(file: File) -> str:
    """Plan the rollout of a file, or replace the plan of one that has not started. Its card appears in Slack and
    notices go out; people approve and start it, you cannot. The file must not have a start."""
    return _run_command("apply", file)


def pause(rollout: RolloutId, reason: Reason) -> str:
    """Stop a rollout from growing; whoever has the new version keeps it. Only a person can resume it."""
    return _give_command("pause", rollout, reason)


def rollback(rollout: RolloutId, reason: Reason) -> str:
    """Give everybody the previous version again, within seconds. Ends the rollout."""
    return _give_command("rollback", rollout, reason)


TOOLS: tuple[Callable[..., str], ...] = (
    list_rollouts,
    status,
    metrics,
    explain,
    evidence,
    history,
    lint,
    plan,
    simulate,
    apply,
    pause,
    rollback,
)

RESOURCES: Mapping[str, Callable[[str], str]] = {"status": status, "metrics": metrics, "history": history}
"""What of a rollout can be read as `rampart://rollouts/R-118/status` and so on, by its last word."""


def read_resource(name: str, rollout: str) -> str:
    """One of `RESOURCES`. Raises ToolRefused if `rollout` is no id."""
    if not re.fullmatch(r"[Rr]-[0-9]{1,15}", rollout):
        raise ToolRefused("Name a rollout by its id, as in rampart://rollouts/R-118/status.")
    return RESOURCES[name](rollout)


def run_on_text(tool: Callable[..., str], text: str, **more: object) -> str:
    """A tool that takes a file, on the text of one that is not on this machine."""
    with tempfile.TemporaryDirectory(prefix="rampart-agent-") as folder:
        path = Path(folder) / "rollout.yaml"
        path.write_text(text, encoding="utf-8")
        try:
            return tool(str(path), **more).replace(f"{folder}/", "")
        except ToolRefused as refused:
            raise ToolRefused(str(refused).replace(f"{folder}/", "")) from None


def _run_command(*words: str) -> str:
    """What the command line prints for these words. Raises ToolRefused if its exit status is not 0, or if too many
    calls wait already."""
    from bot.cli.root import app

    refusal = (
        f"{_MOST_WAITING} calls wait already, so this one was not begun. Try again in a minute. Pausing and rolling "
        "back work at any time."
    )
    printed, problems = io.StringIO(), io.StringIO()
    with _take_place(_places, refusal), _one_at_a_time, redirect_stdout(printed), redirect_stderr(problems):
        try:
            app([*words], standalone_mode=False)
            status = 0
        except SystemExit as ended:
            status = ended.code if isinstance(ended.code, int) else 1
        except Exception as error:
            why = explain_failure(error)
            if why is None:
                raise
            print(why, file=problems)
            status = 2
    return _answer(status, printed.getvalue() + (problems.getvalue() if status else ""))


def _answer(status: int, printed: str) -> str:
    if status:
        raise ToolRefused(printed.strip() or "It could not be done.")
    return printed.strip()


@contextmanager
def _take_place(places: threading.BoundedSemaphore, refusal: str) -> Iterator[None]:
    """Within this, the call may wait for its turn; ToolRefused with `refusal` if too many do."""
    if not places.acquire(blocking=False):
        raise ToolRefused(refusal)
    try:
        yield
    finally:
        places.release()


def _give_command(verb: str, rollout: str, reason: str) -> str:
    """Carry out a verb on exactly this rollout; no word of the reason is taken for anything else."""
    from bot.commands import run_verb
    from bot.commands.request import CommandContext
    from bot.commands.verb import VerbArguments
    from bot.commands.verbs import build_command
    from bot.rendering.charts import plain_text

    with session.open_service(urgent=True) as service:
        context = CommandContext(
            service=service,
            by=session.current_user(),
            at=session.current_time(),
            command_id=session.new_command_id(),
            source="mcp",
        )
        command = build_command(verb, VerbArguments(reason=reason))
        try:
            return plain_text.render_text(
                run_verb.submit_command(command, rollout.upper(), context), with_buttons=False
            )
        except Refused as refused:
            raise ToolRefused(f"{refused.message} {refused.hint}".strip()) from None
