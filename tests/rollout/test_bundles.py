"""Rollouts of several AI features that move as one: together, or one after the other."""

from dataclasses import replace
from datetime import timedelta

import pytest

from core.judging.model.verdict import Hold
from core.rollout import commands as c
from core.rollout.concurrency import bundles
from core.rollout.context import ENGINE
from core.rollout.plans.bundle_order import BundleOrder
from core.rollout.plans.layers import Layer
from core.rollout.plans.plan import Approvals, Plan
from core.rollout.plans.policy import BreakGlass
from core.rollout.refusal import Refused
from core.rollout.state import events as e
from core.rollout.state.model import RolloutState
from core.rollout.state.world import World
from tests.rollout.conftest import DANA, HARM, LEE, MIRA, finding_of, look_of, plan_of, surface_of
from tests.rollout.test_start_queue import Desk

SURFACES = ("support", "sales", "router")
R = RolloutState


def plan_for(surface: str, **changes: object) -> Plan:
    return plan_of(name=f"{surface}-tone", surface=surface, approvals=Approvals(required=1), **changes)


NEXT = replace(plan_for("support"), from_version="v43", to_version="v50", change={"prompt": "next.md"})


def fresh() -> Desk:
    return Desk(world=World(surfaces={name: replace(surface_of(), name=name) for name in SURFACES}))


def bundled(order: BundleOrder, *plans: Plan, desk: Desk | None = None) -> Desk:
    """The bundle is planned and the notices have gone out."""
    desk = desk or fresh()
    planned = tuple(c.PlanRollout(plan=one) for one in plans or [plan_for(name) for name in SURFACES])
    desk.say(c.PlanBundle(name="tone", order=order, plans=planned), by=DANA)
    for rollout in desk.world.rollouts:
        desk.post_notices(rollout)
    return desk


def approved(order: BundleOrder) -> Desk:
    desk = bundled(order)
    for rollout in desk.world.rollouts:
        desk.approve(rollout)
    return desk.later(hours=1)


@pytest.fixture
def together() -> Desk:
    """Three rollouts under way, which were started together."""
    return approved(BundleOrder.TOGETHER).say(c.Start(), "tone").later(minutes=1)


@pytest.fixture
def in_order() -> Desk:
    """The first of three is under way."""
    return approved(BundleOrder.IN_ORDER).say(c.Start(), "tone").later(minutes=1)


def states(desk: Desk) -> list[RolloutState]:
    return [one.state for one in desk.world.rollouts.values()]


def events_of(desk: Desk, rollout: str) -> list[type]:
    return [type(x.event) for x in desk.last if x.stream == f"rollout:{rollout}"]


def test_one_act_plans_all_and_says_in_each_with_which_others_it_moves():
    desk = bundled(BundleOrder.TOGETHER)
    for rollout in ("R-1", "R-2", "R-3"):
        found = desk[rollout].bundle
        assert found == e.Bundled(
            bundle="tone", order=BundleOrder.TOGETHER, members=("R-1", "R-2", "R-3"), by="slack:T1/U2"
        )


def test_the_same_file_again_changes_nothing():
    desk = bundled(BundleOrder.TOGETHER)
    desk.say(c.PlanBundle(name="tone", order=BundleOrder.TOGETHER, plans=_plans()), by=DANA)
    assert desk.last == []


def _plans(*names: str) -> tuple[c.PlanRollout, ...]:
    return tuple(c.PlanRollout(plan=plan_for(name)) for name in names or SURFACES)


def test_a_file_that_names_one_less_lets_that_one_go():
    desk = bundled(BundleOrder.TOGETHER)
    desk.say(c.PlanBundle(name="tone", order=BundleOrder.TOGETHER, plans=_plans("support", "sales")), by=DANA)
    assert desk["R-3"].bundle is None
    assert desk["R-1"].bundle is not None
    assert desk["R-1"].bundle.members == ("R-1", "R-2")


def test_a_rollout_that_was_planned_alone_joins(together: Desk):
    desk = fresh().plan("support-tone", plan_for("support")).plan("sales-tone", plan_for("sales"))
    desk.say(c.PlanBundle(name="tone", order=BundleOrder.TOGETHER, plans=_plans("support", "sales")), by=DANA)
    assert [type(x.event) for x in desk.last] == [e.Bundled, e.Bundled]


def test_what_has_started_joins_no_bundle_and_leaves_none(together: Desk):
    with pytest.raises(Refused, match="R-1 support-tone has started, so which others it moves with is fixed"):
        together.say(c.PlanBundle(name="tone", order=BundleOrder.TOGETHER, plans=_plans("support", "sales")), by=DANA)


def test_a_rollout_is_in_one_bundle_at_most():
    desk = bundled(BundleOrder.TOGETHER)
    with pytest.raises(Refused, match="R-1 support-tone belongs to the bundle tone already"):
        desk.say(c.PlanBundle(name="other", order=BundleOrder.TOGETHER, plans=_plans("support", "sales")), by=DANA)


def _next_plans(*surfaces: str) -> tuple[c.PlanRollout, ...]:
    return tuple(c.PlanRollout(plan=replace(NEXT, name=f"{name}-next", surface=name)) for name in surfaces)


def test_the_name_of_a_bundle_under_way_keeps_meaning_it(together: Desk):
    plans = tuple(c.PlanRollout(plan=replace(plan_for(name), name=f"{name}-next")) for name in SURFACES)
    with pytest.raises(Refused, match="The bundle tone is under way with R-1, R-2, R-3, so its name means these"):
        together.say(c.PlanBundle(name="tone", order=BundleOrder.TOGETHER, plans=plans), by=DANA)


def test_what_is_done_goes_back_as_one_though_a_later_bundle_has_its_name(together: Desk):
    together.end("R-1").end("R-2").end("R-3")
    together.say(c.PlanBundle(name="tone", order=BundleOrder.TOGETHER, plans=_next_plans(*SURFACES)), by=DANA)
    together.say(c.RollBack(), "R-1")
    assert states(together) == [R.ROLLED_BACK] * 3 + [R.PLANNED] * 3


def test_one_that_was_given_up_and_left_out_no_longer_says_who_is_in_the_bundle():
    desk = fresh().plan("support-tone", plan_for("support"))
    bundled(BundleOrder.TOGETHER, plan_for("sales"), plan_for("router"), desk=desk).say(c.Abandon(), "R-3")
    desk.say(c.PlanBundle(name="tone", order=BundleOrder.TOGETHER, plans=_plans("support", "sales")), by=DANA)
    desk.approve("R-1").approve("R-2").later(hours=1).say(c.Start(), "tone")
    assert states(desk) == [R.RUNNING, R.RUNNING, R.ABANDONED]
    assert states(desk.say(c.RollBack(), "R-2")) == [R.ROLLED_BACK, R.ROLLED_BACK, R.ABANDONED]


@pytest.mark.parametrize("name", ["R-1", "r-99", "R7", "12", "R_3"])
def test_no_bundle_is_called_like_the_id_of_a_rollout(name: str):
    with pytest.raises(Refused, match="reads like the id of a rollout"):
        fresh().say(c.PlanBundle(name=name, order=BundleOrder.TOGETHER, plans=_plans()), by=DANA)


def test_where_none_can_go_back_the_bundle_says_why_as_each_would():
    plans = [plan_for(name, rollback_until="2026-11-23") for name in ("support", "sales")]
    desk = bundled(BundleOrder.TOGETHER, *plans).approve("R-1").approve("R-2").later(hours=1).say(c.Start(), "tone")
    with pytest.raises(Refused, match="going back to it would leave people without answers"):
        desk.later(days=1).say(c.RollBack(), "tone")


def test_a_second_word_moves_the_conversations_of_each_that_still_finish():
    plans = [plan_for(name, finish_within=timedelta(hours=4)) for name in ("support", "sales")]
    desk = bundled(BundleOrder.TOGETHER, *plans).approve("R-1").approve("R-2").later(hours=1).say(c.Start(), "tone")
    desk.say(c.RollBack(), "tone").later(minutes=1).say(c.RollBack(), "tone")
    assert [type(x.event) for x in desk.last] == [e.ConversationsMoved] * 2


@pytest.mark.parametrize("name", ["support", "support-tone"])
def test_a_bundle_has_a_name_of_its_own(name: str):
    with pytest.raises(Refused, match=f"{name} is the name of an AI feature or of a rollout"):
        fresh().say(c.PlanBundle(name=name, order=BundleOrder.TOGETHER, plans=_plans()), by=DANA)


def test_a_rollout_is_not_called_as_a_bundle():
    desk = bundled(BundleOrder.TOGETHER)
    with pytest.raises(Refused, match="tone is the name of a bundle"):
        desk.say(c.PlanRollout(plan=replace(plan_for("support"), name="tone")), by=DANA)


def test_nothing_starts_before_all_are_ready():
    desk = bundled(BundleOrder.TOGETHER).approve("R-1").approve("R-2").later(hours=1)
    for name in ("tone", "R-1", "R-3"):
        with pytest.raises(Refused, match="R-3 needs 1 more approval"):
            desk.say(c.Start(), name)
    assert states(desk) == [R.PLANNED] * 3
    desk.approve("R-3").say(c.Start(), "R-2")
    assert states(desk) == [R.RUNNING] * 3


def test_a_frozen_ai_feature_keeps_all_of_them_from_starting_and_is_named():
    desk = approved(BundleOrder.TOGETHER)
    frozen = c.FreezeChanges(surface="router", until=desk.at + timedelta(days=1), reason="year-end sale")
    with pytest.raises(Refused, match=r"together with R-3\. R-3: Frozen until .*: year-end sale"):
        desk.say(frozen).say(c.Start(), "R-1")


def test_what_the_first_takes_the_second_lacks_even_if_each_could_start_alone():
    layer = Layer(name="assistants", shares=(("router", 600_000), ("sales", 600_000)))
    desk = bundled(BundleOrder.TOGETHER, plan_for("sales"), plan_for("router")).approve("R-1").approve("R-2")
    desk.later(hours=1).world = replace(desk.world, policy=replace(desk.world.policy, layers=(layer,)))
    with pytest.raises(Refused, match=r"together with R-2\. R-2: router needs 60 % of the users in the layer"):
        desk.say(c.Start(), "tone")
    assert states(desk) == [R.PLANNED] * 2


def test_breaking_the_glass_starts_nobody_else_unready():
    desk = bundled(BundleOrder.TOGETHER).later(hours=1)
    glass = c.ForceForward(action="start", reason="checkout is down and this is the fix")
    policy = replace(desk.world.policy, break_glass=BreakGlass(groups=("@ai-eng",)))
    desk.world = replace(desk.world, policy=policy)
    with pytest.raises(Refused, match="That is never passed over"):
        desk.say(glass, "R-1")


def test_a_date_for_one_is_the_date_of_all_and_they_start_by_themselves():
    desk = approved(BundleOrder.TOGETHER)
    when = desk.at + timedelta(hours=5)
    desk.say(c.Start(then=when), "tone")
    assert [one.start for one in desk.world.rollouts.values()] == [when] * 3
    assert desk.tick("R-2").last == []
    desk.later(hours=5).tick("R-2")
    assert states(desk) == [R.RUNNING] * 3


def test_by_itself_nothing_starts_before_the_latest_date():
    desk = approved(BundleOrder.TOGETHER)
    late = desk.at + timedelta(days=1)
    desk.happen([e.NewEvent(stream="rollout:R-2", event=e.StartScheduled(start=late, by="U2"))])
    desk.happen([e.NewEvent(stream="rollout:R-1", event=e.StartScheduled(start=desk.at, by="U2"))])
    assert desk.tick("R-1").last == []
    desk.later(days=1).tick("R-1")
    assert states(desk) == [R.RUNNING] * 3


def test_in_a_queue_a_bundle_waits_for_every_busy_ai_feature():
    desk = fresh().plan("first", plan_for("sales")).approve("R-1").later(hours=1).say(c.Start(), "R-1")
    bundled(BundleOrder.TOGETHER, *[plan_for(name, to_version="v44") for name in SURFACES], desk=desk)
    for rollout in ("R-2", "R-3", "R-4"):
        desk.approve(rollout)
    desk.later(hours=1).say(c.Start(queue=True), "tone")
    assert desk.tick("R-2").tick("R-3").last == []
    desk.say(c.RollBack(), "R-1").tick("R-2")
    assert states(desk)[1:] == [R.RUNNING] * 3


@pytest.mark.parametrize("first", ["R-1", "R-2", "R-3"])
def test_where_one_goes_back_all_go_back_each_with_its_cause(together: Desk, first: str):
    together.say(c.RollBack(reason="answers are wrong"), first, by=MIRA)
    assert states(together) == [R.ROLLED_BACK] * 3
    for rollout in together.world.rollouts.values():
        assert rollout.rollback is not None
        expected = (
            (None, "answers are wrong")
            if rollout.id == first
            else (first, f"{first} of the bundle tone was rolled back")
        )
        assert (rollout.rollback.bundle_cause, rollout.rollback.reason) == expected
        assert rollout.review_due is not None
    assert all(not surface.running for surface in together.world.surfaces.values())


def test_what_the_engine_finds_in_one_takes_all_back(together: Desk):
    together.later(hours=7).say(c.Tick(look=look_of(HARM)), "R-2", by=ENGINE)
    assert states(together) == [R.ROLLED_BACK] * 3
    assert together["R-2"].rollback is not None
    assert together["R-2"].rollback.findings == HARM.findings
    assert together["R-1"].rollback is not None
    assert (together["R-1"].rollback.findings, together["R-1"].rollback.bundle_cause) == ((), "R-2")


def test_the_bundle_goes_back_on_one_word_with_the_reason_in_each(together: Desk):
    together.say(c.RollBack(reason="answers are wrong"), "tone", by=MIRA)
    assert states(together) == [R.ROLLED_BACK] * 3
    assert {one.rollback and one.rollback.reason for one in together.world.rollouts.values()} == {"answers are wrong"}
    assert together.say(c.RollBack(), "tone", by=MIRA).last == []


def test_before_the_start_the_bundle_is_given_up_and_cannot_start_any_more():
    desk = approved(BundleOrder.TOGETHER).say(c.RollBack(), "tone", by=MIRA)
    assert states(desk) == [R.ABANDONED] * 3
    with pytest.raises(Refused, match="was abandoned"):
        desk.say(c.Start(), "tone")


def test_one_that_was_given_up_keeps_the_others_from_starting():
    desk = approved(BundleOrder.TOGETHER).say(c.Abandon(), "R-2")
    with pytest.raises(Refused, match="R-2 of the bundle tone is abandoned, so the others do not start"):
        desk.say(c.Start(), "R-1")


def test_one_that_is_done_goes_back_too(together: Desk):
    together.end("R-1").say(c.RollBack(reason="worse"), "R-2")
    assert states(together) == [R.ROLLED_BACK] * 3
    assert together["R-1"].rollback is not None
    assert together["R-1"].rollback.after_done
    assert together.world.surfaces["support"].live == "v42"


def test_what_builds_on_one_that_is_done_goes_back_before_it(together: Desk):
    together.end("R-1").plan("next", NEXT)
    together.approve("R-4").later(hours=1).say(c.Start(), "R-4").say(c.RollBack(), "R-2")
    assert states(together) == [R.ROLLED_BACK] * 4
    assert together["R-4"].rollback is not None
    assert together["R-4"].rollback.reason == "R-1, which it builds on, was rolled back"


def test_one_that_cannot_go_back_says_why_once_and_the_others_do(together: Desk):
    together.end("R-1").plan("next", NEXT)
    together.approve("R-4").later(hours=1).say(c.Start(), "R-4").end("R-4").say(c.RollBack(), "R-2")
    assert states(together) == [R.DONE, R.ROLLED_BACK, R.ROLLED_BACK, R.DONE]
    told = [x.event for x in together.last if isinstance(x.event, e.BundleNotFollowed)]
    assert told == [e.BundleNotFollowed(bundle="tone", cause="R-2", why="v50 (R-4) went live on support after it")]
    together.say(c.ExplainRollback(cause="answers"), "R-2")
    assert e.BundleNotFollowed not in [type(x.event) for x in together.last]


def test_without_a_way_back_one_holds_and_says_so():
    plans = [plan_for("support", rollback_until="2026-11-23"), plan_for("sales")]
    desk = bundled(BundleOrder.TOGETHER, *plans).approve("R-1").approve("R-2").later(hours=1).say(c.Start(), "tone")
    desk.later(days=1).say(c.RollBack(), "R-2")
    assert events_of(desk, "R-1") == [e.BundleNotFollowed, e.Held]
    assert states(desk) == [R.ON_HOLD, R.ROLLED_BACK]


@pytest.mark.parametrize("how", ["pause", "hold"])
def test_where_one_holds_all_hold_until_it_goes_on(together: Desk, how: str):
    if how == "pause":
        together.say(c.Pause(), "R-2", by=MIRA)
    else:
        together.later(hours=7).say(c.Tick(look=look_of(Hold(findings=(finding_of("retry_rate"),)))), "R-2", by=ENGINE)
    assert [together[one].state for one in ("R-1", "R-3")] == [R.ON_HOLD, R.ON_HOLD]
    word = "paused" if how == "pause" else "on hold"
    assert together["R-1"].hold is not None
    assert together["R-1"].hold.text == f"R-2 of the bundle tone is {word}"
    with pytest.raises(Refused, match="goes on with it"):
        together.say(c.Resume(reason="it is fine here"), "R-1")
    with pytest.raises(Refused, match="does not grow"):
        together.say(c.Advance(reason="now"), "R-1")
    together.say(c.Resume(reason="seen, unrelated"), "R-2")
    assert states(together) == [R.RUNNING] * 3


def test_with_two_reasons_to_hold_the_others_hold_until_both_are_gone(together: Desk):
    together.say(c.Pause(), "R-2").say(c.Pause(), "R-3").say(c.Resume(), "R-2")
    assert [one.state for one in together.world.rollouts.values()] == [R.ON_HOLD, R.ON_HOLD, R.PAUSED]
    assert together["R-1"].hold is not None
    assert together["R-1"].hold.key == "bundle:R-3"
    together.say(c.Resume(), "R-3")
    assert states(together) == [R.RUNNING] * 3


def test_a_look_does_not_end_a_hold_that_follows_another(together: Desk):
    together.say(c.Pause(), "R-2").later(hours=7).say(c.Tick(look=look_of()), "R-1", by=ENGINE)
    assert e.HoldCleared not in events_of(together, "R-1")
    assert together["R-1"].state is R.ON_HOLD


def test_harm_takes_back_what_holds_or_is_paused(together: Desk):
    together.say(c.Pause(), "R-3").later(hours=7).say(c.Tick(look=look_of(HARM)), "R-1", by=ENGINE)
    assert states(together) == [R.ROLLED_BACK] * 3


def test_the_bundle_is_paused_and_goes_on_as_a_whole(together: Desk):
    together.say(c.Pause(reason="lunch"), "tone", by=MIRA)
    assert states(together) == [R.PAUSED] * 3
    together.say(c.Resume(), "tone")
    assert states(together) == [R.RUNNING] * 3


def test_one_approval_of_the_bundle_is_one_of_each_plan():
    desk = bundled(BundleOrder.TOGETHER).say(c.Approve(note="ok"), "tone", by=LEE)
    assert [type(x.event) for x in desk.last] == [e.Approved] * 3
    assert {x.event.request for x in desk.last if isinstance(x.event, e.Approved)} == {"R-1.1", "R-2.1", "R-3.1"}


def test_in_order_each_starts_when_the_one_before_it_is_done(in_order: Desk):
    assert states(in_order) == [R.RUNNING, R.PLANNED, R.PLANNED]
    with pytest.raises(Refused, match="In the bundle tone it starts once R-1 is done"):
        in_order.say(c.Start(), "R-2")
    assert in_order.tick("R-2").tick("R-3").last == []
    in_order.end("R-1").tick("R-3").tick("R-2")
    assert states(in_order) == [R.DONE, R.RUNNING, R.PLANNED]
    in_order.end("R-2").tick("R-3")
    assert states(in_order) == [R.DONE, R.DONE, R.RUNNING]


def test_in_order_nothing_follows_what_was_rolled_back(in_order: Desk):
    in_order.say(c.RollBack(), "R-1").tick("R-2")
    assert states(in_order) == [R.ROLLED_BACK, R.PLANNED, R.PLANNED]
    with pytest.raises(Refused, match="R-1 of the bundle tone is rolled back"):
        in_order.say(c.Start(), "R-2")


def test_in_order_what_comes_later_goes_back_first_and_what_was_before_stays(in_order: Desk):
    in_order.end("R-1").tick("R-2").end("R-2").tick("R-3").say(c.RollBack(), "R-2")
    assert states(in_order) == [R.DONE, R.ROLLED_BACK, R.ROLLED_BACK]
    in_order.say(c.RollBack(), "R-1")
    assert states(in_order) == [R.ROLLED_BACK] * 3


def test_in_order_the_bundle_goes_back_the_last_one_first(in_order: Desk):
    in_order.end("R-1").tick("R-2").say(c.RollBack(reason="worse"), "tone")
    back = [x.stream for x in in_order.last if isinstance(x.event, e.RolledBack | e.Abandoned)]
    assert back == ["rollout:R-3", "rollout:R-2", "rollout:R-1"]
    assert states(in_order) == [R.ROLLED_BACK, R.ROLLED_BACK, R.ABANDONED]


def test_in_order_one_that_holds_holds_nobody_else(in_order: Desk):
    in_order.end("R-1").tick("R-2").say(c.Pause(), "R-2")
    assert states(in_order) == [R.DONE, R.PAUSED, R.PLANNED]


def test_what_a_bundle_cannot_be_asked_names_its_rollouts(together: Desk):
    with pytest.raises(Refused, match=r"tone is a bundle\. Name one of its rollouts: R-1, R-2, R-3"):
        together.say(c.FeelsOff(), "tone")


def test_open_bundles_are_listed(together: Desk):
    assert [one.name for one in bundles.list_bundles(together.world)] == ["tone"]
    together.say(c.RollBack(), "tone")
    assert bundles.list_bundles(together.world) == ()
