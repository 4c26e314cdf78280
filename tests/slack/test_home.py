"""The home tab: what needs this person, in the order of their role, kept up to date while it is open."""

import threading
from typing import Any

import pytest
from slack_sdk import WebClient

from bot.sandbox.rules import check_payload
from bot.sandbox.workspace.workspace import View
from bot.slack.home import HomeTabs
from core.rollout import commands as c
from tests.slack.conftest import ROLLOUT, SURFACE
from tests.slack.test_after_done import NEXT, finish
from tests.slack.test_subscriptions import follow


@pytest.fixture
def tabs(office: Any) -> HomeTabs:
    """The tabs of the office, kept up to date by hand."""
    return HomeTabs(office.service, office.client, office.directory, lambda: office.at)


def home(office: Any, handle: str) -> View:
    """The tab that this person sees once they have opened it."""
    office.person(handle).open_home()
    view: View = office.sandbox.wait_for(lambda: office.sandbox.home_tab(handle))
    return view


def wait_for_home(office: Any, handle: str, words: str) -> None:
    """Open the tab again and wait until it says this."""
    office.person(handle).open_home()
    office.sandbox.wait_for(lambda: words in shown(office.sandbox.home_tab(handle)))


def shown(view: View) -> str:
    """The words on a tab, with its buttons in brackets."""
    lines: list[str] = []
    for block in view.body["blocks"]:
        if block["type"] == "actions":
            lines.append(" ".join(f"[ {button['text']['text']} ]" for button in block["elements"]))
        else:
            lines.append((block.get("text") or block["elements"][0])["text"])
    return "\n".join(lines)


def headers(view: View) -> list[str]:
    return [block["text"]["text"] for block in view.body["blocks"] if block["type"] == "header"]


def test_before_anything_happened_it_says_how_to_begin(office: Any) -> None:
    view = home(office, "dana")
    assert headers(view) == [
        "Needs you",
        "Running",
        "What changes this week",
        "AI features",
        "My notifications",
        "Start",
    ]
    assert "rollout apply surface.yaml" in shown(view)
    assert "New rollout" not in shown(view), "there is nothing to change yet"


def test_an_approver_finds_the_request_and_the_owner_does_not(office: Any) -> None:
    office.plan()
    lee, dana = shown(home(office, "lee")), shown(home(office, "dana"))
    assert "Approve the start of R-1 support-tone (v42 -> v43)? Asked by @dana" in lee
    assert "[ Approve ] [ Reject… ] [ Details ]" in lee
    assert "[ Approve ]" not in dana


def test_a_button_on_the_tab_is_answered_in_a_modal_and_the_tab_follows(office: Any, tabs: HomeTabs) -> None:
    office.plan()
    tabs.open("T0SANDBOX1", "", "U0LEE00001")
    assert office.person("lee").click(office.sandbox.home_tab("lee"), "Approve").acked
    answer = office.sandbox.wait_for(lambda: office.sandbox.top_modal("lee"))
    assert "Approved by @lee" in str(answer.body["blocks"])
    office.service.load_world()
    assert tabs.refresh() == 1
    assert "[ Approve ]" not in shown(office.sandbox.home_tab("lee"))


def test_reject_asks_for_the_reason_as_it_does_in_the_thread(office: Any) -> None:
    office.plan()
    assert office.person("lee").click(home(office, "lee"), "Reject…").acked
    modal = office.sandbox.wait_for(lambda: office.sandbox.top_modal("lee"))
    assert modal.body["title"]["text"] == "Reject"


def test_support_reads_what_changes_before_anything_else(office: Any) -> None:
    follow(office, "sam", "support")
    office.plan()
    view = home(office, "sam")
    assert headers(view)[0] == "What changes this week"
    assert "*Support assistant* (R-1): starts <!date^" in shown(view)
    assert "Answers are about a third shorter and start with the fix." in shown(view)
    assert office.typed("lee", "approve R-1").acked
    assert office.later(minutes=10).typed("ana", "start R-1").acked
    wait_for_home(office, "sam", "5 in 100 customers have it now")


def test_a_notice_to_confirm_waits_for_those_of_its_audience(office: Any) -> None:
    follow(office, "sam", "support")
    office.apply(ROLLOUT.replace("as: support, before: 10m", "as: support, before: 10m, acknowledge: true"))
    office.deliver()
    assert "Confirm that you have read the notice of R-1 support-tone in #support." in shown(home(office, "sam"))
    assert "Confirm that you have read" not in shown(home(office, "mia"))
    assert office.person("sam").click(home(office, "sam"), "Got it").acked
    office.sandbox.wait_for(lambda: office.sandbox.top_modal("sam"))
    office.person("sam").open_home()
    office.sandbox.wait_for(lambda: "Confirm that you have read" not in shown(office.sandbox.home_tab("sam")))


def test_a_hold_is_for_its_owner_to_decide(office: Any) -> None:
    office.start()
    for handle in ("sam", "mia"):
        assert office.typed(handle, "feels-off R-1 odd").acked
    assert "Decide: *" not in shown(home(office, "ana"))
    dana = shown(home(office, "dana"))
    assert "Decide: On hold: R-1 support-tone" in dana
    assert "[ Resume ] [ Roll back ] [ Details ]" in dana


def test_a_review_is_owed_by_the_owner_until_it_is_written(office: Any) -> None:
    office.start()
    assert office.typed("sam", "rollback R-1 odd answers").acked
    assert "Write the review of R-1 support-tone; due" in shown(home(office, "dana"))
    assert "Write the review of" not in shown(home(office, "ana"))


def test_a_guest_sees_what_runs_and_no_button_that_changes_it(office: Any) -> None:
    office.plan()
    view = home(office, "gil")
    assert "R-1 support-tone" in shown(view)
    assert "[" not in shown(view)
    assert "My notifications" not in headers(view)


def test_the_form_of_notifications_is_saved_and_shown(office: Any) -> None:
    office.apply_as_admin(SURFACE)
    sam = office.person("sam")
    assert sam.click(home(office, "sam"), "Change").acked
    form = office.sandbox.wait_for(lambda: office.sandbox.top_modal("sam"))
    answers = {
        "What do you follow?": ["support-assistant|support"],
        "What do you want to see first here?": "support",
        "Quiet hours from": "20:00",
    }
    assert "both a beginning and an end" in sam.submit(form, answers).errors["quiet_until"]
    wrong_zone = {**answers, "Quiet hours until": "08:00", "Your time zone": "Berlin"}
    assert "is not a time zone" in sam.submit(form, wrong_zone).errors["zone"]
    assert sam.submit(form, {**answers, "Quiet hours until": "08:00"}).errors == {}
    assert office.sandbox.top_modal("sam") is None
    expected = "You follow support-assistant (as support).\nQuiet hours: 20:00 to 08:00 (Europe/Berlin)."
    view = office.sandbox.wait_for(lambda: v if expected in shown(v := office.sandbox.home_tab("sam")) else None)
    assert headers(view)[0] == "What changes this week"


def test_a_tab_is_published_again_only_when_it_changes(office: Any, tabs: HomeTabs) -> None:
    office.plan()
    tabs.open("T0SANDBOX1", "", "U0ANA00001")
    office.say(c.RecordPosted(key="line:1", channel="C0AIROLL01", ts="1.1"))
    assert tabs.refresh() == 0
    assert office.typed("sam", "pause R-1").acked
    office.service.load_world()
    assert tabs.refresh() == 0, "a plan cannot be paused, so nothing has changed"
    assert office.typed("ana", "abandon R-1").acked
    office.service.load_world()
    assert tabs.refresh() == 1
    assert "No rollout is planned or under way." in shown(office.sandbox.home_tab("ana"))


def test_what_slack_refuses_for_a_moment_is_published_at_the_next_refresh(office: Any, tabs: HomeTabs) -> None:
    office.plan()
    tabs.open("T0SANDBOX1", "", "U0ANA00001")
    assert office.typed("ana", "abandon R-1").acked
    office.service.load_world()
    office.sandbox.fail_next("views.publish", "error:internal_error")
    assert tabs.refresh() == 0
    assert tabs.refresh() == 1


class SlowFirstClient:
    """Slack's client, whose first `views_publish` waits for a second one to be over, or for a moment if none comes."""

    def __init__(self, client: WebClient) -> None:
        self._client = client
        self.first_waits, self._second_is_over = threading.Event(), threading.Event()

    def views_publish(self, **view: Any) -> None:
        if not self.first_waits.is_set():
            self.first_waits.set()
            self._second_is_over.wait(1)
            self._client.views_publish(**view)
        else:
            self._client.views_publish(**view)
            self._second_is_over.set()


def test_what_was_read_earlier_is_never_shown_after_what_was_read_later(office: Any) -> None:
    client = SlowFirstClient(office.client)
    tabs = HomeTabs(office.service, client, office.directory, lambda: office.at)  # type: ignore[arg-type]
    office.plan()
    opening = threading.Thread(target=tabs.open, args=("T0SANDBOX1", "", "U0ANA00001"))
    opening.start()
    assert client.first_waits.wait(20)
    assert office.typed("ana", "abandon R-1").acked
    office.service.load_world()
    tabs.open("T0SANDBOX1", "", "U0ANA00001")
    opening.join(20)
    assert "No rollout is planned or under way." in shown(office.sandbox.home_tab("ana"))


def test_a_form_that_slack_no_longer_opens_says_so_in_a_direct_message(office: Any) -> None:
    office.apply_as_admin(SURFACE)
    tab = home(office, "sam")
    office.sandbox.fail_next("views.open", "error:expired_trigger_id", times=2)
    office.person("sam").click(tab, "Change")
    with_sam = office.sandbox.workspace.open_direct_message(office.sandbox.workspace.find_person("sam")).id
    (said,) = office.sandbox.wait_for(lambda: office.sandbox.list_messages(with_sam, "sam"))
    assert said.text == "The form took too long to open. Please press the button again."


def test_a_form_that_takes_long_to_save_is_acknowledged_and_says_when_it_is_saved(office: Any) -> None:
    def wait_for_modal(words: str) -> None:
        office.sandbox.wait_for(lambda: (top := office.sandbox.top_modal("sam")) and words in str(top.body))

    office.apply_as_admin(SURFACE)
    sam = office.person("sam")
    sam.click(home(office, "sam"), "Change")
    form = office.sandbox.wait_for(lambda: office.sandbox.top_modal("sam"))
    with office.service.database.writing():
        assert sam.submit(form, {"What do you follow?": ["support-assistant|support"]}).acked
        wait_for_modal("working on it")
    wait_for_modal("your notifications")


def test_a_tab_that_was_opened_long_ago_is_left_alone(office: Any) -> None:
    seconds = iter([0.0, 13 * 3600.0])
    tabs = HomeTabs(office.service, office.client, office.directory, lambda: office.at, lambda: next(seconds))
    tabs.open("T0SANDBOX1", "", "U0ANA00001")
    office.plan()
    assert tabs.refresh() == 0


def test_many_rollouts_fit_on_one_tab(office: Any) -> None:
    for number in range(40):
        name = f"feature-{number}"
        office.apply_as_admin(SURFACE.replace("support-assistant", name))
        office.apply(ROLLOUT.replace("support-assistant", name).replace("support-tone", f"tone-{number}"))
    view = home(office, "lee")
    assert len(view.body["blocks"]) <= 100
    assert check_payload.check_view(view.body, ("home",)) == []
    assert "[ See all 40 ]" in shown(view)
    assert headers(view)[-1] == "Start"


def test_a_home_tab_with_the_fields_of_a_modal_is_refused_by_the_sandbox() -> None:
    view = {"type": "home", "blocks": [], "title": {"type": "plain_text", "text": "x"}}
    assert [v.where for v in check_payload.check_view(view, ("home",))] == ["/view/title"]


def test_what_is_done_says_what_runs_on_top_of_it_and_what_replaced_it(office: Any) -> None:
    office.plan()
    office.typed("lee", "approve R-1")
    office.later(minutes=10).typed("ana", "start R-1")
    finish(office, "R-1")
    assert "(R-1): everyone got it.\n" in shown(home(office, "sam"))
    text = office.rollout_file
    for old, new in NEXT.items():
        text = text.replace(old, new)
    office.apply(text)
    office.deliver()
    office.typed("lee", "approve R-2")
    office.later(minutes=10).typed("ana", "start R-2")
    wait_for_home(office, "sam", "(R-1): everyone got it; R-2 is changing it again.\n")
    finish(office, "R-2")
    wait_for_home(office, "sam", "(R-1): everyone got it; another version has taken its place since.\n")
