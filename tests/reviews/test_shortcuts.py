"""Shortcuts are found in the log: who skipped what and why, and nothing that the engine did by itself."""

from datetime import UTC, datetime, timedelta

from core.reviews.shortcuts import ShortcutKind, count_stages_skipped, find_shortcuts
from core.rollout.state import events as e
from core.rollout.state.history import HistoryEntry
from tests.rollout.conftest import plan_of

MONDAY = datetime(2026, 11, 23, 9, 0, tzinfo=UTC)
TOM, ENGINE = "slack:T1/U5", "system:engine"


def story(*events, actors=()):
    return [
        HistoryEntry(
            position=i + 1,
            at=MONDAY + timedelta(hours=i),
            actor=actors[i] if i < len(actors) else TOM,
            event=event,
        )
        for i, event in enumerate(events)
    ]


def entered(index, skipped=""):
    stage = plan_of().stages[index]
    return e.StageEntered(index=index, name=stage.name, percent=stage.percent, skipped=skipped)


def asked(skipped=None):
    return e.ApprovalRequested(
        request="R-1.2", gate="ramp 25%", needed=1, verdict="Continue", expires_at=MONDAY, skipped=skipped
    )


def test_steps_of_the_engine_are_no_shortcuts():
    assert find_shortcuts(plan_of(), story(entered(0), entered(1), entered(2), entered(3))) == ()


def test_a_wait_that_a_person_skipped_is_one_with_its_reason():
    (found,) = find_shortcuts(plan_of(), story(entered(0), entered(1, "copy fix")))
    assert (found.kind, found.by, found.reason, found.stage) == (ShortcutKind.WAIT_SKIPPED, TOM, "copy fix", "canary")
    assert found.position == 2


def test_stages_that_were_left_out_are_named_and_counted():
    found = find_shortcuts(plan_of(), story(entered(0), entered(2, "copy fix")))
    assert [one.kind for one in found] == [ShortcutKind.STAGES_SKIPPED]
    assert found[0].skipped == ("ramp 25%",)
    assert count_stages_skipped(found) == 1


def test_a_skip_that_needed_an_approval_belongs_to_who_asked_for_it():
    entries = story(entered(0), asked("urgent"), asked(), entered(1), actors=(ENGINE, TOM, ENGINE, ENGINE))
    (found,) = find_shortcuts(plan_of(), entries)
    assert (found.by, found.reason, found.position) == (TOM, "urgent", 2)


def test_a_skip_whose_request_lapsed_is_none():
    held = e.Held(key="limit:refusal_rate:rises_by", text="refusals")
    assert find_shortcuts(plan_of(), story(entered(0), asked("urgent"), held, entered(1))) == ()


def test_break_glass_accepted_risk_and_an_overridden_hold_are_told_apart():
    reason = "all of support waits for it (before it was tried, by break-glass; to be reviewed by Wed)"
    accepted = e.BlindSpotsAccepted(by=TOM, reason="small traffic", stage="canary", lasting=True, spots=())
    entries = story(
        entered(0),
        accepted,
        e.Resumed(by=TOM, reason="a known outage", overrides="limit:x"),
        e.Resumed(by=TOM, reason="lunch is over"),
        entered(2, reason),
    )
    assert [one.kind for one in find_shortcuts(plan_of(), entries)] == [
        ShortcutKind.BLIND_SPOTS_ACCEPTED,
        ShortcutKind.HOLD_OVERRIDDEN,
        ShortcutKind.BREAK_GLASS,
    ]


def test_a_start_by_break_glass_is_one():
    broken = e.GlassBroken(
        by=TOM, reason="the shop is down", action="start", passed_over=("1 approval",), review_due=MONDAY
    )
    (found,) = find_shortcuts(plan_of(), story(broken, e.Started(fingerprint="f", by=TOM), entered(0)))
    assert (found.kind, found.reason, found.position) == (ShortcutKind.BREAK_GLASS, "the shop is down", 1)
