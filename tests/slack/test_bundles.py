"""A bundle where people see it: planned by one file, named in cards and requests, steered by its name."""

import json
from typing import Any

import pytest

from core.rollout import commands as c
from core.rollout.state.model import RolloutState
from tests.rollout.conftest import HARM, look_of
from tests.slack.conftest import ROLLOUT, SURFACE

R = RolloutState
SALES_SURFACE = SURFACE.replace("support-assistant", "sales-assistant").replace("Support assistant", "Sales assistant")
SALES = ROLLOUT.replace("support-tone", "sales-tone").replace("support-assistant", "sales-assistant")


def bundle_file(order: str = "together") -> str:
    return f"version: 1\nbundle: tone\n{order}: [support-tone, sales-tone]\n---\n{ROLLOUT}---\n{SALES}"


def planned(office: Any, order: str = "together") -> Any:
    office.apply(SURFACE)
    office.apply(SALES_SURFACE)
    office.apply(bundle_file(order))
    office.deliver()
    return office


def started(office: Any, order: str = "together") -> Any:
    planned(office, order)
    assert office.typed("lee", "approve tone").acked
    assert office.later(minutes=10).typed("ana", "start tone").acked
    office.deliver()
    return office


def states(office: Any) -> list[RolloutState]:
    return [one.state for one in office.service.load_world().rollouts.values()]


def answer(office: Any, handle: str, line: str) -> str:
    assert office.typed(handle, line).acked
    return str(office.shown(office.whispered(handle)))


def thread_of(office: Any, rollout: str) -> list[str]:
    card = next(m for m in office.sandbox.list_messages("#ai-rollouts") if rollout in office.shown(m).splitlines()[0])
    return [office.shown(card), *(office.shown(m) for m in office.sandbox.list_replies(card))]


def test_card_and_request_of_each_say_with_what_it_moves_and_where_that_stands(office: Any) -> None:
    planned(office)
    card, *replies = thread_of(office, "R-1 support-tone")
    said = "Bundle tone, together: with R-2 sales-tone (sales-assistant, planned, needs 1 approval)."
    assert said in card
    assert any("Approval needed" in text and said in text for text in replies)
    assert any("R-1 starts, holds and goes back together with R-2 (bundle tone)." in text for text in replies)


def test_one_line_approves_each_plan_and_one_starts_all(office: Any) -> None:
    planned(office)
    assert answer(office, "lee", "approve tone").startswith("Bundle tone, together: 2 planned.")
    assert "Approved by @lee: R-2" in office.shown(office.whispered("lee"))
    told = answer(office, "sam", "status tone")
    assert "R-1: #support needs 10 min notice." in told or "#support needs" in told
    office.later(minutes=10)
    assert "Started by @ana: R-2" in answer(office, "ana", "start tone")
    assert states(office) == [R.RUNNING, R.RUNNING]
    assert "2 running" in answer(office, "sam", "status tone")


def test_before_its_time_it_says_what_is_missing_and_offers_the_start_of_all(office: Any) -> None:
    planned(office)
    office.typed("lee", "approve tone")
    said = answer(office, "ana", "start tone")
    assert "R-1 cannot start yet. #support needs 10 min notice." in said
    assert office.person("ana").click(office.whispered("ana"), "Start then").acked
    office.later(minutes=10).say(c.Tick())
    assert states(office) == [R.RUNNING, R.RUNNING]


def test_nothing_starts_until_the_last_one_is_approved_and_the_answer_names_it(office: Any) -> None:
    planned(office)
    assert office.typed("lee", "approve R-1").acked
    refused = office.later(minutes=10).typed("ana", "start R-1")
    assert "In the bundle tone it starts together with R-2. R-2 needs 1 more approval" in refused.text
    assert "R-2 needs 1 more approval" in answer(office, "sam", "status tone")
    assert states(office) == [R.PLANNED, R.PLANNED]


@pytest.mark.parametrize("line", ["rollback tone answers are wrong", "rollback R-2 answers are wrong"])
def test_all_go_back_and_each_thread_has_an_alert_of_its_own(office: Any, line: str) -> None:
    started(office)
    told = answer(office, "sam", line)
    assert "Rolled back by @sam: R-1" in told
    assert "Rolled back by @sam: R-2" in told
    assert states(office) == [R.ROLLED_BACK, R.ROLLED_BACK]
    office.deliver()
    follows = "R-2 of the bundle tone was rolled back" if "R-2" in line else "answers are wrong"
    assert any(follows in text for text in thread_of(office, "R-1 support-tone"))
    for channel in ("#support", "#marketing"):
        told_back = [
            office.shown(m) for m in office.sandbox.list_messages(channel) if "Switched back" in office.shown(m)
        ]
        assert all(any(one in text for text in told_back) for one in ("R-1", "R-2"))


def test_what_the_engine_finds_in_one_takes_the_other_back_and_says_so(office: Any) -> None:
    started(office).later(minutes=5).say(c.Tick(look=look_of(HARM)), rollout="R-2")
    office.deliver()
    assert states(office) == [R.ROLLED_BACK, R.ROLLED_BACK]
    assert any("R-2 of the bundle tone was rolled back" in text for text in thread_of(office, "R-1 support-tone"))


def test_a_pause_of_one_holds_the_other_until_it_goes_on(office: Any) -> None:
    started(office)
    assert "On hold: R-1, R-2 of the bundle tone is paused." in answer(office, "sam", "pause R-2 odd greetings")
    office.deliver()
    card = thread_of(office, "R-1 support-tone")[0]
    assert "R-2 of the bundle tone is paused" in card
    assert "it continues once this clears" in card
    assert 'Next: `/rollout resume R-2 "why"`, or roll back.' in card
    assert "[ Resume ]" not in card
    refused = office.typed("ana", 'resume R-1 "fine here"')
    assert "R-1 holds because R-2 of the bundle tone is paused, and goes on with it." in refused.text
    assert "Running again: R-1" in answer(office, "ana", "resume R-2 seen")
    assert states(office) == [R.RUNNING, R.RUNNING]


def test_what_a_bundle_would_do_is_shown_and_does_not_happen(office: Any) -> None:
    started(office)
    told = answer(office, "sam", "pause tone --dry-run")
    assert told.count("rollout.paused") == 2
    assert states(office) == [R.RUNNING, R.RUNNING]


def test_in_order_the_second_says_what_it_waits_for_and_starts_by_itself(office: Any) -> None:
    started(office, "in_order")
    assert states(office) == [R.RUNNING, R.PLANNED]
    assert "In the bundle tone it starts once R-1 is done." in thread_of(office, "R-2 sales-tone")[0]
    assert "R-2 sales-tone, v42 -> v43. Starts automatically once R-1 is done." in answer(office, "sam", "list")
    for _ in range(4):
        office.later(minutes=3).say(c.Tick(look=look_of()))
    office.later(minutes=1).say(c.Tick(), rollout="R-2")
    assert states(office) == [R.DONE, R.RUNNING]


def test_as_json_a_bundle_has_each_rollout_and_each_rollout_its_bundle(office: Any) -> None:
    planned(office)
    text = answer(office, "sam", "status tone --json")
    found = json.loads(text[text.index("{") : text.rindex("}") + 1])
    assert (found["bundle"], found["order"], [one["id"] for one in found["rollouts"]]) == (
        "tone",
        "together",
        ["R-1", "R-2"],
    )
    assert found["rollouts"][0]["bundle"]["rollouts"][1] == {
        "id": "R-2",
        "surface": "sales-assistant",
        "state": "planned",
    }
    assert found["rollouts"][0]["bundle"]["waits"][0].startswith("In the bundle tone it starts together with R-2.")


def test_a_rollout_whose_name_begins_like_the_bundle_is_not_the_bundle(office: Any) -> None:
    office.apply(SURFACE)
    office.apply(SALES_SURFACE)
    office.apply(bundle_file().replace("support-tone", "tone-support"))
    office.deliver()
    assert "Abandoned by @sam: R-1" in answer(office, "sam", "rollback tone-support")
    assert states(office) == [R.ABANDONED, R.PLANNED]


@pytest.mark.parametrize("line", ["rollback bundle tone", "rollback the tone bundle", "rollback TONE: now!"])
def test_the_word_bundle_may_stand_before_or_after_the_name(office: Any, line: str) -> None:
    started(office)
    assert office.typed("sam", line).acked
    assert states(office) == [R.ROLLED_BACK, R.ROLLED_BACK]


def test_a_bundle_has_no_strata_so_everyone_goes_back_and_the_answer_says_so(office: Any) -> None:
    started(office)
    told = answer(office, "sam", "rollback tone --stratum internal, they complain")
    assert states(office) == [R.ROLLED_BACK, R.ROLLED_BACK]
    assert "tone is a bundle, so everyone in all of its rollouts was rolled back." in told


def test_the_name_of_an_ended_bundle_may_be_a_word_of_the_reason_so_one_is_asked(office: Any) -> None:
    planned(office)
    assert office.typed("sam", "rollback tone").acked
    office.apply(ROLLOUT.replace("support-tone", "greeting"))
    office.deliver()
    assert office.typed("lee", "approve R-3").acked
    assert office.later(minutes=10).typed("ana", "start R-3").acked
    asked = office.typed("sam", "rollback tone is odd")
    assert "The bundle tone has ended. Which one do you mean?" in asked.text
    assert states(office) == [R.ABANDONED, R.ABANDONED, R.RUNNING]
