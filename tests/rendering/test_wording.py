"""Numbers, times and names as people read them; and nothing that somebody wrote can do more than be read."""

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bot.rendering import wording

TUESDAY = datetime(2026, 11, 24, 9, 0, tzinfo=UTC)


@pytest.mark.parametrize(
    ("number", "unit", "read"),
    [
        (0.932, "%", "93.2 %"),
        (0.0011, "%", "0.11 %"),
        (0.0, "%", "0.00 %"),
        (0.0121, "US$", "$0.0121"),
        (12.5, "US$", "$12.50"),
        (0.01305, "US$", "$0.0131"),
        (0.000131, "US$", "$0.00013"),
        (0.0, "US$", "$0.0000"),
        (2310.0, "ms", "2.31 s"),
        (620.4, "ms", "620 ms"),
        (0.00084, "per 1,000 requests", "0.84 per 1,000"),
        (1204.0, "tokens", "1,204"),
        (0.8312, "0–1", "0.831"),
        (None, "%", "–"),
    ],
)
def test_a_value_reads_in_its_unit(number: float | None, unit: str, read: str) -> None:
    assert wording.format_value(number, unit) == read


@pytest.mark.parametrize(
    ("number", "unit", "relative", "read"),
    [
        (0.008, "%", False, "+0.8 pp"),
        (-0.005, "%", False, "-0.5 pp"),
        (-0.129, "US$", True, "-12.9 %"),
        (180.0, "ms", False, "+180 ms"),
        (-0.002, "US$", False, "-$0.0020"),
        (None, "%", False, "–"),
    ],
)
def test_a_difference_has_a_sign_and_never_mixes_points_with_per_cent(
    number: float | None, unit: str, relative: bool, read: str
) -> None:
    assert wording.format_difference(number, unit, relative=relative) == read


def test_a_range_stands_beside_its_difference() -> None:
    assert wording.format_interval(-0.004, 0.021, "%", relative=False) == "(-0.4 … +2.1)"
    assert wording.format_interval(None, 0.021, "%", relative=False) == ""


@pytest.mark.parametrize(
    ("seconds", "read"),
    [(0.41, "0.41 s"), (4.1, "4.1 s"), (60, "60 s"), (1080, "18 min"), (6 * 3600, "6 h"), (3 * 86400, "3 days")],
)
def test_a_duration_has_the_unit_that_people_would_use(seconds: float, read: str) -> None:
    assert wording.format_duration(timedelta(seconds=seconds)) == read


@pytest.mark.shows("E79")
def test_a_time_is_local_to_each_reader_and_falls_back_on_the_workspace_with_its_weekday() -> None:
    token = wording.format_local_time(TUESDAY, "Europe/Berlin")
    assert token == "<!date^1795510800^\u200b{date_short_pretty} at {time}|Tue 24 Nov 10:00 CET>"
    assert wording.strip_markup(f"*Planned:* starts {token}.") == "Planned: starts Tue 24 Nov 10:00 CET."


def test_shares_for_people_have_no_per_cent() -> None:
    assert wording.format_per_thousand(0.019) == "about 19 in 1,000"
    assert wording.format_per_hundred(5) == "5 in 100"


@pytest.mark.parametrize(
    ("actor", "read"),
    [
        ("slack:T1/U2DANA", "<@U2DANA>"),
        ("U2DANA", "<@U2DANA>"),
        ("@dana", "@dana"),
        ("cli:ana", "ana (command line)"),
        ("token:operator", "the operator token"),
        ("token:operator@U0DANA00001", "the operator token of <@U0DANA00001>"),
        ("system:engine", "Rampart"),
        ("slack:T1/<!channel>", "&lt;!channel&gt;"),
    ],
)
def test_whoever_acted_is_named(actor: str, read: str) -> None:
    assert wording.format_actor(actor) == read


@pytest.mark.parametrize(
    ("written", "shown"),
    [
        ("<!channel> now", "&lt;!channel&gt; now"),
        ("<https://evil.example|ok>", "&lt;https://evil.example|ok&gt;"),
        ("<@U123>", "&lt;@U123&gt;"),
        ("a & b", "a &amp; b"),
        ("abc\u202edef\u200b\u2066g", "abcdefg"),
        ("two\nlines\tand  more", "two lines and more"),
        ("```break out```", "'''break out'''"),
    ],
)
def test_what_somebody_wrote_is_shown_and_does_nothing(written: str, shown: str) -> None:
    assert wording.escape(written) == shown


@given(st.text(), st.integers(min_value=2, max_value=80))
def test_no_text_can_mention_or_link_or_grow_beyond_its_limit(text: str, limit: int) -> None:
    shown = wording.escape(text, limit)
    assert len(shown) <= limit
    assert "<" not in shown
    assert ">" not in shown
    assert wording.strip_markup(shown.replace("&amp;", "").replace("&lt;", "").replace("&gt;", "")).count("&") == 0


def test_cutting_leaves_no_half_token() -> None:
    token = wording.format_local_time(TUESDAY, "UTC")
    assert wording.shorten(f"Next {token}", 30) == "Next…"
    assert wording.shorten("a &amp; b", 6) == "a…"


def test_nothing_is_cut_inside_a_word_but_a_very_long_one() -> None:
    assert wording.shorten("complaints rose by half", 16) == "complaints rose…"
    assert wording.shorten("complaints rose by half", 18) == "complaints rose…"
    assert wording.shorten("x" * 50, 20) == "x" * 19 + "…"
    assert wording.shorten("a " + "x" * 50, 40) == "a " + "x" * 37 + "…"
    assert wording.shorten("see <!date^1^{time}|Tue 24 Nov>, then more", 24) == "see…"


def test_plain_text_has_no_marks() -> None:
    assert wording.to_plain_text("*Now:* type `/rollout status`, <@U0DANA0001> &amp; co") == (
        "Now: type /rollout status, @U0DANA0001 & co"
    )
