"""Before the start: planning, approvals, notices and their lead times."""

from dataclasses import replace
from datetime import UTC, date, datetime, time, timedelta

import pytest

from core.rollout import commands as c
from core.rollout.context import Actor
from core.rollout.plans.plan import Approvals, NoticePlan, Risk
from core.rollout.plans.policy import DEFAULT_POLICY, Freeze, Policy, Role
from core.rollout.state import events as e
from core.rollout.state.model import RolloutState


def test_planning_asks_for_the_approval_that_the_plan_needs(planned):
    story = planned()
    assert story.now.state is RolloutState.PLANNED
    assert story.now.request.gate == "start"
    assert story.now.waiting_for == "1 approval"


def test_the_same_file_twice_changes_nothing(planned, words):
    planned().when(c.PlanRollout(plan=words.plan())).then()


def test_a_changed_file_before_the_start_keeps_the_id_and_begins_anew(planned, words, cast):
    story = planned().when(c.Approve(), by=cast["lee"])
    story.when(c.PlanRollout(plan=words.plan(why="shorter"))).then(e.Planned, e.ApprovalRequested)
    assert story.now.id == "R-1"
    assert story.now.approvals == ()
    assert story.now.notice_posted_at("support:#support") is None, "the notice is told again"
    assert story.now.request.request == "R-1.2", "a click on the old request must not count"


def test_a_changed_file_after_the_start_is_refused(running, words):
    running().refuses(c.PlanRollout(plan=words.plan(why="other")), "To change them, plan a new rollout")


def test_a_plan_must_start_from_what_is_live(words):
    words.story(surface=words.surface(live="v44", versions={"v44": {}})).refuses(
        c.PlanRollout(plan=words.plan()), "someone shipped in between"
    )


def test_a_plan_that_changes_nothing_is_refused(words):
    words.story().refuses(c.PlanRollout(plan=words.plan(change={"prompt": "old.md"})), "nothing would change")


@pytest.mark.shows("E1")
def test_the_kind_of_change_is_computed(planned):
    assert planned(change={"prompt": "new.md", "tools": ["search"]}).now.kind == "prompt + tools"


def test_it_starts_once_approved_and_told(planned, cast):
    story = planned().when(c.Approve(note="fine"), by=cast["lee"]).then(e.Approved)
    story.later(hours=1).when(c.Start()).then(e.Started, e.StageEntered)
    assert story.now.state is RolloutState.RUNNING
    assert story.now.percent == 5
    assert story.surface.running == ("R-1",)


def test_without_approval_it_does_not_start(planned):
    planned().later(hours=2).refuses(c.Start(), "1 more approval")


@pytest.mark.shows("E78")
def test_the_lead_time_blocks_and_names_the_earliest_start(planned, cast, words):
    story = planned().when(c.Approve(), by=cast["lee"])
    refused = story.refuses(c.Start(), "#support needs 60 min notice|#support needs 1 h notice")
    assert refused.earliest == words.monday + timedelta(hours=1)


def test_a_refusal_names_all_that_is_missing_with_the_earliest_time(planned, words):
    refused = planned().refuses(c.Start(), "1 more approval")
    assert refused.message == (
        "R-1 cannot start yet. It needs 1 more approval. #support needs 60 min notice. "
        "Earliest start Mon 23 Nov 10:00 UTC."
    ).replace("60 min", "1 h")
    assert refused.earliest == words.monday + timedelta(hours=1)
    assert "The request with its buttons is in the rollout's thread." in refused.hint


def test_every_channel_that_waits_is_named_and_the_last_one_says_when(planned, cast, words):
    leads = {"#support": timedelta(hours=1), "#marketing": timedelta(hours=3)}
    told = [NoticePlan(channel=name, audience=name[1:], before=lead) for name, lead in leads.items()]
    story = planned(notices=(NoticePlan(channel="#ai-rollouts", audience="engineering"), *told))
    refused = story.when(c.Approve(), by=cast["lee"]).refuses(c.Start(), "cannot start yet")
    assert "#support needs 1 h notice. #marketing needs 3 h notice." in refused.message
    assert refused.earliest == words.monday + timedelta(hours=3)


def test_the_earliest_time_lies_outside_of_a_freeze(planned, words):
    freeze = Freeze(name="year-end", from_date=date(2026, 11, 20), to_date=date(2026, 11, 25))
    refused = planned(words.story(policy=Policy(freezes=(freeze,)))).refuses(c.Start(), "year-end")
    for missing in ("1 more approval", "#support needs 1 h notice", "Frozen until"):
        assert missing in refused.message
    assert refused.earliest == datetime(2026, 11, 25, tzinfo=UTC)


def test_a_busy_surface_is_named_beside_what_else_is_missing(planned, words):
    refused = planned(words.story(surface=words.surface(running=("R-7",)))).refuses(c.Start(), "already changing")
    assert "It needs 1 more approval." in refused.message


def test_start_then_begins_by_itself_at_the_earliest_time(planned, cast, words):
    story = planned().when(c.Approve(), by=cast["lee"])
    story.when(c.Start(then=words.monday + timedelta(hours=1))).then(e.StartScheduled)
    story.later(minutes=59).tick().then()
    story.later(minutes=1).tick().then(e.Started, e.StageEntered)


def test_start_then_never_undercuts_the_lead_time(planned, cast, words):
    story = planned().when(c.Approve(), by=cast["lee"]).when(c.Start(then=words.monday))
    assert story.now.start == words.monday + timedelta(hours=1)


def test_a_notice_that_has_not_gone_out_blocks(words, cast):
    story = words.story().when(c.PlanRollout(plan=words.plan())).when(c.Approve(), by=cast["lee"])
    story.later(hours=5).refuses(c.Start(), "has not gone out yet")


def test_a_fixed_start_waits_for_its_approval_and_then_begins(planned, cast, words):
    story = planned(start=words.monday + timedelta(hours=2)).later(hours=3).tick().then()
    story.when(c.Approve(), by=cast["lee"]).tick().then(e.Started, e.StageEntered)


def test_the_owner_cannot_approve(planned, cast):
    planned().refuses(c.Approve(), "your own change", by=cast["dana"])


def test_approvals_come_from_slack_only(planned):
    token = Actor(id="token:operator", handle="operator")
    planned().refuses(c.Approve(), "only from Slack", by=token)


def test_approving_twice_counts_once(planned, cast):
    planned(approvals=Approvals(required=2), risk=Risk.HIGH).when(c.Approve(), by=cast["lee"]).when(
        c.Approve(), by=cast["lee"]
    ).then()


def test_an_approval_too_many_says_who_was_first(planned, cast):
    planned().when(c.Approve(), by=cast["lee"]).refuses(c.Approve(), "@lee already approved", by=cast["mira"])


def test_a_click_on_an_old_request_is_refused(planned, cast):
    planned().refuses(c.Approve(request="R-1.7"), "Nothing was applied", by=cast["lee"])


def test_one_approval_of_each_group(planned, cast):
    groups = Approvals(required=2, groups=("@ai-leads", "@support-leads"))
    story = planned(approvals=groups, risk=Risk.HIGH).later(hours=2)
    story.refuses(c.Approve(), "not in @ai-leads or @support-leads", by=cast["ana"])
    story.when(c.Approve(), by=cast["lee"]).refuses(c.Start(), "from @support-leads")
    story.when(c.Approve(), by=cast["mira"]).when(c.Start()).then(e.Started, e.StageEntered)


def test_a_rejection_needs_words_and_clears_the_approvals(planned, cast):
    story = planned()
    story.refuses(c.Reject(), "give a reason", by=cast["lee"])
    story.when(c.Reject(reason="too risky"), by=cast["lee"]).then(e.Rejected, e.ApprovalRequested)
    assert story.now.state is RolloutState.PLANNED


def test_a_request_expires_and_is_asked_again(planned):
    story = planned().later(hours=25).tick().then(e.ApprovalExpired, e.ApprovalRequested)
    assert story.now.request.request == "R-1.2"


def test_an_approval_that_was_given_does_not_expire(planned, cast):
    planned().when(c.Approve(), by=cast["lee"]).later(hours=48).when(c.Start()).then(e.Started, e.StageEntered)


@pytest.mark.shows("E78")
def test_at_high_risk_support_has_to_confirm(planned, cast):
    notices = (
        NoticePlan(channel="#ai-rollouts", audience="engineering"),
        NoticePlan(channel="#support", audience="support", before=timedelta(hours=1), acknowledge=True),
    )
    story = planned(risk=Risk.HIGH, approvals=Approvals(required=2), notices=notices).later(hours=2)
    story.when(c.Approve(), by=cast["lee"]).when(c.Approve(), by=cast["mira"])
    story.refuses(c.Start(), "must confirm the notice")
    story.when(c.AcknowledgeNotice(notice="support:#support"), by=cast["ana"]).then(e.NoticeAcknowledged)
    story.when(c.Start()).then(e.Started, e.StageEntered)


def test_a_low_risk_rollout_without_notice_or_approval_just_starts(planned):
    notices = (NoticePlan(channel="#ai-rollouts", audience="engineering"),)
    story = planned(risk=Risk.LOW, approvals=Approvals(), notices=notices)
    story.when(c.Start()).then(e.Started, e.StageEntered)


def test_a_busy_surface_blocks(planned, cast, words):
    story = planned(words.story(surface=words.surface(running=("R-7",)))).when(c.Approve(), by=cast["lee"])
    story.later(hours=1).refuses(c.Start(), "already changing")


def test_a_freeze_blocks_the_start_and_says_until_when(planned, cast, words):
    freeze = Freeze(name="year-end", from_date=date(2026, 11, 20), to_date=date(2026, 11, 25))
    story = planned(words.story(policy=Policy(freezes=(freeze,)))).when(c.Approve(), by=cast["lee"]).later(hours=1)
    refused = story.refuses(c.Start(), "year-end")
    assert refused.earliest == datetime(2026, 11, 25, tzinfo=UTC)


def test_rollback_before_the_start_means_abandon(planned):
    story = planned().when(c.RollBack(reason="not now")).then(e.Abandoned)
    assert story.now.state is RolloutState.ABANDONED


def test_an_abandoned_plan_can_be_planned_anew(planned, words):
    planned().when(c.Abandon(reason="later")).when(c.PlanRollout(plan=words.plan())).then(
        e.Planned, e.ApprovalRequested
    )


def test_guests_change_nothing(planned, cast):
    planned().refuses(c.Start(), "Guests", by=cast["guest"])


def test_a_start_in_the_past_is_now_and_one_in_years_is_refused(planned, cast, words):
    story = planned().when(c.Approve(), by=cast["lee"]).later(hours=2)
    story.refuses(c.Start(then=words.monday + timedelta(days=3650)), "more than a year")
    story.when(c.Start(then=words.monday - timedelta(days=9))).then(e.StartScheduled)
    assert story.now.start == story.at


@pytest.mark.parametrize("required", [0, 1, 2])
def test_one_of_each_named_group_has_to_approve(planned, cast, required):
    both = Approvals(required=required, groups=("@ai-leads", "@support-leads"))
    story = planned(approvals=both).later(hours=2)
    assert story.now.request.needed == 2
    story.when(c.Approve(), by=cast["lee"]).refuses(c.Start(), "1 more approval from @support-leads")
    story.when(c.Approve(), by=cast["mira"]).when(c.Start()).then(e.Started, e.StageEntered)


def test_a_request_of_an_older_log_that_asks_for_fewer_than_its_groups_opens_with_all_of_them(planned, cast):
    both = Approvals(required=1, groups=("@ai-leads", "@support-leads"))
    story = planned(approvals=both).later(hours=2)
    story.happen(replace(story.now.request, needed=1)).when(c.Approve(), by=cast["lee"])
    assert story.now.waiting_for == "1 approval"
    story.refuses(c.Start(), "1 more approval from @support-leads")


def test_more_people_than_groups_may_be_required(planned, cast):
    ai = Actor(id="slack:T1/U8", handle="@noa", groups=("@ai-leads",))
    story = planned(approvals=Approvals(required=2, groups=("@ai-leads",))).later(hours=2)
    story.when(c.Approve(), by=cast["lee"]).refuses(c.Start(), "1 more approval before")
    story.when(c.Approve(), by=ai).when(c.Start()).then(e.Started, e.StageEntered)


def test_a_plan_whose_start_is_live_no_more_says_so_once_and_again_when_it_is(planned, words):
    story = planned().tick().then()
    story.surface = words.surface(live="v44", versions={"v42": {"prompt": "old.md"}, "v44": {}})
    assert story.tick().then(e.BaseChanged).now.live_instead == "v44"
    story.tick().then()
    story.surface = words.surface()
    assert story.tick().then(e.BaseChanged).now.live_instead == ""


def test_where_the_policy_says_queue_a_start_waits_for_its_turn(planned, cast, words):
    story = planned(words.story(policy=replace(DEFAULT_POLICY, when_busy="queue"))).when(c.Approve(), by=cast["lee"])
    story.later(hours=1).surface = replace(story.surface, running=("R-9",))
    story.when(c.Start()).then(e.StartScheduled)
    story.later(hours=5).when(c.Start()).then()
    story.tick().then()
    story.surface = replace(story.surface, running=())
    story.tick().then(e.Started, e.StageEntered)


def test_where_the_policy_says_refuse_a_busy_surface_is_named(planned, cast, words):
    story = planned().when(c.Approve(), by=cast["lee"]).later(hours=1)
    story.surface = replace(story.surface, running=("R-9",))
    story.refuses(c.Start(), "already changing")


def test_an_admin_may_do_what_operators_may(planned, cast):
    roles = {"operator": Role(groups=("@ai-eng",)), "admin": Role(groups=("@ai-platform",))}
    pat = Actor(id="slack:T1/U7", handle="@pat", groups=("@ai-platform",))
    story = planned().when(c.Approve(), by=cast["lee"]).later(hours=1)
    story.policy = replace(DEFAULT_POLICY, roles=roles)
    story.refuses(c.Start(), "one of @ai-eng", by=cast["lee"])
    story.when(c.Start(), by=pat).then(e.Started, e.StageEntered)


def test_a_freeze_that_ends_in_the_hour_that_comes_twice_ends_the_first_time():
    night = Freeze(name="night", from_weekday=5, from_time=time(16), to_weekday=6, to_time=time(2, 30))
    policy = replace(DEFAULT_POLICY, timezone="Europe/Berlin", freezes=(night,))
    ends = datetime(2026, 10, 25, 0, 30, tzinfo=UTC)  # 02:30, the first time
    frozen = policy.find_freeze(ends - timedelta(minutes=1))
    assert (frozen[0], frozen[1].astimezone(UTC)) == ("night", ends)
    for minutes in (0, 40, 70):
        assert policy.find_freeze(ends + timedelta(minutes=minutes)) is None
