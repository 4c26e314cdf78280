"""The REST route for the results of offline evals."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Annotated, Any

from fastapi import APIRouter, Query, Request
from fastapi.exceptions import RequestValidationError
from pydantic import BaseModel, ConfigDict, ValidationError
from starlette.concurrency import run_in_threadpool
from starlette.datastructures import FormData, UploadFile
from starlette.responses import JSONResponse, Response

from bot.http.api import command_handling
from bot.http.middleware.auth import TokenAuth, TokenRole
from bot.http.middleware.caller_limits import RateLimiter
from bot.http.middleware.problems import build_problem
from bot.http.openapi import eval_responses
from core.evals import read_run
from core.evals.eval_run import ReadingChoices, UnreadableEvals
from core.evals.formats.case_columns import read_json_cases
from core.rollout.commands import RecordEval
from core.rollout.decisions.eval_command import build_eval_command
from core.service.service import RolloutService

_HINT = "A run is a file of an eval tool, JUnit XML, CSV, Parquet, or a list of cases with case, category and pass."
_MOST_UNPACKED = 32 * 1024 * 1024  # bytes: 32 times what a body may hold, so that callers cannot fill the memory
_FILE_TYPES = frozenset({"text/csv", "application/csv", "multipart/form-data"})


@dataclass(frozen=True, slots=True, kw_only=True)
class _SentFiles:
    """The bytes of a run's results, and of the current version's in a file of its own."""

    results: bytes
    baseline: bytes | None = None


class EvalBody(BaseModel):
    """Results of an offline run, case by case."""

    model_config = ConfigDict(extra="forbid")
    rollout: str
    suite: str = ""
    cases: list[dict[str, Any]]
    baseline: list[dict[str, Any]] | None = None


def add_route(
    api: APIRouter, service: RolloutService, auth: TokenAuth, rate_limiter: RateLimiter, now: Callable[[], datetime]
) -> None:
    """Add `POST /evals`."""

    @api.post("/evals", tags=["evals"], responses=eval_responses.EVALS, openapi_extra=eval_responses.EVAL_BODY)
    async def take_evals(
        request: Request,
        rollout: Annotated[str, Query(max_length=200)] = "",
        suite: Annotated[str, Query(max_length=200)] = "",
        scorer: Annotated[str, Query(max_length=200)] = "",
        pass_at: float | None = None,
        encoding: Annotated[str, Query(max_length=40)] = "",
        key: command_handling.IdempotencyKey = "",
    ) -> Response:
        """Import an eval run: a tool's file with `?rollout=R-1&suite=…`, or JSON with `rollout` and `cases`."""
        caller = auth.authorize_person(request.headers.raw, TokenRole.INGEST)
        rate_limiter.count_request(caller)
        media = request.headers.get("content-type", "").partition(";")[0].strip().lower()
        try:
            if rollout or media in _FILE_TYPES:
                files = await _read_files(request, media)
            else:
                files, sent = None, _parse_body(await request.body())
                rollout, suite = sent.rollout, sent.suite
            found = await run_in_threadpool(command_handling.find_rollout, service, rollout)
            choices = ReadingChoices(
                dimensions=found.plan.segments,
                scorer=scorer,
                pass_at=pass_at,
                encoding=encoding,
                reads_parquet=False,
                most_unpacked=_MOST_UNPACKED,
            )

            def judge() -> RecordEval:
                if files is not None:
                    run = read_run.read_with_current(files.results, files.baseline, choices)
                else:
                    run = read_json_cases(sent.cases, sent.baseline, choices)
                return build_eval_command(found, suite, run)

            command = await run_in_threadpool(judge)
        except ValidationError as error:
            raise RequestValidationError(error.errors(include_url=False, include_context=False)) from None
        except UnreadableEvals as error:
            return build_problem(422, "unreadable", str(error), _HINT)
        outcome = await run_in_threadpool(
            command_handling.handle_command,
            service,
            caller,
            command,
            found.id,
            command_handling.build_command_id(caller, key, "evals"),
            now(),
        )
        counted = {"passed": command.passed, "failed": command.failed, "errors": command.errors, "ok": command.ok}
        return JSONResponse({**counted, "reasons": command.reasons, **command_handling.outcome_to_json(outcome)})


def _parse_body(body: bytes) -> EvalBody:
    sent = EvalBody.model_validate_json(body)
    read_run.check_unique_names(body)
    return sent


async def _read_files(request: Request, media: str) -> _SentFiles:
    """The uploads `file` and `baseline` of a form, or the body alone."""
    if media != "multipart/form-data":
        return _SentFiles(results=await request.body())
    async with request.form(max_files=2, max_fields=5) as form:
        results, baseline = await _read_upload(form, "file"), await _read_upload(form, "baseline")
    if results is None:
        raise UnreadableEvals('The form has no upload called "file".')
    return _SentFiles(results=results, baseline=baseline)


async def _read_upload(form: FormData, name: str) -> bytes | None:
    upload = form.get(name)
    return await upload.read() if isinstance(upload, UploadFile) else None
