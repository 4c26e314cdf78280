"""What a call costs: by the model that answered and the day of the call, with the file's prices before the built-in."""

from datetime import date

import pytest

from core.telemetry.prices import UnreadablePrices, load_built_in_prices, parse_prices

OURS = """
prices:
  - {model: our-7b, since: 2026-01-01, input: 1, output: 4}
  - {model: our-7b, since: 2026-06-01, input: 2, output: 8, cache_read: 0.5, cache_write: 3}
  - {model: gpt-4o, since: 2026-01-01, input: 100, output: 100}
"""


def test_the_price_is_that_of_the_day() -> None:
    table = parse_prices(OURS)
    prices = [table.find_price("our-7b", date(2026, month, 1)) for month in (1, 5, 6)]
    assert [price.input for price in prices if price] == [1, 1, 2]
    assert table.find_price("our-7b", date(2025, 12, 31)) is None


def test_a_dated_name_costs_what_its_model_does_and_another_model_has_no_price() -> None:
    table = load_built_in_prices()
    day = date(2026, 11, 24)
    assert table.find_price("gpt-4o-2024-08-06", day) == table.find_price("gpt-4o", day)
    assert table.find_price("claude-sonnet-4-5-20250929", day) == table.find_price("claude-sonnet-4-5", day)
    assert table.find_price("gpt-4o-realtime", day) is None
    assert table.find_price("our-7b", day) is None


def test_a_file_takes_the_place_of_built_in_prices_model_by_model() -> None:
    table = load_built_in_prices().overridden_by(parse_prices(OURS))
    day = date(2026, 11, 24)
    assert [price.input for name in ("gpt-4o", "gpt-4o-mini") if (price := table.find_price(name, day))] == [100, 0.15]


def test_cached_tokens_have_their_price_whether_or_not_they_are_among_the_input() -> None:
    price = parse_prices(OURS).find_price("our-7b", date(2026, 11, 24))
    assert price is not None
    expected = (100 * 2 + 10 * 8 + 800 * 0.5 + 100 * 3) / 1e6
    for input_tokens in (1000, 100):
        assert price.compute_cost(
            input_tokens=input_tokens, output_tokens=10, cached=800, written=100
        ) == pytest.approx(expected)


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("prices: [", "not YAML"),
        ("prices: {}", 'needs a list "prices"'),
        ("prices: [{since: 2026-01-01}]", "entry 1 names no model"),
        ("prices: [{model: a, since: soon, input: 1, output: 1}]", "entry 1 (a): since must be a day"),
        ("prices: [{model: a, since: 2026-01-01, input: 1}]", "output must be US dollars per million tokens"),
        ("prices: [{model: a, since: 2026-01-01, input: -1, output: 1}]", "input must be US dollars"),
        ("prices: [{model: a, since: 2026-01-01, input: 1, output: 1, per: 1000}]", "unknown field per"),
    ],
)
def test_a_table_that_cannot_be_used_says_which_entry_is_wrong(text: str, told: str) -> None:
    with pytest.raises(UnreadablePrices) as error:
        parse_prices(text)
    assert told in str(error.value)
