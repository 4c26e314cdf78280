"""What a driven flag system should be at, when it has to be looked at, and what is recorded of it."""

from dataclasses import replace

import pytest

from core.rollout import commands as c
from core.rollout.context import ENGINE
from core.rollout.plans.plan import DrivenFlag, Stage, StageKind
from core.rollout.serving import driving
from core.rollout.state import events as e

FLAG = DrivenFlag(
    url="https://flags.example.com",
    project="default",
    environment="production",
    feature="new-prompt",
    strategy="s1",
    system="unleash",
)
GATE = Stage(kind=StageKind.EVAL, name="offline")


def found(percent, before=None, *, rolled_back=False):
    at = percent if before is None else before
    return c.RecordFlag(flag=FLAG.title, percent=percent, before=at, seconds=0.5, rolled_back=rolled_back)


def wanted(story):
    return driving.desired_percent(story.now, FLAG)


def test_before_the_start_it_is_none_of_our_business(planned):
    assert wanted(planned(drives=FLAG)) is None


def test_under_way_it_follows_the_stage_and_then_the_end(running, words):
    story = running(drives=FLAG, stages=(GATE, *words.stages))
    assert wanted(story) == 0, "nobody is exposed at a gate"
    for index, percent in ((1, 5), (2, 25), (3, 100), (4, 100)):
        story.happen(e.StageEntered(index=index, name="", percent=percent))
        assert wanted(story) == percent
    story.happen(e.Completed(version="v43", retired="v42"))
    assert wanted(story) == 100
    story.when(c.RollBack(reason="no"))
    assert wanted(story) == 0


@pytest.mark.parametrize("stop", [c.Pause(reason="a look"), c.DoubtEvidence(text="unclear")])
def test_what_stops_growth_leaves_it_where_it_is(running, stop):
    assert wanted(running(drives=FLAG).when(stop, by=ENGINE)) == 5


def test_it_is_looked_at_when_something_changes_and_after_every_rollback(running, words):
    story = running(drives=FLAG, stages=(GATE, *words.stages))

    def looks(event):
        before = story.now
        story.happen(event)
        return driving.list_to_reconcile(event, before, story.now)

    assert looks(e.StageEntered(index=1, name="canary", percent=5))
    assert not looks(e.Paused(by="ana", reason=""))
    assert looks(e.StageEntered(index=3, name="ramp", percent=100))
    assert not looks(e.StageEntered(index=4, name="bake", percent=100))
    assert not looks(e.Completed(version="v43", retired="v42"))
    at_a_gate = running(drives=FLAG, stages=(GATE, *words.stages))
    before = at_a_gate.now
    assert driving.desired_percent(at_a_gate.when(c.RollBack()).now, FLAG) == driving.desired_percent(before, FLAG) == 0
    assert driving.list_to_reconcile(at_a_gate.last[0], before, at_a_gate.now), "it is to be observed, not supposed"


def test_a_rollout_that_drives_nothing_never_looks(running):
    story = running()
    before = story.now
    story.when(c.RollBack(reason="no"))
    assert wanted(story) is None
    assert not driving.list_to_reconcile(story.last[0], before, story.now)
    assert story.when(found(0, rolled_back=True), by=ENGINE).last == []


def test_what_was_found_is_recorded_once(running):
    story = running(drives=FLAG).when(found(5, 0), by=ENGINE).then(e.FlagSet)
    assert story.last[0].flag == "new-prompt in Unleash (production)"
    story.when(found(5), by=ENGINE).then()
    story.when(found(5, 60), by=ENGINE).then(e.FlagSet)  # somebody had changed it by hand


def test_what_was_found_while_something_else_was_decided_is_not(running):
    story = running(drives=FLAG)
    story.when(found(25, 5), by=ENGINE).then()
    story.when(c.RecordFlagTrouble(flag=FLAG.title, percent=25, error="401", trying=False), by=ENGINE).then()


def test_a_reading_from_before_the_rollback_does_not_confirm_it(running, words):
    story = running(drives=FLAG, stages=(GATE, *words.stages)).when(found(0), by=ENGINE).then(e.FlagSet)
    story.when(c.RollBack(reason="no"))
    assert FLAG.title not in story.now.flags
    story.when(found(0), by=ENGINE).then()
    assert FLAG.title not in story.now.flags
    story.when(found(0, rolled_back=True), by=ENGINE).then(e.FlagSet)
    assert story.now.flags[FLAG.title].percent == 0


def test_trouble_is_told_once_until_it_is_over_and_giving_up_always(running):
    def trouble(error, trying=True):
        return c.RecordFlagTrouble(flag=FLAG.title, percent=5, error=error, trying=trying)

    story = running(drives=FLAG).when(trouble("500"), by=ENGINE).then(e.FlagNotSet)
    story.when(trouble("a timeout"), by=ENGINE).then()
    story.when(trouble("401", trying=False), by=ENGINE).then(e.FlagNotSet)
    story.when(trouble("401", trying=False), by=ENGINE).then()
    story.when(found(5), by=ENGINE).then(e.FlagSet)
    assert not story.now.flag_troubles
    story.when(found(5), by=ENGINE).then()
    story.when(trouble("500"), by=ENGINE).then(e.FlagNotSet)


def test_two_rollouts_do_not_drive_one_flag(running):
    first = running(drives=FLAG).now
    second = replace(first, id="R-2")
    other_flag = replace(second, plan=replace(second.plan, drives=replace(FLAG, feature="else")))
    over = running(drives=FLAG).when(c.RollBack(reason="no")).now
    assert driving.find_competing_rollouts(first, FLAG, [first]) == ()
    assert driving.find_competing_rollouts(first, FLAG, [first, second]) == ("R-2",)
    assert driving.find_competing_rollouts(first, FLAG, [first, other_flag]) == ()
    assert driving.find_competing_rollouts(second, FLAG, [over, second]) == ()
    assert driving.find_competing_rollouts(over, FLAG, [over, second]) == ("R-2",)
    assert driving.find_competing_rollouts(running().now, FLAG, [running().now, second]) == ()


def test_of_rollouts_that_are_over_the_one_that_ended_last_decides(running, planned):
    story = running(drives=FLAG).when(c.RollBack(reason="no"))
    first = story.now
    later = replace(first, id="R-2", ended_at=story.later(minutes=1).at)
    assert driving.find_competing_rollouts(first, FLAG, [first, later]) == ("R-2",)
    assert driving.find_competing_rollouts(later, FLAG, [first, later]) == ()
    never_began = replace(planned(drives=FLAG).now, id="R-3", ended_at=later.ended_at)
    assert driving.find_competing_rollouts(first, FLAG, [first, never_began]) == ()


def test_what_a_person_lowered_is_not_raised_again_until_somebody_resumes(running):
    story = running(drives=FLAG).when(found(5, 0), by=ENGINE)
    assert not driving.is_lowered_by_hand(story.now, FLAG, 5)
    assert not driving.is_lowered_by_hand(story.now, FLAG, 80)
    assert driving.is_lowered_by_hand(story.now, FLAG, 0)
    story.when(c.RecordFlagLowered(flag=FLAG.title, percent=0), by=ENGINE).then(e.Held)
    assert story.last[0].text == (
        "somebody set new-prompt in Unleash (production) to 0 % by hand; resuming sets it to 5 % again"
    )
    story.when(c.RecordFlagLowered(flag=FLAG.title, percent=0), by=ENGINE).then()
    before = story.now
    story.when(c.Resume(reason="it was a mistake"))
    assert driving.list_to_reconcile(story.last[0], before, story.now), "it is to be raised now"
    assert not driving.is_lowered_by_hand(story.now, FLAG, 0)


def test_a_first_step_and_a_rollback_are_nobodys_lowering(running):
    story = running(drives=FLAG)
    assert not driving.is_lowered_by_hand(story.now, FLAG, 0)
    story.when(c.RecordFlagLowered(flag=FLAG.title, percent=0), by=ENGINE).then()
    story.when(found(5, 0), by=ENGINE).when(c.RollBack(reason="no"))
    assert not driving.is_lowered_by_hand(story.now, FLAG, 0)


def test_a_paused_rollout_does_not_grow_and_is_not_held(running):
    story = running(drives=FLAG).when(found(5, 0), by=ENGINE).when(c.Pause())
    story.when(c.RecordFlagLowered(flag=FLAG.title, percent=0), by=ENGINE).then()


def test_it_is_known_since_when_the_flag_system_divides_as_the_stage_says(running):
    story = running(drives=FLAG)
    assert story.now.spans[-1].driven_since is None
    story.later(seconds=5).when(found(5, 0), by=ENGINE)
    since = story.at
    assert story.now.spans[-1].driven_since == since
    story.later(minutes=5).when(found(5, 80), by=ENGINE).then(e.FlagSet)
    assert story.now.spans[-1].driven_since == since
    story.happen(e.StageEntered(index=2, name="ramp 100%", percent=100))
    assert story.now.spans[-1].driven_since is None
    story.when(found(100, 5), by=ENGINE).later(hours=1).happen(e.StageEntered(index=3, name="bake", percent=100))
    assert story.now.spans[-1].driven_since == story.at, "it is there already"
    assert [span.driven_since is None for span in story.now.spans] == [False, False, False]


LABEL = DrivenFlag(
    system="mlflow",
    url="https://mlflow.example.com",
    project="",
    environment="",
    feature="summarizer",
    strategy="production",
    new="4",
    old="3",
    moves="everyone",
)


@pytest.mark.parametrize(("moves", "at"), [("everyone", (0, 0, 0, 100, 100)), ("first_stage", (0, 100, 100, 100, 100))])
def test_a_label_moves_when_the_file_says_and_goes_back_at_a_rollback(running, words, moves, at):
    label = replace(LABEL, moves=moves)
    story = running(drives=label, stages=(GATE, *words.stages))
    seen = [driving.desired_percent(story.now, label)]
    for index, percent in ((1, 5), (2, 25), (3, 100), (4, 100)):
        story.happen(e.StageEntered(index=index, name="", percent=percent))
        seen.append(driving.desired_percent(story.now, label))
    assert tuple(seen) == at
    story.when(c.RollBack(reason="no"))
    assert driving.desired_percent(story.now, label) == 0


def test_a_label_of_everyone_goes_back_while_a_stratum_is_back_alone(running, words):
    """Whoever reads the label would get the new version, also those who went back."""
    story = running(drives=LABEL, stages=(GATE, *words.stages), strata={"free": {"plan": "free"}})
    for index, percent in ((1, 5), (3, 100)):
        story.happen(e.StageEntered(index=index, name="", percent=percent))
    assert driving.desired_percent(story.now, LABEL) == 100
    before = story.now
    back = e.StratumRolledBack(by="U2", reason="they write more", stratum="free", version="v42")
    story.happen(back)
    assert driving.desired_percent(story.now, LABEL) == 0
    assert driving.list_to_reconcile(back, before, story.now) == (0,)
    story.happen(e.Completed(version="v43", retired="v42"))
    assert driving.desired_percent(story.now, LABEL) == 100, "done means everybody"


def test_a_label_of_some_stays_with_those_who_keep_the_version(running, words):
    label = replace(LABEL, moves="first_stage")
    story = running(drives=label, stages=(GATE, *words.stages), strata={"free": {"plan": "free"}})
    story.happen(e.StageEntered(index=1, name="", percent=5))
    story.happen(e.StratumRolledBack(by="U2", reason="they write more", stratum="free", version="v42"))
    assert driving.desired_percent(story.now, label) == 100


def test_only_what_changes_is_looked_at_and_everything_after_a_rollback(running, words):
    story = running(drives=(FLAG, LABEL), stages=(GATE, *words.stages))
    before = story.now
    story.happen(e.StageEntered(index=1, name="canary", percent=5))
    assert driving.list_to_reconcile(e.StageEntered(index=1, name="canary", percent=5), before, story.now) == (0,)
    before = story.now
    story.when(c.RollBack(reason="no"))
    assert driving.list_to_reconcile(story.last[0], before, story.now) == (0, 1)


def test_a_label_alone_leaves_it_to_rampart_who_gets_what(running):
    assert running(drives=LABEL).now.plan.dividing == ()
    assert running(drives=(LABEL, FLAG)).now.plan.dividing == (FLAG,)


def test_each_is_confirmed_by_itself_and_the_rollback_by_all(running):
    story = running(drives=(FLAG, LABEL)).when(c.RollBack(reason="no"))
    assert driving.list_unconfirmed(story.now) == (FLAG.title, LABEL.title)
    story.when(found(0, 5, rolled_back=True), by=ENGINE)
    assert driving.list_unconfirmed(story.now) == (LABEL.title,)
    story.when(replace(found(0, 0, rolled_back=True), flag=LABEL.title, seconds=4.0), by=ENGINE)
    assert driving.list_unconfirmed(story.now) == ()
    assert driving.slowest_seconds(story.now) == 4.0


def test_a_report_about_what_the_plan_does_not_drive_is_nothing(running):
    story = running(drives=(FLAG, LABEL))
    story.when(replace(found(5), flag="another in Unleash (production)"), by=ENGINE).then()


def test_trouble_of_one_is_not_trouble_of_the_other(running):
    def trouble(flag, percent):
        return c.RecordFlagTrouble(flag=flag.title, percent=percent, error="503", trying=True)

    story = running(drives=(FLAG, LABEL)).when(trouble(FLAG, 5), by=ENGINE).then(e.FlagNotSet)
    story.when(trouble(LABEL, 0), by=ENGINE).then(e.FlagNotSet)
    story.when(found(5), by=ENGINE).then(e.FlagSet)
    assert story.now.flag_troubles == {LABEL.title: "503"}
