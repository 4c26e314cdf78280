"""Answers that wait are rated by the judge."""

from concurrent.futures import ThreadPoolExecutor
from datetime import datetime
from functools import partial

import structlog

from bot.http.judging.count_results import JudgeResult, count_results
from bot.http.judging.hand_out_answers import count_unanswered, hand_out_answers
from bot.judges.http_judge import CallFailed, HttpJudge, InvalidVerdict
from bot.outbound.errors import PermanentFailure, RetryLater
from core.rollout.judging.rubrics import find_criteria
from core.rollout.serving import exposure
from core.rollout.state.world import World
from core.service.service import RolloutService
from core.shadow_eval.samples import ShadowSample
from core.store.observations import observation_sums
from core.store.shadow_eval import shadow_samples

log = structlog.get_logger()

ANSWERS_AT_ONCE = 20  # answers that are judged in one go
JUDGE_CALLS = 4  # at the same time


def ask_judge(service: RolloutService, judge: HttpJudge, now: datetime) -> int:
    """Have the judge rate answers that wait, and count what it says; how many it rated.

    An answer whose verdict makes no sense is asked about again, a few times, and so is one at which a judge breaks down
    that answers about others. While it does not answer at all, or rests, nothing is lost: the answers wait.
    """
    if judge.rests:
        return 0
    world = service.load_world()
    with service.database.writing_outside_log() as connection:
        tasks = hand_out_answers(connection, world, now, ANSWERS_AT_ONCE)
    if not tasks:
        return 0
    with ThreadPoolExecutor(JUDGE_CALLS, thread_name_prefix="judge") as calls:
        verdicts = list(calls.map(partial(_ask_about, judge, world), tasks))
    works = any(isinstance(verdict, JudgeResult | InvalidVerdict) for verdict in verdicts)
    unasked: list[str] = []
    without_verdict: list[ShadowSample] = []
    for task, verdict in zip(tasks, verdicts, strict=True):
        if isinstance(verdict, InvalidVerdict) or (
            isinstance(verdict, CallFailed) and works and verdict.may_be_the_answers
        ):
            without_verdict.append(task)
        elif isinstance(verdict, CallFailed):
            unasked.append(task.id)
    reasons = {verdict.reason for verdict in verdicts if isinstance(verdict, CallFailed | InvalidVerdict)}
    for reason in sorted(reasons):
        log.warning("answers could not be judged", why=reason)
    results = [verdict for verdict in verdicts if isinstance(verdict, JudgeResult)]
    world = service.load_world()
    with service.database.writing_outside_log() as connection:
        shadow_samples.return_samples(connection, unasked)
        count_unanswered(connection, shadow_samples.put_off_samples(connection, without_verdict), world, now)
        checked = count_results(connection, results, world, exposure.build_snapshot(world), now)
        placed = [taken.placed for taken in checked.accepted if taken.placed is not None]
        observation_sums.add_observations(connection, placed)
    return len(results)


def _ask_about(judge: HttpJudge, world: World, task: ShadowSample) -> JudgeResult | InvalidVerdict | CallFailed:
    try:
        said = judge.judge(
            task=task.id,
            judge=task.judge,
            surface=task.surface,
            question=task.question,
            answer=task.answer,
            criteria=find_criteria(world, task.rollout),
        )
    except InvalidVerdict as invalid:
        return invalid
    except RetryLater as failure:
        return CallFailed(reason=str(failure), may_be_the_answers=failure.counts_as_attempt and failure.may_arrive)
    except PermanentFailure as failure:
        return CallFailed(reason=str(failure))
    return JudgeResult(
        task=task.id,
        judge=task.judge,
        passed=said.passed,
        score=said.score,
        criteria=said.criteria,
        cost=said.cost,
    )
