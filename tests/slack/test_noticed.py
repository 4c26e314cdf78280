"""What people noticed is gathered and shown before the next step: told beforehand, testers, doubts, usage signals."""

from dataclasses import replace
from typing import Any

import pytest

from core.judging.model.verdict import Continue, Measure, MeasureLabel
from core.rollout import commands as c
from core.rollout.state.model import RolloutState
from tests.slack.conftest import ROLLOUT
from tests.slack.test_journey import look
from tests.slack.test_subscriptions import direct
from tests.slack.test_testers import unit_in


def signal(metric: str, word: MeasureLabel, moved: float, low: float, high: float) -> Measure:
    return Measure(
        metric=metric,
        title="",
        limit_text=None,
        canary=0.08 + moved,
        control=0.08,
        difference=moved,
        low=low,
        high=high,
        log_e=0.0,
        word=word,
        n_canary=900,
        n_control=9000,
        unit="%",
        relative=False,
        weaker=False,
        implied=True,
    )


MEASURES = (
    signal("retry_rate", "Slightly worse, within limit", 0.019, 0.004, 0.034),
    signal("abandonment_rate", "Fine", 0.001, -0.004, 0.006),
    signal("refusal_rate", "Worse", 0.03, 0.02, 0.04),
)


def seen() -> c.LookResult:
    """A look in which people ask again more often, and nothing is beyond a limit."""
    taken = look(Continue())
    return replace(taken, judgement=replace(taken.judgement, measures=MEASURES))


def begin(office: Any) -> Any:
    """Started with two testers, one in each arm; the second stage needs an approval."""
    office.apply_as_admin(office.files["surface"])
    file = ROLLOUT.replace(
        "ramp: {steps: [50%, 100%], hold: 1m}", "ramp: {steps: [50%, 100%], hold: 1m, advance: approve}"
    )
    testers = f'  - {{person: "@mia", unit: {unit_in("canary")}}}\n  - {{person: "@sam", unit: {unit_in("control")}}}\n'
    office.apply(f"{file}testers:\n{testers}")
    office.deliver()
    assert office.typed("lee", "approve R-1").acked
    assert office.later(minutes=10).typed("ana", "start R-1").acked
    office.deliver()
    return office


@pytest.mark.shows("E5", "E43")
def test_before_the_next_step_the_approver_reads_what_people_noticed(office: Any) -> None:
    begin(office)
    office.click("mia", direct(office, "mia")[0], "Worse")
    office.typed("mia", "vote R-1 worse it no longer says which plan I am on")
    office.click("sam", direct(office, "sam")[0], "Good")
    office.typed("ana", "feels-off R-1 odd greeting")
    again = office.typed("ana", "feels-off R-1 and too curt").text
    assert "You have already said that R-1 feels off, and each person counts once. Write anything more" in again
    office.later(minutes=3).say(c.Tick(look=seen()))
    assert office.rollout.state is RolloutState.WAITING
    office.deliver()
    request = next(line for line in office.thread() if line.startswith("Approval needed"))
    block = request.partition("What people noticed")[2]
    assert "Told beforehand: Answers are about a third shorter and start with the fix." in block
    assert "new version 1 worse · old version 1 good: a difference could be chance" in block
    assert "@mia (worse): “it no longer says which plan I am on”" in block
    assert "1 person said that it feels off" in block
    assert "Usage that moved: people asking again +1.9 pp (+0.4 … +3.4); 1 more did not move." in block
    assert "declined to answer" not in block.partition("Against")[0], "that is no usage signal"


@pytest.mark.shows("E43")
def test_a_summary_shows_it_too(office: Any) -> None:
    begin(office)
    office.later(minutes=1).say(c.Tick(look=seen()))
    office.later(hours=1, minutes=1).say(c.Tick(look=seen()))
    office.deliver()
    summary = next(line for line in office.thread() if "What people noticed" in line)
    assert "Testers: nobody has answered yet." in summary
    assert "Usage that moved: people asking again" in summary


@pytest.mark.shows("E5")
def test_two_people_who_say_it_feels_off_hold_it_and_stand_in_the_review(office: Any) -> None:
    office.start()
    office.typed("sam", "feels-off R-1 curt with upset customers")
    assert office.rollout.state is RolloutState.RUNNING
    office.typed("sam", "feels-off R-1 once more")
    assert office.rollout.state is RolloutState.RUNNING, "one person is one person"
    office.typed("mia", "feels-off R-1 agrees with everything")
    assert office.rollout.state is RolloutState.ON_HOLD
    office.typed("lee", "rollback R-1")
    office.deliver()
    review = next(line for line in office.thread() if line.startswith("Needs review"))
    assert "On hold" in review
    assert "2 people say the new version feels off" in review
    assert (
        "2 people said that it feels off: @sam: “curt with upset customers”; @mia: “agrees with everything”" in review
    )


def test_the_review_counts_what_testers_said_by_version(office: Any) -> None:
    begin(office)
    office.click("mia", direct(office, "mia")[0], "Worse")
    office.click("sam", direct(office, "sam")[0], "Can't tell")
    office.typed("lee", "rollback R-1")
    office.deliver()
    review = next(line for line in office.thread() if line.startswith("Needs review"))
    assert "Testers at canary: new version 1 worse · old version 1 can't tell" in review
