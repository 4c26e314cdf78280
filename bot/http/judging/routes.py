"""The routes of shadow evaluation: `POST /api/v1/answers`, and `GET` and `POST /api/v1/judging`."""

import asyncio
from collections.abc import Callable, Sequence
from datetime import datetime
from typing import Annotated, Any

from fastapi import APIRouter, Query, Request
from pydantic import BaseModel, ConfigDict, Field
from starlette.concurrency import run_in_threadpool
from starlette.responses import Response

from bot.http.judging.count_results import JudgeResult, count_results
from bot.http.judging.detect_errors import count_errors, find_errors
from bot.http.judging.hand_out_answers import hand_out_answers
from bot.http.judging.take_answers import AnswerBatch, take_answers
from bot.http.middleware.auth import TokenAuth, TokenRole
from bot.http.middleware.problems import build_problem
from bot.http.observations.writer import ObservationWriter, TooManyBatches, TransactionWork
from bot.http.openapi.schemas import PROBLEMS
from core.flags.snapshot import Snapshot
from core.rollout.judging.rubrics import find_criteria
from core.rollout.refusal import Refused
from core.service.service import RolloutService
from core.shadow_eval.rubric import HIGHEST, LOWEST, MOST_CRITERIA, JudgingCriterion, describe_criteria
from core.shadow_eval.spending import MOST_TOLD

MAX_TASKS = 100  # handed out, or judged, in one request
_STORABLE = r"^[^\x00]+$"  # Postgres holds no NUL

CriterionScore = Annotated[float, Field(ge=LOWEST, le=HIGHEST, allow_inf_nan=False, strict=True)]
"""What a judge says of one criterion; null in its place means that it cannot tell."""


class ReportedResult(BaseModel):
    """What a judge says of one answer."""

    model_config = ConfigDict(extra="forbid", populate_by_name=True)

    task: str = Field(min_length=1, max_length=100, pattern=_STORABLE)
    passed: bool = Field(alias="pass", strict=True)
    score: float | None = Field(None, ge=0, le=1, allow_inf_nan=False)
    cost: float | None = Field(
        None, ge=0, le=MOST_TOLD, allow_inf_nan=False, strict=True, description="what this judgement cost, in dollars"
    )
    criteria: dict[str, CriterionScore | None] = Field(default_factory=dict, max_length=MOST_CRITERIA)


class ResultBatch(BaseModel):
    """Results of one judge."""

    model_config = ConfigDict(extra="forbid")

    judge: str = Field(min_length=1, max_length=100, pattern=_STORABLE)
    results: list[ReportedResult] = Field(max_length=MAX_TASKS)


def build_router(
    service: RolloutService,
    auth: TokenAuth,
    writer: ObservationWriter,
    snapshot: Callable[[], Snapshot],
    now: Callable[[], datetime],
) -> APIRouter:
    """The routes; applications hand in answers, judges fetch them without learning which version gave them."""
    api = APIRouter(tags=["shadow evaluation"], responses=PROBLEMS)

    @api.post("/api/v1/answers")
    def receive_answers(request: Request, batch: AnswerBatch) -> dict[str, Any]:
        """Take answers. Those that are sampled are kept, sealed, until they expire; the others are not kept.

        Where the surface file says so, rules look for soft errors in all of them.
        """
        auth.authorize_person(request.headers.raw, TokenRole.INGEST)
        surfaces = service.cached_world().surfaces
        taken = take_answers(batch.answers, service.database, snapshot(), surfaces, now())
        wrong = {index for index, _ in taken.rejected}
        found = find_errors([one for index, one in enumerate(batch.answers) if index not in wrong], surfaces)
        if found:
            work = TransactionWork(
                run=lambda connection, flags, at: count_errors(connection, found, flags, at), size=200 * len(found)
            )
            try:
                writer.submit_work(work).result()
            except TooManyBatches:
                raise Refused(
                    "Too much is waiting to be written.", hint="Send the answers again.", code="unavailable"
                ) from None
        return {
            "soft_errors": sum(bool(one.soft_errors) for one in found),
            "accepted": taken.accepted,
            "sampled": taken.sampled,
            "rejected": [{"index": index, "message": message} for index, message in taken.rejected],
        }

    @api.get("/api/v1/judging")
    def hand_out_tasks(
        request: Request,
        limit: int = Query(20, ge=1, le=MAX_TASKS),
        surface: str | None = Query(None, pattern=r"^[^\x00]*$"),
    ) -> dict[str, Any]:
        """Lease answers to a judge for five minutes. Which version gave an answer is not said."""
        auth.authorize_person(request.headers.raw, TokenRole.JUDGE)
        world = service.cached_world()
        with service.database.writing_outside_log() as connection:
            leased = hand_out_answers(connection, world, now(), limit, {surface} if surface else None)
        return {
            "tasks": [
                {
                    "task": sample.id,
                    "judge": sample.judge,
                    "surface": sample.surface,
                    "question": sample.question,
                    "answer": sample.answer,
                    **_build_rubric(find_criteria(world, sample.rollout)),
                }
                for sample in leased
            ]
        }

    @api.post("/api/v1/judging")
    async def receive_results(request: Request, batch: ResultBatch) -> Response:
        """Count what a judge says. An answer that is judged twice counts once."""
        auth.authorize_person(request.headers.raw, TokenRole.JUDGE)
        results = [
            JudgeResult(
                task=result.task,
                judge=batch.judge,
                passed=result.passed,
                score=result.score,
                criteria=result.criteria,
                cost=result.cost,
            )
            for result in batch.results
        ]
        work = TransactionWork(
            run=lambda connection, flags, at: count_results(connection, results, service.cached_world(), flags, at),
            size=200 * len(results),
        )
        try:
            answer = await asyncio.wrap_future(await run_in_threadpool(writer.submit_work, work))
        except TooManyBatches:
            return build_problem(503, "unavailable", "Too much is waiting to be written.", "Send the results again.")
        return Response(answer, media_type="application/json")

    return api


def _build_rubric(criteria: Sequence[JudgingCriterion]) -> dict[str, Any]:
    """The criteria of a task as JSON; nothing if there are none."""
    return {"criteria": describe_criteria(criteria)} if criteria else {}
