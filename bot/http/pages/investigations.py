"""The page about a rollback: checklist, numbers, charts, segments and history; and the same as a file."""

from fastapi import APIRouter, Request
from starlette.responses import Response

from bot.http.middleware.auth import TokenAuth, TokenRole
from bot.http.pages.numbers import build_numbers
from bot.http.pages.reviews import RenderPage
from bot.rendering import wording
from bot.rendering.documents import evidence_bundle
from bot.rendering.markup import FindHandles
from bot.rendering.messages.alerts import investigation
from bot.rendering.numbers.latest_numbers import LatestNumbers
from core.report_sources import investigation_sources
from core.reviews.investigation import Investigation
from core.service.service import RolloutService


def add_to(
    pages: APIRouter, service: RolloutService, auth: TokenAuth, render_page: RenderPage, find_handles: FindHandles
) -> None:
    """Add `/r/{id}/investigation` and `/r/{id}/investigation.zip`."""

    def load_found(request: Request, rollout_id: str) -> Investigation:
        auth.authorize_person(request.headers.raw, TokenRole.OPERATOR)
        rollout = service.load_world().require_rollout(rollout_id, hint="See the overview at /.")
        return investigation_sources.load_investigation(service, rollout)

    @pages.get("/r/{rollout_id}/investigation")
    def show_investigation(request: Request, rollout_id: str) -> Response:
        found = load_found(request, rollout_id)
        zone = service.cached_world().policy.timezone
        steps = [(step.question, wording.to_plain_text(step.known)) for step in investigation.list_steps(found, zone)]
        return render_page(
            "investigation.html",
            rollout=found.rollout,
            decided_at=found.decided_at,
            zone=zone,
            steps=steps,
            first_seen=investigation.list_first_seen(found),
            numbers=build_numbers(service, found.rollout, _select_numbers(found)),
        )

    @pages.get("/r/{rollout_id}/investigation.zip")
    def download_evidence(request: Request, rollout_id: str) -> Response:
        found = load_found(request, rollout_id)
        name = evidence_bundle.name_bundle(found)
        headers = {"Content-Disposition": f'attachment; filename="{name}"', "Cache-Control": "no-store"}
        content = evidence_bundle.build_bundle(found, service.cached_world().policy.timezone, find_handles)
        return Response(content, media_type="application/zip", headers=headers)


def _select_numbers(found: Investigation) -> LatestNumbers:
    return LatestNumbers(
        measures=found.measures,
        segments=found.segments,
        segments_checked=found.segments_checked,
        notes=(),
        at=found.decided_at,
    )
