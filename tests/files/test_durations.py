"""Durations as text: read as people type them, exact as a person wrote them, or rounded as people need them."""

from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core import durations
from core.judging.limits.limits import Limit, LimitKind, LimitRole, LimitScale, format_limit


@pytest.mark.parametrize(
    ("text", "seconds"), [("2s", 2), ("15m", 900), ("6h", 21_600), ("7d", 604_800), ("1.5h", 5400), ("250ms", 0.25)]
)
def test_a_typed_duration_is_read(text: str, seconds: float) -> None:
    assert durations.parse_duration(text).total_seconds() == seconds


@pytest.mark.parametrize(
    ("written", "said"),
    [
        (15, "15 what? write 15s, 15m, 15h or 15d"),
        ("-2h", '"-2h" is negative: write 2s, 15m, 6h or 7d'),
        ("2w", '"2w" is not a duration: write 2s, 15m, 6h or 7d'),
        ("1h30m", '"1h30m" is not a duration: write 2s, 15m, 6h or 7d'),
        ("900d", '"900d" is longer than a year: write at most 366d'),
        ("99999999999999999999d", '"99999999999999999999d" is longer than a year: write at most 366d'),
        ("1e9d", '"1e9d" is not a duration: write 2s, 15m, 6h or 7d'),
        (True, '"True" is not a duration: write 2s, 15m, 6h or 7d'),
    ],
)
def test_what_is_no_duration_is_told_what_to_write(written: object, said: str) -> None:
    with pytest.raises(ValueError) as refusal:
        durations.parse_duration(written)
    assert str(refusal.value) == said


@given(st.integers(0, 366 * 86_400 * 1_000_000).map(lambda n: timedelta(microseconds=n)))
def test_a_duration_is_written_so_that_it_reads_back(length: timedelta) -> None:
    assert durations.parse_duration(durations.format_typed(length)) == length


@pytest.mark.parametrize(
    ("span", "text"),
    [
        (timedelta(0), "0 s"),
        (timedelta(milliseconds=1500), "1.5 s"),
        (timedelta(seconds=90), "90 s"),
        (timedelta(minutes=90), "90 min"),
        (timedelta(hours=24), "24 h"),
        (timedelta(hours=36), "36 h"),
        (timedelta(days=2), "2 days"),
    ],
)
def test_an_exact_duration_loses_nothing(span: timedelta, text: str) -> None:
    assert durations.format_exact(span) == text


@pytest.mark.parametrize(
    ("span", "text"),
    [
        (timedelta(0), "0 s"),
        (timedelta(milliseconds=3), "under 0.01 s"),
        (timedelta(seconds=4.13), "4.1 s"),
        (timedelta(minutes=119), "119 min"),
        (timedelta(hours=9.26), "9.3 h"),
        (timedelta(hours=47.4), "47 h"),
        (timedelta(days=2.52), "2.5 days"),
        (timedelta(days=1234), "1,234 days"),
    ],
)
def test_a_rounded_duration_has_the_unit_and_the_digits_that_people_need(span: timedelta, text: str) -> None:
    assert durations.format_rounded(span) == text


@pytest.mark.parametrize(("lasting", "text"), [(timedelta(days=1), "1 d"), (timedelta(minutes=15), "15 min")])
def test_the_text_of_a_limit_is_recorded_evidence_and_keeps_its_form(lasting: timedelta, text: str) -> None:
    limit = Limit(
        metric="latency_p95",
        kind=LimitKind.EXCEEDS,
        amount=4000,
        scale=LimitScale.ABSOLUTE,
        role=LimitRole.ROLLBACK,
        lasting=lasting,
    )
    assert format_limit(limit) == f"exceeds 4000 ms for {text}"
