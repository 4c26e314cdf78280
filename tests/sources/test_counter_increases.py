"""What a counter grew by is the difference of its raw samples; a restart is found by its traces, and never guessed."""

from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bot.sources.prometheus.increases import Growth, find_increases
from bot.sources.prometheus.series import Labels, Series, TargetHistory

Samples = Sequence[tuple[float, float]]
TARGET = ("assistant", "a")


def series(samples: Samples, name: str = "requests_total", instance: str = "a", **more: str) -> Series:
    labels = {"__name__": name, "instance": instance, "job": "assistant", **more}
    return Series(labels=tuple(sorted(labels.items())), samples=samples)


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


UP = (0, 15, 30, 45)
WENT_ON = [(at, -50.0) for at in UP]


@pytest.mark.parametrize("counts_from_zero", [True, False])
@pytest.mark.parametrize("labels", [({}, {"region": "eu"}), ({"region": "eu"}, {})])
def test_a_label_that_is_added_or_left_out_begins_no_counter_anew(
    labels: tuple[dict[str, str], dict[str, str]], counts_from_zero: bool
) -> None:
    """Somebody changes the configuration of the server while the processes run."""
    before, now = labels
    found = (series([(0, 9000), (15, 9010)], **before), series([(30, 9012), (45, 9020)], **now))
    history = scraped(UP, starts=WENT_ON)
    whole = find_increases(found, {found[0].labels: (0, 9000)}, history, counts_from_zero=counts_from_zero)
    assert total(whole) == 20
    first = find_increases(found[:1], {found[0].labels: (0, 9000)}, history, counts_from_zero=counts_from_zero)
    then = find_increases(found, first.last, history, counts_from_zero=counts_from_zero)
    assert (total(first), total(then)) == (10, 10), "and wherever pulls begin and end"


@pytest.mark.parametrize("counts_from_zero", [True, False])
def test_an_instance_that_gets_another_name_begins_no_counter_anew(counts_from_zero: bool) -> None:
    found = (series([(0, 9000), (15, 9010)]), series([(31, 9012), (46, 9020)], instance="host-a"))
    history = TargetHistory(
        scraped={TARGET: (0, 15), ("assistant", "host-a"): (31, 46)},
        started={TARGET: WENT_ON[:2], ("assistant", "host-a"): [(31, -50.0), (46, -50.0)]},
    )
    last = {found[0].labels: (0.0, 9000.0)}
    assert total(find_increases(found, last, history, counts_from_zero=counts_from_zero)) == 20


def test_another_process_in_the_place_of_one_begins_at_zero() -> None:
    found = (series([(0, 5), (15, 6)]), series([(31, 8), (46, 9)], instance="b"))
    history = TargetHistory(
        scraped={TARGET: (0, 15), ("assistant", "b"): (31, 46)},
        started={TARGET: WENT_ON[:2], ("assistant", "b"): [(31, 20.0), (46, 20.0)]},
    )
    last = {found[0].labels: (0.0, 5.0)}
    assert total(find_increases(found, last, history, counts_from_zero=True)) == 1 + 9


def test_a_process_that_restarts_with_another_label_begins_at_zero() -> None:
    found = (series([(0, 5), (15, 6)]), series([(30, 8), (45, 9)], region="eu"))
    history = scraped(UP, starts=[(0, -50.0), (15, -50.0), (30, 20.0), (45, 20.0)])
    assert total(find_increases(found, {found[0].labels: (0, 5)}, history, counts_from_zero=True)) == 1 + 9


def test_a_series_of_another_arm_goes_on_from_none() -> None:
    """Exporters drop a series that nothing has added to for minutes, as that of a stage which has ended."""
    found = (series([(0, 5), (15, 6)]), series([(30, 8), (45, 9)], exposure="R-1.2.canary"))
    history = scraped(UP, starts=WENT_ON)
    growth = find_increases(found, {found[0].labels: (0, 5)}, history, counts_from_zero=True, side="exposure")
    assert total(growth) == 1 + 9


def test_a_series_beside_one_that_goes_on_begins_at_zero() -> None:
    found = (series([(0, 5), (15, 6), (30, 7)]), series([(30, 8)], region="eu"))
    history = scraped(UP, starts=WENT_ON)
    assert total(find_increases(found, {found[0].labels: (0, 5)}, history, counts_from_zero=True)) == 2 + 8


def test_an_older_sample_that_comes_later_is_no_restart() -> None:
    """A server that reloads its configuration may scrape a process twice at once, and store the answers the other way
    round (prometheus/prometheus, issue 6894)."""
    samples = [(0, 1_183_412.0), (15, 1_183_419.4), (15.001, 1_183_419.3), (30, 1_183_420.4)]
    found = grow(series(samples), history=scraped((0, 15, 15.001, 30), starts=[(at, -50.0) for at, _ in samples]))
    assert round(total(found), 3) == 8.4


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
