"""A study of a plan: its runs, each determined by the seed alone, whatever the order or process that runs them."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from core.files.foresight.known_traffic import KnownTraffic
from core.judging.limits.limits import LimitRole
from core.judging.model.evidence import exceedance_thresholds
from core.metrics.catalogue import CATALOGUE, Metric
from core.rollout.plans.plan import Plan
from core.rollout.plans.policy import DEFAULT_POLICY, Policy
from core.simulation import report
from core.simulation.harm import SimulatedHarm
from core.simulation.population import draw_population
from core.simulation.recorded import RecordedTraffic, Recording
from core.simulation.report import HarmlessSummary, HarmSummary
from core.simulation.run import SimulatedRun, TrafficSource, simulate_rollout
from core.simulation.tally import Tally
from core.simulation.traffic import ICC, SyntheticTraffic


@dataclass(frozen=True, slots=True, kw_only=True)
class Study:
    """Parameters of a study. `looks` is the approximate number of looks per run over all stages.

    The same `seed` gives the same study.
    """

    plan: Plan
    known: KnownTraffic
    harms: tuple[SimulatedHarm, ...]
    runs: int = 40
    looks: int = 60
    seed: int = 1
    icc: float = ICC
    recording: Recording | None = None
    policy: Policy = DEFAULT_POLICY


@dataclass(frozen=True, slots=True, kw_only=True)
class StudyResult:
    """Summary of a study: the runs without harm, and those with each harm in the order of the study."""

    harmless: HarmlessSummary
    harms: tuple[HarmSummary, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class StudyTask:
    """One run of a study: index of the harm (-1 for none) and number of the run."""

    harm: int
    number: int


def list_tasks(study: Study) -> list[StudyTask]:
    """All runs of a study, those without harm first."""
    return [StudyTask(harm=harm, number=n) for harm in range(-1, len(study.harms)) for n in range(study.runs)]


def run_task(study: Study, task: StudyTask) -> SimulatedRun:
    """Simulate one run. Its randomness depends only on seed and task, so runs may be carried out in any order."""
    chance = np.random.default_rng([study.seed, task.harm + 1, task.number])
    harm = study.harms[task.harm] if task.harm >= 0 else None
    pace = study.known.daily_requests
    assert pace is not None, "a study is made once the pace is known"
    source: TrafficSource
    if study.recording is not None:
        source = RecordedTraffic(study.recording, pace, study.plan.segments, harm, chance)
    else:
        population = draw_population(pace, study.plan.segments, chance)
        source = SyntheticTraffic(study.known, list_reported_metrics(study), population, harm, chance, study.icc)
    tally = Tally(source.population.profiles, exceedance_thresholds(study.plan.limits))
    return simulate_rollout(study.plan, source, tally, looks=study.looks, policy=study.policy)


def list_reported_metrics(study: Study) -> tuple[Metric, ...]:
    """Metrics that the simulated applications report: those of limits, expectations and harms, and measured ones."""
    named = [limit.metric for limit in study.plan.limits] + [one.metric for one in study.plan.expectations]
    named += [metric for stage in study.plan.stages for metric in stage.decide_on]
    named += [harm.metric for harm in study.harms] + sorted(study.known.metrics)
    # A new error category is only new compared with the usual ones, which failed requests provide.
    named += ["hard_error_rate"] if "new_error_category" in named else []
    own = study.plan.metrics or ()
    return tuple(metric for metric in (*CATALOGUE.values(), *own) if metric.key in named)


def summarise_study(study: Study, runs: Iterable[tuple[StudyTask, SimulatedRun]]) -> StudyResult:
    """Summarise the runs of all tasks, given in any order."""
    by_harm: dict[int, list[tuple[int, SimulatedRun]]] = {}
    for task, run in runs:
        by_harm.setdefault(task.harm, []).append((task.number, run))
    ordered = {harm: [run for _, run in sorted(of, key=lambda x: x[0])] for harm, of in by_harm.items()}
    return StudyResult(
        harmless=report.summarise_harmless(ordered[-1]),
        harms=tuple(
            report.summarise_harm(harm, ordered[number], by_hold=not _has_rollback_limit(study.plan, harm.metric))
            for number, harm in enumerate(study.harms)
        ),
    )


def run_study(study: Study) -> Iterator[tuple[StudyTask, SimulatedRun]]:
    """Run all tasks one after the other."""
    for task in list_tasks(study):
        yield task, run_task(study, task)


def _has_rollback_limit(plan: Plan, metric: str) -> bool:
    limits: Sequence[str] = [one.metric for one in plan.limits if one.can_act and one.role is LimitRole.ROLLBACK]
    return metric in limits
