"""The demonstration's clock: as fast as asked for, at a speed that may change, and never back."""

from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bot.demo.fast_clock import STANDSTILL, FastClock

SECOND = timedelta(seconds=1)


class Elapsed:
    """Real time, by hand."""

    def __init__(self) -> None:
        self.seconds = 0.0

    def __call__(self) -> float:
        return self.seconds


def test_it_runs_as_fast_as_asked_for_from_then_on() -> None:
    elapsed = Elapsed()
    clock = FastClock(30, elapsed)
    began = clock()
    elapsed.seconds = 2
    assert clock() - began == 60 * SECOND
    clock.set_speed(5)
    elapsed.seconds = 4
    assert clock() - began == 70 * SECOND
    assert clock.speed == 5


def test_paused_it_creeps_so_that_real_waits_still_end() -> None:
    elapsed = Elapsed()
    clock = FastClock(30, elapsed)
    clock.set_speed(0)
    began = clock()
    due = clock() + SECOND * clock.speed  # in a second of real time
    elapsed.seconds = 60
    assert began < due < clock() < began + SECOND


def test_where_a_limit_holds_it_back_its_speed_is_the_measured_one() -> None:
    elapsed = Elapsed()
    clock = FastClock(600, elapsed)
    began = clock()
    assert clock.speed == 600
    for second in range(1, 101):
        clock.set_limit(began + 20 * second * SECOND)
        elapsed.seconds = second
        clock()
    assert clock.speed == pytest.approx(20, rel=0.01)
    elapsed.seconds = 102
    assert clock.speed > 10, "a moment in which it stands still does not make hours of the seconds that are left"
    elapsed.seconds = 200
    assert clock.speed < 0.01
    clock.set_speed(30)
    assert clock.speed == 30, "what was measured before says nothing of the new speed"


@given(
    st.lists(
        st.tuples(
            st.floats(0, 1000), st.sampled_from((0.0, 1.0, 5.0, 30.0, 600.0)), st.none() | st.integers(-100, 10_000)
        )
    )
)
def test_it_never_goes_back(steps: list[tuple[float, float, int | None]]) -> None:
    elapsed = Elapsed()
    clock = FastClock(30, elapsed)
    began = last = clock()
    for seconds, speed, limit in steps:
        elapsed.seconds += seconds
        clock.set_speed(speed)
        if limit is not None:
            clock.set_limit(began + limit * SECOND)
        assert clock() >= last
        assert clock.speed >= STANDSTILL
        last = clock()
