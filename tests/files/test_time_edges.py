"""Durations and dates at their edges: each is refused with its line and what to write, or means exactly what it says."""

# ruff: noqa: E501  (what people see is quoted whole)

from datetime import UTC, datetime, timedelta

import pytest
from inline_snapshot import snapshot

from core.files.read_file import parse_file


def _with(small, added, *edits):
    """The small file with another line before its limits."""
    return small(("rollback_when:", f"{added}\nrollback_when:"), *edits)


@pytest.mark.parametrize("written", ["0s", "7d"])
def test_conversations_finish_within_some_time_and_at_most_six_days(small, refused, written):
    said = refused(_with(small, f"assignment: {{conversations: finish, finish_within: {written}}}"))
    assert said.startswith(
        "bad.yaml:18:37: assignment.finish_within: write how long conversations may finish after the rollout has ended: "
        "more than 0s, and at most 6d. If they change at once, write conversations: next_turn"
    )


@pytest.mark.parametrize(("written", "length"), [("1ms", timedelta(milliseconds=1)), ("6d", timedelta(days=6))])
def test_the_shortest_and_the_longest_time_to_finish_are_kept(small, built, written, length):
    plan = built(_with(small, f"assignment: {{conversations: finish, finish_within: {written}}}"))
    assert plan.finish_within == length


@pytest.mark.parametrize("written", ["0s", "61m", "366d"])
def test_a_drill_that_nothing_or_everything_passes_is_refused(small, refused, written):
    assert refused(small(("stages:\n", f"stages:\n  - rollback_drill: {{within: {written}}}\n"))).startswith(
        "bad.yaml:14:22: stages.0.rollback_drill.within: write how fast it has to be, such as 10s: more than 0s, and at "
        "most 1h"
    )


@pytest.mark.parametrize("field", ["hold: 2h}\n  - canary", "min_hold: 6h", "max_hold: 24h", "for: 15m", "before: 24h"])
@pytest.mark.parametrize(
    ("written", "said"),
    [
        ("-1h", '"-1h" is negative: write 2s, 15m, 6h or 7d'),
        ("367d", '"367d" is longer than a year: write at most 366d'),
        ("9999999999d", '"9999999999d" is longer than a year: write at most 366d'),
    ],
)
def test_no_duration_is_negative_or_absurd(small, refused, field, written, said):
    name, old = field.split(": ", 1)
    length = old.split("}")[0]
    assert said in refused(small((field, field.replace(f"{name}: {length}", f"{name}: {written}"))))


def test_a_limit_that_outlasts_the_plan_is_warned_of(small, checked):
    assert checked(small(("for: 15m", "for: 366d"))) == snapshot("""\
bad.yaml:21:49: warning: rollback_when.2.for: all stages together last 2 days unless they are extended, so this limit would not act: write a shorter time
      - {metric: latency_p95, exceeds: 4000ms, for: 366d}
                                                    ^
bad.yaml 1 warning\
""")
    assert checked(small(("for: 15m", "for: 24h"))) == ""


@pytest.mark.parametrize(
    ("written", "meant"),
    [
        ("2027-03-28 03:00 Europe/Berlin", datetime(2027, 3, 28, 1, 0, tzinfo=UTC)),
        ("2027-03-28 01:59:59 Europe/Berlin", datetime(2027, 3, 28, 0, 59, 59, tzinfo=UTC)),
        ("2027-10-31 02:30 Europe/Berlin", datetime(2027, 10, 31, 0, 30, tzinfo=UTC)),  # the first of the two
        ("2027-10-31 02:30+01:00", datetime(2027, 10, 31, 1, 30, tzinfo=UTC)),  # the second
        ("2028-02-29 10:00 UTC", datetime(2028, 2, 29, 10, 0, tzinfo=UTC)),
        ("2999-12-31 23:59 UTC", datetime(2999, 12, 31, 23, 59, tzinfo=UTC)),
    ],
)
def test_a_start_is_the_moment_that_is_written(small, checked, built, written, meant):
    text = small(("owner:", f'start: "{written}"\nowner:'))
    assert checked(text) == ""
    assert built(text).start == meant


@pytest.mark.parametrize(
    ("written", "said"),
    [
        (
            "2027-03-28 02:30 Europe/Berlin",
            "2027-03-28 02:30 does not exist in Europe/Berlin: the clocks skip it. Write 2027-03-28 03:30",
        ),
        ("2027-02-29 10:00", '"2027-02-29 10:00": there is no such day or hour'),
        ("2026-11-24 10:00+25:00", '"+25:00" is not an offset: write one such as +01:00'),
        ("3000-01-01 10:00", '"3000-01-01 10:00": write a year from 2000 to 2999'),
    ],
)
def test_a_start_that_does_not_exist_is_refused(small, refused, written, said):
    assert refused(small(("owner:", f'start: "{written}"\nowner:'))).startswith(f"bad.yaml:4:8: start: {said}\n")


def test_a_start_in_the_past_is_said_to_be_now(small, checked):
    untold = (", before: 24h", "")
    assert checked(small(("owner:", 'start: "2026-11-20 08:59:59"\nowner:'), untold)) == snapshot("""\
bad.yaml:4:8: warning: start: this start is in the past: the rollout starts as soon as it is approved
    start: "2026-11-20 08:59:59"
           ^
bad.yaml 1 warning\
""")
    assert checked(small(("owner:", 'start: "2026-11-20 09:00"\nowner:'), untold)) == ""


@pytest.mark.parametrize("field", ["deadline", "rollback_to_available_until"])
@pytest.mark.parametrize(
    ("written", "said"),
    [
        ("2027-02-29", '"2027-02-29" is not a date: write one such as 2027-01-04'),
        ("9999-12-31", '"9999-12-31": write a year from 2000 to 2999'),
        ("0001-01-01", '"0001-01-01": write a year from 2000 to 2999'),
    ],
)
def test_a_day_that_does_not_exist_or_cannot_be_meant_is_refused(small, refused, field, written, said):
    text = small(("behaviour_changes:", f"  {field}: {written}\nbehaviour_changes:"))
    assert f"change.{field}: {said}\n" in refused(text)


def test_the_leap_day_is_a_last_day_like_any_other(small, built):
    text = small(("behaviour_changes:", "  rollback_to_available_until: 2028-02-29\nbehaviour_changes:"))
    assert built(text).rollback_until == "2028-02-29"
    assert parse_file(text, "good.yaml").change.rollback_to_available_until == "2028-02-29"
