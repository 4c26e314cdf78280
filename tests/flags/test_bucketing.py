"""Where a unit falls: the published formula, and what must hold for any unit."""

import hashlib
from math import isqrt

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.flags.bucketing import MILLION, compute_bucket, make_bucketer, percent_to_ppm


def by_hand(purpose: str, salt: str, unit: str) -> int:
    """The formula as it is written down, step by step and with other operations."""
    text = b"v1" + b"\x1f" + purpose.encode() + b"\x1f" + salt.encode() + b"\x1f" + unit.encode()
    digits = hashlib.sha256(text).hexdigest()[:16]
    return int(digits, 16) * 1_000_000 // 2**64


@pytest.mark.parametrize(
    ("purpose", "salt", "unit", "place"),
    [
        # printf 'v1\037expose\037R-1\037user-1' | sha256sum, its first 16 digits times 1,000,000 divided by 2^64
        ("expose", "R-1", "user-1", 438680),
        ("expose", "R-2", "user-1", 369121),
        ("control", "R-1", "user-1", 197320),
        ("layer", "search", "Zoë ☃", 712926),
        ("holdout", "", "", 899706),
    ],
)
def test_the_formula_never_changes(purpose: str, salt: str, unit: str, place: int) -> None:
    assert compute_bucket(purpose, salt, unit) == place  # type: ignore[arg-type]


texts = st.text(st.characters(codec="utf-8"), max_size=40)


@given(st.sampled_from(["expose", "layer", "holdout", "control"]), texts, texts)
def test_it_is_the_formula_for_any_text(purpose: str, salt: str, unit: str) -> None:
    place = compute_bucket(purpose, salt, unit)  # type: ignore[arg-type]
    assert place == by_hand(purpose, salt, unit)
    assert 0 <= place < MILLION


def test_salt_and_unit_do_not_run_together() -> None:
    assert compute_bucket("expose", "R-1", "2") != compute_bucket("expose", "R-12", "")


def chi_square(counts: list[int], expected: float) -> float:
    return sum((c - expected) ** 2 / expected for c in counts)


@pytest.mark.parametrize("salt", ["R-1", "R-2", "R-77"])
def test_places_are_uniform(salt: str) -> None:
    place = make_bucketer("expose", salt)
    counts = [0] * 100
    for i in range(50_000):
        counts[place(f"user-{i}") // 10_000] += 1
    # 99 degrees of freedom: above 149 once in 1,000 salts, below 57 likewise
    assert 57 < chi_square(counts, 500) < 149


def test_two_rollouts_choose_independently() -> None:
    first, second = make_bucketer("expose", "R-1"), make_bucketer("expose", "R-2")
    both = sum(first(f"u{i}") < 100_000 and second(f"u{i}") < 100_000 for i in range(40_000))
    assert abs(both - 400) < 4 * isqrt(400)


@pytest.mark.shows("E10")
@given(texts, st.floats(0, 100), st.floats(0, 100))
def test_who_is_in_stays_in_while_it_grows(unit: str, one: float, other: float) -> None:
    small, large = sorted((percent_to_ppm(one), percent_to_ppm(other)))
    assert compute_bucket("expose", "R-1", unit) >= small or compute_bucket("expose", "R-1", unit) < large


@pytest.mark.parametrize(("percent", "parts"), [(0, 0), (0.0001, 1), (1, 10_000), (33.3333, 333_333), (100, MILLION)])
def test_a_percentage_in_parts_per_million(percent: float, parts: int) -> None:
    assert percent_to_ppm(percent) == parts
