"""`make demo`: a scenario ends as it should, everything said is printed, and the page tells what happens."""

import re
import signal
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import Any

import pytest

from bot.demo import template_plays
from bot.demo.controls import list_controls
from bot.demo.story import EXAMPLES
from bot.demo.traffic import HARMLESS_SCENARIOS
from bot.sandbox.control import Sandbox
from core.files.checks import check_files
from core.files.kinds.surface_file import surface_from_file
from core.files.read_file import parse_file
from core.files.templates import TEMPLATES
from core.rollout.plans.policy import DEFAULT_POLICY
from core.rollout.state.surface import evolve
from tests.journey.processes import ROLLOUT, environment, run
from tests.trials.length import pick

WITHIN = 60_000  # milliseconds; simulated minutes pass in it


@pytest.mark.slow
def test_refusals_are_taken_back() -> None:
    told = plays("refusals")
    assert "R-1 is rolled back; everyone gets v42" in told
    assert "*Limit broken*  Declined to answer" in told
    assert "Switched back:" in told
    direct = [line for line in told.splitlines() if "#rampart-and-mia Rampart" in line]
    assert len(direct) >= 3, "the notice, that it started, and that it was switched back"


@pytest.mark.slow
def test_what_is_held_for_harm_somebody_takes_back() -> None:
    told = plays("complaints")
    assert re.search(r"On hold .*: complaints \(support\), a rise of 50 %", told), "the review quotes the log"
    assert "@ana rolled it back: “complaints (support), a rise of 50 %" in told
    assert "R-1 is rolled back; everyone gets v42" in told


@pytest.mark.slow
def test_a_healthy_change_reaches_everyone() -> None:
    assert "healthy" in HARMLESS_SCENARIOS
    assert "R-1 is done; everyone gets v43" in plays("healthy")


@pytest.mark.slow
@pytest.mark.parametrize("template", pick(("emergency-fix",), tuple(TEMPLATES)))
def test_a_template_is_played_to_its_end(template: str) -> None:
    told = plays("healthy", template=template)
    assert "R-1 is done; everyone gets v43" in told
    assert "it is on hold" not in told


@pytest.mark.slow
def test_harm_in_the_time_of_a_template_is_taken_back() -> None:
    assert "R-1 is rolled back; everyone gets v42" in plays("refusals", template="emergency-fix")


def test_an_unknown_template_is_answered_with_those_there_are() -> None:
    told = run("demo", "--headless", "--template", "prompt-standart")
    assert told.returncode == 2
    assert 'There is no template "prompt-standart"' in told.stderr
    assert all(name in told.stderr for name in TEMPLATES)


@pytest.mark.parametrize("speed", ["0", "-3", "nan", "inf"])
def test_a_speed_at_which_no_clock_runs_is_refused(speed: str) -> None:
    told = run("demo", "--headless", f"--speed={speed}")
    assert told.returncode == 2
    assert told.stderr.startswith(f"--speed is {speed}: write how many times faster")


@pytest.mark.parametrize("name", TEMPLATES)
def test_the_file_of_a_template_is_in_order_and_its_time_leaves_people_a_minute(name: str) -> None:
    play = template_plays.prepare(name, None)
    surface = evolve(None, surface_from_file(parse_file((EXAMPLES / "surface.yaml").read_text(), "surface.yaml")))
    found = check_files.check(parse_file(play.file, "template.yaml"), surface, DEFAULT_POLICY, None)
    assert [one.message for one in found if one.is_error] == []
    assert timedelta(minutes=1) * play.people_speed < DEFAULT_POLICY.approval_expires
    assert play.length / play.speed <= timedelta(minutes=2)


@pytest.mark.browser
def test_the_page_tells_what_happens_from_its_first_moment_and_leaves_buttons_to_press(
    page_of: Callable[..., Any],
) -> None:
    with demonstration() as address:
        page = page_of(address)
        told = page.get_by_role("status", name="What happens")
        assert told.is_visible()
        assert "Next" in told.inner_text() or "NEXT" in told.inner_text()
        told.get_by_text("R-1 was rolled back").or_(told.get_by_text("R-2 is planned")).first.wait_for(timeout=WITHIN)
        told.get_by_text("R-2 is planned").wait_for(timeout=WITHIN)

        told.get_by_role("button", name="Be Lee").click()
        page.locator("aside").get_by_role("button", name="Approve").click(timeout=WITHIN)
        page.locator("#confirm").get_by_role("button", name="Approve").click()
        told.get_by_text("R-2 is approved").wait_for(timeout=WITHIN)
        told.get_by_role("button", name="Be Ana").click()
        card = page.locator("#messages .message", has_text="R-2 fix-only").first
        card.get_by_role("button", name="Start").click(timeout=WITHIN)
        told.get_by_text("of the users get v44").wait_for(timeout=WITHIN)
        card.get_by_role("button", name="Roll back").click(timeout=WITHIN)
        page.locator("#confirm").get_by_role("button", name="Roll back").click()
        told.get_by_text("R-2 was rolled back").wait_for(timeout=WITHIN)


@pytest.mark.browser
def test_whoever_watches_sets_the_pace_and_plays_another_ending_whose_start_they_approve(
    page_of: Callable[..., Any],
) -> None:
    with demonstration() as address:
        page = page_of(address)
        told = page.get_by_role("status", name="What happens")
        told.get_by_text("of the users get v43").wait_for(timeout=WITHIN)
        page.keyboard.press("p")
        told.get_by_text("once you let time run again").wait_for(timeout=WITHIN)
        assert page.get_by_role("radio", name="Pause").is_checked()

        page.get_by_label("I approve myself").check()
        page.get_by_text("Another ending").click()
        page.get_by_role("button", name="healthy").click()
        told.get_by_text("otherwise Lee does it").wait_for(timeout=WITHIN)
        assert page.get_by_role("radio", name="Normal").is_checked()
        told.get_by_role("button", name="Be Lee").click()
        page.locator("aside").get_by_role("button", name="Approve").click(timeout=WITHIN)
        page.locator("#confirm").get_by_role("button", name="Approve").click()
        # The notices may have been up for long enough by now: then it starts at once.
        approved, started = told.get_by_text("R-1 is approved"), told.get_by_text("of the users get v43")
        approved.or_(started).first.wait_for(timeout=WITHIN)
        page.keyboard.press("f")
        told.get_by_text("25 % of the users get v43").wait_for(timeout=3 * WITHIN)  # which refusals never reach


@pytest.mark.browser
@pytest.mark.parametrize("width", [1400, 800, 400])
def test_the_controls_fit_and_the_keyboard_stays_where_it_was(
    page_of: Callable[..., Any], slack: Sandbox, width: int
) -> None:
    chosen: list[tuple[str, str]] = []

    def offer(pace: str) -> None:
        slack.narrator.offer(list_controls("refusals", 30.0, pace, approves_self=False), choose)

    def choose(name: str, value: str) -> str:
        chosen.append((name, value))
        offer(value)
        return ""

    offer("slow")
    page = page_of(slack)
    page.set_viewport_size({"width": width, "height": 800})
    page.get_by_role("radio", name="Slow").focus()
    page.keyboard.press("ArrowRight")
    page.locator("[value=normal][checked]").wait_for()
    assert chosen == [("speed", "normal")]
    assert page.evaluate("document.activeElement.value") == "normal"
    page.keyboard.press("Tab")
    page.keyboard.press("Tab")
    page.keyboard.press("Enter")
    page.get_by_role("button", name="healthy").wait_for()
    for part in page.locator("#controls > *, #controls .menu > div, main, nav").all():
        box = part.bounding_box()
        assert box["x"] >= -1
        assert box["x"] + box["width"] <= width + 1
    page.keyboard.press("Escape")
    page.get_by_role("button", name="healthy").wait_for(state="hidden")
    with pytest.raises(LookupError, match="Reload the page"):
        slack.narrator.choose("speed", "warp")


@contextmanager
def demonstration() -> Iterator[str]:
    """The address of its page, as it is printed."""
    process = subprocess.Popen(
        [ROLLOUT, "demo", "--port", "0"],
        env=environment(),
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )
    try:
        assert process.stdout is not None
        opened = next(line for line in process.stdout if "Open http" in line)
        yield opened.split()[1]
    finally:
        process.send_signal(signal.SIGINT)
        process.communicate(timeout=30)


def plays(scenario: str, template: str = "") -> str:
    """What it prints. Time waits for the users, so it may run as fast as one likes."""
    pace = pick(("--speed", "1000" if template else "600"), () if template else ("--speed", "600"))
    told = run("demo", "--headless", "--scenario", scenario, *(("--template", template) if template else ()), *pace)
    assert told.returncode == 0, told.stdout + told.stderr
    assert "Traceback" not in told.stderr
    return told.stdout
