"""Driven flags: whatever fails, sleeps or races, the system ends where the last decision wants it."""

from datetime import timedelta

import pytest
from sqlalchemy import select

from bot.delivery import driven_flags
from core.rollout import commands as c
from core.rollout.refusal import Refused
from core.rollout.state import events as e
from core.rollout.state.model import RolloutState
from core.service.service import RolloutService
from core.store.models import outbox as table
from tests.actuators import stand_in
from tests.actuators.stand_in import TOKEN
from tests.service.conftest import SURFACE, Desk

SECOND = timedelta(seconds=1)


def test_it_follows_every_step_and_the_rollback(house):
    house.plan().drive()
    assert house.unleash.log == [], "before the start it is none of our business"
    house.later(minutes=1).say(c.Start())
    house.drive()
    assert house.unleash.log == ["GET", "PATCH 5", "GET"]
    house.step().drive()
    house.back().drive()
    assert house.unleash.history == ["5", "50", "0"]
    assert house.found == [(0, 5), (5, 50), (50, 0)]
    assert house.unsent() == []


def test_it_goes_to_everybody_and_back_from_there(small_house):
    small_house.begin().step().step()
    small_house.until_quiet()
    small_house.step().until_quiet()
    assert small_house.rollout.stage.name == "bake"
    assert small_house.unleash.percent == "100"
    small_house.step().until_quiet()
    assert small_house.rollout.state is RolloutState.DONE
    assert small_house.unleash.percent == "100"
    small_house.back().until_quiet()
    assert small_house.unleash.percent == "0"


def test_a_rollout_that_drives_nothing_leaves_no_row(sqlite_database):
    desk = Desk(RolloutService(sqlite_database)).start()
    desk.say(c.RollBack(reason="no"))
    with desk.service.database.reading() as connection:
        assert connection.execute(select(table.c.kind).distinct()).scalars().all() == ["slack"]
    assert not driven_flags.has_driven_flags(desk.service.load_world())


def test_a_row_holds_no_percentage_and_steps_that_nobody_sent_become_one(house):
    house.begin().step()
    assert [(x.ordering_key, x.request) for x in house.rows()] == [("flag:R-1", '{"rollout":"R-1"}')]
    house.drive()
    assert house.unleash.history == ["50"]


def test_what_is_there_already_is_not_written(house):
    house.unleash.set("5")
    house.begin().drive()
    assert house.unleash.log == ["GET"]
    assert house.found == [(5, 5)]


@pytest.mark.parametrize("code", [409, 412, 500, 503])
@pytest.mark.parametrize("method", ["GET", "PATCH"])
def test_what_may_pass_is_tried_until_it_has(small_house, method, code):
    small_house.unleash.fail_next(method, stand_in.status(code), times=3)
    small_house.begin().drive()
    assert small_house.unsent() == ["pending"]
    small_house.until_quiet()
    assert small_house.unleash.percent == "5"
    assert small_house.happened(e.FlagNotSet) == []


def test_slow_down_is_heeded(small_house):
    small_house.unleash.fail_next("GET", stand_in.status(429, Retry_After="20"))
    small_house.begin().drive()
    small_house.later(seconds=19).drive()
    assert small_house.unleash.log == ["GET"]
    small_house.later(seconds=1).drive()
    assert small_house.unleash.percent == "5"


@pytest.mark.parametrize("lost", [stand_in.accepted_but_cut, stand_in.silent(accept=True)], ids=["cut", "timed out"])
def test_what_was_accepted_without_an_answer_is_found(house, lost):
    house.unleash.fail_next("PATCH", lost)
    house.begin().drive(seconds=0.3)
    while house.unleash.percent != "5":  # where this machine is too busy to read within the time
        assert house.later(seconds=31).unsent() == ["pending"]
        house.drive(seconds=0.3)
    assert house.unsent() == ["pending"]
    house.until_quiet()
    assert house.unleash.patches == ["5"], "looked for before it is asked for again"
    assert house.found == [(5, 5)]


def test_what_was_accepted_without_an_answer_is_undone_by_a_rollback_meanwhile(house):
    house.unleash.fail_next("PATCH", stand_in.accepted_but_cut)
    house.begin().drive()
    house.back().drive()
    assert house.unleash.percent == "0"
    house.until_quiet()
    assert house.unleash.history == ["5", "0"]


def test_a_stale_reading_is_read_again(small_house):
    small_house.begin().drive()
    small_house.step()
    lagging = iter([1])  # reads of a replica that is behind

    def written(said: str) -> None:
        if said == "PATCH 50":
            small_house.unleash.stale_reads = next(lagging, 0)

    small_house.unleash.on_call = written
    small_house.drive()
    assert small_house.unleash.patches == ["5", "50", "50"], "asking once more changes nothing"
    assert small_house.unleash.percent == "50"
    assert small_house.found[-1] == (5, 50)


def test_a_reading_that_stays_stale_is_not_believed(small_house):
    small_house.begin()
    small_house.unleash.stale_reads = 1000
    small_house.drive()
    assert small_house.unleash.patches == ["5"] * driven_flags.MAX_READS
    assert small_house.unsent() == ["pending"]
    assert small_house.found == []
    small_house.unleash.stale_reads = 0
    small_house.until_quiet()
    assert small_house.found == [(5, 5)]


def test_changed_by_hand_in_between_it_is_set_and_what_it_was_is_said(small_house):
    small_house.begin().drive()
    small_house.unleash.set_by_hand(80)
    small_house.step().drive()
    assert small_house.unleash.percent == "50"
    assert small_house.found[-1] == (80, 50)


def test_changed_by_hand_while_it_is_read_back_it_is_set_again(small_house):
    moved = iter([80])

    def by_hand(said: str) -> None:
        if said == "GET" and small_house.unleash.patches and (to := next(moved, None)):
            small_house.unleash.set_by_hand(to)

    small_house.unleash.on_call = by_hand
    small_house.begin().drive()
    assert small_house.unleash.history == ["5", "80", "5"]


def test_a_rollback_does_not_wait_behind_a_step_that_is_tried_again(house):
    house.unleash.set("5")
    house.unleash.fail_next("PATCH", stand_in.status(503, Retry_After="300"))
    house.begin().drive()
    house.step().drive()
    assert house.unsent() == ["pending"]
    house.back().drive()
    assert house.unleash.percent == "0"
    assert [x.ordering_key for x in house.rows() if x.state == "done"][-1] == "flag:R-1:urgent"
    house.until_quiet()
    assert house.unleash.percent == "0", "the step that comes late finds that something else is decided"


def test_a_rollback_from_nobody_is_read_back_too(small_house):
    text = small_house.files.replace("stages:\n", "stages:\n  - eval: {suite: s}\n")
    small_house.apply(SURFACE)
    small_house.apply(text)
    fingerprint = small_house.rollout.fingerprint
    small_house.say(c.RecordPosted(key=f"notice:{fingerprint}:support:#support", channel="C2", ts="1.0"))
    small_house.say(c.Approve())
    small_house.later(minutes=1).say(c.Start())
    small_house.drive()
    assert small_house.reading.percent == 0
    small_house.unleash.set_by_hand(30)
    small_house.back()
    assert small_house.reading is None
    small_house.drive()
    assert small_house.reading.percent == 0
    assert small_house.unleash.percent == "0"


# Nothing is silent.


@pytest.mark.parametrize(
    ("break_it", "said"),
    [
        (lambda house: setattr(house, "token", "wrong"), "rejects the token"),
        (lambda house: setattr(house, "token", ""), "UNLEASH_TOKEN is not set"),
        (lambda house: setattr(house, "url", "https://elsewhere.example.com"), "is sent nowhere else"),
        (lambda house: setattr(house.unleash, "gone", True), "has no strategy s-1"),
    ],
    ids=["token", "no token", "another address", "gone"],
)
def test_what_a_human_has_to_mend_is_told_at_once_and_stops_nothing_else(house, break_it, said):
    house.begin()
    break_it(house)
    house.drive()
    (told,) = house.happened(e.FlagNotSet)
    assert said in told.error
    assert not told.trying
    assert [x.state for x in house.rows()] == ["dead"]
    assert TOKEN not in told.error
    with house.service.database.reading() as connection:
        waiting = connection.execute(select(table.c.request).where(table.c.kind == "slack")).scalars().all()
    assert any('"kind":"line"' in request for request in waiting)


def test_what_goes_on_failing_is_told_once_and_what_follows_too(small_house):
    small_house.unleash.fail_next("GET", stand_in.status(500), times=7)
    small_house.begin()
    for _ in range(3):
        small_house.drive()
        small_house.later(seconds=31)
    assert small_house.happened() == []
    small_house.until_quiet()
    assert [type(x) for x in small_house.happened()] == [e.FlagNotSet, e.FlagSet]
    assert small_house.happened(e.FlagNotSet)[0].trying


def test_a_defect_of_ours_is_put_off_and_its_words_stay_in_the_log_of_the_process(small_house):
    def broken() -> None:
        raise RuntimeError(TOKEN)

    small_house.begin().drive(claimed=broken)
    (row,) = small_house.rows()
    assert (row.state, row.last_error) == ("pending", "RuntimeError: see Rampart's log")
    small_house.until_quiet()
    assert small_house.unleash.percent == "5"


def test_no_retry_is_later_than_half_a_minute(small_house):
    small_house.unleash.fail_next("GET", stand_in.status(500), times=12)
    small_house.begin()
    for _ in range(12):
        small_house.drive()
        (row,) = small_house.rows()
        assert row.due_at - small_house.at <= 30 * SECOND
        small_house.later(seconds=30)
    small_house.drive()
    assert small_house.unleash.percent == "5"


def test_a_later_rollout_on_the_same_flag_decides_on_it(small_house):
    """The first one's rollback could not be set for a while; by then the second one is under way."""
    small_house.begin().drive()
    small_house.unleash.fail_next("GET", stand_in.status(503), times=2)
    small_house.back().drive()
    small_house.begin_another()
    small_house.until_quiet()
    assert small_house.unleash.percent == "5"
    assert any(x.response and "R-2 controls" in x.response for x in small_house.rows())


def test_the_seconds_are_real_and_since_the_decision(small_house):
    small_house.begin().drive()
    (found,) = small_house.happened(e.FlagSet)
    assert 0 <= found.seconds < 60


def test_two_rollouts_do_not_drive_one_flag_at_once(small_house):
    small_house.begin().drive()
    small_house.apply(SURFACE.replace("surface: support-assistant", "surface: sales-assistant"))
    other = small_house.files.replace("rollout: support-tone", "rollout: other")
    small_house.apply(
        other.replace("surface: support-assistant", "surface: sales-assistant").replace("support-assistant@", "")
    )
    fingerprint = small_house.service.load_world().rollouts["R-2"].fingerprint
    small_house.say(c.RecordPosted(key=f"notice:{fingerprint}:support:#support", channel="C2", ts="2.0"), rollout="R-2")
    small_house.say(c.Approve(), rollout="R-2")
    small_house.later(minutes=1)
    with pytest.raises(Refused, match=r"new-prompt in Unleash \(production\) is already driven by R-1"):
        small_house.say(c.Start(), rollout="R-2")
    small_house.back()
    small_house.say(c.Start(), rollout="R-2")
    small_house.until_quiet()
    assert small_house.unleash.percent == "5"
