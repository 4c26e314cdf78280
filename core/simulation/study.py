"""A study of a plan: its runs, each determined by the seed alone, whatever the order or process that runs them."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from core.files.foresight.known_traffic import Known
from core.judging.model.evidence import derived_metrics
from core.judging.model.limits import Role
from core.metrics.catalogue import CATALOGUE
from core.metrics.typical import TYPICAL
from core.rollout.plan import Plan
from core.rollout.policy import BUILT_IN, Policy
from core.simulation import report
from core.simulation.harm import Harm
from core.simulation.population import populate
from core.simulation.recorded import Recording, Replay
from core.simulation.report import Found, Harmless
from core.simulation.run import Run, Source, play
from core.simulation.tally import Tally
from core.simulation.traffic import ICC, Traffic


@dataclass(frozen=True, slots=True, kw_only=True)
class Study:
    """Parameters of a study. `looks` is the approximate number of looks per run over all stages.

    The same `seed` gives the same study.
    """

    plan: Plan
    known: Known
    harms: tuple[Harm, ...]
    runs: int = 40
    looks: int = 60
    seed: int = 1
    icc: float = ICC
    recording: Recording | None = None
    policy: Policy = BUILT_IN


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """Summary of a study: the runs without harm, and those with each harm in the order of the study."""

    harmless: Harmless
    harms: tuple[Found, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Task:
    """One run of a study: index of the harm (-1 for none) and number of the run."""

    harm: int
    number: int


def tasks(study: Study) -> list[Task]:
    """All runs of a study, those without harm first."""
    return [Task(harm=harm, number=n) for harm in range(-1, len(study.harms)) for n in range(study.runs)]


def carry_out(study: Study, task: Task) -> Run:
    """Simulate one run. Its randomness depends only on seed and task, so runs may be carried out in any order."""
    chance = np.random.default_rng([study.seed, task.harm + 1, task.number])
    harm = study.harms[task.harm] if task.harm >= 0 else None
    pace = study.known.daily_requests
    assert pace is not None, "a study is made once the pace is known"
    source: Source
    if study.recording is not None:
        source = Replay(study.recording, pace, study.plan.segments, harm, chance)
    else:
        population = populate(pace, study.plan.segments, chance)
        source = Traffic(study.known, reported(study), population, harm, chance, study.icc)
    tally = Tally(source.population.profiles, derived_metrics(study.plan.limits))
    return play(study.plan, source, tally, looks=study.looks, policy=study.policy)


def reported(study: Study) -> tuple[str, ...]:
    """Metrics that the simulated applications report: those of limits, expectations and harms, and measured ones."""
    named = [limit.metric for limit in study.plan.limits] + [one.metric for one in study.plan.expectations]
    named += [metric for stage in study.plan.stages for metric in stage.decide_on]
    named += [harm.metric for harm in study.harms] + sorted(study.known.metrics)
    # A new error category is only new compared with the usual ones, which failed requests provide.
    named += ["hard_error_rate"] if "new_error_category" in named else []
    return tuple(metric for metric in CATALOGUE if metric in named and metric in TYPICAL)


def summed_up(study: Study, runs: Iterable[tuple[Task, Run]]) -> Outcome:
    """Summarise the runs of all tasks, given in any order."""
    by_harm: dict[int, list[tuple[int, Run]]] = {}
    for task, run in runs:
        by_harm.setdefault(task.harm, []).append((task.number, run))
    ordered = {harm: [run for _, run in sorted(of, key=lambda x: x[0])] for harm, of in by_harm.items()}
    return Outcome(
        harmless=report.harmless(ordered[-1]),
        harms=tuple(
            report.found(harm, ordered[number], by_hold=not _rolls_back(study.plan, harm.metric))
            for number, harm in enumerate(study.harms)
        ),
    )


def carried_out(study: Study, told: Callable[[Task], None] = lambda task: None) -> Iterator[tuple[Task, Run]]:
    """Run all tasks one after the other; `on_done` is called after each."""
    for task in tasks(study):
        yield task, carry_out(study, task)
        told(task)


def _rolls_back(plan: Plan, metric: str) -> bool:
    limits: Sequence[str] = [one.metric for one in plan.limits if one.acts and one.role is Role.ROLLBACK]
    return metric in limits
