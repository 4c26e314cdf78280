"""A rollout planned with the form, by hand in a real browser, and found on the home tab of who has to approve it."""

from collections.abc import Callable
from contextlib import suppress
from typing import Any

import pytest
from playwright.sync_api import TimeoutError as NotThereYet

from bot.sandbox.control import Sandbox
from tests.journey.house import House


@pytest.mark.browser
def test_what_was_typed_stays_while_the_form_changes_and_errors_stand_under_their_fields(
    open_house: Callable[..., House], sqlite_url: str, page_of: Callable[[Sandbox], Any]
) -> None:
    house = open_house(sqlite_url)
    house.plan()
    page = page_of(house.sandbox)
    page.get_by_role("button", name="Dana AI engineer").click()
    page.locator("[data-person=dana][aria-current=true]").wait_for()
    page.get_by_label("Message or slash command").fill("/rollout create")
    page.keyboard.press("Enter")
    form = page.locator("dialog#modal")
    form.locator('[data-action="name"]').fill("steps-only")
    form.locator('[data-action="part.prompt"]').fill("Only the steps.")
    form.locator('[data-action="noticed"]').fill("Various improvements")
    form.locator('[data-action="template"]').select_option("emergency-fix")
    form.get_by_text("small test 5 % (30 min to 2 h)").wait_for()
    assert form.locator('[data-action="name"]').input_value() == "steps-only"
    assert form.locator('[data-action="part.prompt"]').input_value() == "Only the steps."

    form.get_by_role("button", name="Next: see the plan").click()
    form.locator('[data-input="noticed"] .error', has_text="does not tell support what to expect").wait_for()
    form.locator('[data-action="noticed"]').fill("Answers are the steps alone.")
    form.get_by_role("button", name="Next: see the plan").click()
    form.get_by_text("What you could notice").wait_for()
    form.get_by_role("button", name="Plan it").click()
    form.get_by_text("Planned: R-2 steps-only").wait_for()
    form.get_by_role("button", name="Close").last.click()
    form.wait_for(state="hidden")

    page.get_by_role("button", name="Lee Lead").click()
    page.locator("[data-person=lee][aria-current=true]").wait_for()
    home = page.get_by_text("The app's home tab")
    for _ in range(5):  # a click is lost if the list of channels is drawn anew under it
        page.get_by_role("button", name="Rampart home").click()
        with suppress(NotThereYet):
            home.wait_for(timeout=3_000)
            break
    page.get_by_text("Approve the start of R-2 steps-only").wait_for()
    assert house.sandbox.violations == []
