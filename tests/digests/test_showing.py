"""The digest as people read it: in Slack, for leaders, in a shell, over HTTP and as a page with charts."""

from datetime import UTC, datetime

import pytest
from typer.testing import CliRunner

from bot.cli import session
from bot.cli.root import app
from bot.commands import run_verb
from bot.commands.parsing import grammar
from bot.commands.request import CommandContext
from bot.rendering.charts import plain_text, weekly_svg
from bot.rendering.charts.weekly_svg import WeeklySeries
from bot.rendering.messages.workspace import digest as messages
from bot.rendering.numbers.reports import digest_words
from core.digests.week import parse_week
from core.report_sources import digest_sources
from core.store.database.connections import connect
from tests.digests.conftest import TOM
from tests.http.conftest import Running, serve  # noqa: F401

NOW = datetime(2026, 11, 16, 9, 0, tzinfo=UTC)


@pytest.fixture
def database(sqlite_url):
    """These tests do not concern the store."""
    with connect(sqlite_url) as opened:
        yield opened


@pytest.fixture
def asked(busy_shop):
    def answer(line):
        context = CommandContext(service=busy_shop.service, by=TOM, at=NOW, command_id="look")
        return plain_text.render_text(run_verb.execute(grammar.parse(line), context))

    return answer


def test_a_week_reads_as_people_would_tell_it(asked):
    assert (
        asked("digest").splitlines()[0]
        == "Week of 9 to 15 November: 2 changes shipped, 2 rolled back, 1 under way, 4 reviews owed."
    )
    shown = asked("digest 2026-W46")
    for told in (
        "2 shipped (in a usual week 0.5) · from plan to everyone 60 min and 2 h · of that, growing step by step took "
        "60 min and 2 h (computed)",
        "2 rolled back, 1 automatically and 1 by a person · noticed after 80 min and 8 h · back in 2.0 s and 4.0 s",
        "restored after 80 min and 8 h · change failure rate 66.7 % (2 of 3 ended) · about 2,000 people had "
        "it · about 19,000 people protected (computed)",
        "R-3 (low risk): Skipped ramp 50% at canary, by U5: “copy fix”",
        "1 of 3 expectations missed",
        "R-5: Cost per request: -14.0 % (expected lower): missed",
        "The review of R-2 is 9 days late (@dana)",
        "R-6 has to be done by 1 Dec 2026, in 15 days: v44 of mail",
    ):
        assert told in shown


def test_this_week_and_last_week_can_be_asked_for(asked):
    assert asked("digest last week") == asked("digest last") == asked("digest")
    assert asked("digest this week").startswith("Week of 16 to 22 November so far")


def test_where_last_week_is_empty_this_week_so_far_is_shown_and_said_so(shop):
    def ask(line, at):
        context = CommandContext(service=shop.service, by=TOM, at=at, command_id="look")
        return plain_text.render_text(run_verb.execute(grammar.parse(line), context))

    shop.declare("mail")
    shop.on(11).ship(shop.plan("one", "mail"))
    instead = "Nothing was shipped, rolled back or under way last week, so this is the current week so far."
    soon = datetime(2026, 11, 13, 9, 0, tzinfo=UTC)
    told = ask("digest", soon)
    assert told.startswith("Week of 9 to 15 November so far")
    assert instead in told
    assert "Week of 2 to 8 November" in ask("digest last week", soon)
    assert instead not in ask("digest", NOW)


def test_a_few_times_are_told_one_by_one_and_many_by_their_median(shop):
    shop.declare("mail")
    for day, name, told in (
        (9, "one", "from plan to everyone 2 h · of"),
        (10, "two", "from plan to everyone 2 h and 2 h · of"),
        (11, "three", "from plan to everyone 2 h (median of 3) · fastest 2 h · of"),
    ):
        shop.on(day).ship(shop.plan(name, "mail"))
        digest = digest_sources.load_digest(shop.service, parse_week("2026-W46", NOW, "UTC"), NOW)
        assert told in digest_words.describe_speed(digest)
    titles = [number.title for number in digest.numbers]
    assert "Lead time, from the first plan to everyone (median of 3)" in titles
    assert "Time to restore (no case)" in titles


def test_a_week_that_does_not_exist_is_refused_with_what_to_write(asked):
    assert "write 2026-W48, W48, last or this" in asked("digest soon")


def test_leaders_get_one_line_without_jargon(busy_shop):
    digest = digest_sources.load_digest(busy_shop.service, parse_week("last", NOW, "UTC"), NOW)
    message = messages.render_line(digest)
    assert message.text == (
        "AI changes in the week of 9 to 15 November: 2 changes shipped, 2 rolled back, 1 under way, 4 reviews owed. "
        "About 19,000 people used a feature and did not get a version that was rolled back (an estimate)."
    )
    assert len(message.blocks) == 1


@pytest.fixture
def shell(busy_shop, sqlite_url, monkeypatch):
    monkeypatch.setenv("DATABASE_URL", sqlite_url)
    monkeypatch.setattr(session, "current_time", lambda: NOW)

    def run(*arguments):
        done = CliRunner().invoke(app, list(arguments))
        return done.exit_code, done.output

    return run


@pytest.mark.shows("E45")
def test_audit_why_names_the_events_behind_a_number(shell):
    status, shown = shell("audit", "why", "2026-W46.time_to_go_back")
    assert status == 0
    lines = shown.splitlines()
    assert lines[0] == "2026-W46.time_to_go_back: 3.0 s"
    assert "The median, over confirmed rollbacks" in shown
    assert "2 events of the log:" in shown
    events = [line for line in lines if line.startswith("  #")]
    assert events[0].endswith("Confirmed: R-4 was switched back everywhere after 4.0 s.")
    assert events[1].endswith("Confirmed: R-5 was switched back everywhere after 2.0 s.")


def test_audit_why_of_a_week_lists_its_numbers(shell):
    status, shown = shell("audit", "why", "2026-W46")
    assert status == 0
    assert "2026-W46.change_failure_rate" in shown
    assert "66.7 %" in shown


def test_audit_why_of_no_number_says_which_there_are(shell):
    status, shown = shell("audit", "why", "2026-W46.luck")
    assert status == 1
    assert 'There is no number "luck"' in shown
    assert "lead_time" in shown


def test_the_page_shows_every_number_with_its_rule_and_charts_of_a_year(busy_shop, serve):  # noqa: F811
    client = serve(Running(service=busy_shop.service, clock=[NOW]))
    page = client.get("/digest").text
    assert "<h1>Week 2026-W46</h1>" in page
    assert "rollout audit why 2026-W46.people_protected" in page
    assert page.count('<svg class="chart"') == 6
    assert "Shipped per week" in page
    assert 'href="/digest/2026-W45"' in page
    assert client.get("/digest/soon").status_code == 422
    table = client.get("/digest.csv").text.splitlines()
    assert table[0] == "\ufeffweek,shipped,rolled_back,failure_rate,lead_time,time_to_detect,shortcuts"
    assert len(table) == 53


def test_the_api_has_the_same_numbers(busy_shop, serve):  # noqa: F811
    client = serve(Running(service=busy_shop.service, clock=[NOW]))
    found = client.get("/api/v1/digests/2026-W46").json()
    values = {number["id"]: number["value"] for number in found["numbers"]}
    assert values["2026-W46.shipped"] == 2
    assert values["2026-W46.people_protected"] == 19_000
    assert found["owed"][0]["rollout"] == "R-2"
    assert client.get("/api/v1/digests/last").json() == found


def test_a_chart_says_in_words_what_it_shows():
    series = WeeklySeries(
        title="Shipped", weeks=["W1", "W2", "W3"], values=[None, 4.0, 2.0], format_value=lambda x: f"{x:g}"
    )
    assert weekly_svg.describe_series(series) == "2 in W3, 4 in W2. The most was 4 in W2. 2 of 3 weeks have a value."
    assert "<desc" in weekly_svg.draw_bars(series, "c")
    assert weekly_svg.draw_bars(WeeklySeries(title="x", weeks=["W1"], values=[None], format_value=str), "c") == ""
