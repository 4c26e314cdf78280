"""A model upgrade: the drill is passed first, and nobody is moved back to a model that is switched off."""

from dataclasses import replace
from datetime import UTC, date, datetime, timedelta

import pytest

from core.rollout import commands as c
from core.rollout.plans.plan import DrivenFlag, Stage, StageKind
from core.rollout.plans.policy import DEFAULT_POLICY, Policy
from core.rollout.serving import driving
from core.rollout.state import events as e
from core.rollout.state.model import RolloutState
from core.rollout.state.surface import RetirementTold

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


@pytest.mark.shows("E69")
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


@pytest.mark.shows("E69")
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


@pytest.mark.shows("E69")
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


def told(model="large-3", on=date(2026, 12, 1), days=7):
    return RetirementTold(model=model, on=on, replacement="large-4", days=days)


def with_retirements(words, *retirements, versions=None):
    known = versions or {"v41": {"model": "medium-2"}, "v42": {"model": "large-3"}}
    return words.surface(versions=known, retirements=retirements)


def test_the_day_that_a_provider_names_closes_the_way_back_as_the_files_does(running, words):
    story = running(words.story(policy=BERLIN, surface=with_retirements(words, told())), change={"model": "large-4"})
    story.at = LAST_MOMENT + timedelta(seconds=1)
    refused = story.refuses(c.RollBack(), "until 2026-11-30 only, as large-3 was switched off on 2026-12-01, so going")
    assert refused.hint == (
        "The way back is a new rollout from v43 to what v41 was, which had another model. If large-3 still answers, "
        "put its day right in the list of retirements."
    )
    story.tick(words.look(words.harm)).then(e.EvidenceRecorded, e.Held)
    story.refuses(c.MoveBack(unit="u1"), "large-3 was switched off")
    assert story.now.percent == 5


def test_the_earlier_one_of_the_two_days_counts(running, words):
    surface = with_retirements(words, told(on=date(2026, 12, 24)))
    early = running(words.story(surface=surface), change={"model": "large-4"}, rollback_until="2026-11-30")
    late = running(words.story(surface=surface), change={"model": "large-4"}, rollback_until="2027-01-31")
    for story in (early, late):
        story.at = datetime(2026, 12, 23, 12, 0, tzinfo=UTC)
    early.refuses(c.RollBack(), "until 2026-11-30 only, so")
    late.at += timedelta(days=1)
    late.refuses(c.RollBack(), "until 2026-12-23 only, as large-3")


def test_a_day_that_a_provider_moves_opens_the_way_back_again(running, words):
    surface = with_retirements(words, told(), told(on=date(2027, 6, 1), days=182))
    story = running(words.story(surface=surface), change={"model": "large-4"})
    story.at = datetime(2026, 12, 2, tzinfo=UTC)
    story.when(c.RollBack())
    assert story.now.state is RolloutState.ROLLED_BACK


@pytest.mark.parametrize(
    ("configured", "retired", "closed"),
    [
        ("large-3-2026-03-01", "large-3", True),
        ("large-3-20260301", "acme/large-3-2026-03-01", True),
        ("large-3", "large-3-2026-03-01", False),
        ("large-3-2026-06-01", "large-3-2026-03-01", False),
    ],
)
def test_only_a_model_that_is_surely_off_closes_the_way_back(running, words, configured, retired, closed):
    surface = with_retirements(words, told(model=retired), versions={"v42": {"model": configured}})
    story = running(words.story(surface=surface), change={"model": "large-4"})
    story.at = datetime(2026, 12, 2, tzinfo=UTC)
    if closed:
        story.refuses(c.RollBack(), "was switched off")
    else:
        story.when(c.RollBack())


def test_a_new_prompt_for_the_same_model_goes_back_whatever_becomes_of_the_model(running, words):
    story = running(words.story(surface=with_retirements(words, told())))
    story.at = datetime(2026, 12, 2, tzinfo=UTC)
    story.when(c.RollBack())
    assert story.now.state is RolloutState.ROLLED_BACK


def test_a_version_that_is_off_too_is_no_way_back(running, words):
    versions = {"v40": {"model": "medium-1"}, "v41": {"model": "medium-2"}, "v42": {"model": "large-3"}}
    surface = with_retirements(words, told(), told(model="medium-2", on=date(2026, 11, 1)), versions=versions)
    story = running(words.story(surface=surface), change={"model": "large-4"})
    story.at = datetime(2026, 12, 2, tzinfo=UTC)
    assert "what v40 was" in story.refuses(c.RollBack(), "was switched off").hint


@pytest.mark.parametrize(
    ("retired", "template", "said"),
    [
        ("large-3", "prompt-standard", "v42 could be called until 2026-11-30 only, as large-3 was switched off"),
        ("large-4", "prompt-standard", "v43 calls large-4, which was switched off on 2026-12-01"),
        ("large-3", "emergency-fix", ""),
        ("medium-2", "prompt-standard", ""),
    ],
)
def test_nothing_starts_without_a_way_back_or_with_a_model_that_is_off(planned, words, cast, retired, template, said):
    surface = with_retirements(words, told(model=retired))
    story = planned(words.story(surface=surface), change={"model": "large-4"}, template=template)
    story.when(c.Approve(), by=cast["lee"])
    story.at = datetime(2026, 12, 2, tzinfo=UTC)
    if said:
        story.refuses(c.Start(), said)
    else:
        story.when(c.Start())
        assert story.now.is_under_way
