"""Routes of the read-only pages: all rollouts, one rollout, one record of evidence, one version of a surface."""

import html
from collections.abc import Callable
from datetime import datetime, timedelta
from functools import cache
from pathlib import Path
from typing import Annotated, Any, Literal
from zoneinfo import ZoneInfo

from fastapi import APIRouter, Query, Request
from jinja2 import Environment, FileSystemLoader, StrictUndefined, pass_context
from jinja2.runtime import Context as JinjaContext
from starlette.responses import HTMLResponse, JSONResponse, RedirectResponse, Response

from bot.http.middleware.auth import TokenAuth, TokenRole
from bot.http.middleware.page_access import LinkVisitor, PageAccess
from bot.http.pages import digests, investigations, reviews
from bot.http.pages.csv_download import build_csv_download
from bot.http.pages.numbers import build_numbers
from bot.http.pages.plan_sections import build_plan_sections
from bot.http.pages.version_page import build_version_page
from bot.process.process_state import ProcessStatus
from bot.rendering import markup, reach_words, wording
from bot.rendering.answers import history
from bot.rendering.answers.evidence import strata
from bot.rendering.documents import history_file
from bot.rendering.json.rollouts import event_to_json, rollout_to_json
from bot.rendering.markup import FindHandles
from bot.rendering.messages.audience import holdout_words, layer_words
from bot.rendering.neighbours import neighbour_words, queue_words, shared_words
from bot.rendering.numbers import judge_words, soft_error_words
from bot.rendering.numbers.detectability import known_areas, uncounted_words
from bot.rendering.numbers.latest_numbers import LatestNumbers, select_latest
from bot.signed_page_links import PARAMETER
from core.judging.model.judgement import Judgement
from core.report_sources import look_reports
from core.report_sources.review_sources import load_strata
from core.rollout.concurrency import shared_parts, start_queue
from core.rollout.concurrency.neighbours import find_neighbours
from core.rollout.permissions import reading_rights
from core.rollout.plans import stage_words
from core.rollout.refusal import NotFound
from core.rollout.state.events import EvidenceRecorded, RolloutEvent
from core.rollout.state.evolve import evolve
from core.rollout.state.model import TERMINAL_STATES, Rollout
from core.service.service import RolloutService
from core.store.log.event_log import StoredEvent

ROLLOUTS_PER_PAGE = 50
TEMPLATES = Path(__file__).parent / "templates"
LATE_LOOKS = 3  # ticks without a look, after which the page shows a warning
LATE_AFTER = timedelta(seconds=10)  # and not before that, however short the ticks are
HEADERS = {
    "Content-Security-Policy": "default-src 'none'; style-src 'self'; img-src 'self'; frame-ancestors 'none'; "
    "form-action 'none'; base-uri 'none'",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cache-Control": "no-store",
}


def build_router(
    service: RolloutService,
    auth: TokenAuth,
    now: Callable[[], datetime],
    process_status: ProcessStatus,
    tick: Callable[[], timedelta],
    access: PageAccess,
    find_handles: FindHandles,
) -> APIRouter:
    """The routes `/`, `/r/{id}`, its review, `/e/{rollout}.{number}`, `/v/{surface}/{version}` and `/digest`.

    They are read-only, without external resources. `access` opens evidence and versions to who comes from Slack, too.
    `find_handles` gives the `@handle` of each Slack user id that it knows: pages name people as others call them.
    """
    pages = APIRouter(include_in_schema=False)
    style = (TEMPLATES / "style.css").read_text(encoding="utf-8")

    def render_exactly(name: str, **values: Any) -> HTMLResponse:
        ages = {rollout: timedelta(seconds=age) for rollout, age in process_status.look_ages().items()}
        return _render_page(
            name,
            now(),
            blind=process_status.failsafe_reason,
            look_ages=ages,
            late={
                rollout
                for rollout, age in ages.items()
                if age > max(LATE_LOOKS * tick(), LATE_AFTER) or rollout in process_status.unwatched_rollouts
            },
            **{"zone": service.cached_world().policy.timezone, **values},
        )

    def render_page(name: str, **values: Any) -> HTMLResponse:
        page = bytes(render_exactly(name, **values).body).decode()
        named = markup.name_people(page, find_handles, html.escape)
        return HTMLResponse(markup.join_numbers(named), headers=HEADERS)

    @pages.get("/")
    def show_overview(
        request: Request, before: Annotated[str, Query(pattern=r"^R-[0-9]{1,15}$")] | None = None
    ) -> Response:
        auth.authorize_person(request.headers.raw, TokenRole.OPERATOR)
        world = service.load_world()
        newest = service.load_newest_rollouts(ROLLOUTS_PER_PAGE + 1, before=before or "")
        shown = newest[:ROLLOUTS_PER_PAGE]
        return render_page(
            "overview.html",
            open=tuple(reversed(world.open_rollouts)),
            places={
                one.id: queue_words.describe_place(place)
                for one in world.open_rollouts
                if (place := start_queue.find_place(world, one, now())) is not None
            },
            ended=[r for r in shown if r.state in TERMINAL_STATES],
            endings={r.id: _describe_ending(r) for r in shown if r.state in TERMINAL_STATES},
            before=before,
            older=shown[-1].id if len(newest) > ROLLOUTS_PER_PAGE else None,
            surfaces=tuple(world.surfaces.values()),
        )

    @pages.get("/r/{rollout_id}")
    def show_rollout(request: Request, rollout_id: str) -> Response:
        auth.authorize_person(request.headers.raw, TokenRole.OPERATOR)
        rollout = service.load_world().require_rollout(rollout_id, hint="See the overview at /.")
        entries, zone = service.load_entries(rollout.id), service.cached_world().policy.timezone
        judgement = look_reports.load_newest_judgement(service, rollout) if rollout.is_under_way else None
        return render_page(
            "rollout.html",
            rollout=rollout,
            history=[history.to_plain_line(line) for line in reversed(history.list_lines(entries, zone))],
            delivered=history.count_left_out(entries),
            zone=zone,
            layer=wording.to_plain_text(layer_words.describe_now(rollout)),
            holdout=wording.to_plain_text(holdout_words.describe_now(rollout, zone)),
            moves=[
                wording.to_plain_text(shared_words.describe_move(move, zone))
                for move in shared_parts.list_moves(
                    shared_parts.find_shared_with(service.cached_world(), rollout, is_over_too=True)
                )
            ],
            beside=[
                wording.to_plain_text(line)
                for line in neighbour_words.list_lines(rollout, find_neighbours(service.cached_world(), rollout, now()))
            ],
            numbers=build_numbers(service, rollout, select_latest(rollout, judgement, now())),
            strata_header=strata.HEADER,
            strata=strata.list_rows(rollout, load_strata(service, rollout)),
            soft_errors=soft_error_words.list_rows(look_reports.load_soft_errors(service, rollout)),
            uncounted=wording.to_plain_text(
                uncounted_words.describe_uncounted(look_reports.load_uncounted_reports(service, rollout))
            ),
            judge=_list_judge_lines(service, rollout, judgement),
            facts=build_plan_sections(service, rollout, entries, now()) if rollout.started_at is None else (),
        )

    @pages.get("/r/{rollout_id}/history.{form}")
    def download_history(request: Request, rollout_id: str, form: Literal["csv", "json"]) -> Response:
        """Every entry of the history as a file."""
        auth.authorize_person(request.headers.raw, TokenRole.OPERATOR)
        world = service.load_world()
        rollout = world.require_rollout(rollout_id, hint="See the overview at /.")
        headers = {**HEADERS, "Content-Disposition": f'attachment; filename="history-{rollout.id}.{form}"'}
        if form == "csv":
            text = history_file.format_csv(service.load_entries(rollout.id), world.policy.timezone)
            return build_csv_download(markup.name_people(text, find_handles), headers)
        events = [event_to_json(one) for one in service.load_history(rollout.id)]
        return JSONResponse({"rollout": rollout_to_json(rollout), "events": events}, headers=headers)

    @pages.get("/e/{number:int}")
    def redirect_to_evidence(request: Request, number: int) -> Response:
        """Redirect "evidence #1", as cards write it, to the newest rollout that has evidence of this number."""
        auth.authorize_person(request.headers.raw, TokenRole.OPERATOR)
        for rollout in service.load_newest_rollouts(ROLLOUTS_PER_PAGE):
            if rollout.evidence is not None and 1 <= number <= rollout.evidence.number:
                return RedirectResponse(f"/e/{rollout.id}.{number}", 307, headers=HEADERS)
        raise NotFound(f"There is no evidence #{number}.", hint="Evidence is listed on its rollout's page.")

    @pages.get("/e/{evidence_id}")
    def show_evidence(request: Request, evidence_id: str) -> Response:
        rollout_id, _, number = evidence_id.rpartition(".")
        visitor = access.authorize(request, f"/rollout evidence {number} {rollout_id}")
        rollout = service.load_world().find_rollout(rollout_id)
        stored = service.load_history(rollout_id) if rollout else ()
        for recorded in stored:
            if isinstance(recorded.event, EvidenceRecorded) and str(recorded.event.number) == number:
                event, then = recorded.event, _rebuild_rollout(stored, recorded.position)
                seen = LatestNumbers(
                    measures=event.measures,
                    segments=event.segments,
                    segments_checked=event.segments_checked,
                    notes=event.notes,
                    at=recorded.at,
                )
                return render_page(
                    "evidence.html",
                    visitor=visitor,
                    rollout=rollout,
                    recorded=recorded,
                    seen=event,
                    word=known_areas.describe_outcome(event.verdict, event.measures),
                    numbers=build_numbers(service, then, seen),
                    soft_errors=soft_error_words.list_rows(event.soft_errors or ()),
                    judge=judge_words.list_lines(then, event.measures, event.judging),
                )
        raise NotFound(f"There is no evidence {evidence_id[:80]}.", hint="Evidence is listed on its rollout's page.")

    @pages.get("/v/{surface}/{version}")
    def show_version(
        request: Request, surface: str, version: str, compare_with: Annotated[str, Query(alias="from")] = ""
    ) -> Response:
        visitor = access.authorize(request, f"/rollout diff {compare_with} {version} {surface}")
        if visitor is not None:
            _check_may_read_prompts(service, surface, {version, compare_with}, visitor)
        page = build_version_page(service, surface, version, find_handles, compare_with)
        return render_exactly("version.html", visitor=visitor, page=page)  # prompts, to the letter

    reviews.add_to(pages, service, auth, render_page, find_handles)
    investigations.add_to(pages, service, auth, render_page, find_handles)
    digests.add_to(pages, service, auth, render_page, now)

    @pages.get("/style.css")
    async def serve_stylesheet() -> Response:
        return Response(style, media_type="text/css", headers={"Cache-Control": "max-age=3600"})

    return pages


def _check_may_read_prompts(service: RolloutService, surface: str, versions: set[str], visitor: LinkVisitor) -> None:
    """Raise `Refused` unless this person may read prompts by now, as in Slack."""
    world = service.load_world()
    of_versions = [r for r in world.rollouts.values() if r.plan.surface == surface and r.plan.to_version in versions]
    reading_rights.check_may_read_prompts(world.policy, visitor.actor, of_versions)


def build_problem_page(request: Request, status: int, message: str, hint: str, now: datetime) -> Response | None:
    """The error as an HTML page; None if the request did not ask for HTML."""
    if request.url.path.startswith("/api/") or "text/html" not in request.headers.get("accept", ""):
        return None
    from_slack = PARAMETER in request.query_params
    return _render_page("problem.html", now, status=status, message=message, hint=hint, from_slack=from_slack)


def _render_page(name: str, now: datetime, *, status: int = 200, **values: Any) -> HTMLResponse:
    defaults: dict[str, Any] = {
        "blind": "",
        "look_ages": {},
        "late": (),
        "visitor": None,
        "from_slack": False,
        "zone": "UTC",
    }
    text = _load_templates().get_template(name).render(now=now, **{**defaults, **values})
    return HTMLResponse(text, status, headers=HEADERS)


@cache
def _load_templates() -> Environment:
    templates = Environment(loader=FileSystemLoader(TEMPLATES), autoescape=True, undefined=StrictUndefined)
    templates.filters.update(
        when=_format_time, share=reach_words.format_share, count=wording.format_count, span=_format_age
    )
    templates.filters.update(local=wording.format_plain_time, state_word=wording.state_word)
    templates.filters.update(stage_name=stage_words.name_stage)
    return templates


def _list_judge_lines(service: RolloutService, rollout: Rollout, judgement: Judgement | None) -> list[str]:
    """How the judge of a rollout stands today; of one that has ended, as its last evidence has it."""
    if not rollout.is_under_way:
        return judge_words.list_lines(rollout, rollout.measures)
    measures = judgement.measures if judgement is not None else ()
    return judge_words.list_lines(rollout, measures, look_reports.load_judging_spend(service, rollout))


def _describe_ending(rollout: Rollout) -> str:
    """What its last evidence said, or that it has none."""
    seen = rollout.evidence
    return known_areas.describe_outcome(seen.verdict, seen.measures) if seen is not None else "none"


def _rebuild_rollout(stored: tuple[StoredEvent, ...], position: int) -> Rollout:
    """The rollout as of an event, whose stage determines what could be detected then."""
    rollout: Rollout | None = None
    for recorded in stored:
        if recorded.position <= position and isinstance(recorded.event, RolloutEvent):
            rollout = evolve(rollout, recorded.event, recorded.at)
    assert rollout is not None
    return rollout


@pass_context
def _format_time(page: JinjaContext, at: datetime | None) -> str:
    """In the zone of the page, which is said."""
    return f"{at.astimezone(ZoneInfo(page['zone'])):%a %d %b %Y %H:%M:%S %Z}" if at else "–"


def _format_age(age: timedelta) -> str:
    return wording.format_duration(age.total_seconds())
