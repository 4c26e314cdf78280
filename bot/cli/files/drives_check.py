"""`rollout drives check`: where what a rollout file drives is now, and what the plan would do. Writes nothing."""

import json
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from bot.cli import session
from bot.cli.files.read_given_file import read_given_file

if TYPE_CHECKING:
    from bot.settings import Settings
    from core.files.kinds.rollout_file import RolloutFile
    from core.rollout.plans.plan import DrivenFlag

drives = typer.Typer(help="Flags and labels of other systems that rollouts drive.", no_args_is_help=True)


def add_to(app: typer.Typer) -> None:
    """Add this command to the program."""
    app.add_typer(drives, name="drives")


@drives.command(name="check")
def check_drives(
    file: Annotated[Path, typer.Argument(help="A rollout file.")],
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Read every flag and label that a rollout file drives, and say what the plan would set it to. Writes nothing."""
    written, settings = _read_rollout_file(file), session.load_settings()
    percents = [stage.percent for entry in written.stage_entries for stage in entry.to_stages()]
    driven = [entry.to_driven_flag() for entry in written.driven_entries]
    reports = [_check(settings, one, percents) for one in driven]
    if as_json:
        print(json.dumps(reports, indent=2))
    else:
        print("\n".join(_describe(report, one) for report, one in zip(reports, driven, strict=True)))
    raise SystemExit(1 if any(report["problem"] for report in reports) else 0)


def _check(settings: "Settings", driven: "DrivenFlag", percents: list[float]) -> dict[str, Any]:
    from bot.outbound.errors import PermanentFailure, RetryLater
    from bot.startup import connections

    steps = list(dict.fromkeys(driven.percent_at(percent) for percent in percents))
    report: dict[str, Any] = {
        "flag": driven.title,
        "percent": None,
        "seconds": None,
        "steps": steps,
        "problem": "",
        "doubt": "",
    }
    begin = time.monotonic()
    try:
        system = connections.open_flag_system(settings, connections.build_outbound_client(settings), driven)
        report["percent"] = system.read()
        report["seconds"] = round(time.monotonic() - begin, 3)
        for step in (*steps, 0.0):
            system.rehearse(step)
        report["doubt"] = system.explain_doubt()
    except (PermanentFailure, RetryLater) as failure:
        report["problem"] = str(failure)
    return report


def _describe(report: dict[str, Any], driven: "DrivenFlag") -> str:
    def place(percent: float) -> str:
        if not driven.is_label:
            return f"{percent:g} %"
        return f"version {driven.new if percent >= 100 else driven.old}"

    read = "was not read"
    if report["seconds"] is not None:
        gives = "gives the new version to" if driven.is_label else "is at"
        read = f"{gives} {report['percent']:g} %, read in {report['seconds']:g} s"
    steps = ", ".join(place(step) for step in report["steps"])
    said = report["problem"] or report["doubt"]
    problem = f"\n  ! {said}" if said else ""
    return f"{report['flag']} {read}. The plan sets {steps}; a rollback {place(0)}. Nothing was written.{problem}"


def _read_rollout_file(path: Path) -> "RolloutFile":
    """The rollout file at `path`, which drives something. Exits if there is none, after printing why."""
    from core.files.kinds.rollout_file import RolloutFile

    written = read_given_file(path)
    if not isinstance(written, RolloutFile) or written.drives is None:
        print(f"{path} drives nothing: this reads what a rollout file says under `drives`.", file=sys.stderr)
        raise SystemExit(1)
    return written
