"""A plan laid on the calendar says when, who is told and who must agree, and waits where it will have to."""

# ruff: noqa: E501  (what people see is quoted whole)

from dataclasses import replace
from datetime import timedelta

import pytest
from inline_snapshot import snapshot

from core.files.foresight.known_traffic import assume_traffic
from core.files.foresight.outlook import build_outlook
from core.files.foresight.timeline import build_timeline, format_lines
from core.rollout.plans.layers import divide_equally
from core.rollout.plans.plan import Risk
from core.rollout.plans.policy import DEFAULT_POLICY, GrowOn


@pytest.fixture
def laid(built, surface, now):
    def lay(text, *, policy=DEFAULT_POLICY, on=surface):
        return build_timeline(built(text, policy=policy, on=on), on, policy, now)

    return lay


def test_the_prompt_change_from_friday_on(files, laid, policy):
    assert "\n".join(format_lines(laid(files("prompt-change.yaml"), policy=policy))) == snapshot("""\
     Fri 20 Nov 2026 10:00 CET  #ai-rollouts gets the card and its thread
from Fri 20 Nov 2026 10:00 CET  approval before the start: 1 person, not @dana
     Mon 23 Nov 2026 10:00 CET  #support is notified (support), 24 h before the start; somebody there has to confirm it
     Mon 23 Nov 2026 10:00 CET  #marketing is notified (marketing), 24 h before the start
from Tue 24 Nov 2026 10:00 CET  the checks must pass
from Tue 24 Nov 2026 10:00 CET  internal (email_domain = example.com): 50% of them, at least 2 h
from Tue 24 Nov 2026 12:00 CET  canary 5%, at least 6 h and 1,500 requests, about 2,075 requests
from Tue 24 Nov 2026 18:00 CET  ramp 10%, at least 12 h, about 8,300 requests
from Wed 25 Nov 2026 08:00 CET  ramp 25%, at least 12 h, about 20,750 requests
from Thu 26 Nov 2026 08:00 CET  ramp 50%, at least 12 h, about 41,500 requests
from Fri 27 Nov 2026 08:00 CET  ramp 100%, at least 12 h, about 83,000 requests
from Mon 30 Nov 2026 08:00 CET  bake: everybody has it, and rolling back still takes seconds, at least 2 days, about 332,000 requests
from Wed 2 Dec 2026 08:00 CET   done: v43 is live\
""")


def test_the_model_upgrade_goes_around_the_year_end_freeze(files, laid, surface, policy):
    on = replace(surface, live="v43", versions={**surface.versions, "v43": surface.live_content})
    late = files("model-upgrade.yaml").replace("days: 14", "days: 21")
    assert "\n".join(format_lines(laid(late, policy=policy, on=on))) == snapshot("""\
     Fri 20 Nov 2026 10:00 CET  #ai-rollouts gets the card and its thread
     Fri 20 Nov 2026 10:00 CET  #support is notified (support), 3 days before the start; somebody there has to confirm it, which the start waits for
     Fri 20 Nov 2026 10:00 CET  #marketing is notified (marketing), 3 days before the start
     Fri 20 Nov 2026 10:00 CET  #integrations-team is notified (downstream), 3 days before the start
from Fri 20 Nov 2026 10:00 CET  approval before the start and at every step: 2 people, one of each of @ai-leads and @support-leads, not @dana
from Mon 23 Nov 2026 10:00 CET  the checks must pass
from Mon 23 Nov 2026 10:00 CET  the safety checks must pass, after approval
from Mon 23 Nov 2026 10:00 CET  the cost and speed checks must pass, after approval
from Mon 23 Nov 2026 10:00 CET  the switch-back drill must pass, after approval
from Mon 23 Nov 2026 10:00 CET  internal (email_domain = example.com): 50% of them, at least 24 h, after approval
from Tue 24 Nov 2026 10:00 CET  canary 1%, at least 24 h and 3,000 requests, after approval, about 3,001 requests
from Thu 26 Nov 2026 08:00 CET  ab 50%, at least 21 days and 6,000 requests, after approval, about 1,743,000 requests
from Thu 17 Dec 2026 08:00 CET  ramp 75%, at least 24 h, after approval, about 124,500 requests
from Mon 4 Jan 2027 08:00 CET   ramp 100%, at least 24 h, after approval, about 166,000 requests
from Tue 5 Jan 2027 08:00 CET   bake: everybody has it, and rolling back still takes seconds, at least 7 days, after approval, about 1,162,000 requests
from Tue 12 Jan 2027 08:00 CET  done: v44 is live\
""")


def test_what_waits_for_nobody_has_a_latest_hour(small, laid):
    text = small(("risk: standard", "risk: low"), (", min_samples: 1500", "")) + 'start: "2026-11-23 08:00"\n'
    rows = laid(text)
    assert [row.when_latest is None for row in rows] == [False] * len(rows)
    assert "\n".join(format_lines(rows)) == snapshot("""\
     Fri 20 Nov 2026 09:00 UTC  #ai-rollouts gets the card and its thread
     Sun 22 Nov 2026 08:00 UTC  #support is notified (support), 24 h before the start
     Mon 23 Nov 2026 08:00 UTC  internal (email_domain = example.com): 50% of them, at least 2 h
     Mon 23 Nov 2026 10:00 UTC  canary 5%, at least 6 h, about 2,075 requests
     Mon 23 Nov 2026 16:00 UTC  ramp 25%, at least 1 h, about 1,729 requests (at the latest Tue 24 Nov 2026 10:00 UTC)
     Mon 23 Nov 2026 17:00 UTC  ramp 100%, at least 1 h, about 6,917 requests (at the latest Tue 24 Nov 2026 11:00 UTC)
     Mon 23 Nov 2026 18:00 UTC  bake: everybody has it, and rolling back still takes seconds, at least 2 h, about 13,833 requests (at the latest Tue 24 Nov 2026 12:00 UTC)
     Mon 23 Nov 2026 20:00 UTC  done: v43 is live (at the latest Tue 24 Nov 2026 14:00 UTC)\
""")


def test_in_a_layer_not_everybody_has_it_before_it_is_done(small, laid, surface):
    layer = divide_equally("chat", [(surface.name, 600_000), ("search", None)])
    *_, bake, done = laid(small(), policy=replace(DEFAULT_POLICY, layers=(layer,)))
    assert bake.what.startswith("bake: its whole share of the layer has it, and rolling back still takes seconds")
    assert done.what == "done: v43 is live"


@pytest.mark.parametrize(
    ("day", "said"),
    [
        ("2026-11-30", "rolling back still takes seconds,"),
        ("2026-11-23", "rolling back takes seconds until 2026-11-23,"),
        ("2026-11-22", "nobody can go back any more,"),
    ],
)
def test_the_way_back_is_promised_until_its_last_day_and_no_longer(small, laid, day, said):
    why = ("behaviour_changes:", f"  rollback_to_available_until: {day}\nbehaviour_changes:")
    watched = ("bake: {hold: 2h}", "bake: {hold: 20h}")
    *_, bake, _ = laid(small(why, watched) + 'start: "2026-11-23 08:00"\n')
    assert f", and {said}" in bake.what


def test_a_sample_that_takes_longer_than_the_hold_moves_everything_behind_it(small, laid, surface):
    quick = laid(small())
    slow = laid(small(), on=replace(surface, daily_requests=40_000))
    canary = next(n for n, row in enumerate(quick) if row.what.startswith("canary"))
    assert quick[canary].when_earliest == slow[canary].when_earliest
    hours = [
        (rows[canary + 1].when_earliest - rows[canary].when_earliest).total_seconds() / 3600 for rows in (quick, slow)
    ]
    assert hours == [6, 18]  # 1,500 of 2,000 a day on 5 %
    assert slow[canary].requests_expected == 1500


def test_evidence_that_growth_waits_for_moves_everything_behind_it(small, built, surface, now):
    plan = built(small())
    known = assume_traffic(surface)
    waits, steps = (
        build_outlook(plan, surface, replace(DEFAULT_POLICY, grow_on={Risk.STANDARD: on}), known, now)
        for on in (GrowOn.NOTICEABLE, GrowOn.TIME)
    )
    begun, after = (next(n for n, row in enumerate(waits.rows) if row.what.startswith(w)) for w in ("canary", "ramp"))
    expected = waits.foreseen[0][0].expected

    assert waits.rows[begun].when_earliest == steps.rows[begun].when_earliest
    assert steps.rows[after].when_earliest - steps.rows[begun].when_earliest == timedelta(hours=6) < expected
    assert (
        timedelta(0)
        <= waits.rows[after].when_earliest - waits.rows[begun].when_earliest - expected
        < timedelta(minutes=1)
    )


def test_unknown_traffic_expects_no_number(small, laid, surface):
    rows = laid(small(), on=replace(surface, daily_requests=None))
    assert {row.requests_expected for row in rows} == {None}


def test_the_start_waits_for_the_longest_notice(small, laid, now):
    rows = laid(small(("before: 24h", "before: 72h")))
    first = next(row for row in rows if row.what.startswith("internal"))
    assert (first.when_earliest - now).total_seconds() == 72 * 3600
    assert first.when_latest is None
