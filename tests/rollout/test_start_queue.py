"""Several rollouts planned on one AI feature: who goes next, and what a plan that waited becomes then."""

from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta

import pytest

from core.rollout import commands as c
from core.rollout.command_events import decide_events
from core.rollout.concurrency.start_queue import find_place
from core.rollout.consequences import surface_events_for
from core.rollout.context import ENGINE, Actor
from core.rollout.plans.plan import Approvals, NoticePlan, Plan
from core.rollout.plans.renewal import PlanRenewal
from core.rollout.refusal import Refused
from core.rollout.state import events as e
from core.rollout.state.model import Rollout, RolloutState
from core.rollout.state.world import World, fold_events
from tests.rollout.conftest import ANA, DANA, LEE, MONDAY, plan_of, surface_of

OLD = {"prompt": "old.md", "params": {"temperature": 0.2, "max_tokens": 800}, "model": {"name": "large-3"}}


@dataclass(slots=True)
class Desk:
    """A world on which commands are carried out as the service does."""

    world: World = field(
        default_factory=lambda: World(surfaces={"support-assistant": replace(surface_of(), versions={"v42": OLD})})
    )
    at: datetime = MONDAY
    last: list[e.NewEvent] = field(default_factory=list)

    def say(self, command: c.Command, rollout: str = "", by: Actor = ANA) -> "Desk":
        self.last = decide_events(self.world, command, rollout=rollout, by=by, at=self.at)
        return self.happen(self.last)

    def happen(self, entries: Iterable[e.NewEvent]) -> "Desk":
        numbered = enumerate(entries, self.world.position + 1)
        self.world = fold_events(self.world, ((x.stream, x.event, self.at, position) for position, x in numbered))
        return self

    def plan(self, name: str, plan: Plan) -> "Desk":
        self.say(c.PlanRollout(plan=replace(plan, name=name)), by=DANA)
        return self.post_notices(self.newest.id)

    def post_notices(self, rollout: str) -> "Desk":
        found = self.world.rollouts[rollout]
        keys = [f"notice:{found.fingerprint}:{notice.key}" for notice in found.plan.stakeholder_notices]
        posted = [e.MessagePosted(key=key, channel="C1", ts="1.0") for key in keys]
        return self.happen([e.NewEvent(stream=e.rollout_stream(rollout), event=one) for one in posted])

    def approve(self, rollout: str) -> "Desk":
        return self.say(c.Approve(), rollout, by=LEE)

    def later(self, **span: float) -> "Desk":
        self.at += timedelta(**span)
        return self

    def tick(self, rollout: str) -> "Desk":
        return self.say(c.Tick(), rollout, by=ENGINE)

    def end(self, rollout: str) -> "Desk":
        """It reached everyone."""
        found = self[rollout]
        done = e.Completed(version=found.plan.to_version, retired=found.plan.from_version)
        moved = surface_events_for(done, rollout, self.at)
        surface = e.surface_stream(found.plan.surface)
        entries = [e.NewEvent(stream=e.rollout_stream(rollout), event=done)]
        return self.happen([*entries, *(e.NewEvent(stream=surface, event=one) for one in moved)])

    def __getitem__(self, rollout: str) -> Rollout:
        return self.world.rollouts[rollout]

    @property
    def newest(self) -> Rollout:
        return list(self.world.rollouts.values())[-1]

    def place(self, rollout: str) -> tuple[int, int, tuple[str, ...]] | None:
        found = find_place(self.world, self[rollout], self.at)
        return (found.position, found.length, found.behind) if found is not None else None

    @property
    def kinds(self) -> list[type]:
        return [type(x.event) for x in self.last if x.stream.startswith("rollout:")]


def change_of(**parts: object) -> Plan:
    """A plan from v42 that changes these parts; support is told an hour before."""
    return plan_of(change=parts, to_version="v43")


@pytest.fixture
def busy() -> Desk:
    """R-1 runs with another prompt; R-2 (the model) and R-3 (a parameter) wait, in this order."""
    desk = Desk().plan("prompt", change_of(prompt="new.md"))
    desk.plan("model", replace(change_of(model={"name": "large-4"}), to_version="v44"))
    desk.plan(
        "parameter", replace(change_of(params={"temperature": 0.2, "max_tokens": 400}), to_version="v45")
    ).approve("R-1").approve("R-2").approve("R-3").later(hours=1)
    desk.say(c.Start(), "R-1")
    desk.later(minutes=1).say(c.Start(queue=True), "R-2")
    return desk.later(minutes=1).say(c.Start(queue=True), "R-3")


def test_who_waits_has_a_place_behind_what_runs_and_those_who_came_first(busy: Desk):
    assert busy.place("R-1") is None
    assert busy.place("R-2") == (1, 2, ("R-1",))
    assert busy.place("R-3") == (2, 2, ("R-1", "R-2"))


def test_the_places_move_up_when_somebody_leaves(busy: Desk):
    busy.say(c.Abandon(), "R-2")
    assert busy.place("R-3") == (1, 1, ("R-1",))
    busy.say(c.RollBack(), "R-1")
    assert busy.place("R-3") is None


def test_the_first_one_goes_next_whoever_is_looked_at_first(busy: Desk):
    busy.say(c.RollBack(), "R-1")
    assert busy.tick("R-3").kinds == []
    assert busy.tick("R-2").kinds == [e.Started, e.StageEntered]
    assert busy.tick("R-3").kinds == []
    assert busy.place("R-3") == (1, 1, ("R-2",))


def test_who_is_not_ready_is_passed_by_who_is(busy: Desk):
    asked = e.ApprovalRequested(
        request="R-2.2", gate="start", needed=1, verdict="none", expires_at=MONDAY + timedelta(days=9)
    )
    busy.happen([e.NewEvent(stream="rollout:R-2", event=asked)]).say(c.RollBack(), "R-1")
    assert busy.tick("R-2").kinds == []
    assert busy.tick("R-3").kinds == [e.Started, e.StageEntered]


def test_when_its_turn_comes_a_plan_is_made_again_on_what_is_live(busy: Desk):
    busy.end("R-1").tick("R-2")
    assert busy.kinds == [e.Planned, e.ApprovalRequested]
    assert (busy["R-2"].plan.from_version, busy["R-2"].plan.to_version) == ("v43", "v46")
    assert busy["R-2"].to_content == {**OLD, "prompt": "new.md", "model": {"name": "large-4"}}
    assert busy["R-2"].renewal == PlanRenewal(from_version="v42", to_version="v44", live_by="R-1", replaces=())
    assert busy["R-2"].state is RolloutState.PLANNED
    assert busy.tick("R-2").kinds == []
    with pytest.raises(Refused, match="needs 1 more approval"):
        busy.say(c.Start(), "R-2")
    assert busy.approve("R-2").tick("R-2").kinds == [e.Started, e.StageEntered]


def test_an_approval_of_the_earlier_plan_does_not_count_for_the_new_one(busy: Desk):
    earlier = busy["R-2"].request
    busy.end("R-1").tick("R-2")
    assert earlier is not None
    with pytest.raises(Refused, match="changed since this request"):
        busy.say(c.Approve(request=earlier.request), "R-2", by=LEE)


def test_it_keeps_its_place_and_its_notices(busy: Desk):
    busy.end("R-1").tick("R-2")
    assert busy["R-2"].start == busy["R-2"].planned_at + timedelta(hours=1, minutes=1)
    assert busy["R-2"].notice_posted_at("support:#support") == MONDAY
    assert busy.place("R-3") == (2, 2, ("R-2",))


def test_only_the_first_plan_is_made_again(busy: Desk):
    busy.end("R-1")
    assert busy.tick("R-3").kinds == [e.BaseChanged]
    assert busy.tick("R-2").kinds[:1] == [e.Planned]
    busy.approve("R-2").tick("R-2").end("R-2").tick("R-3")
    assert (busy["R-3"].plan.from_version, busy["R-3"].live_instead) == ("v46", "")
    assert busy["R-3"].to_content["model"] == {"name": "large-4"}


def test_a_parameter_is_set_in_what_is_live_and_nothing_else_of_it():
    desk = Desk().plan("first", change_of(params={"temperature": 0.9, "max_tokens": 800}))
    desk.plan("second", replace(change_of(params={"temperature": 0.2, "max_tokens": 400}), to_version="v44"))
    desk.approve("R-1").later(hours=1).say(c.Start(), "R-1").say(c.Start(queue=True), "R-2").end("R-1").tick("R-2")
    assert desk["R-2"].to_content["params"] == {"temperature": 0.9, "max_tokens": 400}
    assert desk["R-2"].renewal is not None
    assert desk["R-2"].renewal.replaces == ()


@pytest.mark.parametrize("required", [0, 1])
def test_what_it_would_replace_is_named_and_never_starts_without_an_approval(required: int):
    plans = [replace(change_of(prompt=f"{name}.md"), approvals=Approvals(required=required)) for name in ("a", "b")]
    desk = Desk().plan("first", plans[0]).plan("second", replace(plans[1], to_version="v44"))
    if required:
        desk.approve("R-1").approve("R-2")
    desk.later(hours=1).say(c.Start(), "R-1").say(c.Start(queue=True), "R-2").end("R-1").tick("R-2")
    assert desk.kinds == [e.Planned, e.ApprovalRequested]
    assert desk["R-2"].renewal is not None
    assert desk["R-2"].renewal.replaces == ("prompt",)
    assert desk.tick("R-2").kinds == []
    with pytest.raises(Refused, match="needs 1 more approval"):
        desk.say(c.Start(), "R-2")
    assert desk.approve("R-2").tick("R-2").kinds == [e.Started, e.StageEntered]


def test_what_needs_no_approval_and_replaces_nothing_just_starts_on_what_is_live():
    free = Approvals(required=0)
    desk = Desk().plan("first", replace(change_of(prompt="a.md"), approvals=free))
    desk.plan("second", replace(change_of(model={"name": "large-4"}), approvals=free, to_version="v44"))
    desk.later(hours=1).say(c.Start(), "R-1").say(c.Start(queue=True), "R-2").end("R-1")
    assert desk.tick("R-2").kinds == [e.Planned]
    assert desk.tick("R-2").kinds == [e.Started, e.StageEntered]


def test_a_plan_that_would_change_nothing_any_more_is_left_to_a_person():
    desk = Desk().plan("first", change_of(prompt="same.md")).plan("second", change_of(prompt="same.md"))
    desk.approve("R-1").approve("R-2").later(hours=1).say(c.Start(), "R-1").say(c.Start(queue=True), "R-2").end("R-1")
    assert desk.tick("R-2").kinds == [e.BaseChanged]
    assert desk.tick("R-2").kinds == []


def test_a_notice_that_has_not_gone_out_yet_still_does(busy: Desk):
    late = NoticePlan(channel="#marketing", audience="marketing", before=timedelta(hours=1))
    plan = replace(busy["R-2"].plan, notices=(*busy["R-2"].plan.notices, late))
    busy.say(c.PlanRollout(plan=plan), by=DANA).say(c.Start(queue=True), "R-2").end("R-1")
    busy.say(c.Abandon(), "R-3").tick("R-2")
    assert busy["R-2"].notice_posted_at("marketing:#marketing") is None
    with pytest.raises(Refused, match="The notice to #marketing has not gone out yet"):
        busy.approve("R-2").say(c.Start(), "R-2")
