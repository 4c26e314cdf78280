"""The page of a review, and the same as Markdown."""

from dataclasses import asdict
from typing import Protocol

from fastapi import APIRouter, Request
from starlette.responses import Response

from bot.http.middleware.auth import TokenAuth, TokenRole
from bot.rendering import markup
from bot.rendering.documents import review_document
from bot.rendering.markup import PLAIN, FindHandles
from bot.rendering.numbers import measure_rows
from bot.rendering.numbers.reports import review_words
from core.report_sources import review_sources
from core.reviews.draft import ReviewDraft
from core.service.service import RolloutService


class RenderPage(Protocol):
    """Renders a template with these values."""

    def __call__(self, name: str, **values: object) -> Response: ...


def add_to(
    pages: APIRouter, service: RolloutService, auth: TokenAuth, render_page: RenderPage, find_handles: FindHandles
) -> None:
    """Add `/r/{id}/review` and `/r/{id}/review.md`."""

    def load_draft(request: Request, rollout_id: str) -> ReviewDraft:
        auth.authorize_person(request.headers.raw, TokenRole.OPERATOR)
        rollout = service.load_world().require_rollout(rollout_id, hint="See the overview at /.")
        return review_sources.load_draft(service, rollout)

    @pages.get("/r/{rollout_id}/review")
    def show_review(request: Request, rollout_id: str) -> Response:
        draft = load_draft(request, rollout_id)
        zone = service.cached_world().policy.timezone
        given = draft.rollout.review
        answers = asdict(given) if given is not None else {}
        return render_page(
            "review.html",
            draft=draft,
            rollout=draft.rollout,
            questions=review_words.list_questions(draft, PLAIN, zone),
            outcomes=review_words.count_outcomes(draft),
            shortcuts=review_words.describe_shortcuts(draft, PLAIN),
            header=review_document.HEADER,
            rows=review_document.list_rows(draft),
            holdout=review_document.describe_holdout(draft),
            holdout_header=measure_rows.HEADER,
            holdout_rows=review_document.list_holdout_rows(draft),
            answers=answers,
            lessons=review_words.list_lessons(answers),
        )

    @pages.get("/r/{rollout_id}/review.md")
    def download_review(request: Request, rollout_id: str) -> Response:
        draft = load_draft(request, rollout_id)
        text = review_document.render_markdown(draft, service.cached_world().policy.timezone)
        text = markup.name_people(text, find_handles)
        return Response(text, media_type="text/markdown; charset=utf-8", headers={"Cache-Control": "no-store"})
