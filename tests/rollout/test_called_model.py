"""Which model answered, and which models are switched off soon."""

from dataclasses import replace
from datetime import date, timedelta

import pytest

from core.rollout import commands as c
from core.rollout.models import model_reports
from core.rollout.models.called_model import format_model, may_answer
from core.rollout.models.retirements import (
    WARN_DAYS,
    ModelRetirement,
    UnreadableRetirements,
    find_due_warnings,
    parse_retirements,
)
from core.rollout.state.surface import RetirementTold, evolve
from core.rollout.state.world import World

DATED = {"model": {"provider": "acme-ai", "name": "large-4", "snapshot": "2026-11-30"}}


@pytest.mark.parametrize(
    ("content", "answered", "may"),
    [
        (DATED, "large-4-2026-11-30", True),
        (DATED, "large-4-20261130", True),
        (DATED, "acme-ai/Large-4-20261130", True),
        (DATED, "large-4", True),
        (DATED, "large-4-2026-12-24", False),
        (DATED, "large-3-2026-11-30", False),
        (DATED, "large-4-mini-2026-11-30", False),
        ({"model": "large-4-20261130"}, "large-4-2026-11-30", True),
        ({"model": "large-4.1-20261130"}, "large-4-20261130", False),
        ({"prompt": "no model here"}, "anything", True),
        ({**DATED, "routing": {"default": "large-4", "fallback": ["small-1"]}}, "small-1-2026-01-01", True),
    ],
)
def test_a_response_is_held_against_the_configured_model(content, answered, may):
    assert may_answer(content, answered) is may


def test_a_model_is_one_text():
    assert format_model(DATED) == "large-4-2026-11-30"
    assert format_model({"model": 7}) == ""


@pytest.fixture
def calling(words):
    return words.surface(versions={"v42": {"model": "large-3-20260301"}}, live="v42")


def test_another_model_is_told_once_and_a_right_one_never(calling):
    report = c.ReportOtherModel(surface="support-assistant", version="v42", answered="large-3-20260615")
    event = model_reports.decide_other_model(calling, report)
    assert (event.configured, event.answered) == ("large-3-20260301", "large-3-20260615")
    assert model_reports.decide_other_model(evolve(calling, event), report) is None
    assert model_reports.decide_other_model(calling, replace(report, answered="large-3")) is None
    assert model_reports.decide_other_model(calling, replace(report, version="v9")) is None


def test_made_up_names_do_not_fill_the_log(calling):
    told = 0
    for number in range(50):
        report = c.ReportOtherModel(surface="support-assistant", version="v42", answered=f"x{number}")
        if (event := model_reports.decide_other_model(calling, report)) is not None:
            calling, told = evolve(calling, event), told + 1
    assert told == model_reports.MAX_OTHER_MODELS


GONE = ModelRetirement(model="large-3", on=date(2027, 2, 15), replacement="large-4")


def days_told(surface, start=120, end=-3):
    """On which days before the end a warning was given, day by day."""
    found = []
    for left in range(start, end, -1):
        world = World(surfaces={surface.name: surface})
        for due in find_due_warnings(world, (GONE,), GONE.on - timedelta(days=left)):
            found.append(left)
            told = RetirementTold(model=GONE.model, on=GONE.on, replacement=GONE.replacement, days=due.days)
            surface = evolve(surface, told)
    return found


@pytest.mark.shows("E70")
def test_warnings_come_90_60_30_14_and_7_days_ahead(calling):
    assert days_told(calling) == [*WARN_DAYS] == [90, 60, 30, 14, 7]


def test_whoever_begins_to_watch_late_gets_the_latest_warning_only(calling):
    assert days_told(calling, start=45) == [45, 30, 14, 7]
    assert days_told(calling, start=-1) == [-1]


def test_only_features_that_call_it_are_warned(words):
    other = words.surface(versions={"v42": {"model": "large-4-20261130"}})
    without = words.surface(versions={"v42": {"prompt": "p"}})
    assert days_told(other) == days_told(without) == []


def test_a_date_that_is_moved_is_warned_of_again(calling):
    told = RetirementTold(model="large-3", on=date(2027, 1, 15), replacement="", days=7)
    world = World(surfaces={calling.name: evolve(calling, told)})
    (due,) = find_due_warnings(world, (GONE,), date(2027, 1, 20))
    assert due.days == 30


def test_the_list_may_be_ours_or_a_providers():
    ours = '[{"model": "large-3", "retires": "2027-02-15", "replacement": "large-4"}]'
    assert parse_retirements(ours) == (GONE,)
    dated, undated = '{"id": "large-3", "shutdown_date": "2027-02-15T00:00:00Z"}', '{"id": "large-4"}'
    theirs = f'{{"data": [{dated}, {undated}]}}'
    assert parse_retirements(theirs) == (replace(GONE, replacement=""),)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("large-3", "it is not JSON"),
        ('{"models": []}', "write "),
        ("[1]", "entry 1 is no object"),
        ('[{"retires": "2027-02-15"}]', 'entry 1 names no "model"'),
        ('[{"model": "large-3", "retires": "soon"}]', "not a date like 2027-02-15"),
        ('[{"model": "large-3"}]', "not a date like 2027-02-15"),
    ],
)
def test_a_list_that_cannot_be_read_says_why(text, said):
    with pytest.raises(UnreadableRetirements, match=said):
        parse_retirements(text)
