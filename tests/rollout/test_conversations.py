"""Conversations under way go on with the version that they began with, or change at their next turn."""

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
from core.rollout import commands as c
from core.rollout.context import ENGINE
from core.rollout.plans.plan import Stage, StageKind
from core.rollout.serving.exposure import build_snapshot
from core.rollout.state import events as e
from core.rollout.state.world import World

SURFACE = "support-assistant"
DAY = timedelta(hours=24)
FINISH = {"finish_within": DAY}


def unit_at(low: int, high: int) -> str:
    return next(u for u in map(str, range(10_000)) if low <= compute_bucket("expose", "R-1", u) < high)


EARLY, MIDDLE, LATE = unit_at(0, 50_000), unit_at(50_000, 250_000), unit_at(250_000, 1_000_000)
"""In the canary of 5 %, in that of 25 %, and only at 100 %."""


def served(story: Any) -> Snapshot:
    return build_snapshot(World(rollouts={"R-1": story.now}, surfaces={SURFACE: story.surface}))


def flags_of(story: Any) -> SurfaceFlags:
    return served(story).surfaces[SURFACE]


def turn(story: Any, unit: str, conversation: object = None, **context: object) -> FlagAnswer:
    sent = {**context, **({} if conversation is None else {"conversation": conversation})}
    return choose_answer(flags_of(story), unit, sent)


def version(story: Any, unit: str, conversation: object = None, **context: object) -> str:
    return turn(story, unit, conversation, **context).version.name


def begin(story: Any, unit: str) -> str:
    """A conversation begins: what the application keeps of its first turn."""
    return format_conversation(SURFACE, turn(story, unit))


def grow(story: Any, to: int) -> Any:
    stage = story.now.plan.stages[to]
    return story.later(hours=1).happen(e.StageEntered(index=to, name=stage.name, percent=stage.percent))


def done(story: Any) -> Any:
    return grow(grow(story, 2), 3).later(hours=1).happen(e.Completed(version="v43", retired="v42"))


def test_what_a_conversation_began_with_is_told_in_words_that_can_be_read(running: Callable[..., Any]) -> None:
    assert begin(running(**FINISH), EARLY) == "support-assistant@v43/R-1.0.canary"
    assert begin(done(running(**FINISH)), EARLY) == "support-assistant@v43"


def test_a_conversation_finishes_on_the_version_it_began_with_while_the_rollout_grows(
    planned: Callable[..., Any], running: Callable[..., Any]
) -> None:
    origin = "support-assistant@v42"  # begun before the rollout
    story = running(**FINISH)
    assert version(story, EARLY) == "v43"
    assert version(story, EARLY, origin) == "v42"
    begun = begin(story, MIDDLE)
    grow(story, 2)
    assert (version(story, MIDDLE), version(story, MIDDLE, begun)) == ("v43", "v42")
    grow(story, 3)
    assert version(story, LATE, origin) == "v42"
    story.later(hours=1).happen(e.Completed(version="v43", retired="v42"))
    assert (version(story, LATE), version(story, LATE, origin)) == ("v43", "v42")


def test_without_that_in_the_file_it_changes_at_its_next_turn(running: Callable[..., Any]) -> None:
    story = running()
    begun = begin(story, MIDDLE)
    assert version(story, EARLY, "support-assistant@v42") == "v43"
    grow(story, 2)
    assert version(story, MIDDLE, begun) == "v43"
    story.when(c.RollBack())
    assert version(story, EARLY, "support-assistant@v43/R-1.0.canary") == "v42"


@pytest.mark.parametrize(
    "sent",
    [
        "support-assistant@v44",  # never was
        "support-assistant@v43/R-1.0.canary",  # never served to this unit
        "support-assistant@v43",
        "support-assistant@",
        "support-assistant",
        "search@v43",
        "support-assistant@v43/R-999999.7.canary",  # a rollout and a stage that are still to come
        "support-assistant@__proto__",
        "x" * 100_000,
        "support-assistant@v43\x00",
        "support-assistant@v43 ",
        "\ud800",
        7,
        True,
        None,
        {"support-assistant": "v43"},
        [],
        [None, 7, ["support-assistant@v43"]],
    ],
)
def test_whatever_is_sent_nobody_gets_a_version_that_was_not_served_to_them(
    running: Callable[..., Any], sent: object
) -> None:
    story = running(**FINISH)
    assert turn(story, LATE, sent).version.name == "v42"
    assert turn(story, LATE, [sent]).version.name == "v42"
    story.when(c.RollBack())
    assert turn(story, LATE, sent).version.name == "v42"


def test_several_conversations_can_be_told_at_once(running: Callable[..., Any]) -> None:
    story = running(**FINISH)
    assert version(story, EARLY, ["search@v7", "support-assistant@v42"]) == "v42"


@pytest.mark.parametrize("unit", ["", "nul\x00", "\ud800", "x" * 513])
def test_who_cannot_be_observed_gets_the_live_version(running: Callable[..., Any], unit: str) -> None:
    story = running(**FINISH).when(c.RollBack())
    assert version(story, unit, "support-assistant@v43/R-1.0.canary") == "v42"


def test_after_an_ordinary_rollback_a_conversation_finishes_on_the_new_version(running: Callable[..., Any]) -> None:
    story = running(**FINISH)
    begun = begin(story, EARLY)
    story.when(c.RollBack()).then(e.RolledBack, e.ReviewRequested)
    assert (version(story, EARLY), version(story, EARLY, begun)) == ("v42", "v43")
    assert turn(story, EARLY, begun).variant == "stable"


def test_it_does_so_for_as_long_as_the_file_says(running: Callable[..., Any]) -> None:
    story = running(**FINISH)
    begun = begin(story, EARLY)
    story.when(c.RollBack()).later(hours=23)
    story.when(c.MoveConversations(), by=ENGINE).then()
    assert version(story, EARLY, begun) == "v43"
    story.later(hours=1).when(c.MoveConversations(), by=ENGINE).then(e.ConversationsMoved)
    assert version(story, EARLY, begun) == "v42"
    story.when(c.MoveConversations(), by=ENGINE).then()


def test_after_the_end_of_a_rollout_too(running: Callable[..., Any]) -> None:
    story = done(running(**FINISH))
    assert version(story, LATE, "support-assistant@v42") == "v42"
    story.later(hours=24).when(c.MoveConversations(), by=ENGINE).then(e.ConversationsMoved)
    assert version(story, LATE, "support-assistant@v42") == "v43"


def test_a_rollback_after_that_lets_conversations_of_everybody_finish_anew(running: Callable[..., Any]) -> None:
    story = done(running(**FINISH)).later(hours=24).when(c.MoveConversations(), by=ENGINE)
    begun = begin(story, LATE)
    story.when(c.RollBack())
    assert (version(story, LATE), version(story, LATE, begun)) == ("v42", "v43")


def test_a_broken_limit_changes_every_conversation_at_once(running: Callable[..., Any], words: Any) -> None:
    story = running(**FINISH)
    begun = begin(story, EARLY)
    story.later(hours=1).tick(words.look(words.harm))
    assert isinstance(story.last[-2], e.RolledBack)
    assert not story.last[-2].finishing
    assert version(story, EARLY, begun) == "v42"


@pytest.mark.parametrize(
    "doubt",
    [
        e.Held(key="limit:retry_rate:rises_by", text="retry_rate rises by 1 pp"),
        e.Held(key="complaints", text="more complaints than is normal"),
        e.FeltOff(by="slack:T1/U9", handle="@kim", text="curt"),
    ],
)
def test_so_does_a_persons_rollback_if_anything_spoke_against_the_version(
    running: Callable[..., Any], doubt: e.RolloutEvent
) -> None:
    story = running(**FINISH)
    begun = begin(story, EARLY)
    story.happen(doubt).when(c.RollBack())
    assert version(story, EARLY, begun) == "v42"


def test_rolling_back_once_more_changes_them_at_once(running: Callable[..., Any]) -> None:
    story = running(**FINISH)
    begun = begin(story, EARLY)
    story.when(c.RollBack()).happen(e.FlipConfirmed(seconds=0.3, processes=1))
    story.when(c.RollBack(reason="it is wrong")).then(e.ConversationsMoved)
    assert version(story, EARLY, begun) == "v42"
    assert story.now.flip is None, "this switch is confirmed anew"
    story.when(c.RollBack()).then()


@pytest.mark.parametrize("cause", ["answers", "errors", "complaints", "slow"])
def test_so_does_saying_afterwards_that_it_did_harm(running: Callable[..., Any], cause: str) -> None:
    story = running(**FINISH)
    begun = begin(story, EARLY)
    story.when(c.RollBack()).when(c.ExplainRollback(cause=cause)).then(e.RollbackExplained, e.ConversationsMoved)
    assert version(story, EARLY, begun) == "v42"


@pytest.mark.parametrize("cause", ["test", "cost"])
def test_a_cause_that_is_no_harm_lets_them_finish(running: Callable[..., Any], cause: str) -> None:
    story = running(**FINISH)
    begun = begin(story, EARLY)
    story.when(c.RollBack()).when(c.ExplainRollback(cause=cause)).then(e.RollbackExplained)
    assert version(story, EARLY, begun) == "v43"


def test_whom_a_person_moved_back_gets_the_live_version_in_every_conversation(running: Callable[..., Any]) -> None:
    story = running(**FINISH)
    begun = begin(story, EARLY)
    story.when(c.MoveBack(unit=EARLY))
    assert version(story, EARLY, begun) == "v42"
    story.when(c.RollBack())
    assert version(story, EARLY, begun) == "v42"


def test_a_version_that_did_harm_once_is_not_kept_by_a_later_rollout(running: Callable[..., Any], words: Any) -> None:
    story = running(**FINISH)
    story.later(hours=1).tick(words.look(words.harm))
    harmed = story.now
    again = replace(running(**FINISH).when(c.RollBack()).now, id="R-2")
    world = World(rollouts={"R-1": harmed, "R-2": again}, surfaces={SURFACE: story.surface})
    assert build_snapshot(world).surfaces[SURFACE].finishing.keys() == {"v42"}


def test_in_a_cohort_only_its_members_finish_on_the_new_version(running: Callable[..., Any]) -> None:
    staff = Stage(kind=StageKind.COHORT, name="staff", percent=100, where={"plan": "staff"})
    story = running(**FINISH, stages=(staff, *running().now.plan.stages))
    begun = format_conversation(SURFACE, turn(story, LATE, plan="staff"))
    story.when(c.RollBack())
    assert version(story, LATE, begun, plan="staff") == "v43"
    assert version(story, LATE, begun, plan="free") == "v42"


def test_out_of_touch_everybody_gets_the_live_version(running: Callable[..., Any]) -> None:
    story = running(**FINISH)
    begun = begin(story, EARLY)
    story.when(c.RollBack())
    alone = served(story).with_live_only().surfaces[SURFACE]
    assert choose_answer(alone, EARLY, {"conversation": begun}).version.name == "v42"


def test_only_conversations_that_began_in_the_stage_are_compared_on_either_side(running: Callable[..., Any]) -> None:
    story = running(**FINISH)
    new, old = begin(story, EARLY), begin(story, LATE)
    assert turn(story, EARLY, new).variant == "canary"
    assert turn(story, LATE, old).variant == "control"
    assert turn(story, LATE, "support-assistant@v42").variant == "stable"
    grow(story, 1)
    for unit, begun, kept in ((EARLY, new, "v43"), (MIDDLE, old, "v42"), (LATE, old, "v42")):
        answer = turn(story, unit, begun)
        assert (answer.variant, answer.version.name, answer.exposure) == ("stable", kept, "R-1.1.stable")


def test_an_observation_of_a_conversation_that_went_on_counts_for_the_version_it_got(
    running: Callable[..., Any],
) -> None:
    story = grow(running(**FINISH), 1)
    answer = turn(story, EARLY, "support-assistant@v42")

    def place(**said: Any) -> Placement | UncountedReason:
        return place_observation(flags_of(story), unit=EARLY, at=story.at + timedelta(hours=3), **said)

    assert place(exposure=answer.exposure, version="v42") is UncountedReason.NOT_COMPARED
    assert place(variant=answer.variant.value) is UncountedReason.NOT_COMPARED
    new = place(exposure=turn(story, EARLY).exposure, version="v43")
    assert isinstance(new, Placement)
    assert new.arm == "canary"


def test_without_what_the_evaluation_said_it_is_counted_on_no_side(running: Callable[..., Any]) -> None:
    finishing, changing = grow(running(**FINISH), 1), grow(running(), 1)
    late = finishing.at + timedelta(hours=3)
    found = place_observation(flags_of(finishing), unit=EARLY, at=late, version="v42")
    assert found is UncountedReason.UNKNOWN_CONVERSATION
    assert infer_variant(flags_of(finishing), unit=EARLY, at=late) is UncountedReason.UNKNOWN_CONVERSATION
    assert infer_variant(flags_of(changing), unit=EARLY, at=late) == "canary"
