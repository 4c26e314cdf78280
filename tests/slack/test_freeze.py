"""A freeze stops starts and growth until its end, says so where people read, and never stops a rollback."""

from datetime import UTC, datetime
from typing import Any

from core.rollout import commands as c
from core.rollout.state.model import RolloutState
from tests.slack.conftest import ROLLOUT, SURFACE
from tests.slack.test_home import home, shown
from tests.slack.test_journey import look


def test_nothing_grows_until_its_end_and_every_thread_says_so(office: Any) -> None:
    office.start()
    answer = office.typed("sam", 'freeze support-assistant for 2h "the sale is on"')
    assert answer.text.startswith("No changes to the support assistant until")
    office.deliver()
    assert "Frozen until" in office.shown(office.card())
    assert any("Frozen by @sam until" in line and "the sale is on" in line for line in office.thread())
    assert "frozen until" in office.typed("ana", 'advance R-1 --skip-wait "now"').text
    from core.judging.model.verdict import Continue

    office.later(minutes=30).say(c.Tick(look=look(Continue())))
    assert office.rollout.percent == 5
    assert office.typed("sam", "rollback R-1").acked
    assert office.rollout.state is RolloutState.ROLLED_BACK


def test_a_plan_does_not_start_before_its_end_and_the_refusal_names_it(office: Any) -> None:
    office.plan()
    assert office.typed("lee", "approve R-1").acked
    office.typed("sam", 'freeze until "Tue 10:00"')
    assert office.typed("sam", 'freeze until Tue 10:00 "the sale is on"').acked
    refused = office.later(minutes=30).typed("ana", "start R-1")
    assert refused.text.startswith("Frozen until Tue 24 Nov 10:00 CET: the sale is on. Rolling back still works.")
    assert "the sale is on" in shown(home(office, "ana"))


def test_who_ends_it_early_needs_the_role_and_what_waited_goes_on(office: Any) -> None:
    office.start()
    assert office.typed("sam", 'freeze for 2h "sale"').acked
    office.apply_as_admin("version: 1\nkind: policy\nroles: {operator: {groups: ['@ai-eng']}}\n")
    assert "you need to be one of @ai-eng" in office.typed("sam", "unfreeze").text
    assert office.typed("ana", "unfreeze").text == "Changes are allowed again: every AI feature."
    assert office.rollout.frozen_until is None
    assert "nothing is frozen" in office.typed("ana", "unfreeze").text
    office.later(minutes=3)
    assert "Not yet" not in office.typed("ana", 'advance R-1 --skip-wait "seen by all of us"').text


def test_it_covers_what_it_names_and_nothing_else(office: Any) -> None:
    office.start()
    other = SURFACE.replace("support-assistant", "search")
    office.apply_as_admin(other)
    assert office.typed("sam", 'freeze search for 2h "sale"').text.startswith(
        "No changes to the support assistant until"
    )
    assert office.rollout.frozen_until is None
    assert office.service.load_world().policy_for("support-assistant").find_freeze(office.at) is None


def test_a_plan_made_meanwhile_is_refused_a_start_within_it(office: Any) -> None:
    office.apply_as_admin(SURFACE)
    assert office.typed("sam", 'freeze for 3d "sale"').acked
    office.apply(ROLLOUT)
    assert office.service.load_world().policy_for("support-assistant").find_freeze(office.at) == (
        "sale",
        datetime(2026, 11, 26, 9, 0, tzinfo=UTC),
    )


def test_its_form_is_explained_where_it_is_wrong(office: Any) -> None:
    office.apply_as_admin(SURFACE)
    assert "Until when?" in office.typed("sam", 'freeze support-assistant "sale"').text
    assert "Why?" in office.typed("sam", "freeze until Tue 10:00").text
    assert "at most 90 days" in office.typed("sam", 'freeze for 91d "sale"').text
    assert "A freeze lasts at most 90 days." in office.typed("sam", 'freeze for 400d "sale"').text
    assert "Why? Put it in quotes" in office.typed("sam", "freeze for 4h sale").text
    assert "Write it like 4h or 3d." in str(office.typed("sam", 'freeze for ever "sale"').blocks)
