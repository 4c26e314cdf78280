"""Routes of the read-only pages: all rollouts, one rollout with numbers and history, one record of evidence."""

from collections.abc import Callable
from datetime import datetime, timedelta
from functools import cache
from pathlib import Path
from typing import Annotated, Any

from fastapi import APIRouter, Query, Request
from jinja2 import Environment, FileSystemLoader, StrictUndefined
from starlette.responses import HTMLResponse, RedirectResponse, Response

from bot.http.middleware.auth import Door, Role
from bot.http.pages.numbers import numbers
from bot.process.process_state import Standing
from bot.rendering import wording
from bot.rendering.json.rollouts import event_shown
from bot.rendering.numbers.latest import Latest, latest
from core import watch
from core.rollout.events import EvidenceRecorded, RolloutEvent
from core.rollout.evolve import evolve
from core.rollout.model import TERMINAL, Rollout
from core.rollout.refusal import NotFound
from core.service import Service
from core.store.log.event_log import Recorded

LISTED = 50
TEMPLATES = Path(__file__).parent / "templates"
LATE_LOOKS = 3  # ticks without a look, after which the page shows a warning
HEADERS = {
    "Content-Security-Policy": "default-src 'none'; style-src 'self'; img-src 'self'; frame-ancestors 'none'; "
    "form-action 'none'; base-uri 'none'",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cache-Control": "no-store",
}


def router(service: Service, door: Door, now: Callable[[], datetime], standing: Standing, tick: timedelta) -> APIRouter:
    """The routes `/`, `/r/{id}` and `/e/{rollout}.{number}`; read-only, without external resources."""
    pages = APIRouter(include_in_schema=False)
    style = (TEMPLATES / "style.css").read_text(encoding="utf-8")

    def page(name: str, **values: Any) -> HTMLResponse:
        ages = {rollout: timedelta(seconds=age) for rollout, age in standing.look_ages().items()}
        return _page(
            name,
            now(),
            blind=standing.blind,
            look_ages=ages,
            late={rollout for rollout, age in ages.items() if age > LATE_LOOKS * tick},
            unwatched=standing.unwatched,
            **values,
        )

    @pages.get("/")
    def overview(request: Request, before: Annotated[str, Query(pattern=r"^R-[0-9]{1,15}$")] | None = None) -> Response:
        door.admit_person(request.headers.raw, Role.OPERATOR)
        world = service.world()
        newest = service.newest_rollouts(LISTED + 1, before=before or "")
        shown = newest[:LISTED]
        return page(
            "overview.html",
            open=tuple(reversed(world.open)),
            ended=[r for r in shown if r.state in TERMINAL],
            before=before,
            older=shown[-1].id if len(newest) > LISTED else None,
            surfaces=tuple(world.surfaces.values()),
        )

    @pages.get("/r/{rollout_id}")
    def one(request: Request, rollout_id: str) -> Response:
        door.admit_person(request.headers.raw, Role.OPERATOR)
        rollout = service.world().find(rollout_id)
        if rollout is None:
            raise NotFound(f"There is no rollout {rollout_id[:80]}.", hint="See the overview at /.")
        events = [(event_shown(r), r.event) for r in service.history(rollout.id)]
        evidence = {shown["position"]: e.number for shown, e in events if isinstance(e, EvidenceRecorded)}
        judgement = watch.evidence(service, rollout) if rollout.under_way else None
        return page(
            "rollout.html",
            rollout=rollout,
            events=[shown for shown, _ in events],
            evidence=evidence,
            numbers=numbers(service, rollout, latest(rollout, judgement, now())),
        )

    @pages.get("/e/{number:int}")
    def evidence_by_number(request: Request, number: int) -> Response:
        """Redirect "evidence #1", as cards write it, to the newest rollout that has evidence of this number."""
        door.admit_person(request.headers.raw, Role.OPERATOR)
        for rollout in service.newest_rollouts(LISTED):
            if rollout.evidence is not None and 1 <= number <= rollout.evidence.number:
                return RedirectResponse(f"/e/{rollout.id}.{number}", 307, headers=HEADERS)
        raise NotFound(f"There is no evidence #{number}.", hint="Evidence is listed on its rollout's page.")

    @pages.get("/e/{evidence_id}")
    def evidence(request: Request, evidence_id: str) -> Response:
        door.admit_person(request.headers.raw, Role.OPERATOR)
        rollout_id, _, number = evidence_id.rpartition(".")
        rollout = service.world().find(rollout_id)
        history = service.history(rollout_id) if rollout else ()
        for recorded in history:
            if isinstance(recorded.event, EvidenceRecorded) and str(recorded.event.number) == number:
                event, then = recorded.event, _as_it_was(history, recorded.position)
                seen = Latest(
                    measures=event.measures,
                    segments=event.segments,
                    checked=event.segments_checked,
                    notes=event.notes,
                    at=recorded.at,
                )
                return page(
                    "evidence.html",
                    rollout=rollout,
                    recorded=recorded,
                    seen=event,
                    word=wording.verdict_word(event.verdict),
                    numbers=numbers(service, then, seen),
                )
        raise NotFound(f"There is no evidence {evidence_id[:80]}.", hint="Evidence is listed on its rollout's page.")

    @pages.get("/style.css")
    async def stylesheet() -> Response:
        return Response(style, media_type="text/css", headers={"Cache-Control": "max-age=3600"})

    return pages


def problem_page(request: Request, status: int, message: str, hint: str, now: datetime) -> Response | None:
    """The error as an HTML page; None if the request did not ask for HTML."""
    if request.url.path.startswith("/api/") or "text/html" not in request.headers.get("accept", ""):
        return None
    return _page("problem.html", now, status=status, message=message, hint=hint)


def _page(name: str, now: datetime, *, status: int = 200, **values: Any) -> HTMLResponse:
    of_the_process = {"blind": "", "look_ages": {}, "late": (), "unwatched": ()}
    text = _templates().get_template(name).render(now=now, **{**of_the_process, **values})
    return HTMLResponse(text, status, headers=HEADERS)


@cache
def _templates() -> Environment:
    templates = Environment(loader=FileSystemLoader(TEMPLATES), autoescape=True, undefined=StrictUndefined)
    templates.filters.update(when=_when, percent=_percent, count=wording.count, span=_span)
    return templates


def _as_it_was(history: tuple[Recorded, ...], position: int) -> Rollout:
    """The rollout as of an event, whose stage determines what could be detected then."""
    rollout: Rollout | None = None
    for recorded in history:
        if recorded.position <= position and isinstance(recorded.event, RolloutEvent):
            rollout = evolve(rollout, recorded.event, recorded.at)
    assert rollout is not None
    return rollout


def _when(at: datetime | None) -> str:
    return f"{at:%a %d %b %Y %H:%M:%S} UTC" if at else "–"


def _span(age: timedelta) -> str:
    return wording.duration(age.total_seconds())


def _percent(value: float) -> str:
    return f"{value:g} %"
