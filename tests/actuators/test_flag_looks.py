"""Driven flags are looked at now and then: what people did there by hand, and what they have mended."""

from datetime import timedelta

import pytest

from bot.jobs import flag_checks
from core.rollout import commands as c
from core.rollout.serving import driving
from core.rollout.state import events as e
from core.rollout.state.model import RolloutState
from tests.actuators import stand_in
from tests.actuators.stand_in import TOKEN
from tests.service.conftest import SURFACE


@pytest.fixture
def look(house):
    """Time passes, and both jobs are done as workers do them."""

    def after(**span):
        house.later(**span)
        flag_checks.queue_flag_checks(house.service, house.at)
        return house.drive()

    return after


def test_a_flag_that_stays_where_it_should_is_read_every_five_minutes_and_nothing_said(house, look):
    house.begin().drive()
    look(minutes=4)
    calls = len(house.unleash.log)
    said = house.service.load_world().position
    assert sum(look(minutes=1) for _ in range(10)) == 2
    assert house.unleash.log[calls:] == ["GET", "GET"]
    assert house.service.load_world().position == said


def test_several_workers_look_once(house, second_service):
    house.begin().drive()
    house.later(minutes=5)
    other = second_service()
    other.load_world()
    flag_checks.queue_flag_checks(house.service, house.at)
    flag_checks.queue_flag_checks(other, house.at)
    house.drive()
    flag_checks.queue_flag_checks(other, house.at)
    assert house.drive() == 0


def test_a_clock_that_was_set_back_keeps_nobody_from_looking(house):
    """By it, every time of the hour that comes again has been looked at."""
    house.begin().drive()
    elapsed = [0.0]
    due = flag_checks.FlagDueTimes.for_speed(lambda: 1.0, lambda: elapsed[0])

    def looks(minutes):
        found = 0
        for _ in range(minutes):
            elapsed[0] += 60
            house.later(minutes=1)
            flag_checks.queue_flag_checks(house.service, house.at, due)
            found += house.drive()
        return found

    assert looks(60) in (12, 13)
    house.later(hours=-1)
    assert 60 // 8 <= looks(60) <= 13


def test_raised_by_hand_it_is_set_back_and_told(house, look):
    house.begin().drive()
    house.unleash.set_by_hand(80)
    look(minutes=5)
    assert house.unleash.percent == "5"
    assert house.found == [(0, 5), (80, 5)]


def test_lowered_by_hand_it_stays_there_and_the_rollout_is_held(house, look):
    house.begin().drive()
    house.unleash.set_by_hand(0)
    look(minutes=5)
    assert house.rollout.state is RolloutState.RUNNING, "looked at twice: it may be a reading that is behind"
    house.later(seconds=10).drive()
    assert house.unleash.percent == "0"
    assert house.rollout.state is RolloutState.ON_HOLD
    assert "by hand" in house.rollout.hold.text
    look(minutes=5)
    assert house.unleash.percent == "0"
    house.say(c.Resume(reason="a mistake"))
    house.drive()
    assert house.unleash.percent == "5"
    assert house.rollout.state is RolloutState.RUNNING


def test_a_reading_that_is_behind_is_nobodys_hand(house, look):
    house.begin().drive()
    house.unleash.stale_reads = 1
    look(minutes=5)
    house.later(seconds=10).drive()
    assert house.rollout.state is RolloutState.RUNNING
    assert house.found == [(0, 5)]
    assert house.unleash.percent == "5"


def test_a_reading_that_is_behind_when_the_system_has_just_come_back_is_nobodys_hand(house, look):
    house.begin().drive()
    house.unleash.fail_next("GET", stand_in.status(503), times=3)
    look(minutes=5)
    for _ in range(2):
        house.later(seconds=30).drive()
    house.unleash.stale_reads = 1
    house.later(seconds=30).until_quiet()
    assert house.rollout.state is RolloutState.RUNNING
    assert house.found == [(0, 5)]
    assert house.happened(e.FlagNotSet) == [], "and it is no trouble"


def test_lowered_by_hand_just_before_a_step_it_is_not_raised_by_it(house):
    house.begin().drive()
    house.unleash.set_by_hand(0)
    house.step().until_quiet()
    assert house.unleash.percent == "0"
    assert house.rollout.state is RolloutState.ON_HOLD
    house.back().drive()
    assert house.reading.percent == 0


def test_a_token_that_was_mended_is_enough(house, look):
    house.begin()
    house.token = "wrong"
    house.drive()
    for _ in range(3):
        look(minutes=1)
    assert len(house.happened(e.FlagNotSet)) == 1, "told once"
    assert [x.state for x in house.rows()].count("dead") == 1, "and counted once"
    house.token = TOKEN
    look(minutes=1)
    assert house.unleash.percent == "5"


def test_a_rollback_that_could_not_be_set_is_set_when_the_token_is_mended(house, look):
    house.begin().drive()
    house.token = "wrong"
    house.back().drive()
    look(hours=1)
    assert house.unleash.percent == "5"
    house.token = TOKEN
    look(minutes=1)
    assert house.unleash.percent == "0"
    assert house.reading.percent == 0


def test_what_waits_is_not_looked_at_beside_it(house, look):
    house.unleash.fail_next("GET", stand_in.status(503, Retry_After="300"))
    house.begin().drive()
    assert look(minutes=1) == 0
    assert len(house.rows()) == 1


def test_after_the_end_the_flag_is_its_owners_again(house, look):
    house.begin().drive()
    house.back().drive()
    house.unleash.set_by_hand(30)
    look(minutes=5)
    assert house.unleash.percent == "0", "something that came late, perhaps"
    look(minutes=15)
    house.unleash.set_by_hand(30)
    assert sum(look(minutes=5) for _ in range(5)) == 0
    assert house.unleash.percent == "30"


def test_before_the_start_and_after_the_last_step_nobody_looks(house, look):
    house.plan()
    assert look(minutes=5) == 0
    house.later(minutes=1).say(c.Start())
    for _ in range(4):
        house.step().until_quiet()
    assert house.rollout.state is RolloutState.DONE
    assert look(minutes=5) == 0


def test_a_flag_that_a_later_rollout_drives_is_not_looked_at_for_an_earlier_one(house):
    house.begin().drive()
    house.unleash.fail_next("GET", stand_in.status(503, Retry_After="60"))
    house.back().drive()
    house.begin_another()
    house.until_quiet()
    house.at += timedelta(minutes=5)
    flag_checks.queue_flag_checks(house.service, house.at)
    assert [x.ordering_key for x in house.rows() if x.state == "pending"] == ["flag:R-2"]
    for _ in range(4):
        house.later(minutes=3).say(c.Advance(reason="enough seen"), rollout="R-2")
        house.until_quiet()
    assert house.service.load_world().rollouts["R-2"].state is RolloutState.DONE
    house.later(minutes=5)
    flag_checks.queue_flag_checks(house.service, house.at)
    house.until_quiet()
    assert house.unleash.percent == "100", "the rollback could never be confirmed, and is not made up for now"


# What is off reaches nobody, whatever percentage stands there.


@pytest.fixture(params=["the feature", "the strategy"])
def turn(house, request):
    """Somebody turns the feature or the strategy off, or on, in Unleash."""

    def turn(*, on: bool) -> None:
        if request.param == "the feature":
            house.unleash.is_on = on
        else:
            house.unleash.strategy["disabled"] = not on

    return turn


def test_what_is_off_at_the_start_is_told_and_driven_once_it_is_on(house, look, turn):
    turn(on=False)
    house.begin().drive()
    assert "is off in production: turn it on" in (said := house.happened(e.FlagNotSet)[-1].error) or "enable it" in said
    assert house.unleash.patches == []
    turn(on=True)
    look(minutes=1)
    assert (house.unleash.percent, house.found) == ("5", [(0, 5)])


def test_what_is_turned_off_under_way_is_lowered_by_hand(house, look, turn):
    house.begin().drive()
    turn(on=False)
    look(minutes=5)
    look(seconds=11)
    assert house.rollout.hold is not None
    assert "to 0 % by hand" in house.rollout.hold.text
    assert house.unleash.patches == ["5"]


def test_after_a_rollback_turning_it_on_again_gives_it_to_nobody(house, look, turn):
    house.begin().step().drive()
    turn(on=False)
    house.back().drive()
    assert house.reading.percent == 0
    turn(on=True)
    assert house.unleash.percent == "0"


def test_what_is_off_is_found_in_the_drill_when_nobody_has_it_yet(house, look, turn):
    turn(on=False)
    drill = "stages:\n  - rollback_drill: {within: 10s}\n"
    house.apply(SURFACE)
    house.apply(house.files.replace("stages:\n", drill))
    house.say(c.RecordPosted(key=f"notice:{house.rollout.fingerprint}:support:#support", channel="C2", ts="1.0"))
    house.say(c.Approve())
    house.later(minutes=1).say(c.Start())
    house.drive()
    assert house.happened(e.FlagNotSet)
    assert not driving.has_answered_drill(house.rollout)
    turn(on=True)
    look(minutes=1)
    assert driving.has_answered_drill(house.rollout)
    assert house.unleash.patches == ["0"]
