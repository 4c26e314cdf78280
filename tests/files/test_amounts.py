"""Amounts mean one thing, and are written back without loss."""

from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.files.syntax import amounts
from core.files.syntax.amounts import Amount, Unit

written_numbers = st.decimals(0, 10**9, allow_nan=False, places=6)


@given(written_numbers, st.sampled_from(list(Unit)))
def test_an_amount_is_written_so_that_it_reads_back(number, unit):
    text = f"${number}" if unit is Unit.DOLLARS else f"{number}{unit}"
    once = amounts.parse_amount(text)
    assert amounts.parse_amount(amounts.format_amount(once)) == once


@given(st.decimals(0, 99, allow_nan=False, places=4))
def test_points_and_percent_are_the_nearest_float_of_the_fraction(number):
    assert amounts.parse_amount(f"{number}pp").value == float(number / 100)
    assert amounts.parse_amount(f"{number}%").value == float(Decimal(number) / 100)


@given(st.text(max_size=20))
def test_whatever_is_typed_is_an_amount_or_a_clear_refusal(text):
    try:
        said = amounts.format_amount(amounts.parse_amount(text))
    except ValueError as refusal:
        said = str(refusal)
    assert said.endswith(("write 2pp, 15%, 4000ms, $0.02 or 1.5x", *"0123456789", "pp", "%", "ms", "x"))


@pytest.mark.parametrize(
    ("text", "value", "unit"),
    [
        ("2pp", 0.02, Unit.POINTS),
        ("15%", 0.15, Unit.PERCENT),
        ("-40%", -0.4, Unit.PERCENT),
        ("4000ms", 4000, Unit.MILLISECONDS),
        ("4s", 4000, Unit.MILLISECONDS),
        ("$0.02", 0.02, Unit.DOLLARS),
        ("1.5x", 1.5, Unit.TIMES),
        ("0.2 %", 0.002, Unit.PERCENT),
        (7, 7, Unit.NONE),
    ],
)
def test_amounts(text, value, unit):
    assert amounts.parse_amount(text) == Amount(value=value, unit=unit)


@pytest.mark.parametrize("text", ["", "pp", "2 points", "$5%", "1e5", "0x10", "٢pp", "2,5%", True, None, [2]])
def test_what_is_no_amount(text):
    with pytest.raises(ValueError, match="is not an amount"):
        amounts.parse_amount(text)


@pytest.mark.parametrize(("written", "percent"), [(5, 5), ("5%", 5), ("0.5%", 0.5), (100, 100), ("33.3%", 33.3)])
def test_a_share_of_traffic_may_leave_out_its_sign(written, percent):
    assert amounts.parse_percent(written) == percent


@pytest.mark.parametrize("written", [0, "0%", 101, "-5%", "5pp", "5ms"])
def test_a_share_of_traffic_lies_above_0_and_up_to_100(written):
    with pytest.raises(ValueError):
        amounts.parse_percent(written)


def test_a_rate_may_not_leave_out_its_sign():
    assert amounts.parse_share("92%") == 0.92
    with pytest.raises(ValueError, match=r"0\.92 what\? write 92%"):
        amounts.parse_share(0.92)
