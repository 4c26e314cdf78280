"""The whole journey by hand, in a real browser: Lee approves, Ana starts, and the card turns to rolled back."""

from collections.abc import Callable
from typing import Any

import pytest

from bot.sandbox.control import Sandbox
from core.rollout.state.model import RolloutState
from tests.journey.crowd import Crowd
from tests.journey.house import House

WITHIN = 60_000  # milliseconds; simulated minutes pass in it


@pytest.mark.browser
def test_people_take_a_rollout_from_its_approval_to_its_end(
    open_house: Callable[..., House], sqlite_url: str, page_of: Callable[[Sandbox], Any]
) -> None:
    house = open_house(sqlite_url)
    house.plan()
    house.said("#marketing", "Answers start with the fix")
    page = page_of(house.sandbox)
    troubles: list[str] = []
    page.on("console", lambda entry: troubles.append(entry.text) if entry.type == "error" else None)
    page.on("pageerror", lambda error: troubles.append(str(error)))

    card = page.locator("#messages .message", has_text="R-1 fix-first").first
    card.get_by_text("Planned:").wait_for()
    page.get_by_role("button", name="Lee Lead").click()
    page.locator("[data-person=lee][aria-current=true]").wait_for()
    card.get_by_role("button", name="repl").click()
    thread = page.locator("aside")
    thread.locator(".message", has_text="Approval needed").get_by_role("button", name="Approve").click()
    page.locator("#confirm").get_by_role("button", name="Approve").click()
    thread.locator(".message", has_text="Approved by @lee: start R-1").wait_for()

    page.get_by_role("button", name="Ana AI platform engineer").click()
    page.locator("[data-person=ana][aria-current=true]").wait_for()
    box = page.get_by_label("Message or slash command")
    box.fill("/rollout start R-1")
    page.keyboard.press("Enter")
    early = page.locator(".ephemeral", has_text="Earliest start").first
    early.get_by_role("button", name="Start then").click()
    page.locator(".ephemeral", has_text="Scheduled by @ana").first.wait_for()

    house.clock.go()
    with Crowd(house.url, house.clock, "refusals", seed=4) as crowd, crowd.all_the_while(house.clock, a_minute=600):
        card.get_by_text("Small test").first.wait_for(timeout=WITHIN)
        card.get_by_text("Rolled back:").wait_for(timeout=WITHIN)
    assert house.rollout.state is RolloutState.ROLLED_BACK
    alert = page.locator("#messages .message", has_text="Everyone got the old version again; it took")
    alert.first.wait_for(timeout=WITHIN)
    assert troubles == []
    assert house.sandbox.violations == []
