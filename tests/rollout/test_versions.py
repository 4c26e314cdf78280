"""A version's name and content are one for ever, and only what was declared, or approved and begun, is served."""

from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from core.rollout import commands as c
from core.rollout.consequences import surface_events_for
from core.rollout.context import Actor, Context
from core.rollout.decisions.decider import decide
from core.rollout.plans.plan import Approvals, NoticePlan, Plan, Risk, Stage, StageKind, content_hash
from core.rollout.refusal import Refused
from core.rollout.serving.exposure import build_snapshot
from core.rollout.state import events as e
from core.rollout.state.model import RolloutState
from core.rollout.state.surface import SurfaceDeclared
from core.rollout.state.world import World, fold_events

DANA = Actor(id="slack:T1/U2", handle="@dana")
LEE = Actor(id="slack:T1/U3", handle="@lee")
SHOP = "support-assistant"
FIRST = {"prompt": "DECLARED WORDS"}
STAGES = (
    Stage(kind=StageKind.CANARY, name="canary", percent=5, min_hold=timedelta(hours=1)),
    Stage(kind=StageKind.BAKE, name="bake", percent=100, min_hold=timedelta(hours=1)),
)


def plan_of(name: str, *, version: str, prompt: str, start_from: str = "v42", risk: Risk = Risk.STANDARD) -> Plan:
    return Plan(
        name=name,
        surface=SHOP,
        owner="U2",
        risk=risk,
        template="prompt-standard",
        from_version=start_from,
        to_version=version,
        change={"prompt": prompt},
        stages=STAGES,
        approvals=Approvals(required=1 if risk is Risk.STANDARD else 0),
        limits=(),
        notices=(NoticePlan(channel="#ai-rollouts", audience="engineering"),),
    )


@dataclass
class Shop:
    """One surface whose log is written by commands, and by events as older logs hold them."""

    world: World = field(default_factory=World)
    allowed: set[str] = field(default_factory=lambda: {content_hash(FIRST)})
    at: datetime = datetime(2026, 11, 23, 9, 0, tzinfo=UTC)

    def __post_init__(self) -> None:
        declared = SurfaceDeclared(
            surface=SHOP,
            title="",
            owner="@dana",
            version="v42",
            content=FIRST,
            daily_requests=None,
            notices=(),
            fingerprint="",
        )
        self.write(f"surface:{SHOP}", declared)

    def write(self, stream: str, *events: Any) -> None:
        for event in events:
            self.world = fold_events(self.world, [(stream, event, self.at, self.world.position + 1)])

    def happen(self, rollout: str, events: Iterable[e.RolloutEvent]) -> None:
        for event in events:
            self.write(f"rollout:{rollout}", event)
            self.write(f"surface:{SHOP}", *surface_events_for(event, rollout, self.at))
            if isinstance(event, e.Started):
                self.allowed.add(content_hash(self.world.rollouts[rollout].to_content))

    def say(self, command: c.RolloutCommand, rollout: str = "", by: Actor = LEE) -> None:
        self.at += timedelta(minutes=1)
        known = self.world.find_named(command.plan.name) if isinstance(command, c.PlanRollout) else None
        known = known or self.world.rollouts.get(rollout)
        surface = self.world.surfaces[SHOP]
        others = tuple(r for r in surface.running if known is None or r != known.id)
        context = Context(
            at=self.at,
            by=by,
            policy=self.world.policy,
            surface=surface,
            new_id=self.world.next_id,
            other_rollouts_on_surface=others,
        )
        events = decide(known, command, context)
        name = next((x.rollout for x in events if isinstance(x, e.Planned)), known.id if known else "")
        self.happen(name, events)

    def apply(self, name: str, **written: Any) -> None:
        self.say(c.PlanRollout(plan=plan_of(name, **written)), by=DANA)

    def finish(self, rollout: str) -> None:
        self.say(c.Approve(), rollout)
        self.say(c.Start(), rollout)
        self.at += timedelta(hours=1)
        self.say(c.Advance(reason="seen enough"), rollout)
        self.say(c.Advance(reason="seen enough"), rollout)

    def as_it_was_written(self, plan: Plan) -> None:
        """What applying a file wrote when a taken name was not refused."""
        surface = self.world.surfaces[SHOP]
        planned = e.Planned(
            rollout=self.world.next_id,
            plan=plan,
            fingerprint=plan.fingerprint(),
            from_content=surface.live_content,
            to_content={**surface.live_content, **plan.change},
            by="cli:x",
        )
        self.happen(planned.rollout, [planned])

    @property
    def served(self) -> list[str]:
        """Every prompt that somebody may get now."""
        flags = build_snapshot(self.world).surfaces[SHOP]
        answers = [flags.live] if flags.exposure is None else [flags.live, flags.exposure.canary]
        return [str(a.version.content["prompt"]) for a in answers]


def test_a_taken_name_with_another_content_is_refused_with_the_next_free_name():
    shop = Shop()
    shop.apply("tone", version="v43", prompt="APPROVED WORDS")
    with pytest.raises(Refused, match="v43 already stands for other content") as caught:
        shop.apply("other", version="v43", prompt="UNAPPROVED WORDS", risk=Risk.LOW)
    assert "v44" in caught.value.hint


def test_the_same_content_may_be_tried_again_under_its_name():
    shop = Shop()
    shop.apply("tone", version="v43", prompt="WORDS")
    shop.say(c.Abandon(), "R-1")
    shop.apply("tone again", version="v43", prompt="WORDS")
    assert shop.world.rollouts["R-2"].plan.to_version == "v43"


def test_a_name_is_not_given_to_another_content_even_where_its_plan_was_abandoned():
    shop = Shop()
    shop.apply("tone", version="v43", prompt="WORDS")
    shop.say(c.Abandon(), "R-1")
    with pytest.raises(Refused, match="a version never changes"):
        shop.apply("tone again", version="v43", prompt="OTHER WORDS")


def test_a_plan_edited_before_its_start_takes_another_name():
    shop = Shop()
    shop.apply("tone", version="v43", prompt="WORDS")
    with pytest.raises(Refused, match="a version never changes"):
        shop.apply("tone", version="v43", prompt="EDITED WORDS")
    shop.apply("tone", version="v44", prompt="EDITED WORDS")
    assert shop.world.rollouts["R-1"].plan.to_version == "v44"


def test_a_log_in_which_another_plan_took_the_name_serves_what_was_approved():
    shop = Shop()
    shop.apply("tone", version="v43", prompt="APPROVED WORDS")
    shop.as_it_was_written(plan_of("other", version="v43", prompt="UNAPPROVED WORDS", risk=Risk.LOW))
    shop.finish("R-1")
    assert shop.served == ["APPROVED WORDS"]


def test_a_log_in_which_a_plan_took_the_name_first_serves_what_was_approved():
    shop = Shop()
    shop.as_it_was_written(plan_of("other", version="v43", prompt="UNAPPROVED WORDS", risk=Risk.LOW))
    shop.as_it_was_written(plan_of("tone", version="v43", prompt="APPROVED WORDS"))
    rollout = shop.world.rollouts["R-2"]
    shop.happen("R-2", [e.Started(fingerprint=rollout.fingerprint, by="x")])
    shop.happen("R-2", [e.StageEntered(index=0, name="canary", percent=5)])
    shop.happen("R-2", [e.Completed(version="v43", retired="v42")])
    assert shop.served == ["APPROVED WORDS"]
    assert shop.world.surfaces[SHOP].versions["v43"] == {"prompt": "APPROVED WORDS"}


def test_a_log_in_which_a_plan_rewrote_the_version_before_goes_back_to_what_was_live():
    shop = Shop()
    shop.apply("tone", version="v43", prompt="WORDS")
    shop.finish("R-1")
    shop.as_it_was_written(plan_of("other", version="v42", prompt="UNAPPROVED", start_from="v43", risk=Risk.LOW))
    shop.say(c.RollBack(reason="odd"), "R-1")
    assert shop.served == ["DECLARED WORDS"]


def test_a_plan_of_an_old_log_whose_name_is_taken_by_now_does_not_start():
    shop = Shop()
    shop.apply("tone", version="v43", prompt="WORDS")
    shop.as_it_was_written(plan_of("other", version="v43", prompt="UNAPPROVED WORDS", risk=Risk.LOW))
    with pytest.raises(Refused, match="v43 already stands for other content"):
        shop.say(c.Start(), "R-2")


def test_a_plan_of_an_old_log_that_was_made_from_another_content_is_applied_anew():
    shop = Shop()
    plan = plan_of("tone", version="v43", prompt="WORDS", risk=Risk.LOW)
    planned = e.Planned(
        rollout="R-1",
        plan=plan,
        fingerprint=plan.fingerprint(),
        from_content={"prompt": "DECLARED WORDS", "tools": ["refund"]},  # as v42 was overwritten then
        to_content={"prompt": "WORDS", "tools": ["refund"]},
        by="cli:x",
    )
    shop.happen("R-1", [planned])
    with pytest.raises(Refused, match="planned with other content of v42"):
        shop.say(c.Start(), "R-1")
    with pytest.raises(Refused, match="v43 already stands for other content"):
        shop.say(c.PlanRollout(plan=plan), by=DANA)
    shop.apply("tone", version="v44", prompt="WORDS", risk=Risk.LOW)
    assert shop.world.rollouts["R-1"].to_content == {"prompt": "WORDS"}


VERSIONS = st.sampled_from(["v42", "v43", "v44"])
PROMPTS = st.sampled_from(["A", "B", "DECLARED WORDS"])
IDS = st.sampled_from(["R-1", "R-2", "R-3"])
PLANS = st.builds(
    plan_of,
    st.sampled_from(["one", "two", "three"]),
    version=VERSIONS,
    prompt=PROMPTS,
    start_from=VERSIONS,
    risk=st.sampled_from([Risk.LOW, Risk.STANDARD]),
)
STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("apply"), PLANS),
        st.tuples(st.sampled_from(["approve", "start", "advance", "finish", "back", "abandon"]), IDS),
    ),
    min_size=3,
    max_size=25,
)
OLD_STEPS = st.lists(
    st.one_of(
        st.tuples(st.sampled_from(["apply", "old"]), PLANS),
        st.tuples(st.sampled_from(["approve", "start", "advance", "finish", "finish", "back", "abandon"]), IDS),
    ),
    min_size=3,
    max_size=25,
)


def act(shop: Shop, what: str, on: Any) -> None:
    try:
        match what:
            case "apply":
                shop.say(c.PlanRollout(plan=on), by=DANA)
            case "old":
                shop.as_it_was_written(on)
            case _ if on not in shop.world.rollouts:
                pass
            case "approve":
                shop.say(c.Approve(), on)
            case "start":
                shop.say(c.Start(), on)
            case "advance":
                shop.at += timedelta(hours=1)
                shop.say(c.Advance(reason="seen enough"), on)
            case "finish":
                for step in (c.Approve(), c.Start(), c.Advance(reason="enough"), c.Advance(reason="enough")):
                    shop.say(step, on)
                    shop.at += timedelta(hours=1)
            case "back":
                shop.say(c.RollBack(reason="odd"), on)
            case "abandon":
                shop.say(c.Abandon(), on)
    except Refused:
        pass


def hashes(shop: Shop) -> dict[str, str]:
    return {name: content_hash(content) for name, content in shop.world.surfaces[SHOP].versions.items()}


@pytest.mark.shows("E73")
@settings(max_examples=150, deadline=None)
@given(STEPS)
def test_in_any_history_only_the_end_or_the_rollback_of_a_rollout_makes_another_version_live(steps):
    shop = Shop()
    for what, on in steps:
        before = shop.world.surfaces[SHOP].live
        act(shop, what, on)
        now = shop.world.surfaces[SHOP]
        if now.live == before:
            continue
        assert what in ("advance", "finish", "back"), "no plan, approval or start does it"
        moved = shop.world.rollouts[on]
        assert moved.state is (RolloutState.ROLLED_BACK if what == "back" else RolloutState.DONE)
        assert now.live == (moved.plan.from_version if what == "back" else moved.plan.to_version)


@pytest.mark.shows("E73")
@settings(max_examples=150, deadline=None)
@given(STEPS)
def test_in_any_history_a_name_keeps_its_content_and_only_the_agreed_is_served(steps):
    shop = Shop()
    for what, on in steps:
        before = hashes(shop)
        act(shop, what, on)
        assert before.items() <= hashes(shop).items()
        assert {content_hash({"prompt": prompt}) for prompt in shop.served} <= shop.allowed


@settings(max_examples=150, deadline=None)
@given(OLD_STEPS)
def test_in_any_log_with_names_taken_twice_only_the_agreed_is_served(steps):
    shop = Shop()
    for what, on in steps:
        act(shop, what, on)
        assert {content_hash({"prompt": prompt}) for prompt in shop.served} <= shop.allowed
        surface = shop.world.surfaces[SHOP]
        for rollout in shop.world.rollouts.values():
            if rollout.state == "done" and surface.live_by == rollout.id:
                assert surface.live_content == rollout.to_content
