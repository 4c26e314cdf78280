"""The page of a week's digest, with charts over a year, and the table of that year as CSV."""

from collections.abc import Callable, Sequence
from datetime import datetime

from fastapi import APIRouter, Request
from markupsafe import Markup
from starlette.responses import Response

from bot.http.middleware.auth import TokenAuth, TokenRole
from bot.http.pages.csv_download import build_csv_download
from bot.http.pages.numbers import MetricChart
from bot.http.pages.reviews import RenderPage
from bot.rendering import wording
from bot.rendering.charts import weekly_svg
from bot.rendering.charts.weekly_svg import WeeklySeries
from bot.rendering.markup import PLAIN
from bot.rendering.numbers.reports import digest_words
from core.digests import year
from core.digests.week import Week, parse_week, week_of
from core.digests.year import WeekRow
from core.report_sources import digest_sources
from core.rollout.refusal import Refused
from core.service.service import RolloutService


def add_to(
    pages: APIRouter, service: RolloutService, auth: TokenAuth, render_page: RenderPage, now: Callable[[], datetime]
) -> None:
    """Add `/digest`, `/digest/{week}` and `/digest.csv`."""

    def authorize(request: Request) -> None:
        auth.authorize_person(request.headers.raw, TokenRole.OPERATOR)

    @pages.get("/digest.csv")
    def download_year(request: Request) -> Response:
        authorize(request)
        this = week_of(now(), service.load_world().policy.timezone)
        text = year.write_csv(digest_sources.load_year(service, this, now()))
        named = {"Content-Disposition": 'attachment; filename="rollouts-by-week.csv"', "Cache-Control": "no-store"}
        return build_csv_download(text, named)

    @pages.get("/digest")
    def show_last_week(request: Request) -> Response:
        authorize(request)
        return show("")

    @pages.get("/digest/{week}")
    def show_week(request: Request, week: str) -> Response:
        authorize(request)
        return show(week)

    def show(text: str) -> Response:
        zone = service.load_world().policy.timezone
        if text:
            digest = digest_sources.load_digest(service, read_week(text, now(), zone), now())
        else:
            digest = digest_sources.load_newest_digest(service, now(), zone)
        week = digest.week
        this = week_of(now(), zone)
        return render_page(
            "digest.html",
            digest=digest,
            summary=digest_words.summarize(digest),
            speed=digest_words.describe_speed(digest),
            safety=digest_words.describe_safety(digest),
            numbers=[(number, digest_words.format_number(number)) for number in digest.numbers],
            shipped=digest_words.list_shipped(digest, PLAIN),
            rolled_back=digest_words.list_rolled_back(digest, PLAIN),
            shortcuts=digest_words.list_shortcuts(digest, PLAIN),
            surprises=digest_words.list_surprises(digest, PLAIN),
            to_do=digest_words.list_to_do(digest, PLAIN),
            before=week.shift(-1).id,
            after=week.shift(1).id if week.monday < this.monday else None,
            charts=_draw_charts(digest_sources.load_year(service, this, now())),
        )


def read_week(text: str, now: datetime, zone: str) -> Week:
    """The week that is asked for. Refused, with the forms that are understood, if there is no such week."""
    try:
        return parse_week(text, now, zone)
    except ValueError as error:
        raise Refused(str(error), code="invalid") from error


def _draw_charts(rows: Sequence[WeekRow]) -> tuple[MetricChart, ...]:
    """A chart for each column of the table that has a value in some week."""
    weeks = [row.week for row in rows]
    columns: tuple[tuple[str, list[float | None], Callable[[float], str]], ...] = (
        ("Shipped per week", [row.shipped for row in rows], _format_count),
        ("Rolled back per week", [row.rolled_back for row in rows], _format_count),
        ("Change failure rate", [row.failure_rate for row in rows], _format_share),
        ("Lead time (median)", [row.lead_time for row in rows], wording.format_duration),
        ("Time to detect (median)", [row.time_to_detect for row in rows], wording.format_duration),
        ("Shortcuts per week", [row.shortcuts for row in rows], _format_count),
    )
    drawn: list[MetricChart] = []
    for title, values, format_value in columns:
        if any(values):
            series = WeeklySeries(
                title=title,
                weeks=weeks,
                values=values,
                format_value=format_value,
                is_count=format_value is _format_count,
            )
            svg = weekly_svg.draw_bars(series, f"chart-{len(drawn)}")
            drawn.append(MetricChart(title=title, svg=Markup(svg)))  # noqa: S704  (every text in it is escaped)
    return tuple(drawn)


def _format_count(number: float) -> str:
    return f"{number:.0f}"


def _format_share(number: float) -> str:
    return f"{number * 100:.0f} %"
