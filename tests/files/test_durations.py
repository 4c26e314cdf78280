"""Durations as text: exact as a person wrote them, or rounded as people need them."""

from datetime import timedelta

import pytest

from core import durations
from core.judging.limits.limits import Limit, LimitKind, LimitRole, LimitScale, format_limit


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
