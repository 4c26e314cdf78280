"""Commands on sources of metrics: try those of a surface file, and say how the pulls go."""

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from bot.cli import session
from bot.cli.files.read_given_file import read_given_file
from bot.cli.files.report_parts import ago, describe_counted

if TYPE_CHECKING:
    from datetime import datetime

    from core.files.kinds.surface_file import SurfaceFile
    from core.rollout.state.sources import SourceTerms
    from core.store.observations.pulled_sums import PullState

sources = typer.Typer(help="Metrics that are pulled from where they are.", no_args_is_help=True)
Json = Annotated[bool, typer.Option("--json", help="Print JSON.")]


def add_to(app: typer.Typer) -> None:
    """Add these commands to the program."""
    app.add_typer(sources, name="sources")


@sources.command(name="check")
def check_sources(
    file: Annotated[Path, typer.Argument(help="A surface file.")],
    since: Annotated[str, typer.Option(help="How far back to read, as in 24h.")] = "24h",
    query: Annotated[bool, typer.Option("--query", help="Show the whole statement, too.")] = False,
    as_json: Json = False,
) -> None:
    """Check the sources of a surface file and try each: rows, lag, gaps, unknown sides, time and cost. Writes
    nothing."""
    from bot.cli.files import counter_reports, row_reports, trace_reports
    from bot.sources.prometheus.check_source import check_counters
    from bot.sources.source_trial import SourceTrial
    from bot.sources.sql.check_source import check_source
    from bot.sources.traces.check_source import check_traces
    from core.durations import parse_duration

    written = _read_surface_file(file)
    try:
        reach = parse_duration(since)
    except ValueError as error:
        print(f"--since: {error}", file=sys.stderr)
        raise SystemExit(2) from None
    settings, now = session.load_settings(), session.current_time()
    own = {one.name: one.to_metric() for one in written.metrics}
    told: list[Any] = []
    found_problem = False
    for source in written.sources:
        terms = source.to_terms()
        upto, address = now - terms.delay, dict(settings.source_urls).get(terms.url, "")
        trial = SourceTrial(
            terms=terms,
            address=address,
            private_hosts=settings.private_hosts,
            own=own,
            since=upto - reach,
            upto=upto,
        )
        if terms.prometheus is not None:
            grown = check_counters(trial)
            lines = counter_reports.describe(terms, grown, now, query=query)
            told.append(counter_reports.to_json(grown, now, query=query))
            found_problem |= grown.has_problem
        elif terms.traces is not None:
            traced = check_traces(trial)
            lines = trace_reports.describe(terms, traced, now)
            told.append(trace_reports.to_json(traced, now))
            found_problem |= traced.has_problem
        else:
            report = check_source(trial)
            lines = row_reports.describe(terms, report, now, reach, query=query)
            told.append(row_reports.to_json(report, now, query=query))
            found_problem |= report.has_problem
        if not as_json:
            print("\n".join(lines))
    if as_json:
        print(json.dumps(told, indent=2))
    raise SystemExit(1 if found_problem else 0)


@sources.command(name="status")
def show_status(as_json: Json = False) -> None:
    """Show, for every rollout under way, how the pulls of its sources go."""
    from core.store.observations import pulled_sums

    now = session.current_time()
    rows: list[tuple[str, str, PullState]] = []
    terms: dict[tuple[str, str], SourceTerms] = {}
    with session.open_service() as service:
        world = service.load_world()
        for rollout in world.open_rollouts:
            terms |= {(rollout.id, one.name): one for one in world.surfaces[rollout.plan.surface].sources or ()}
            with service.database.reading() as connection:
                states = pulled_sums.load_states(connection, rollout.id)
            rows += [(rollout.id, name, state) for name, state in states.items()]
    if as_json:
        print(json.dumps([_state_to_json(*row) for row in rows], indent=2))
    for rollout_id, name, state in () if as_json else rows:
        counted = describe_counted(state, terms.get((rollout_id, name)))
        newest = f", newest {ago(state.newest_row, now)}" if state.newest_row else ""
        read = f"read {ago(state.pulled_at, now)}, {counted}{newest}" if state.pulled_at else "not read yet"
        print(f"{rollout_id} {name}: {read}")
        if state.failure:
            print(f"  ! {state.failure}")
    if not rows and not as_json:
        print("No rollout under way has a source that was read.")
    raise SystemExit(1 if any(state.failure for _, _, state in rows) else 0)


def _read_surface_file(path: Path) -> "SurfaceFile":
    """The surface file at `path`, with at least one source. Exits if there is none, after printing why."""
    from core.files.checks import check_files
    from core.files.kinds.surface_file import SurfaceFile
    from core.files.syntax import problems
    from core.rollout.plans.policy import DEFAULT_POLICY

    written = read_given_file(path)
    found = check_files.check(written, None, DEFAULT_POLICY, None)
    if errors := problems.select_errors(found):
        print(problems.render_text(errors), file=sys.stderr)
        raise SystemExit(1)
    if not isinstance(written, SurfaceFile) or not written.sources:
        print(f"{path} has no sources: they stand in a surface file, under sources.", file=sys.stderr)
        raise SystemExit(1)
    return written


def _state_to_json(rollout: str, source: str, state: "PullState") -> dict[str, Any]:
    def moment(at: "datetime | None") -> str | None:
        return at.isoformat() if at is not None else None

    return {
        "rollout": rollout,
        "source": source,
        "read_at": moment(state.pulled_at),
        "newest_row": moment(state.newest_row),
        "rows": state.read_rows,
        "counted": state.counted_rows,
        "failing_since": moment(state.failing_since),
        "failure": state.failure,
    }
