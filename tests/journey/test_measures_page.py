"""The table of measures fits its page at every width, in a real browser: no column is behind a scroll."""

from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pytest
from jinja2 import Environment, FileSystemLoader

from bot.http.pages.routes import TEMPLATES
from bot.rendering import markup

ROW = SimpleNamespace(
    title="Answers that the judge finds complete and to the point",
    metric="rubric_completeness_score",
    segment="subscription_plan=enterprise_annual",
    new="1,204.56 per 1,000",
    now="1,192.16 per 1,000",
    moved="+12.40 per 1,000 (-21.50 per 1,000 … +132.50 per 1,000)",
    limit="watched: a rate above 3 % with at least 5 events",
    evidence="100 %",
    noticed="a rise of >= 13.2 pp beyond the limit",
    worst="as bad as +10.3 pp",
    decided="at this traffic a change as large as the limit would be noticed after 3.9 days",
    requests="1,158,040 / 22,158,040",
    verdict="Slightly worse, within limit",
    kind="unsure",
    remarks=("against the past: no control is left",),
)


@pytest.mark.browser
@pytest.mark.parametrize("width", [1400, 1000, 800, 400])
def test_no_column_of_the_measures_is_behind_a_scroll(page_of: Callable[[str], Any], width: int) -> None:
    templates = Environment(loader=FileSystemLoader(TEMPLATES), autoescape=True)
    macros: Any = templates.get_template("measures.html").module
    numbers = SimpleNamespace(segments=[ROW], checked=1, unjudged=())
    tables = f"{macros.table([ROW])}{macros.segments(numbers)}{macros.power([ROW])}"
    page = page_of("about:blank")
    page.set_viewport_size({"width": width, "height": 900})
    style = (TEMPLATES / "style.css").read_text(encoding="utf-8")
    page.set_content(f"<style>{style}</style><main>{markup.join_numbers(tables)}</main>")
    hidden = "[...document.querySelectorAll('.wide')].map(one => one.scrollWidth - one.clientWidth)"
    assert page.evaluate(hidden) == [0, 0, 0]
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")


@pytest.mark.browser
def test_no_line_of_the_history_ends_within_a_time(page_of: Callable[[str], Any]) -> None:
    row = "<tr><td><time>Tue 24 Nov 13:20 CET</time> to <time>Wed 25 Nov 13:21 CET</time></td><td>{}</td></tr>"
    style = (TEMPLATES / "style.css").read_text(encoding="utf-8")
    page = page_of("about:blank")
    page.set_content(f"<style>{style}</style><table class=stacked>{row.format('what has happened ' * 40)}</table>")
    for width in (1400, 800, 400):
        page.set_viewport_size({"width": width, "height": 900})
        lines = "[...document.querySelectorAll('time')].map(one => one.getClientRects().length)"
        assert page.evaluate(lines) == [1, 1], width
