"""A digest says what a count by hand of the same weeks says, and names the events behind each number."""

from datetime import UTC, date, datetime, timedelta

import pytest

from bot.rendering.markup import PLAIN
from bot.rendering.numbers.reports import digest_words
from core.digests.digest import NumberUnit
from core.digests.week import parse_week
from core.report_sources import digest_sources
from core.reviews.shortcuts import ShortcutKind
from core.rollout import commands as c
from core.rollout.context import ENGINE
from core.rollout.state import events as e
from core.rollout.state.surface import RetirementTold
from core.service.service import CommandRequest
from tests.digests.conftest import ROLLOUT

NOW = datetime(2026, 11, 16, 9, 0, tzinfo=UTC)  # the Monday after
HOUR = timedelta(hours=1).total_seconds()


@pytest.fixture
def week(busy_shop):
    def load(text="2026-W46", now=NOW):
        return digest_sources.load_digest(busy_shop.service, parse_week(text, now, "UTC"), now)

    return load


@pytest.mark.shows("E84")
def test_outcomes_are_those_of_the_week_and_no_other(week, numbers):
    """R-3 and R-5 were shipped, R-4 and R-5 taken back, so two of three that ended failed; R-6 is under way."""
    asked = ("shipped", "rolled_back", "rolled_back_automatically", "change_failure_rate", "running")
    assert numbers(week(), *asked) == [2, 2, 1, pytest.approx(2 / 3), 1]
    assert numbers(week("2026-W45"), *asked) == [2, 0, 0, 0, 0]
    assert numbers(week(), "shipped_usual") == [2 / 4]


@pytest.mark.shows("E45", "E84")
def test_the_lead_time_runs_from_the_first_plan_until_everyone_has_it(week, numbers):
    """R-1: a day, and 2 h until everyone. R-2: an hour, and 2 h. R-3: 1 h. R-5: 2 h."""
    assert numbers(week("2026-W45"), "lead_time", "lead_time_fastest") == [(26 + 3) / 2 * HOUR, 3 * HOUR]
    assert numbers(week(), "lead_time", "lead_time_fastest", "time_added") == [1.5 * HOUR, HOUR, 1.5 * HOUR]


@pytest.mark.shows("E84")
def test_detection_going_back_and_restoring_are_told_apart(week, numbers):
    """R-4: found after 80 min, back in 4 s. R-5: 8 h after its first people, back in 2 s."""
    detect = (80 * 60 + 8 * HOUR) / 2
    assert numbers(week(), "time_to_detect", "time_to_go_back", "time_to_restore") == [detect, 3.0, detect + 3.0]


@pytest.mark.shows("E45")
def test_people_protected_are_computed_from_the_share_and_say_so(week):
    """R-4 reached 1,000 people at 5 %: the other 95 % are 19,000. R-5 had reached everybody, so it protected nobody."""
    protected = week().find("people_protected")
    assert protected.value == 1000 * 95 / 5
    assert protected.is_computed
    assert protected.how.startswith("Computed, not counted")
    assert [event.rollout for event in protected.events] == ["R-4"]
    assert week().find("people_reached").unit is NumberUnit.PEOPLE


@pytest.mark.shows("E84")
def test_shortcuts_are_listed_with_who_took_them_and_why(week, numbers):
    """R-3 left out the step to 50 %. Four rollouts were under way, of four stages each."""
    digest = week()
    (taken,) = digest.shortcuts
    assert (taken.rollout, taken.shortcut.by, taken.shortcut.reason) == ("R-3", "slack:T1/U5", "copy fix")
    assert (taken.shortcut.kind, taken.shortcut.skipped) == (ShortcutKind.STAGES_SKIPPED, ("ramp 50%",))
    assert numbers(digest, "shortcuts", "stages_skipped") == [1, 1 / 16]


def test_surprises_are_the_expectations_that_were_missed(week, numbers):
    """R-3 and R-5 stated one each, and so did R-4, of which nothing is shown; R-5's did not come true."""
    assert numbers(week(), "expectations", "surprises") == [3, 1]
    assert [one.rollout for one in week().missed] == ["R-5"]


def test_reviews_are_owed_until_they_are_written(week, numbers):
    """R-1 is reviewed. R-2 was due on 6 Nov; R-3, R-4 and R-5 (asked for again) two days after they ended."""
    assert [one.rollout for one in week().owed] == ["R-2", "R-3", "R-4", "R-5"]
    assert numbers(week(), "reviews_owed", "reviews_late") == [4, 4]
    assert numbers(week("2026-W45"), "reviews_owed", "reviews_late") == [1, 1]


def test_dates_ahead_are_deadlines_and_last_days_of_old_versions(week):
    """R-6 has a deadline. R-5 was taken back, so the last day of its old version no longer matters."""
    assert [(one.rollout, one.day.isoformat(), one.is_deadline) for one in week().retirements] == [
        ("R-6", "2026-12-01", True)
    ]


def test_every_number_has_a_stable_id_and_names_events_of_the_log(week, busy_shop):
    digest = week()
    ids = [number.id for number in digest.numbers]
    assert len(set(ids)) == len(ids)
    assert "2026-W46.lead_time" in ids
    known = {r.position: r for f in range(1, 8) for r in busy_shop.service.load_history(f"R-{f}")}
    for number in digest.numbers:
        for event in number.events:
            assert known[event.position].at == event.at
            assert known[event.position].stream == f"rollout:{event.rollout}"
    shipped = digest.find("shipped").events
    assert {type(known[event.position].event) for event in shipped} == {e.Completed}


def test_a_past_week_stays_as_it_was_whatever_happens_later(week, busy_shop):
    before = week("2026-W45")
    busy_shop.on(17).plan("eight", "search")
    assert week("2026-W45", datetime(2026, 12, 1, tzinfo=UTC)) == before


def test_a_week_that_lasts_goes_as_far_as_now(week, numbers):
    tuesday = datetime(2026, 11, 10, 9, 30, tzinfo=UTC)
    digest = week("this", tuesday)
    assert digest.until == tuesday
    assert numbers(digest, "shipped", "rolled_back") == [1, 0]


def test_the_table_of_a_year_has_the_same_numbers(busy_shop, week, numbers):
    rows = digest_sources.load_year(busy_shop.service, parse_week("2026-W46", NOW, "UTC"), NOW)
    assert len(rows) == 52
    found = {row.week: row for row in rows}
    for text in ("2026-W45", "2026-W46"):
        row, asked = found[text], ("shipped", "rolled_back", "lead_time", "time_to_detect", "shortcuts")
        assert [getattr(row, key) for key in asked] == numbers(week(text), *asked)
        assert row.failure_rate == week(text).find("change_failure_rate").value
    assert found["2026-W40"].shipped == 0
    assert found["2026-W40"].lead_time is None


@pytest.mark.shows("E84")
def test_a_low_risk_change_reaches_everyone_within_a_working_day(shop, numbers):
    """The template for daily shipping, from the file to everyone: checks, an hour at 5 %, an hour at 50 %."""
    shop.declare("help")
    text = ROLLOUT.format(name="daily", surface="help", live="v42", more="")
    head, _, rest = text.partition("stages:")
    daily = shop.apply(f"{head}template: prompt-low-stakes\nrollback_when:{rest.partition('rollback_when:')[2]}")
    shop.say(c.Start(), daily)
    passed = c.RecordEval(suite="", ok=True, passed=200, failed=0, errors=0, reasons=(), cases=(), digest="a1")
    shop.later(minutes=30).say(passed, daily)
    for hours in (0, 1, 1, 1, 4):
        shop.later(hours=hours).look(daily, expected="as expected")
    week = parse_week("this", shop.at, "UTC")
    digest = digest_sources.load_digest(shop.service, week, shop.at + timedelta(hours=1))
    assert numbers(digest, "shipped", "stages_skipped", "shortcuts") == [1, 0, 0]
    assert digest.find("lead_time").value <= 6 * HOUR


def test_models_in_use_that_are_switched_off_are_told_with_whether_an_upgrade_is_planned(shop, numbers):
    shop.declare("help")
    shop.declare("mail")
    for name in ("help", "mail"):
        told = RetirementTold(model="large-3", on=date(2027, 1, 29), replacement="large-4", days=90)
        request = CommandRequest(
            command=c.TellRetirement(surface=name, told=told), command_id=f"told-{name}", by=ENGINE, at=shop.at
        )
        shop.service.handle(request)
    upgrade = ROLLOUT.replace("prompt: {name}.md", "model: {{provider: acme, name: large-4, snapshot: '2026-10-01'}}")
    shop.apply(upgrade.format(name="up", surface="mail", live="v42", more=""))
    week = parse_week("this", shop.at, "UTC")
    digest = digest_sources.load_digest(shop.service, week, shop.at + timedelta(hours=1))
    assert numbers(digest, "models_retiring") == [2]
    assert [(one.surface, one.days_left, one.is_upgrade_planned) for one in digest.shutdowns] == [
        ("help", 88, False),
        ("mail", 88, True),
    ]


@pytest.mark.parametrize(
    ("on", "said"),
    [
        (
            date(2026, 11, 20),
            "is switched off on 20 Nov 2026, in 18 days; no upgrade is planned, and the usual four weeks for one are "
            "no longer left: plan it now, with shorter stages",
        ),
        (date(2027, 1, 29), "is switched off on 29 Jan 2027, in 88 days; no upgrade is planned"),
        (date(2026, 10, 30), "has been switched off since 30 Oct 2026; no upgrade is planned, and the usual"),
    ],
)
def test_a_model_that_is_told_of_late_is_in_the_digest_with_what_that_means(shop, on, said):
    shop.declare("help")
    told = RetirementTold(model="large-3", on=on, replacement="", days=30)
    request = CommandRequest(
        command=c.TellRetirement(surface="help", told=told), command_id="told", by=ENGINE, at=shop.at
    )
    shop.service.handle(request)
    week = parse_week("this", shop.at, "UTC")
    digest = digest_sources.load_digest(shop.service, week, shop.at + timedelta(hours=1))
    (line,) = digest_words.list_to_do(digest, PLAIN)
    assert line.startswith(f"large-3, which help uses, {said}")


def test_a_model_that_only_the_way_back_calls_is_not_in_use(shop, numbers):
    shop.declare("mail")
    told = RetirementTold(model="small-1", on=date(2027, 1, 29), replacement="", days=90)
    request = CommandRequest(
        command=c.TellRetirement(surface="mail", told=told), command_id="told", by=ENGINE, at=shop.at
    )
    shop.service.handle(request)
    week = parse_week("this", shop.at, "UTC")
    digest = digest_sources.load_digest(shop.service, week, shop.at + timedelta(hours=1))
    assert numbers(digest, "models_retiring") == [0]


@pytest.mark.parametrize(("named", "last"), [("", date(2026, 11, 19)), ("2026-11-12", date(2026, 11, 12))])
def test_the_way_back_ends_on_the_earlier_day_of_the_file_and_the_provider(shop, named, last):
    shop.declare("mail")
    told = RetirementTold(model="large-3", on=date(2026, 11, 20), replacement="", days=30)
    request = CommandRequest(
        command=c.TellRetirement(surface="mail", told=told), command_id="told", by=ENGINE, at=shop.at
    )
    shop.service.handle(request)
    upgrade = ROLLOUT.replace("prompt: {name}.md", "model: {{provider: acme, name: large-4, snapshot: '2026-10-01'}}")
    more = f", rollback_to_available_until: {named}" if named else ""
    shop.ship(shop.apply(upgrade.format(name="up", surface="mail", live="v42", more=more)))
    soon = shop.at + timedelta(hours=1)
    digest = digest_sources.load_digest(shop.service, parse_week("this", soon, "UTC"), soon)
    assert [(one.version, one.day) for one in digest.retirements] == [("v42", last)]
    assert digest_sources.load_digest(shop.service, parse_week("last", soon, "UTC"), soon).retirements == ()
