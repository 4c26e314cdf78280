"""The command that tries a plan out many times, with simulated or recorded traffic and the real engine."""

import json
import os
import re
from collections.abc import Iterator, Mapping
from concurrent.futures import ProcessPoolExecutor
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from bot.cli import progress, session, text_files
from bot.cli.files import file_commands
from core.rollout.refusal import Refused

if TYPE_CHECKING:
    from core.metrics.catalogue import Metric
    from core.metrics.observation import Observation
    from core.rollout.plans.plan import Plan
    from core.simulation.recorded import Recording
    from core.simulation.run import SimulatedRun
    from core.simulation.study import Study, StudyTask

_PACE = re.compile(r"([\d_,]+(?:\.\d+)?)\s*/\s*(day|d|h|hour|min|m|s|sec)", re.ASCII)
_A_DAY = {"d": 1, "day": 1, "h": 24, "hour": 24, "m": 1440, "min": 1440, "s": 86_400, "sec": 86_400}


def add_to(app: typer.Typer) -> None:
    """Add these commands to the program."""
    app.command()(simulate)


def simulate(
    file: Annotated[Path, typer.Argument(help="A rollout file.")],
    runs: Annotated[int, typer.Option(min=1, help="Number of rollouts without harm, and with each harm.")] = 40,
    traffic: Annotated[
        str, typer.Option(help="Such as 8000/day or 2000/min; by default, the surface's daily_requests.")
    ] = "",
    harm: Annotated[
        list[str] | None,
        typer.Option(help="Such as refusal_rate=+6pp; repeatable. By default, each limit is exceeded twofold."),
    ] = None,
    recorded: Annotated[Path | None, typer.Option(help="Observations to draw from, as JSON or one per line.")] = None,
    looks: Annotated[int, typer.Option(min=1, help="Looks per run, over all its stages.")] = 60,
    seed: Annotated[int, typer.Option(min=0, help="The same seed gives the same report.")] = 1,
    jobs: Annotated[
        int | None, typer.Option(min=1, help="Processes that simulate; by default, one per processor.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Try out a plan before anybody sees it: how often would it stop without harm, and how soon with harm?"""
    from bot.rendering.answers.planning import simulation
    from core.report_sources import traffic_history
    from core.simulation import harm as harms
    from core.simulation import recorded as recorded_traffic
    from core.simulation.study import Study, summarise_study

    try:
        with session.open_service() as service:
            world, now = service.load_world(), session.current_time()
            plan, warnings = file_commands.load_plan(file, world, now)
            known = traffic_history.load_known_traffic(service, world.surfaces[plan.surface], world, now)
        del warnings  # shown by `plan` and `apply`
        recording = _load_recording(recorded, plan) if recorded is not None else None
        if recording is not None:
            known = recorded_traffic.known_from_recording(known, recording)
        if traffic:
            known = known.with_pace(_parse_pace(traffic), "--traffic")
        asked = tuple(harms.parse_harm(text, known, plan.metrics or ()) for text in harm or ())
    except Refused as refused:
        session.exit_refused(refused)
    except ValueError as error:
        session.exit_refused(Refused(str(error)))
    if not known.daily_requests:
        hint = "Give it, as in --traffic 8000/day, or write daily_requests into the surface file."
        session.exit_refused(Refused(f"The traffic of {plan.surface} is not known.", hint=hint))
    study = Study(
        plan=plan,
        known=known,
        harms=asked or harms.build_harms(plan.limits, known),
        runs=runs,
        looks=looks,
        seed=seed,
        recording=recording,
        policy=world.policy,
    )
    outcome = summarise_study(study, _run_with_progress(study, jobs or os.cpu_count() or 1))
    print(
        json.dumps(simulation.to_json(study, outcome), indent=2)
        if as_json
        else simulation.render_report(study, outcome)
    )


def _run_with_progress(study: "Study", jobs: int) -> "Iterator[tuple[StudyTask, SimulatedRun]]":
    """The runs as they finish, with their progress on standard error."""
    from core.simulation.study import list_tasks

    def describe_run(played: "tuple[StudyTask, SimulatedRun]") -> str:
        harm = played[0].harm
        return "nothing changed" if harm < 0 else study.harms[harm].text

    return progress.show_progress(_play_runs(study, jobs), len(list_tasks(study)), "runs", describe_run)


def _play_runs(study: "Study", jobs: int) -> "Iterator[tuple[StudyTask, SimulatedRun]]":
    from core.simulation import study as studies

    if jobs == 1:
        yield from studies.run_study(study)
        return
    todo = studies.list_tasks(study)
    with ProcessPoolExecutor(jobs) as pool:
        play = partial(studies.run_task, study)  # sent once per chunk, as a recording may be large
        chunk = max(1, len(todo) // (8 * jobs))
        yield from zip(todo, pool.map(play, todo, chunksize=chunk), strict=True)


def _parse_pace(text: str) -> float:
    """Parse requests per day: `8000/day`, `300/h` or `2000/min`. Raises ValueError."""
    found = _PACE.fullmatch(text.strip())
    number = float(found[1].replace(",", "").replace("_", "") or 0) if found else 0.0
    if found is None or number <= 0:
        raise ValueError(f'"{text}" is not an amount of traffic: write 8000/day, 300/h or 2000/min')
    return number * _A_DAY[found[2]]


def _load_recording(path: Path, plan: "Plan") -> "Recording":
    from core.simulation.recorded import build_recording

    own = {metric.key: metric for metric in plan.metrics or ()}
    observations = list(_read_observations(path, plan.surface, own))
    if not observations:
        raise ValueError(f"{path}: no observation of {plan.surface}")
    return build_recording(observations, own.values())


def _read_observations(path: Path, surface: str, own: "Mapping[str, Metric]") -> "Iterator[Observation]":
    """The observations of one surface, with its `own` metrics, as `POST /api/v1/observations` takes them.

    `surface` may be left out. Raises ValueError that names the invalid observation.
    """
    from core.metrics.catalogue import parse_readings
    from core.metrics.observation import Observation

    for number, item in enumerate(_read_items(path), start=1):
        try:
            if not isinstance(item, dict) or not isinstance(item.get("unit"), str):
                raise ValueError('an observation is an object with a "unit" and "metrics"')  # noqa: TRY004, TRY301
            if item.get("surface", surface) != surface:
                continue
            metrics, segments = item.get("metrics") or {}, item.get("segments") or {}
            if not isinstance(metrics, dict) or not isinstance(segments, dict):
                raise ValueError('"metrics" and "segments" are objects')  # noqa: TRY004, TRY301
            found = [pair for key, value in metrics.items() for pair in parse_readings(key, value, own)]
            yield Observation(
                surface=surface,
                unit=item["unit"],
                at=_parse_time(item.get("at")),
                segments={str(key): str(value) for key, value in segments.items()},
                readings=dict(found),
                error_category=item.get("error_category"),
            )
        except (ValueError, OverflowError) as error:
            raise ValueError(f"{path}, observation {number}: {error}") from None


def _read_items(path: Path) -> list[object]:
    text = text_files.read_text(path)
    try:
        parsed = json.loads(text)
    except ValueError:
        return [json.loads(line) for line in text.splitlines() if line.strip()]
    if isinstance(parsed, dict):
        return parsed["observations"] if isinstance(parsed.get("observations"), list) else [parsed]
    return parsed if isinstance(parsed, list) else [parsed]


def _parse_time(value: object) -> datetime:
    if isinstance(value, int | float):
        return datetime.fromtimestamp(value, UTC)
    at = datetime.fromisoformat(str(value)) if value is not None else datetime.fromtimestamp(0, UTC)
    return at if at.tzinfo else at.replace(tzinfo=UTC)
