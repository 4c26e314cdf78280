"""Audiences that get the new version one after the other: each is compared within itself and can go back alone."""

from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from core.flags.bucketing import compute_bucket
from core.flags.conversations import format_conversation
from core.flags.evaluation import choose_answer
from core.flags.placement import Placement, UncountedReason, infer_variant, place_observation
from core.flags.snapshot import FlagAnswer, Snapshot, SurfaceFlags
from core.judging.model.verdict import Continue
from core.reviews.strata_verdicts import StratumState, build_verdicts
from core.rollout import commands as c
from core.rollout.context import ENGINE
from core.rollout.plans.plan import Stage, StageKind
from core.rollout.serving import strata
from core.rollout.serving.exposure import build_snapshot
from core.rollout.state import events as e
from core.rollout.state.model import RolloutState
from core.rollout.state.world import World

SURFACE = "support-assistant"


def cohort(name: str, percent: float = 50, **where: str) -> Stage:
    return Stage(
        kind=StageKind.COHORT, name=name, percent=percent, where=where, min_hold=timedelta(hours=1), min_samples=100
    )


STAGES = (
    cohort("internal", 100, email_domain="example.com"),
    cohort("free", plan="free"),
    cohort("paid", plan="pro"),
    Stage(kind=StageKind.RAMP, name="ramp 50%", percent=50, min_hold=timedelta(hours=12)),
    Stage(kind=StageKind.RAMP, name="ramp 100%", percent=100, min_hold=timedelta(hours=12)),
)
INTERNAL, FREE, PAID, HALF, ALL = range(5)


def unit_at(low: int, high: int) -> str:
    return next(u for u in map(str, range(10_000)) if low <= compute_bucket("expose", "R-1", u) < high)


IN, OUT = unit_at(0, 500_000), unit_at(500_000, 1_000_000)


@pytest.fixture
def staged(running: Callable[..., Any]) -> Callable[..., Any]:
    """A rollout with an internal, a free and a paid stratum, in one of its stages."""

    def start(at: int = FREE, **changes: Any) -> Any:
        story = running(**{"stages": STAGES, **changes})
        for index in range(1, at + 1):
            enter(story, index)
        return story

    return start


def enter(story: Any, index: int) -> Any:
    stage = story.now.plan.stages[index]
    return story.later(hours=2).happen(e.StageEntered(index=index, name=stage.name, percent=stage.percent))


def served(story: Any) -> Snapshot:
    return build_snapshot(World(rollouts={"R-1": story.now}, surfaces={SURFACE: story.surface}))


def flags_of(story: Any) -> SurfaceFlags:
    return served(story).surfaces[SURFACE]


def answer(story: Any, unit: str, **context: object) -> FlagAnswer:
    return choose_answer(flags_of(story), unit, context)


def told(story: Any, unit: str, **context: object) -> tuple[str, ...]:
    """The answer as an application sees it."""
    found = answer(story, unit, **context)
    return (found.version.name, found.variant, found.cohort, found.exposure, found.stratum)


def version(story: Any, unit: str, **context: object) -> str:
    return answer(story, unit, **context).version.name


@pytest.mark.parametrize("named", ["free", "Free", " FREE "])
def test_one_stratum_goes_back_alone_and_the_others_stay(staged: Callable[..., Any], named: str) -> None:
    story = staged(PAID)
    story.when(c.RollBack(stratum=named, reason="wrong for them")).then(e.StratumRolledBack)
    assert story.now.state is RolloutState.RUNNING
    assert version(story, IN, plan="free") == "v42"
    assert version(story, IN, plan="pro") == "v43"
    assert version(story, OUT, email="ana@example.com") == "v43"


def test_it_stays_back_while_the_rollout_grows(staged: Callable[..., Any]) -> None:
    story = staged(PAID).when(c.RollBack(stratum="free"))
    enter(story, HALF)
    enter(story, ALL)
    assert version(story, IN, plan="free") == "v42"
    assert version(story, OUT, plan="pro") == "v43"
    assert version(story, OUT, plan="other") == "v43"


def test_the_first_stratum_that_fits_is_the_one_that_counts(staged: Callable[..., Any]) -> None:
    story = staged(PAID).when(c.RollBack(stratum="free"))
    assert version(story, IN, plan="free", email="ana@example.com") == "v43", "internal comes first"


@pytest.mark.parametrize("named", ["fre", "free ones", "everybody", "", " "])
def test_a_name_that_the_plan_does_not_have_means_everybody(staged: Callable[..., Any], named: str) -> None:
    story = staged(PAID).when(c.RollBack(stratum=named))
    assert story.now.state is RolloutState.ROLLED_BACK
    assert version(story, IN, plan="pro") == "v42"


def test_going_back_twice_is_no_error_and_everybody_can_still_go_back(staged: Callable[..., Any]) -> None:
    story = staged(PAID).when(c.RollBack(stratum="free"))
    story.when(c.RollBack(stratum="free")).then()
    story.when(c.RollBack())
    assert story.now.state is RolloutState.ROLLED_BACK
    story.when(c.RollBack(stratum="paid")).then()


def test_once_everybody_went_back_its_conversations_go_back_with_everybodys(staged: Callable[..., Any]) -> None:
    story = staged(PAID, finish_within=timedelta(hours=24))
    begun = format_conversation(SURFACE, answer(story, IN, plan="free"))
    story.when(c.RollBack()).then(e.RolledBack, e.ReviewRequested)
    assert version(story, IN, plan="free", conversation=begun) == "v43"
    story.when(c.RollBack(stratum="free", reason="they are wrong")).then(e.ConversationsMoved)
    assert version(story, IN, plan="free", conversation=begun) == "v42"


def test_before_the_start_and_after_the_end_nobody_can_go_back_alone(
    planned: Callable[..., Any], staged: Callable[..., Any]
) -> None:
    planned(stages=STAGES).refuses(c.RollBack(stratum="free"), "has not started")
    story = staged(ALL).happen(e.Completed(version="v43", retired="v42"))
    story.refuses(c.RollBack(stratum="free"), "Everyone gets v43 by now, so free cannot be rolled back alone")


def test_a_stratum_that_has_no_stage_can_go_back_too(staged: Callable[..., Any]) -> None:
    story = staged(HALF, strata={"trial": {"plan": "trial"}})
    assert version(story, IN, plan="trial") == "v43"
    story.when(c.RollBack(stratum="trial")).then(e.StratumRolledBack)
    assert version(story, IN, plan="trial") == "v42"
    assert version(story, IN, plan="other") == "v43"


def test_its_own_stage_holds_and_a_resume_goes_on_without_it(staged: Callable[..., Any], words: Any) -> None:
    story = staged(FREE).when(c.RollBack(stratum="free"))
    assert version(story, IN, plan="free") == "v42"
    story.later(minutes=1).tick(words.look(Continue(), requests=0))
    (held,) = [event for event in story.last if isinstance(event, e.Held)]
    assert held.text == "free was rolled back alone; resuming goes on to paid without it"
    story.when(c.Resume(reason="paid is different")).then(e.Resumed, e.StageEntered)
    assert story.now.current_stage.name == "paid"
    assert version(story, IN, plan="free") == "v42"


def test_it_does_not_end_for_everybody_while_somebody_has_the_old_version(
    staged: Callable[..., Any], words: Any
) -> None:
    story = staged(ALL).when(c.RollBack(stratum="free"))
    story.later(hours=13).tick(words.look(Continue()))
    held = story.last[-1]
    assert isinstance(held, e.Held)
    assert held.text == "free went back to v42 alone; resuming ends R-1, which gives them v43 too"
    story.when(c.Resume(reason="fixed in v43 by a config")).later(hours=1).tick(words.look(Continue()))
    assert story.now.state is RolloutState.DONE


def test_its_members_are_on_neither_side_from_then_on(staged: Callable[..., Any]) -> None:
    story = staged(HALF).when(c.RollBack(stratum="free"))
    for unit in (IN, OUT):
        assert answer(story, unit, plan="free").variant == "stable"
    flags, late = flags_of(story), story.at + timedelta(hours=6)
    by_version = place_observation(flags, unit=IN, at=late, version="v42")
    assert by_version is UncountedReason.UNKNOWN_COHORT
    assert infer_variant(flags, unit=IN, at=late) is UncountedReason.UNKNOWN_COHORT
    other = answer(story, IN, plan="other")
    assert isinstance(place_observation(flags, unit=IN, at=late, exposure=other.exposure), Placement)


def test_without_cohort_stages_a_version_alone_tells_no_side_once_a_stratum_is_back(
    running: Callable[..., Any],
) -> None:
    story = running(strata={"free": {"plan": "free"}})
    late = story.at + timedelta(hours=5)
    assert infer_variant(flags_of(story), unit=IN, at=late) in {"canary", "control"}
    story.later(hours=1).when(c.RollBack(stratum="free"))
    assert infer_variant(flags_of(story), unit=IN, at=late) is UncountedReason.UNKNOWN_COHORT
    assert isinstance(infer_variant(flags_of(story), unit=IN, at=story.at - timedelta(minutes=1)), str)


def test_conversations_of_a_stratum_that_went_back_do_not_go_on(staged: Callable[..., Any]) -> None:
    story = staged(FREE, finish_within=timedelta(hours=24))
    begun = format_conversation(SURFACE, answer(story, IN, plan="free"))
    enter(story, PAID)
    assert version(story, IN, plan="free", conversation=begun) == "v43"
    story.when(c.RollBack(stratum="free"))
    assert version(story, IN, plan="free", conversation=begun) == "v42"
    story.when(c.RollBack())
    assert version(story, IN, plan="free", conversation=begun) == "v42"


def test_the_switch_is_confirmed_by_itself(staged: Callable[..., Any]) -> None:
    story = staged(PAID).when(c.RollBack(stratum="free"))
    story.when(c.ConfirmFlip(seconds=0.4, processes=2, stratum="paid"), by=ENGINE).then()
    story.when(c.ConfirmFlip(seconds=0.4, processes=2, stratum="free"), by=ENGINE).then(e.FlipConfirmed)
    assert story.now.flip is None
    flip = story.now.strata_back["free"].flip
    assert flip is not None
    assert flip.seconds == 0.4
    story.when(c.ConfirmFlip(seconds=0.4, processes=2, stratum="free"), by=ENGINE).then()
    story.when(c.DoubtFlip(seconds=61, missing=("web-2",), stratum="free"), by=ENGINE).then()


@pytest.mark.shows("E38")
def test_each_stratum_has_its_own_verdict_in_one_table(staged: Callable[..., Any], words: Any) -> None:
    story = staged(INTERNAL)
    history: list[e.RolloutEvent] = [e.StageEntered(index=0, name="internal", percent=100)]

    def look(requests: int) -> None:
        story.later(hours=2).tick(words.look(Continue(), requests=requests, measures=(words.measure("refusal_rate"),)))
        history.extend(story.last)

    look(200)
    assert story.now.stage_index == FREE, "the first stage is left"
    look(300)
    story.when(c.RollBack(stratum="free"))
    rows = {row.name: row for row in build_verdicts(story.now, history)}
    assert [*rows] == ["internal", "free", "paid", ""]
    assert (rows["internal"].state, rows["internal"].canary_requests) == (StratumState.SERVED, 200)
    assert (rows["free"].state, rows["free"].canary_requests) == (StratumState.BACK, 300)
    assert (rows["paid"].state, rows["paid"].percent) == (StratumState.COMPARED, 50)
    assert rows[""].state is StratumState.NOT_REACHED
    assert rows["internal"].measures


def test_strata_are_listed_in_the_order_in_which_they_are_tried(words: Any) -> None:
    plan = words.plan(stages=STAGES, strata={"trial": {"plan": "trial"}})
    assert [one.name for one in strata.list_strata(plan)] == ["internal", "free", "paid", "trial"]


@pytest.mark.shows("E36")
def test_who_changes_plan_keeps_what_they_had(staged: Callable[..., Any]) -> None:
    story = staged(FREE)
    first = answer(story, IN, plan="free")
    assert (first.variant, first.stratum) == ("canary", "R-1/free")
    assert version(story, IN, plan="pro") == "v42", "by the plan alone they would lose it"
    moved = {"plan": "pro", "stratum": first.stratum}
    assert told(story, IN, **moved) == told(story, IN, plan="free"), "and they stay compared where they were"
    enter(story, PAID)
    assert answer(story, IN, **moved).version.name == "v43"
    assert answer(story, OUT, plan="free", stratum="R-1/free").version.name == "v42"
    assert answer(story, OUT, plan="pro", stratum="R-1/free").variant == "stable"
    story.when(c.RollBack(stratum="free"))
    assert version(story, IN, **moved) == "v42", "and go back with their like"


def test_so_does_who_moves_into_an_audience_that_came_before(staged: Callable[..., Any]) -> None:
    story = staged(HALF)
    first = answer(story, OUT, plan="other")
    assert (first.variant, first.stratum) == ("control", "R-1")
    assert answer(story, OUT, email="ana@example.com").version.name == "v43"
    assert told(story, OUT, email="ana@example.com", stratum=first.stratum) == told(story, OUT, plan="other")


def test_what_belongs_to_no_audience_says_none(staged: Callable[..., Any]) -> None:
    story = staged(FREE)
    assert answer(story, IN, plan="pro").stratum == ""
    assert answer(staged(FREE).happen(e.Completed(version="v43", retired="v42")), IN, plan="free").stratum == ""


@pytest.mark.parametrize(
    "sent",
    ["R-2/free", "R-1/paid", "R-1/nobody", "R-1", "free", "R-1/", "", None, 7, [], ["R-0/free"], {"R-1": "free"}],
)
def test_a_name_that_was_not_let_in_changes_nothing(staged: Callable[..., Any], sent: object) -> None:
    story = staged(FREE)
    assert told(story, IN, plan="pro", stratum=sent) == told(story, IN, plan="pro")
    assert told(story, IN, plan="free", stratum=sent) == told(story, IN, plan="free")


def test_a_conversation_of_somebody_who_moved_out_of_a_stratum_that_went_back_does_not_go_on(
    staged: Callable[..., Any],
) -> None:
    story = staged(ALL, finish_within=timedelta(hours=24))
    begun = "support-assistant@v43/R-1.1.canary"
    assert version(story, IN, plan="pro", stratum="R-1/free", conversation=begun) == "v43"
    story.when(c.RollBack(stratum="free"))
    assert version(story, IN, plan="pro", stratum="R-1/free", conversation=begun) == "v42"


STEPPED = (
    replace(cohort("free 5%", 5, plan="free"), stratum="free"),
    replace(cohort("free 50%", 50, plan="free"), stratum="free"),
    *STAGES[PAID:],
)


def test_a_stratum_grows_in_steps_before_the_next_one_comes(staged: Callable[..., Any]) -> None:
    few, half = unit_at(0, 50_000), unit_at(50_000, 500_000)
    story = staged(0, stages=STEPPED)
    assert [one.name for one in strata.list_strata(story.now.plan)] == ["free", "paid"]
    assert (version(story, few, plan="free"), version(story, half, plan="free")) == ("v43", "v42")
    enter(story, 1)
    assert (version(story, few, plan="free"), version(story, half, plan="free")) == ("v43", "v43")
    assert answer(story, half, plan="free").stratum == "R-1/free"
    enter(story, 2)
    assert (version(story, half, plan="free"), version(story, OUT, plan="free")) == ("v43", "v42")
    assert answer(story, half, plan="free").variant == "stable", "those are not compared again"
    assert answer(story, half, plan="pro").variant == "canary"


def test_its_members_are_compared_in_each_of_its_steps_and_in_no_other_stage(staged: Callable[..., Any]) -> None:
    story = staged(1, stages=STEPPED)

    def place(**context: str) -> Placement:
        token = answer(story, IN, **context).exposure
        found = place_observation(flags_of(story), unit=IN, at=story.at + timedelta(hours=1), exposure=token)
        assert isinstance(found, Placement)
        return found

    assert place(plan="free").earlier_cohorts == ()
    enter(story, 2)
    assert place(plan="pro").earlier_cohorts == (0, 1)


def test_resuming_leaves_out_the_steps_that_are_left_of_a_stratum_that_went_back(
    staged: Callable[..., Any], words: Any
) -> None:
    story = staged(0, stages=STEPPED).when(c.RollBack(stratum="free"))
    story.later(minutes=1).tick(words.look(Continue(), requests=0))
    story.when(c.Resume(reason="paid is different")).then(e.Resumed, e.StageEntered)
    assert story.now.current_stage.name == "paid"
    assert version(story, IN, plan="free") == "v42"


def test_a_stratum_with_steps_has_one_row_with_its_newest_step(staged: Callable[..., Any]) -> None:
    rows = {row.name: row for row in build_verdicts(staged(1, stages=STEPPED).now, [])}
    assert [*rows] == ["free", "paid", ""]
    assert (rows["free"].state, rows["free"].percent) == (StratumState.COMPARED, 50)
    assert rows["paid"].state is StratumState.NOT_REACHED
