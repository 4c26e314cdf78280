"""What a counter grew by is the difference of its raw samples; a restart is found by its traces, and never guessed."""

from collections.abc import Sequence

from hypothesis import given
from hypothesis import strategies as st

from bot.sources.prometheus.increases import Growth, Labels, Series, TargetHistory, find_increases

Samples = Sequence[tuple[float, float]]
TARGET = ("assistant", "a")


def series(samples: Samples, name: str = "requests_total", instance: str = "a") -> Series:
    labels = (("__name__", name), ("instance", instance), ("job", "assistant"))
    return Series(labels=labels, samples=samples)


def scraped(times: Sequence[float], starts: Samples = ()) -> TargetHistory:
    return TargetHistory(scraped={TARGET: times}, started={TARGET: starts} if starts else {})


def grow(*found: Series, history: TargetHistory | None = None, counts_from_zero: bool = False) -> Growth:
    return find_increases(found, {}, history or TargetHistory(), counts_from_zero=counts_from_zero)


def total(found: Growth, name: str = "requests_total") -> float:
    """Of what began at 0 or later."""
    return sum(one.amount for one in found.increases if dict(one.labels)["__name__"] == name and one.since >= 0)


def test_growth_is_the_difference_of_samples_and_never_extrapolated() -> None:
    found = grow(series([(0, 100), (15, 104), (30, 110)]))
    assert total(found) == 10
    assert [(one.since, one.at, one.amount) for one in found.increases] == [(0, 15, 4), (15, 30, 6)]


def test_what_a_counter_had_before_it_was_first_seen_is_not_counted() -> None:
    assert total(grow(series([(0, 100)]))) == 0


def test_a_counter_that_fell_began_again_at_zero() -> None:
    assert total(grow(series([(0, 100), (15, 104), (30, 3), (45, 5)]))) == 4 + 5


def test_a_restart_counts_even_where_the_counter_is_higher_again() -> None:
    history = scraped((0, 15, 30), starts=[(0, -50.0), (15, -50.0), (30, 20.0)])
    assert total(grow(series([(0, 2), (15, 3), (30, 9)]), history=history)) == 1 + 9


def test_a_gap_is_counted_over_and_a_restart_in_it_only_from_the_restart_on() -> None:
    assert total(grow(series([(0, 2), (4000, 50)]))) == 48
    history = scraped((0, 4000), starts=[(0, -50.0), (4000, 3990.0)])
    assert total(grow(series([(0, 2), (4000, 50)]), history=history)) == 50


def test_a_series_that_the_scrape_before_did_not_have_counts_from_zero() -> None:
    assert total(grow(series([(30, 4), (45, 6)]), history=scraped((0, 15, 30, 45)))) == 6


def test_a_series_of_a_process_that_has_just_started_counts_from_its_start() -> None:
    found = grow(series([(30, 4), (45, 6)]), history=scraped((30, 45), starts=[(30, 22.0), (45, 22.0)]))
    assert total(found) == 6
    assert found.increases[0].since == 22.0


def test_a_series_of_one_exposure_counts_as_a_whole_as_nothing_of_it_is_older() -> None:
    assert total(grow(series([(30, 4), (45, 6)]), counts_from_zero=True)) == 6


def test_where_one_counter_fell_and_another_did_not_neither_counts_over_that_step() -> None:
    found = grow(
        series([(0, 100), (15, 3), (30, 8)]),
        series([(0, 2), (15, 2), (30, 3)], name="refusals_total"),
    )
    assert (total(found), total(found, "refusals_total"), found.unsure) == (5, 1, 1)


def test_a_counter_that_cleared_itself_fell_alone_where_the_process_says_that_it_went_on() -> None:
    history = scraped((0, 15), starts=[(0, -50.0), (15, -50.0)])
    found = grow(series([(0, 100), (15, 3)]), series([(0, 2), (15, 2)], name="refusals_total"), history=history)
    assert (total(found), total(found, "refusals_total"), found.unsure) == (3, 0, 0)


def test_a_restart_of_one_process_says_nothing_of_another() -> None:
    found = grow(series([(0, 100), (15, 3)]), series([(0, 50), (15, 60)], instance="b"))
    assert (total(found), found.unsure) == (13, 0)


def test_samples_that_are_read_again_count_once() -> None:
    first = grow(series([(0, 100), (15, 104)]))
    again = find_increases(
        [series([(0, 100), (15, 104), (30, 110)])], first.last, TargetHistory(), counts_from_zero=False
    )
    assert total(again) == 6


@given(
    st.lists(st.lists(st.integers(min_value=0, max_value=50), min_size=1, max_size=8), min_size=1, max_size=4),
    st.lists(st.integers(min_value=1, max_value=20), max_size=6),
)
def test_lives_of_a_process_add_up_to_all_that_was_scraped(lives: list[list[int]], cuts: list[int]) -> None:
    """However often the process restarts, and wherever pulls begin and end."""
    samples: list[tuple[float, float]] = []
    starts: list[tuple[float, float]] = []
    at = truth = 0
    for life in lives:
        began, value = at + 1, 0
        for more in life:
            at, value = at + 15, value + more
            samples.append((at, value))
            starts.append((at, began))
        truth += value
    history = scraped([at for at, _ in samples], starts)
    last: dict[Labels, tuple[float, float]] = {}
    counted, place = 0.0, 0
    for cut in [*cuts, len(samples)]:
        found = find_increases([series(samples[max(place - 2, 0) : place + cut])], last, history, counts_from_zero=True)
        last, place = dict(found.last), place + cut
        counted += total(found)
    assert counted == truth
