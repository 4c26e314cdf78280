"""Under way: steps, gates, holds, pauses, and the way back."""

from dataclasses import replace
from datetime import timedelta

import pytest

from core.judging.model.verdict import BrokenSource, Cleared, Hold, NoData, Skewed, TooEarly
from core.rollout import commands as c
from core.rollout.context import ENGINE, Actor
from core.rollout.plans.plan import AdvanceMode, Approvals, EvalTerms, Risk, Stage, StageKind
from core.rollout.plans.policy import DEFAULT_POLICY, BreakGlass, Policy, QuietHours
from core.rollout.state import events as e
from core.rollout.state.model import RolloutState


@pytest.mark.shows("E12")
def test_a_stage_is_left_after_its_hold_with_its_sample(running, words):
    story = running().later(hours=5).tick(words.look()).then(e.EvidenceRecorded)
    story.later(hours=1).tick(words.look(requests=1499))
    assert story.now.percent == 5
    story.tick(words.look(requests=1500)).then(e.EvidenceRecorded, e.StageEntered)
    assert story.last[0].reason == "step", "each step rests on evidence of its own"
    assert story.now.percent == 25


@pytest.mark.parametrize("risk", [Risk.LOW, Risk.STANDARD])
def test_what_a_look_has_found_reaches_nobody_else_while_it_has_to_last(running, words, risk):
    """At low risk a rollout grows by the clock, but not on a limit that is broken and only not for long enough."""
    found = (words.finding("latency_p95", "exceeds"),)
    story = running(risk=risk).later(hours=6).tick(words.look(pending=found))
    assert (story.now.state, story.now.percent) == (RolloutState.RUNNING, 5)
    story.later(minutes=5).tick(words.look())
    assert story.now.percent == 25


def test_a_gate_is_not_passed_on_what_a_look_has_found_and_has_to_last(running, words, cast):
    stages = (words.stages[0], replace(words.stages[1], advance=AdvanceMode.APPROVE), *words.stages[2:])
    story = running(stages=stages).later(hours=6).tick(words.look())
    story.when(c.Approve(), by=cast["lee"])
    found = (words.finding("latency_p95", "exceeds"),)
    story.tick(words.look(pending=found))
    assert story.now.percent == 5
    story.tick(words.look())
    assert story.now.percent == 25


def test_who_resumed_a_hold_is_not_kept_by_the_same_finding(running, words):
    found = (words.finding("retry_rate"),)
    story = running().later(hours=5).tick(words.look(Hold(findings=found)))
    story.when(c.Resume(reason="known")).later(hours=6).tick(words.look(pending=found))
    assert story.now.percent == 25


def test_an_undecided_stage_names_what_is_found_and_has_to_last(running, words):
    story = running().later(hours=25).tick(words.look(pending=(words.finding("latency_p95", "exceeds"),)))
    assert story.now.state is RolloutState.ON_HOLD
    assert "latency_p95" in story.now.hold.text
    assert "not yet for as long as the limit asks" in story.now.hold.text


def test_a_healthy_rollout_is_done_without_anybody(running, words):
    story = running()
    for _ in range(5):
        story.later(hours=48).tick(words.look())
    assert story.now.state is RolloutState.DONE
    assert story.surface.live == "v43"
    assert story.surface.running == ()


@pytest.mark.shows("E52")
@pytest.mark.parametrize("before", ["running", "paused", "on hold", "waiting", "baking"])
def test_harm_rolls_back_in_every_state(running, words, before):
    story = running(stages=tuple(replace(s, advance=AdvanceMode.APPROVE) for s in words.stages[:3]) + words.stages[3:])
    match before:
        case "paused":
            story.when(c.Pause())
        case "on hold":
            story.tick(words.look(Hold(findings=(words.finding("retry_rate"),))))
            assert story.now.state is RolloutState.ON_HOLD
        case "waiting":
            story.later(hours=6).tick(words.look())
            assert story.now.state is RolloutState.WAITING
        case "baking":
            story.happen(e.StageEntered(index=3, name="bake", percent=100))
    story.later(seconds=90).tick(words.look(words.harm)).then(e.EvidenceRecorded, e.RolledBack, e.ReviewRequested)
    assert story.now.state is RolloutState.ROLLED_BACK
    assert story.now.percent == 0
    assert story.surface.live == "v42"
    assert story.surface.running == ()


def test_the_rollback_says_how_long_the_verdict_took(running, words):
    story = running().later(seconds=90).tick(words.look(words.harm))
    assert story.now.rollback.verdict_seconds == 90
    assert story.now.rollback.judged_seconds == 0.01
    assert story.now.rollback.exposed_requests == 2000


def test_a_persons_rollback_counts_those_of_all_stages_not_of_the_last_one(running, words):
    """The evidence it goes by is that of the last stage, which has just begun."""
    story, look = running(), words.look()
    counted = replace(look.judgement, canary_requests=446, canary_units=437, exposed_requests=1536, exposed_units=837)
    story.tick(replace(look, judgement=counted)).then(e.EvidenceRecorded).when(c.RollBack(reason="complaints")).then(
        e.RolledBack, e.ReviewRequested
    )
    back = story.now.rollback
    assert (back.exposed_requests, back.exposed_units) == (1536, 837)


def test_evidence_of_before_counts_were_kept_tells_those_of_its_stage(running, words):
    """Such a rollout is under way when this release starts."""
    story = running().tick(words.look()).then(e.EvidenceRecorded)
    story.happen(replace(story.now.evidence, exposed_requests=None, exposed_units=None))
    story.when(c.RollBack()).then(e.RolledBack, e.ReviewRequested)
    assert (story.now.rollback.exposed_requests, story.now.rollback.exposed_units) == (2000, 1000)


def test_rolling_back_twice_is_not_an_error(running):
    running().when(c.RollBack()).then(e.RolledBack, e.ReviewRequested)


def test_a_second_rollback_changes_nothing(running):
    running().when(c.RollBack()).when(c.RollBack()).then()


def test_anybody_but_a_guest_may_roll_back(running, cast):
    story = running()
    story.refuses(c.RollBack(), "Guests", by=cast["guest"])
    story.when(c.RollBack(), by=cast["mira"]).then(e.RolledBack, e.ReviewRequested)


def test_nothing_advances_over_an_approval(running, words, cast):
    stages = (words.stages[0], replace(words.stages[1], advance=AdvanceMode.APPROVE), *words.stages[2:])
    story = running(stages=stages).later(hours=6).tick(words.look())
    assert story.now.state is RolloutState.WAITING
    story.refuses(c.Advance(reason="hurry"), "Approvals cannot be skipped")
    for _ in range(5):
        story.later(minutes=5).tick(words.look()).then()
    story.when(c.Approve(), by=cast["lee"]).tick(words.look()).then(e.StageEntered)
    assert story.now.percent == 25


def test_a_changed_verdict_voids_the_approval(running, words, cast):
    stages = (words.stages[0], replace(words.stages[1], advance=AdvanceMode.APPROVE), *words.stages[2:])
    story = running(stages=stages).later(hours=6).tick(words.look()).when(c.Approve(), by=cast["lee"])
    asked = story.now.request.request
    story.tick(words.look(TooEarly(canary_requests=0, control_requests=0)))
    assert story.now.state is RolloutState.WAITING
    assert story.now.request.request != asked
    assert story.now.approvals == ()


@pytest.mark.shows("E68")
def test_high_risk_asks_two_people_at_every_step(running, words, cast):
    story = running(risk=Risk.HIGH, approvals=Approvals(required=2)).later(hours=6).tick(words.look(Cleared()))
    assert story.now.request.gate == "ramp 25%"
    story.when(c.Approve(), by=cast["lee"]).tick(words.look(Cleared())).then()
    story.when(c.Approve(), by=cast["mira"]).tick(words.look(Cleared())).then(e.StageEntered)


def test_high_risk_does_not_grow_on_nothing_found(running, words):
    story = running(risk=Risk.HIGH, approvals=Approvals(required=2)).later(hours=6).tick(words.look())
    assert story.now.request is None
    story.later(hours=18).tick(words.look()).then(e.EvidenceRecorded, e.Held)
    assert "do not show yet that every limit is kept" in story.now.hold.text
    story.when(c.Resume(reason="the limit cannot be shown at this traffic")).then(e.Resumed)
    story.tick(words.look())
    assert story.now.request.gate == "ramp 25%", "what a person set aside does not hold again, and is still approved"


def test_high_risk_without_a_longest_hold_is_asked_about_after_four_of_them(running, words):
    stages = (replace(words.stages[0], max_hold=None), *words.stages[1:])
    story = running(risk=Risk.HIGH, approvals=Approvals(required=2), stages=stages)
    story.later(hours=23).tick(words.look())
    assert story.now.hold is None
    story.later(hours=1).tick(words.look()).then(e.EvidenceRecorded, e.Held)


def test_high_risk_does_not_advance_either_before_it_is_shown(running, words):
    story = running(risk=Risk.HIGH, approvals=Approvals(required=2)).later(hours=1).tick(words.look())
    story.refuses(c.Advance(reason="we are in a hurry"), "shown to be kept")
    story.tick(words.look(Cleared())).when(c.Advance(reason="shown early")).then(e.ApprovalRequested)


def test_an_approval_does_not_lapse_when_it_is_even_shown_to_keep_its_limits(running, words, cast):
    stages = (words.stages[0], replace(words.stages[1], advance=AdvanceMode.APPROVE), *words.stages[2:])
    story = running(stages=stages).later(hours=6).tick(words.look())
    asked = story.now.request
    story.tick(words.look(Cleared()))
    assert story.now.request == asked


def test_a_source_that_broke_holds_and_clears_itself(running, words):
    began = running().now.stage_since
    broken = BrokenSource(metric="eval_pass_rate", title="Answers", arm="canary", since=began)
    story = running().tick(words.look(broken)).then(e.EvidenceRecorded, e.Held)
    assert story.now.hold.text == "answers (eval_pass_rate) of the new version has stopped arriving"
    story.tick(words.look()).then(e.EvidenceRecorded, e.HoldCleared)


def test_caps_are_frozen_once(running, words):
    seen = replace(words.look(), caps={"cost_per_request": 0.09})
    story = running().tick(seen)
    assert story.now.caps == {"cost_per_request": 0.09}
    story.tick(replace(seen, caps={"cost_per_request": 0.5}))
    assert story.now.caps == {"cost_per_request": 0.09}


def test_a_request_nobody_answers_ends_on_hold(running, words):
    stages = (words.stages[0], replace(words.stages[1], advance=AdvanceMode.APPROVE), *words.stages[2:])
    story = running(stages=stages).later(hours=6).tick(words.look())
    story.later(hours=25).tick(words.look()).then(e.ApprovalExpired, e.Held)


def test_a_rejected_gate_is_a_hold(running, words, cast):
    stages = (words.stages[0], replace(words.stages[1], advance=AdvanceMode.APPROVE), *words.stages[2:])
    story = running(stages=stages).later(hours=6).tick(words.look())
    story.when(c.Reject(reason="tone is off"), by=cast["lee"]).then(e.Rejected, e.Held)
    assert story.now.state is RolloutState.ON_HOLD


def test_a_gate_rejected_while_paused_lets_the_clock_go_on_after_the_hold(running, words, cast):
    stages = (words.stages[0], replace(words.stages[1], advance=AdvanceMode.APPROVE), *words.stages[2:])
    story = running(stages=stages).later(hours=6).tick(words.look())
    story.when(c.Pause(reason="lunch")).later(hours=1).when(c.Reject(reason="tone is off"), by=cast["lee"])
    assert story.now.state is RolloutState.ON_HOLD
    before = story.now.held_for(story.at)
    story.when(c.Resume(reason="talked about it")).later(hours=2)
    assert story.now.held_for(story.at) - before == timedelta(hours=2)


@pytest.mark.shows("E18", "E27")
def test_a_hold_limit_stops_growth_until_somebody_says_why(running, words):
    story = running().tick(words.look(Hold(findings=(words.finding("retry_rate"),)))).then(e.EvidenceRecorded, e.Held)
    story.later(hours=12).tick(words.look()).tick(words.look())
    assert story.now.percent == 5
    story.refuses(c.Resume(), "give a reason")
    story.refuses(c.Advance(reason="go"), "does not grow")
    story.when(c.Resume(reason="greeting bug, unrelated")).then(e.Resumed)
    story.tick(words.look(Hold(findings=(words.finding("retry_rate"),))))
    assert story.now.state is RolloutState.RUNNING, "the finding that was set aside does not hold again"
    story.tick(words.look(Hold(findings=(words.finding("suggestion_ctr", "drops_by"),))))
    assert story.now.state is RolloutState.ON_HOLD, "another finding does"


def test_no_data_holds_and_clears_itself(running, words):
    story = running().tick(words.look(NoData(since=None, arm="canary")))
    assert story.now.hold.key == "no_data"
    story.later(minutes=20).tick(words.look(NoData(since=None, arm="canary"))).then()
    story.tick(words.look()).then(e.EvidenceRecorded, e.HoldCleared)
    assert story.now.state is RolloutState.RUNNING


def test_a_skewed_split_holds(running, words):
    story = running().tick(words.look(Skewed(log_bayes_factor=9.0, expected_share=0.05, observed_share=0.02)))
    assert "2.0%" in story.now.hold.text


@pytest.mark.shows("E11")
def test_undecided_at_max_hold_asks_instead_of_shipping(running, words):
    story = running().later(hours=24).tick(words.look(requests=10))
    assert story.now.hold.key == "undecided:canary"
    story.when(c.Resume(reason="quiet week")).when(c.Advance(reason="we accept the risk")).then(e.StageEntered)
    assert story.last[0].skipped == "we accept the risk"


def test_the_clock_stands_still_while_paused(running, words):
    story = running().later(hours=3).when(c.Pause(reason="odd greetings")).later(hours=10).tick(words.look())
    assert story.now.state is RolloutState.PAUSED
    story.when(c.Resume()).tick(words.look())
    assert story.now.percent == 5, "three of six hours have passed"
    story.later(hours=3).tick(words.look()).then(e.EvidenceRecorded, e.StageEntered)


def test_advance_needs_a_reason_and_skips_only_the_waiting(running):
    story = running()
    story.refuses(c.Advance(), r"Not yet: the small test \(5 %\) has run for 0 s of its 6 h")
    story.when(c.Advance(reason="tiny change")).then(e.BlindSpotsAccepted, e.StageEntered)


def test_a_big_jump_needs_a_reason(running, words):
    more = (*words.stages[:2], replace(words.stages[1], name="ramp 50%", percent=50), *words.stages[2:])
    story = running(stages=more).happen(e.StageEntered(index=1, name="ramp 25%", percent=25))
    story.refuses(c.Advance(to_percent=100), "too big a jump")
    story.refuses(c.Advance(to_percent=10), "only grow")
    story.refuses(c.Advance(to_percent=80), "not a step")
    story.when(c.Advance(to_percent=100, reason="launch day")).then(e.BlindSpotsAccepted, e.StageEntered)
    assert story.now.percent == 100


@pytest.mark.shows("E15")
@pytest.mark.parametrize(
    ("hours", "saying"), [(0, "cannot skip a stage"), (6, "Approvals cannot be skipped"), (23, "Approvals cannot be")]
)
def test_high_risk_skips_no_stage(running, words, cast, hours, saying):
    """Not with a reason, after any time, with every limit shown to be kept, nor whoever may break the glass."""
    story = running(words.story(policy=GLASS), risk=Risk.HIGH, approvals=Approvals(required=2))
    story.later(hours=hours).tick(words.look(Cleared()))
    why = "the old model is down for all"
    for by in (cast["ana"], PAT):
        story.refuses(c.Advance(to_percent=100, reason=why), saying, by=by)
    assert story.now.percent == 5


def test_quiet_hours_keep_growth_waiting(running, words):
    from datetime import time

    quiet = Policy(quiet=QuietHours(start=time(20), end=time(8)))
    story = running(words.story(policy=quiet)).later(hours=12).tick(words.look())  # 22:00
    assert story.now.percent == 5
    story.later(hours=10).tick(words.look()).then(e.EvidenceRecorded, e.StageEntered)


def test_complaints_beyond_normal_hold_once_and_a_resume_overrides_them(running):
    doubt = c.DoubtComplaints(text="40 complaints in 9,000 requests; 8 are normal at these hours of the week")
    story = running().when(doubt, by=ENGINE).then(e.Held)
    assert story.now.state is RolloutState.ON_HOLD
    story.when(doubt, by=ENGINE).then()
    story.when(c.Resume(reason="a newsletter, not the answers")).then(e.Resumed)
    story.when(doubt, by=ENGINE).then()


def test_two_people_who_feel_it_is_off_hold_it(running, cast):
    story = running().when(c.FeelsOff(text="too curt"), by=cast["lee"]).then(e.FeltOff)
    story.when(c.FeelsOff(text="again"), by=cast["lee"]).then()
    story.when(c.FeelsOff(text="rude"), by=cast["mira"]).then(e.FeltOff, e.Held)


def test_two_people_who_feel_it_is_off_while_it_waits_for_approval_hold_it(running, cast, words):
    stages = (words.stages[0], replace(words.stages[1], advance=AdvanceMode.APPROVE), *words.stages[2:])
    story = running(stages=stages).later(hours=6).tick(words.look())
    assert story.now.state is RolloutState.WAITING
    story.when(c.FeelsOff(text="too curt"), by=cast["lee"]).then(e.FeltOff)
    story.when(c.FeelsOff(text="rude"), by=cast["mira"]).then(e.FeltOff, e.Held)


def test_two_people_who_feel_it_is_off_during_a_pause_hold_it_when_it_goes_on(running, cast, words):
    story = running().when(c.Pause(reason="lunch"))
    story.when(c.FeelsOff(text="too curt"), by=cast["lee"]).then(e.FeltOff)
    story.when(c.FeelsOff(text="rude"), by=cast["mira"]).then(e.FeltOff)
    story.when(c.Resume(reason="lunch is over")).then(e.Resumed)
    story.tick(words.look()).then(e.Held)
    story.when(c.Resume(reason="we looked at it")).then(e.Resumed)
    assert e.Held not in {type(event) for event in story.later(minutes=1).tick(words.look()).last}


def test_one_person_in_two_workspaces_of_an_organisation_feels_it_once(running, cast):
    elsewhere = replace(cast["lee"], id=cast["lee"].id.replace("slack:T1/", "slack:T2/"))
    assert elsewhere != cast["lee"]
    running().when(c.FeelsOff(text="too curt"), by=cast["lee"]).when(c.FeelsOff(text="again"), by=elsewhere).then()


def test_summaries_come_hourly_on_the_first_day(running, words):
    story = running().tick(words.look())
    story.later(minutes=59).tick(words.look()).then()
    story.later(minutes=1).tick(words.look()).then(e.EvidenceRecorded)
    assert story.last[0].reason == "summary"


@pytest.fixture
def gated(running, words):
    stage = Stage(kind=StageKind.EVAL, name="eval", terms=EvalTerms(suite="evals/support.yaml", min_pass_rate=0.92))
    return running(stages=(stage, *words.stages))


def results(*, ok: bool) -> c.RecordEval:
    why = () if ok else ("91.9 % of answers pass, 92 % are needed",)
    return c.RecordEval(
        suite="evals/support.yaml", ok=ok, passed=919, failed=81, errors=0, reasons=why, cases=(), digest=str(ok)
    )


@pytest.mark.shows("E2")
def test_an_eval_gate_waits_for_results_and_opens(gated):
    story = gated.later(hours=30).tick().then()
    assert story.now.percent == 0
    story.refuses(c.Advance(reason="trust me"), "Gates cannot be skipped")
    story.when(results(ok=True)).then(e.EvalRecorded).tick().then(e.StageEntered)
    assert story.now.percent == 5


def test_a_failed_eval_holds(gated):
    story = gated.when(results(ok=False)).then(e.EvalRecorded, e.Held)
    assert "91.9 %" in story.now.hold.text
    story.when(results(ok=False)).then()


def test_the_drill_must_be_quick_enough(running, words):
    drill = Stage(kind=StageKind.ROLLBACK_DRILL, name="rollback_drill", drill_within=timedelta(seconds=10))
    story = running(stages=(drill, *words.stages)).tick().then()
    story.when(c.RecordDrill(seconds=0.4)).then(e.DrillFinished).tick().then(e.StageEntered)
    slow = running(stages=(drill, *words.stages)).when(c.RecordDrill(seconds=11)).then(e.DrillFinished, e.Held)
    assert slow.now.state is RolloutState.ON_HOLD


@pytest.fixture
def done(running, words):
    story = running()
    for _ in range(5):
        story.later(hours=48).tick(words.look())
    return story


def test_a_done_rollout_can_still_be_rolled_back(done):
    done.when(c.RollBack(reason="late complaint")).then(e.RolledBack, e.ReviewRequested)
    assert done.surface.live == "v42"


def test_but_not_once_a_later_one_is_live(done):
    done.surface = replace(done.surface, live="v44", live_by="R-2", versions={**done.surface.versions, "v44": {}})
    done.refuses(c.RollBack(), "v44")


def test_after_a_rollback_there_is_no_retry(running):
    running().when(c.RollBack()).refuses(c.Start(), "a new rollout")


def test_the_flip_is_recorded_once(running):
    story = running().when(c.RollBack()).when(c.ConfirmFlip(seconds=0.3, processes=2)).then(e.FlipConfirmed)
    story.when(c.ConfirmFlip(seconds=9.0, processes=2)).then()
    assert story.now.flip.seconds == 0.3


def test_evidence_that_cannot_be_judged_holds_until_it_can(running, words):
    from core.rollout.context import ENGINE

    story = running().when(c.DoubtEvidence(text="what came in cannot be judged"), by=ENGINE).then(e.Held)
    assert story.now.state is RolloutState.ON_HOLD
    story.when(c.DoubtEvidence(text="still"), by=ENGINE).then()
    story.tick(words.look()).then(e.EvidenceRecorded, e.HoldCleared)
    assert story.now.state is RolloutState.RUNNING


def test_evidence_that_can_be_judged_again_still_rolls_back(running, words):
    from core.rollout.context import ENGINE

    story = running().when(c.DoubtEvidence(text="what came in cannot be judged"), by=ENGINE)
    story.tick(words.look(words.harm)).then(e.EvidenceRecorded, e.RolledBack, e.ReviewRequested)


def test_a_person_jumps_over_steps_only_once_the_canary_has_held(running):
    story = running()
    refused = story.refuses(
        c.Advance(to_percent=100, reason="ship it"),
        r"Too early: the small test \(5 %\) has run for 0 s of the 6 h that it has to.",
    )
    assert "takes the next step, 25 %" in refused.hint
    story.later(hours=6).refuses(c.Advance(to_percent=100), "too big a jump")
    story.when(c.Advance(to_percent=100, reason="launch day")).then(e.BlindSpotsAccepted, e.StageEntered)


def test_the_hold_that_the_policy_asks_of_a_canary_is_not_got_round_in_two_steps(running, words):
    standard = replace(DEFAULT_POLICY.risk[Risk.STANDARD], min_canary_hold=timedelta(hours=6))
    policy = replace(DEFAULT_POLICY, risk={**DEFAULT_POLICY.risk, Risk.STANDARD: standard})
    story = running(words.story(policy=policy)).when(c.Advance(reason="tiny change"))
    story.later(hours=1).refuses(
        c.Advance(to_percent=100, reason="ship it"),
        r"Too early: the small test \(5 %\) has run for 0 s of the 6 h that it has to.",
    )


@pytest.mark.shows("E74")
def test_a_person_takes_nobody_from_a_canary_that_has_just_begun_to_everybody(running, words):
    story = running(stages=(words.stages[0], *words.stages[2:]))
    refused = story.later(minutes=1).refuses(c.Advance(reason="ship it"), "no reason allows a step to everybody")
    assert refused.earliest == story.at + timedelta(hours=5, minutes=59)
    story.later(hours=6).when(c.Advance(reason="ship it")).then(e.BlindSpotsAccepted, e.StageEntered)


def test_a_trial_that_the_policy_lets_be_skipped_need_not_have_held(running, words):
    low = replace(DEFAULT_POLICY.risk[Risk.LOW], may_skip=(StageKind.CANARY,))
    policy = replace(DEFAULT_POLICY, risk={**DEFAULT_POLICY.risk, Risk.LOW: low})
    story = running(words.story(policy=policy), risk=Risk.LOW, approvals=Approvals(required=0))
    story.when(c.Advance(to_percent=100, reason="copy fix")).then(e.StageEntered)


def test_a_step_within_what_the_policy_allows_is_no_big_jump(running, words):
    stages = (*words.stages[:2], replace(words.stages[1], name="ramp 50%", percent=50), *words.stages[2:])
    story = running(words.story(policy=replace(DEFAULT_POLICY, max_step=20)), stages=stages)
    story.when(c.Advance(to_percent=50, reason="it is fine")).then(e.BlindSpotsAccepted, e.StageEntered)
    assert story.now.percent == 50


@pytest.fixture
def asking(running, words):
    """A rollout whose step after the canary waits for an approval, at standard risk."""
    approved = replace(words.stages[1], advance=AdvanceMode.APPROVE)
    return running(stages=(words.stages[0], approved, *words.stages[2:]))


def test_approvers_see_why_the_wait_before_their_gate_was_skipped(asking, words, cast):
    story = asking.when(c.Advance(reason="seen by all of us")).then(e.BlindSpotsAccepted, e.ApprovalRequested)
    assert story.last[1].skipped == story.now.skipped == "seen by all of us"
    story.tick(words.look()).then(e.EvidenceRecorded, e.ApprovalRequested)
    assert story.last[1].skipped is None, "the engine does not write a person's words again"
    assert story.now.skipped == "seen by all of us", "whoever is asked anew still sees them"
    story.when(c.Approve(), by=cast["lee"]).tick(words.look()).then(e.StageEntered)
    assert story.now.skipped == ""
    (kept,) = story.now.skipped_waits
    assert (kept.reason, kept.left_out) == ("seen by all of us", ())
    assert kept.by == "slack:T1/U1", "who skipped the wait, not who approved the gate"


def test_a_reason_is_that_of_its_own_gate(asking, cast):
    story = asking.when(c.Advance(reason="seen by all of us"))
    story.when(c.Reject(reason="not today"), by=cast["lee"]).then(e.Rejected, e.Held)
    assert story.now.skipped == ""


def test_who_lets_it_go_on_undecided_is_asked_again_as_much_later(running, words):
    story = running().later(hours=24).tick(words.look(requests=10))
    assert story.now.hold.text == "undecided after 24 h: 10 of 1500 requests seen"
    story.later(hours=3).when(c.Resume(reason="quiet week"))
    story.later(hours=23).tick(words.look(requests=12))
    assert story.now.state is RolloutState.RUNNING
    story.later(hours=1).tick(words.look(requests=12)).then(e.EvidenceRecorded, e.Held)
    assert story.now.hold.text == "undecided after 2.1 days: 12 of 1500 requests seen"


def test_a_stage_that_was_undecided_gets_more_time_and_nothing_is_accepted(running, words, cast):
    story = running().later(hours=24).tick(words.look(requests=10))
    story.when(c.ExtendStage(), by=cast["ana"]).then(e.StageExtended)
    assert story.last[0].asked_at == timedelta(hours=96)
    assert story.now.state is RolloutState.RUNNING
    assert story.now.overridden == frozenset(), "a resume would accept what is not known"
    story.later(hours=71).tick(words.look(requests=12))
    assert story.now.state is RolloutState.RUNNING
    story.later(hours=1).tick(words.look(requests=12)).then(e.EvidenceRecorded, e.Held)
    assert story.now.hold.text == "undecided after 4 days: 12 of 1500 requests seen"
    story.when(c.ExtendStage(), by=cast["ana"])
    assert story.last[0].asked_at == timedelta(hours=168)
    story.later(hours=10).tick(words.look(requests=2000)).then(e.EvidenceRecorded, e.StageEntered)
    assert story.now.extended_to == timedelta(0), "the next stage has its own time"


def test_what_is_not_on_hold_for_lack_of_evidence_is_not_extended(running, words, cast):
    running().refuses(c.ExtendStage(), "is not on hold for lack of evidence", by=cast["ana"])
    silent = running().tick(words.look(SILENCE))
    silent.refuses(c.ExtendStage(), "is not on hold for lack of evidence", by=cast["ana"])


@pytest.mark.parametrize(("min_hold", "asked_after"), [(6, 24), (0, 24), (12, 48)])
def test_a_stage_without_a_longest_hold_asks_after_four_holds_or_a_day(running, words, min_hold, asked_after):
    endless = replace(words.stages[0], min_hold=timedelta(hours=min_hold), max_hold=None)
    story = running(stages=(endless, *words.stages[1:])).later(hours=asked_after - 1).tick(words.look(requests=10))
    assert story.now.state is RolloutState.RUNNING
    story.later(hours=1).tick(words.look(requests=10))
    assert story.now.hold.key == "undecided:canary"


SILENCE = NoData(since=None, arm="canary")


@pytest.fixture
def half_approved(asking, words, cast):
    """At a gate that two of two groups have to open, of which one has."""
    story = asking.later(hours=6).tick(words.look())
    story.happen(replace(story.now.request, request="R-1.7", needed=2))
    return story.when(c.Approve(), by=cast["lee"])


def test_a_quarter_of_an_hour_of_silence_at_a_gate_keeps_the_approvals(half_approved, words, cast):
    story = half_approved.later(minutes=15).tick(words.look(SILENCE)).then(e.EvidenceRecorded, e.Held)
    assert story.now.waiting_for == "requests on the new version have stopped arriving"
    story.later(minutes=5).tick(words.look()).then(e.EvidenceRecorded, e.HoldCleared)
    assert story.now.state is RolloutState.WAITING
    story.when(c.Approve(), by=cast["mira"]).tick(words.look()).then(e.StageEntered)
    assert story.now.percent == 25


def test_approvals_may_be_given_in_a_silence_that_clears_itself_and_it_grows_after_it(half_approved, words, cast):
    story = half_approved.tick(words.look(SILENCE)).when(c.Approve(), by=cast["mira"])
    story.tick(words.look(SILENCE)).then()
    story.tick(words.look()).then(e.EvidenceRecorded, e.HoldCleared).tick(words.look()).then(e.StageEntered)


def test_a_resume_of_a_silence_at_a_gate_waits_for_the_same_approvals(half_approved, words):
    story = half_approved.tick(words.look(SILENCE)).when(c.Resume(reason="the app was deployed"))
    assert (story.now.state, len(story.now.approvals)) == (RolloutState.WAITING, 1)
    story.tick(words.look(SILENCE))
    assert len(story.now.approvals) == 1, "silence is no other evidence"


def test_a_hold_that_a_person_decides_on_still_voids_them(half_approved, words):
    story = half_approved.tick(words.look(Hold(findings=(words.finding("retry_rate"),))))
    assert (story.now.state, story.now.request, story.now.approvals) == (RolloutState.ON_HOLD, None, ())


@pytest.fixture
def internal(running, words):
    cohort = Stage(
        kind=StageKind.COHORT, name="internal", percent=50, where={"internal": "true"}, min_hold=timedelta(hours=24)
    )
    return running(stages=(cohort, *words.stages))


def test_chosen_people_who_sleep_hold_nothing_and_the_clock_goes_on(internal, words):
    story = internal.later(hours=2).tick(words.look())
    story.later(hours=10).tick(words.look(SILENCE)).then(e.EvidenceRecorded)
    story.later(hours=12).tick(words.look(SILENCE))
    assert (story.now.state, story.now.percent) == (RolloutState.RUNNING, 50), "it does not grow while nobody is there"
    story.later(hours=1).tick(words.look()).then(e.EvidenceRecorded, e.StageEntered)


def test_chosen_people_of_whom_nobody_ever_came_hold_it(internal, words):
    assert internal.tick(words.look(SILENCE, requests=0)).now.hold.key == "no_data"


def test_chosen_people_who_stay_away_for_a_day_are_asked_about(internal, words):
    short = replace(internal.now.plan.stages[0], min_hold=timedelta(hours=2))
    internal.rollout = replace(internal.now, plan=replace(internal.now.plan, stages=(short, *words.stages)))
    assert internal.later(hours=23).tick(words.look(SILENCE)).now.hold is None
    assert internal.later(hours=1).tick(words.look(SILENCE)).now.hold.key == "undecided:internal"


GLASS = replace(DEFAULT_POLICY, break_glass=BreakGlass(groups=("@ai-platform",), reason_min_chars=20))
PAT = Actor(id="slack:T1/U7", handle="@pat", groups=("@ai-platform",))


def test_who_may_break_glass_goes_on_before_the_trial_has_held_and_it_is_said(running, words):
    story = running(words.story(policy=GLASS))
    story.refuses(c.Advance(to_percent=100, reason="ship it"), "at least 20 characters", by=PAT)
    story.refuses(
        c.Advance(to_percent=100, reason="the old model is down for all"),
        r"Too early: the small test \(5 %\) has run for",
    )
    story.when(c.Advance(to_percent=100, reason="the old model is down for all"), by=PAT).then(
        e.BlindSpotsAccepted, e.StageEntered
    )
    assert story.last[1].skipped == (
        "the old model is down for all (before it was tried, by break-glass; to be reviewed by Wed 25 Nov 10:00 UTC)"
    )


def test_breaking_glass_skips_no_gate_and_no_approval(running, words, cast):
    approved = replace(words.stages[2], advance=AdvanceMode.APPROVE)
    story = running(words.story(policy=GLASS), stages=(*words.stages[:2], approved, words.stages[3]))
    story.when(c.Advance(to_percent=100, reason="the old model is down for all"), by=PAT).then(
        e.BlindSpotsAccepted, e.ApprovalRequested
    )
    assert "by break-glass" in story.now.skipped


def test_a_cohort_that_is_all_the_trial_there_is_has_to_hold(running, words):
    cohort = Stage(kind=StageKind.COHORT, name="internal", percent=50, where={"a": "b"}, min_hold=timedelta(hours=2))
    story = running(stages=(cohort, *words.stages[1:]))
    story.refuses(
        c.Advance(to_percent=100, reason="ship it"), "Too early: internal has run for 0 s of the 2 h that it has to."
    )
    story.later(hours=2).when(c.Advance(to_percent=100, reason="ship it")).then(e.BlindSpotsAccepted, e.StageEntered)


def test_a_cohort_before_a_canary_may_be_skipped_where_the_policy_lets_it(running, words):
    cohort = Stage(kind=StageKind.COHORT, name="internal", percent=50, where={"a": "b"}, min_hold=timedelta(hours=2))
    story = running(stages=(cohort, *words.stages))
    story.when(c.Advance(to_percent=5, reason="all of us tried it")).then(e.StageEntered)
    assert story.now.percent == 5


def test_everybody_is_a_step_that_needs_its_trial_even_where_no_step_is_big(running, words):
    story = running(words.story(policy=replace(DEFAULT_POLICY, max_step=None)))
    story.refuses(
        c.Advance(to_percent=100, reason="ship it"),
        r"Too early: the small test \(5 %\) has run for 0 s of the 6 h that it has to.",
    )


def test_whoever_has_it_all_is_watched_without_more_ado(running, words):
    standard = replace(DEFAULT_POLICY.risk[Risk.STANDARD], min_canary_hold=timedelta(hours=6))
    policy = replace(DEFAULT_POLICY, risk={**DEFAULT_POLICY.risk, Risk.STANDARD: standard})
    story = running(words.story(policy=policy)).happen(e.StageEntered(index=2, name="ramp 100%", percent=100))
    story.when(c.Advance(reason="seen enough")).then(e.StageEntered)
