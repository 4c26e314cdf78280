"""People are told in words that say something, in time, and a start is one that can be kept."""

# ruff: noqa: E501  (what people see is quoted whole)

from dataclasses import replace
from datetime import timedelta

import pytest
from inline_snapshot import snapshot


@pytest.mark.shows("E79")
def test_vague_words_tell_nobody_anything(small, checked):
    assert checked(small(("Answers start with the fix.", "Various improvements"))) == snapshot("""\
bad.yaml:10:31: behaviour_changes.0.text: ‘Various improvements’ does not tell support what to expect. Name one thing a customer will notice.
      - {audience: support, text: "Various improvements"}
                                  ^
bad.yaml 1 problem\
""")


@pytest.mark.parametrize(
    "text", ["improvements", "Bug fixes and minor changes!", "Better answers.", "New model version", "…"]
)
def test_more_vague_words(small, checked, text):
    assert "does not tell support what to expect" in checked(small(("Answers start with the fix.", text)))


@pytest.mark.parametrize(
    "text", ["Answers are shorter.", "Antworten sind kürzer.", "It asks for the order number first."]
)
def test_words_that_name_one_thing(small, checked, text):
    assert checked(small(("Answers start with the fix.", text))) == ""


def test_a_start_inside_the_lead_time(small, checked, policy, now):
    text = small() + 'start: "2026-11-20 16:00"\n'
    assert checked(text) == snapshot("""\
bad.yaml:25:8: start: #support needs 24 h notice, but the start is sooner. Earliest start: Sat 21 Nov 2026 09:00 UTC
    start: "2026-11-20 16:00"
           ^
bad.yaml 1 problem\
""")
    assert checked(text, now=None) == ""
    assert checked(text, now=now - timedelta(days=1)) == ""


def test_a_start_in_a_freeze_in_the_past_or_in_an_hour_that_does_not_exist(small, checked, policy):
    no_lead = small((", before: 24h", ""))
    assert checked(no_lead + 'start: "2026-11-21 10:00"\n', policy=policy) == snapshot("""\
bad.yaml:25:8: start: Sat 21 Nov 2026 10:00 CET is within the freeze weekend, which lasts until Mon 23 Nov 2026 08:00 CET
    start: "2026-11-21 10:00"
           ^
bad.yaml 1 problem\
""")
    assert checked(no_lead + 'start: "2026-12-24 10:00 Europe/Berlin"\n', policy=policy) == snapshot("""\
bad.yaml:25:8: start: Thu 24 Dec 2026 10:00 CET is within the freeze year-end, which lasts until Mon 4 Jan 2027 00:00 CET
    start: "2026-12-24 10:00 Europe/Berlin"
           ^
bad.yaml 1 problem\
""")
    assert checked(no_lead + 'start: "2026-11-19 10:00"\n') == snapshot("""\
bad.yaml:25:8: warning: start: this start is in the past: the rollout starts as soon as it is approved
    start: "2026-11-19 10:00"
           ^
bad.yaml 1 warning\
""")
    assert checked(no_lead + 'start: "2027-03-28 02:30"\n', policy=replace(policy, freezes=())) == snapshot("""\
bad.yaml:25:8: start: 2027-03-28 02:30 does not exist in Europe/Berlin: the clocks skip it. Write 2027-03-28 03:30
    start: "2027-03-28 02:30"
           ^
bad.yaml 1 problem\
""")


@pytest.mark.shows("E78")
def test_a_meaningful_change_needs_a_notice(small, checked, surface):
    told = 'notify:\n  - {channel: "#ai-rollouts", as: engineering}\n'
    head = small().partition("notify:")[0]
    assert checked(head + told) == snapshot("""\
bad.yaml:22:1: notify: a meaningful change needs a notice (people will notice it): add a channel as: support or as: marketing
    notify:
    ^
bad.yaml 1 problem\
""")
    silent = (head + told).replace("risk: standard", "risk: low")
    assert "people will notice it" in checked(silent)
    unseen = silent.replace(
        'text: "Answers start with the fix."}', 'text: "Nothing changes for refunds.", kind: unchanged}'
    )
    assert checked(unseen) == ""
    assert checked(head) == ""
    assert "needs a notice" in checked(head, on=replace(surface, notices=surface.notices[:1]))


def test_the_card_needs_an_engineering_channel(small, checked, files, surface):
    text = small(('  - {channel: "#ai-rollouts", as: engineering}\n', ""))
    assert checked(text) == ""
    assert checked(text, on=replace(surface, notices=(), daily_requests=None)) == snapshot("""\
bad.yaml:22:1: notify: no channel is notified "as: engineering", so the rollout would have no card
    notify:
    ^
bad.yaml 1 problem\
""")
    assert checked(files("surface.yaml").replace("as: engineering", "as: downstream")) == snapshot("""\
bad.yaml:15:1: notify: no channel is notified "as: engineering", so rollouts of this surface would have no card
    notify:
    ^
bad.yaml 1 problem\
""")


def test_a_channel_told_twice(small, checked, files):
    again = '  - {channel: "#support", as: support}\n'
    assert checked(small() + again) == snapshot("""\
bad.yaml:25:15: notify.2.channel: #support is already notified as support
      - {channel: "#support", as: support}
                  ^
bad.yaml 1 problem\
""")
    assert "is already notified as support" in checked(files("surface.yaml") + again)


def test_above_low_risk_somebody_says_on_purpose_that_nothing_will_be_noticed(small, checked):
    said = '  - {audience: support, text: "Answers start with the fix."}\n'
    silent = small(("behaviour_changes:\n", ""), (said, ""))
    assert "nothing says what people will notice" in checked(silent)
    on_purpose = 'behaviour_changes:\n  - {audience: all, kind: unchanged, text: "Answers read as before."}\n'
    assert "nothing says what people will notice" not in checked(silent + on_purpose)
    assert "nothing says what people will notice" not in checked(silent.replace("risk: standard", "risk: low"))
