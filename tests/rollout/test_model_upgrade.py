"""A model upgrade: the drill is passed first, and nobody is moved back to a model that is switched off."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from core.rollout import commands as c
from core.rollout.plans.plan import DrivenFlag, Stage, StageKind
from core.rollout.plans.policy import DEFAULT_POLICY, Policy
from core.rollout.serving import driving
from core.rollout.state import events as e
from core.rollout.state.model import RolloutState

DRILL = Stage(kind=StageKind.ROLLBACK_DRILL, name="rollback_drill", drill_within=timedelta(seconds=10))
FLAG = DrivenFlag(
    url="https://flags.example.com",
    project="default",
    environment="production",
    feature="x",
    strategy="s",
    system="unleash",
)
BERLIN = replace(DEFAULT_POLICY, timezone="Europe/Berlin")


def read_back(seconds=0.3):
    return c.RecordFlag(flag=FLAG.title, percent=0.0, before=0.0, seconds=seconds, rolled_back=False)


def test_without_a_passed_drill_nobody_gets_the_new_version(running, words):
    story = running(stages=(DRILL, *words.stages)).later(days=3).tick().then()
    assert story.now.percent == 0
    story.refuses(c.Advance(reason="it works"), "Gates cannot be skipped")


def test_a_drill_that_took_too_long_is_repeated_by_a_resume(running, words):
    story = running(stages=(DRILL, *words.stages)).when(c.RecordDrill(seconds=11)).then(e.DrillFinished, e.Held)
    story.tick().then()
    assert not driving.is_drilling(story.now)
    story.when(c.RecordDrill(seconds=1)).then()
    story.when(c.Resume(reason="one process was restarting"))
    story.tick().then()
    assert story.now.percent == 0, "a resume passes no drill"
    story.when(c.RecordDrill(seconds=12)).then(e.DrillFinished, e.Held)
    story.when(c.Resume(reason="the other one, too")).when(c.RecordDrill(seconds=1)).then(e.DrillFinished)
    story.tick().then(e.StageEntered)
    assert story.now.percent == 5


@pytest.mark.parametrize(("seconds", "passed"), [(10.0, True), (10.001, False)])
def test_a_drill_may_take_as_long_as_agreed(running, words, seconds, passed):
    story = running(stages=(DRILL, *words.stages)).when(c.RecordDrill(seconds=seconds))
    assert (story.now.state is RolloutState.RUNNING) is passed


def test_a_driven_flag_takes_part_in_the_drill(running, words):
    story = running(stages=(DRILL, *words.stages), drives=FLAG)
    story.when(c.RecordDrill(seconds=0.4)).then()
    story.when(read_back()).then(e.FlagSet)
    story.when(c.RecordDrill(seconds=0.4)).then(e.DrillFinished)


def test_everything_that_is_driven_takes_part_in_the_drill_also_a_label(running, words):
    label = replace(FLAG, system="mlflow", strategy="production", new="4", old="3", moves="everyone")
    story = running(stages=(DRILL, *words.stages), drives=(FLAG, label))
    story.when(read_back()).when(c.RecordDrill(seconds=0.4)).then()
    story.when(replace(read_back(), flag=label.title)).when(c.RecordDrill(seconds=0.4)).then(e.DrillFinished)


def test_a_reading_from_before_the_drill_is_no_part_of_it(running, words):
    gate = Stage(kind=StageKind.SAFETY, name="safety")
    story = running(stages=(gate, DRILL, *words.stages), drives=FLAG).when(read_back()).then(e.FlagSet)
    before = story.now
    story.happen(e.StageEntered(index=1, name="rollback_drill", percent=0))
    assert driving.list_to_reconcile(e.StageEntered(index=1, name="rollback_drill", percent=0), before, story.now)
    story.when(c.RecordDrill(seconds=0.4)).then()
    story.when(read_back()).then(e.FlagSet).when(c.RecordDrill(seconds=0.4)).then(e.DrillFinished)


def test_a_repeated_drill_asks_the_flag_again(running, words):
    story = running(stages=(DRILL, *words.stages), drives=FLAG).when(read_back(12.0))
    story.when(c.RecordDrill(seconds=12.0)).then(e.DrillFinished, e.Held)
    before = story.now
    story.when(c.Resume(reason="the flag system was restarted"))
    assert driving.list_to_reconcile(story.last[-1], before, story.now)
    story.when(c.RecordDrill(seconds=0.4)).then()
    story.when(read_back()).when(c.RecordDrill(seconds=0.4)).then(e.DrillFinished)


def upgrade(running, words, *, until="2026-11-30", policy: Policy = BERLIN, **changes):
    """At 5 % of a new model; the old one can be called until and including that day, in Berlin."""
    versions = {"v41": {"model": "medium-2"}, "v42": {"model": "large-3"}}
    surface = words.surface(versions=versions)
    return running(
        words.story(policy=policy, surface=surface), change={"model": "large-4"}, rollback_until=until, **changes
    )


LAST_MOMENT = datetime(2026, 11, 30, 22, 59, 59, tzinfo=UTC)  # one second before midnight in Berlin


def test_until_the_last_day_is_over_one_can_go_back(running, words):
    story = upgrade(running, words)
    story.at = LAST_MOMENT
    story.when(c.RollBack())
    assert story.now.state is RolloutState.ROLLED_BACK


def test_afterwards_nobody_is_moved_back_and_it_says_what_the_way_back_is(running, words):
    story = upgrade(running, words)
    story.at = LAST_MOMENT + timedelta(seconds=1)
    refused = story.refuses(c.RollBack(), "v42 could be called until 2026-11-30 only")
    assert refused.hint == "The way back is a new rollout from v43 to what v41 was, which had another model."
    assert story.now.percent == 5


def test_harm_then_holds_once_instead_of_moving_people_to_nothing(running, words):
    story = upgrade(running, words)
    story.at = LAST_MOMENT
    story.later(seconds=1).tick(words.look(words.harm)).then(e.EvidenceRecorded, e.Held)
    assert story.now.hold.text.startswith("refusal_rate, a rise of 1 pp, but v42 could be called until 2026-11-30 only")
    assert "The way back is a new rollout from v43" in story.now.hold.text
    for _ in range(3):
        story.later(seconds=10).tick(words.look(words.harm)).then()
    assert story.now.percent == 5


def test_harm_on_the_last_day_rolls_back(running, words):
    story = upgrade(running, words)
    story.at = LAST_MOMENT
    story.tick(words.look(words.harm))
    assert story.now.state is RolloutState.ROLLED_BACK


def test_the_guard_holds_after_the_end_too(running, words):
    story = upgrade(running, words, until="2026-12-31")
    for _ in range(5):
        story.later(hours=48).tick(words.look())
    assert story.now.state is RolloutState.DONE
    story.at = datetime(2027, 1, 1, 9, 0, tzinfo=UTC)
    story.refuses(c.RollBack(), "v42 could be called until 2026-12-31 only")


def test_before_anybody_has_the_new_version_a_rollback_moves_nobody(running, words):
    story = upgrade(running, words, stages=(DRILL, *words.stages))
    story.at = LAST_MOMENT + timedelta(days=3)
    story.when(c.RollBack())
    assert story.now.state is RolloutState.ROLLED_BACK


def test_without_another_model_the_way_back_is_one_that_can_be_called(running, words):
    surface = words.surface(versions={"v42": {"model": "large-3"}})
    story = running(words.story(surface=surface), change={"model": "large-4"}, rollback_until="2026-11-30")
    story.at = datetime(2026, 12, 1, tzinfo=UTC)
    refused = story.refuses(c.RollBack(), "could be called")
    assert refused.hint == "The way back is a new rollout from v43 to a model that can be called."
