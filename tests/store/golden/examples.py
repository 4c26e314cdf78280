"""A realistic event of every stored type, with every optional field in use; by file name without its ending."""

from dataclasses import replace
from datetime import UTC, date, datetime, time, timedelta

from core.evals import eval_report as er
from core.evals.repeats import FlakyCase
from core.judging.limits import limits
from core.judging.model import comparison, verdict
from core.judging.model.causes import Cause, DifferenceCauses
from core.judging.model.soft_errors import SoftErrorCounts
from core.metrics.own_metrics import define_metric
from core.rollout.plans import baseline, bundle_order, layers, policy, renewal
from core.rollout.plans import plan as p
from core.rollout.state import events as e
from core.rollout.state import surface
from core.rollout.state.sources import (
    CountedMetric,
    PrometheusCounters,
    RatioColumns,
    SourceColumns,
    SourceTerms,
    SqlRows,
    TraceRows,
)
from core.rollout.workspace import freezes, subscriptions
from core.shadow_eval import anchors, rubric, spending

NOON = datetime(2026, 11, 23, 12, 0, 0, 250_000, tzinfo=UTC)
OLD = {
    "prompt": "prompts/system.md@sha256:11aa90c4",
    "model": {"provider": "acme-ai", "name": "large-3", "snapshot": "2026-03-01"},
    "params": {"temperature": 0.2, "max_tokens": 800},
    "tools": ["search", "refund"],
    "routing": {"de": "eu-1"},
}
NEW = {**OLD, "prompt": "prompts/system.md@sha256:9f2c51e0"}
OWN_METRICS = (
    replace(define_metric("resolution_rate", "rate", "up", title="Solved without a person"), usual=0.62),
    replace(define_metric("answer_words", "mean", "same", unit="words"), usual=120.0, cap=800.0),
    define_metric("lookup_wait", "quantile", "down", unit="ms", probability=0.9),
    define_metric("cited_claims", "ratio", "up", unit="per claim", is_signal=True),
)
BLIND_SPOT = verdict.BlindSpot(
    metric="eval_pass_rate",
    kind="drops_by",
    title="Answers that pass",
    limit_text="drops by 2 pp",
    missed=0.04,
    unit="% of checked answers",
    relative=False,
    harm="less",
    readings=412,
    needed=1730,
    more=timedelta(hours=9),
)
FINDING = verdict.Finding(
    metric="refusal_rate",
    kind="rises_by",
    limit_text="rises by 1 pp",
    canary=0.0812,
    control=0.0204,
    difference=0.0608,
    low=0.0311,
    high=None,
    log_e=7.25,
    threshold=3.912,
    segment="language=de",
    note="readings above 4,000 ms count as 4,000 ms",
    title="Refusals",
    unit="% of requests",
    relative=False,
)
MEASURE = verdict.Measure(
    metric="latency_p95",
    title="Slowest 5 %",
    limit_text="exceeds 4000 ms for 15 min",
    canary=3120.5,
    control=2988.0,
    difference=0.0443,
    low=-0.011,
    high=0.1,
    log_e=-1.5,
    word="Slightly worse, within limit",
    n_canary=1204,
    n_control=22910,
    unit="ms",
    relative=True,
    weaker=True,
    note="compared with last week",
    segment="language=de",
    role="rollback",
    implied=True,
    harm="either",
    amount=4000.0,
    absolute=True,
    error=12.5,
    design_effect=1.7,
    needed=3.912,
    log_clear=2.5,
    cleared=True,
    expected="not as expected",
)
LEVEL = baseline.BaselineLevel(
    metric="refusal_rate", level=0.0204, spread=0.1, share=0.9, design_effect=1.4, readings=22910
)
NOTICE = p.NoticePlan(channel="#support", audience="support", before=timedelta(days=1), acknowledge=True)
PLAN = p.Plan(
    name="support-tone",
    surface="support-assistant",
    owner="U2",
    owner_handle="@dana",
    risk=p.Risk.STANDARD,
    template="prompt-change",
    from_version="v42",
    to_version="v43",
    change={"prompt": NEW["prompt"]},
    why="Shorter answers: “kürzer” — agreed with support.",
    ticket="AI-1729",
    deadline="2026-12-24",
    rollback_until="2027-01-31",
    behaviour_changes=(
        p.BehaviourChange(
            audience=("support", "marketing"),
            text="Answers are about a third shorter.",
            example_before="Thank you for reaching out …",
            example_after="Restart the router.",
            unchanged=True,
        ),
    ),
    expectations=(p.Expectation(metric="cost_per_request", direction="down", low=-0.3, high=-0.1, points=True),),
    stages=(
        p.Stage(
            kind=p.StageKind.EVAL,
            name="offline",
            terms=p.EvalTerms(
                suite="support-300",
                min_pass_rate=0.95,
                no_new_failures_in=("refunds",),
                compare_to_current=True,
                max_cost_rise=0.1,
                max_p95_rise=0.2,
            ),
        ),
        p.Stage(kind=p.StageKind.ROLLBACK_DRILL, name="drill", drill_within=timedelta(seconds=30)),
        p.Stage(kind=p.StageKind.COHORT, name="staff", percent=100, where={"plan": "staff", "country": ("de", "at")}),
        p.Stage(
            kind=p.StageKind.CANARY,
            name="canary",
            percent=2.5,
            min_hold=timedelta(minutes=2),
            max_hold=timedelta(minutes=30),
            min_samples=200,
            advance=p.AdvanceMode.APPROVE,
        ),
        p.Stage(kind=p.StageKind.AB, name="ab", percent=50, decide_on=("quality_score",)),
    ),
    unit="conversation",
    control="matched",
    segments=("language", "plan"),
    approvals=p.Approvals(required=2, groups=("ai-leads",), owner_may_approve=True),
    limits=(
        limits.Limit(
            metric="latency_p95",
            kind=limits.LimitKind.EXCEEDS,
            amount=4000,
            scale=limits.LimitScale.ABSOLUTE,
            role=limits.LimitRole.HOLD,
            lasting=timedelta(minutes=15),
            min_events=50,
            strict=True,
            dry_run=True,
        ),
    ),
    notices=(p.NoticePlan(channel="#ai-rollouts", audience="engineering"), NOTICE),
    start=NOON + timedelta(days=2),
)
DRIVEN = p.DrivenFlag(
    url="https://flags.example.com",
    project="default",
    environment="production",
    feature="new-prompt",
    strategy="9c2d7a52-6f0e-4d4c-9df1-8a2f6c1b7e10",
    system="unleash",
)
CERTAIN = replace(
    PLAN, stages=(replace(PLAN.stages[0], terms=replace(PLAN.stages[0].terms, by_lower_bound=True)), *PLAN.stages[1:])
)
EVAL_REPORT = er.EvalReport(
    tool="promptfoo 0.121.20",
    dataset="3f2a9c0114bd",
    pass_rate=er.PassRate(passed=284, total=300, low=0.9149, high=0.9691, needed=0.92, by_lower_bound=True),
    judges=("llm-rubric",),
    models=("acme-ai:large-3-2026-03-01",),
    runs=600,
    flaky_count=1,
    flaky=(FlakyCase(case="refund-9", passed=1, runs=2),),
    errors=er.CaseList(count=2, cases=("late-1", "late-2")),
    paired=er.PairedOutcome(
        shared=298,
        passed=283,
        current_passed=286,
        broke=er.CaseList(count=4, cases=("delete-4", "refund-2", "refund-3", "tone-8")),
        mended=er.CaseList(count=1, cases=("tone-1",)),
        p_value=0.375,
    ),
    new_failures=(er.CategoryFailures(category="privacy", failures=er.CaseList(count=1, cases=("delete-4",))),),
    suite_change=er.SuiteChange(
        added=er.CaseList(count=2, cases=("new-1", "new-2")),
        removed=er.CaseList(count=0, cases=()),
        rewritten=er.CaseList(count=1, cases=("tone-3",)),
    ),
    replay=(
        er.ReplayChange(
            measure="cost",
            cases=298,
            current=er.ReplayLevel(value=0.0121),
            new=er.ReplayLevel(value=0.0127),
            rise=0.05,
            rise_low=0.03,
            rise_high=0.07,
            allowed=0.25,
        ),
        er.ReplayChange(
            measure="latency_p95",
            cases=298,
            current=er.ReplayLevel(value=3100.0, low=2900.0, high=3500.0),
            new=er.ReplayLevel(value=3200.0, low=3000.0),
            rise=0.032,
        ),
    ),
    covers=("billing", "privacy", "tone", "language=de", "language=en"),
)
DRIVING = replace(PLAN, drives=DRIVEN)
LABEL = p.DrivenFlag(
    url="https://mlflow.example.com",
    project="",
    environment="",
    feature="order-classifier",
    strategy="production",
    system="mlflow",
    new="8",
    old="7",
    moves="everyone",
)
DRIVING_LABEL = replace(PLAN, drives=LABEL)
DRIVING_SEVERAL = replace(PLAN, drives=(DRIVEN, replace(DRIVEN, feature="new-tools")))
FINISHING = replace(PLAN, finish_within=timedelta(hours=24))
HOLDING = replace(PLAN, holdout=p.Holdout(percent=2.0, lasts=timedelta(days=90)))
STEPPED = replace(PLAN, stages=(replace(PLAN.stages[0], stratum="free"), *PLAN.stages[1:]))
STRATIFIED = replace(PLAN, strata={"free": {"plan": "free"}, "paid": {"plan": ("pro", "enterprise")}})
REVERTING = replace(
    PLAN,
    reverts=(
        p.CodeRevert(system="github", url="https://api.github.com", repository="acme/assistant", pull_request=881),
        p.CodeRevert(system="webhook", url="https://deploy.example.com/revert"),
    ),
)
POLICY = policy.Policy(
    timezone="Europe/Berlin",
    roles={"approver": policy.Role(groups=("ai-leads",), people=("U3",), channels=("#ai-rollouts",))},
    max_step=None,
    canary_min=0.5,
    canary_max=10.0,
    per_surface=2,
    when_busy="queue",
    freezes=(
        policy.Freeze(name="weekend", from_weekday=4, from_time=time(16), to_weekday=0, to_time=time(8)),
        policy.Freeze(name="holidays", from_date=date(2026, 12, 20), to_date=date(2027, 1, 4)),
    ),
    quiet=policy.QuietHours(start=time(20), end=time(7, 30), applies_to=("summary",)),
    summary_first_day=timedelta(minutes=30),
    summary_later=timedelta(hours=12),
    approval_expires=timedelta(hours=8),
)

LAYERED = replace(
    POLICY, layers=(layers.Layer(name="chat", shares=(("search", 400_000), ("support-assistant", 600_000))),)
)


def _evidence(concluded: verdict.Verdict) -> e.EvidenceRecorded:
    return e.EvidenceRecorded(
        number=3,
        reason="verdict",
        verdict=concluded,
        measures=(MEASURE,),
        canary_requests=1204,
        control_requests=22910,
        canary_units=488,
        control_units=9120,
        first_look=17,
        last_look=24,
        state_before="5f1c0d",
        looks="9a77e2",
        state_after="c04b11",
        notes=(FINDING,),
        segments=(MEASURE,),
        segments_checked=12,
    )


_EVENTS: tuple[e.Event, ...] = (
    e.Planned(rollout="R-7", plan=PLAN, fingerprint=PLAN.fingerprint(), from_content=OLD, to_content=NEW, by="U2"),
    e.FlagSet(flag=DRIVEN.title, percent=25.0, before=5.0, seconds=0.42),
    e.RevertRequested(
        index=0, system="acme/assistant#881", reference="https://github.com/acme/assistant/pull/912", seconds=1.7
    ),
    e.RevertNotRequested(
        index=1, system="https://deploy.example.com/revert", error="the deploy system answers 503", trying=True
    ),
    e.Bundled(
        bundle="refunds-tone",
        order=bundle_order.BundleOrder.TOGETHER,
        members=("R-118", "R-119"),
        by="slack:T1/U1",
    ),
    e.Unbundled(bundle="refunds-tone", by="slack:T1/U1"),
    e.BundleNotFollowed(
        bundle="refunds-tone", cause="R-119", why="v44 (R-121) went live on support-assistant after it"
    ),
    e.StratumRolledBack(by="slack:T1/U2", reason="refunds were refused", stratum="free", version="v42"),
    e.ConversationsMoved(by="slack:T1/U2", reason="refunds were refused", is_due=False),
    e.HoldoutEnded(by="slack:T1/U2", cause="person", reason="support wants one version"),
    e.HoldoutCompared(
        found=comparison.HoldoutComparison(
            since=NOON,
            until=NOON + timedelta(days=90),
            advice="go back",
            measures=(MEASURE,),
            new_requests=1_204_200,
            held_requests=24_310,
            new_units=98_004,
            held_units=2_011,
        )
    ),
    e.CodeReverted(by="slack:T1/U3", note="deployed as 2026-11-24.2"),
    e.FlagNotSet(flag=DRIVEN.title, percent=0.0, error="Unleash says 401 Unauthorized", trying=True),
    e.ApprovalRequested(
        request="R-7.1", gate="start", needed=2, verdict="cleared", expires_at=NOON + timedelta(hours=8)
    ),
    e.ApprovalExpired(request="R-7.1"),
    e.Approved(request="R-7.2", by="slack:T1/U3", handle="@lee", groups=("ai-leads",), note="tried it — good"),
    e.Rejected(request="R-7.2", by="slack:T1/U3", reason="not before the holidays"),
    e.StartScheduled(start=NOON + timedelta(days=1), by="slack:T1/U2"),
    e.BaseChanged(live="v43"),
    e.Started(fingerprint=PLAN.fingerprint(), by="slack:T1/U2"),
    e.StageEntered(index=3, name="canary", percent=2.5, skipped="the eval ran twice already"),
    e.EvalRecorded(
        stage=0,
        suite="support-300",
        ok=False,
        passed=284,
        failed=14,
        errors=2,
        reasons=("pass rate 94.7 % is below 95 %",),
        cases=("refund-12", "refund-40"),
        digest="3b1f9c",
        by="token:operator",
    ),
    e.DrillFinished(stage=1, seconds=0.42, ok=True),
    e.ComparisonEnded(
        stage=4,
        look=1209,
        advice="cannot tell",
        measures=(MEASURE,),
        courses=(
            comparison.MetricCourse(
                metric="quality_score",
                days=(
                    comparison.CourseDay(number=1, canary=4.1, control=4.0, difference=0.1, requests=2204),
                    comparison.CourseDay(number=2, canary=None, control=4.0, difference=None, requests=1102),
                ),
                early=0.1,
                late=-0.02,
                is_novelty=True,
                trend="falling",
            ),
        ),
        weekdays=(2, 2, 2, 2, 2, 2, 1),
    ),
    e.ComparisonDecided(
        stage=4, keep=False, advice="cannot tell", by="slack:T1/U3", reason="support hears more complaints"
    ),
    e.BlindSpotsAccepted(
        by="slack:T1/U3", reason="we read a sample by hand", stage="canary", lasting=True, spots=(BLIND_SPOT,)
    ),
    e.TailsFrozen(caps={"cost_per_request": 0.081, "latency_p95": 9000.0}),
    e.Held(key="limit:refusal_rate", text="Refusals rose by 6 pp", findings=(FINDING,)),
    e.HoldCleared(key="silence:canary"),
    e.Paused(by="slack:T1/U3", reason="looking at it"),
    e.Resumed(by="slack:T1/U3", reason="a known outage", overrides="limit:refusal_rate"),
    e.StageExtended(by="slack:T1/U3", stage=2, asked_at=timedelta(hours=96)),
    e.RolledBack(
        by="system:engine",
        reason="Refusals rose by 6 pp",
        findings=(FINDING,),
        version="v42",
        after_done=True,
        verdict_seconds=41.5,
        judged_seconds=0.031,
        exposed_requests=1204,
        exposed_units=488,
    ),
    e.FlipConfirmed(seconds=0.38, processes=3),
    e.FlipUnconfirmed(seconds=60.2, missing=("web-2:811:9f00",)),
    e.Completed(version="v43", retired="v42"),
    e.Abandoned(by="slack:T1/U2", reason="another way was found"),
    e.NoticeAcknowledged(notice="support:#support", by="slack:T1/U9", handle="@kim"),
    e.ConcernRaised(notice="support:#support", by="slack:T1/U9", handle="@kim", text='it says "refund" & <less>'),
    e.ConcernsAnswered(by="slack:T1/U2", handle="@dana", text="it waits until the sale is over"),
    e.RollbackExplained(by="slack:T1/U2", handle="@dana", cause="answers", reason="refunds were refused"),
    e.ReminderRequested(notice="marketing:#marketing", by="slack:T1/U9"),
    e.FeltOff(by="slack:T1/U9", handle="@kim", text="curt\nand cold"),
    e.VoteCast(
        by="slack:T1/U9", handle="@kim", voter="U9", stage=1, arm="canary", choice="worse", text="curt\nand cold"
    ),
    e.VoteWithdrawn(by="slack:T1/U9", voter="U9", stage=1),
    e.AnchorsJudged(
        round=2,
        began_at=NOON,
        verdicts={"refund-1": True, "refund-2": False},
        anchors=2,
        is_complete=True,
        is_good=False,
        p=0.0042,
        labels={"refund-1": True, "refund-2": True},
    ),
    e.JudgeMoved(
        round=2,
        passes=31,
        judged=40,
        passes_before=38,
        judged_before=40,
        p=0.0042,
        since=NOON - timedelta(hours=4),
        set_aside={"canary": 812, "control": 808},
    ),
    e.JudgeSettled(round=3),
    e.JudgingCapReached(spent=24.99, cap=25.0, judged={"canary": 812, "control": 808}),
    e.ComplaintReported(
        by="slack:T1/U9",
        handle="@kim",
        text="answered in English",
        arm="canary",
        version="v43",
        unit_hash="0c3f9a1be2d47788",
        message="C0SUPPORT1/1764000000.000100",
    ),
    e.UnitMovedBack(by="slack:T1/U9", unit_hash="0c3f9a1be2d47788", version="v42", reason="asked for the old answers"),
    e.ReviewRequested(due_at=NOON + timedelta(days=2)),
    e.ReviewSubmitted(
        by="slack:T1/U2",
        handle="@dana",
        numbers="cheaper than we thought",
        unexpected="German users ask again more often",
        behaviour="conversations are shorter",
        cost="yes, 11 % less",
        worked="the canary held for a whole day",
        failed="support heard of it too late",
        next_time="tell support two days before",
        keeps_baseline=True,
    ),
    e.MessagePosted(key="line:12", channel="C0123456", ts="1764000000.000100"),
    e.MessageFailed(key="notice:5f1c:support:#support", channel="#support", error="is_archived"),
    surface.SurfaceDeclared(
        surface="support-assistant",
        title="Support assistant",
        owner="@dana",
        version="v42",
        content=OLD,
        daily_requests=2_880_000,
        notices=(NOTICE,),
        fingerprint="77b0a1",
    ),
    surface.VersionNamed(version="v43", content=NEW, rollout="R-7"),
    surface.OtherModelAnswered(version="v43", configured="large-4-2026-11-30", answered="large-3-2026-03-01"),
    surface.RetirementTold(model="large-3", on=date(2027, 2, 15), replacement="large-4", days=60),
    surface.SurfaceTaken(rollout="R-7"),
    surface.SurfaceFreed(rollout="R-7"),
    surface.LiveMoved(version="v43", rollout="R-7", at=NOON),
    surface.BaselineRecorded(
        baseline=baseline.SurfaceBaseline(
            rollout="R-7",
            version="v43",
            until=NOON,
            daily_requests=2_880_000.0,
            levels=(LEVEL,),
            segments=(replace(LEVEL, segment="language=de", level=0.031),),
            complaints_by_hour=(baseline.HourlyComplaints(hour=9, requests=4200, complaints=3),),
        ),
        by="slack:T1/U2",
    ),
    e.GlassBroken(
        by="slack:T1/U3",
        reason="checkout is down and this is the fix",
        action="start",
        passed_over=("1 more approval", "the notice to #support"),
        review_due=NOON,
    ),
    e.GrowthFrozen(by="slack:T1/U3", until=NOON, reason="year-end sale"),
    e.GrowthUnfrozen(by="slack:T1/U3"),
    freezes.ChangesFrozen(by="slack:T1/U3", surface="support-assistant", until=NOON, reason="year-end sale"),
    freezes.ChangesUnfrozen(by="slack:T1/U3", surface="support-assistant"),
    subscriptions.Subscribed(by="slack:T1/U3", surface="support-assistant", audience="support"),
    subscriptions.Unsubscribed(by="slack:T1/U3", surface="support-assistant", audience="support"),
    subscriptions.NotificationsChanged(
        by="slack:T1/U3", role="support", quiet_from=time(20, 0), quiet_until=time(8, 30), zone="Europe/Berlin"
    ),
    e.PolicyApplied(policy=POLICY, fingerprint="0c11d4", by="slack:T1/U1"),
    e.WordsErased(key_id="6b1c3a52-0d0f-4b39-8f7e-1f2f0a6f4c11", by="cli:ops"),
    e.WorldCheckpointed(position=10_000, hash="ab" * 32, world="cd" * 32, code="ef" * 32),
)
_VERDICTS: tuple[verdict.Verdict, ...] = (
    verdict.Continue(),
    verdict.TooEarly(canary_requests=3, control_requests=0),
    verdict.NoData(since=NOON, arm="canary"),
    verdict.BrokenSource(metric="thumbs_down", title="Thumbs down", arm="both", since=NOON),
    verdict.NoControl(),
    verdict.Skewed(log_bayes_factor=12.5, expected_share=0.05, observed_share=0.0812),
    verdict.Cleared(watched=("refusal_rate",)),
    verdict.Hold(findings=(FINDING,)),
    verdict.RollBack(findings=(FINDING,)),
)


def _version(event: e.Event) -> int:
    return getattr(event, "SCHEMA", 1)


EXAMPLES: dict[str, e.Event] = {
    **{f"{event.TYPE}.{_version(event)}": event for event in _EVENTS},
    **{f"{x.TYPE}.{_version(x)}.{x.verdict.name}": x for x in map(_evidence, _VERDICTS)},
    "rollout.reminder_requested.1.next_step": e.ReminderRequested(notice="", by="slack:T1/U9", next_step=True),
    "rollout.approval_requested.1.skipping": e.ApprovalRequested(
        request="R-7.3", gate="ramp 25%", needed=2, verdict="Continue", expires_at=NOON, skipped="seen by all of us"
    ),
    "surface.declared.1.judged": surface.SurfaceDeclared(
        surface="support-assistant",
        title="Support assistant",
        owner="@dana",
        version="v42",
        content=OLD,
        daily_requests=2_880_000,
        notices=(NOTICE,),
        fingerprint="77b0a1",
        flows={"refunds": {"intent": "refund"}, "enterprise": {"plan": ("enterprise", "government")}},
        judging=surface.JudgingTerms(judge="support-judge-v3", share=0.1, keep=timedelta(days=7), most=20_000),
    ),
    "surface.declared.1.rubric": surface.SurfaceDeclared(
        surface="support-assistant",
        title="Support assistant",
        owner="@dana",
        version="v42",
        content=OLD,
        daily_requests=2_880_000,
        notices=(NOTICE,),
        fingerprint="77b0a3",
        judging=surface.JudgingTerms(
            judge="support-judge-v4",
            share=0.1,
            keep=timedelta(days=7),
            most=20_000,
            criteria=(rubric.JudgingCriterion(name="tone", title="Tone", asks="Is the tone friendly?"),),
        ),
    ),
    "surface.declared.1.anchors": surface.SurfaceDeclared(
        surface="support-assistant",
        title="Support assistant",
        owner="@dana",
        version="v42",
        content=OLD,
        daily_requests=2_880_000,
        notices=(NOTICE,),
        fingerprint="77b0a4",
        judging=surface.JudgingTerms(
            judge="support-judge-v4",
            share=0.1,
            keep=timedelta(days=7),
            most=20_000,
            anchors=(
                anchors.JudgeAnchor(
                    id="refund-1", question="Can I have it back?", answer="Within 30 days.", label="pass"
                ),
                anchors.JudgeAnchor(id="refund-2", question="Can I have it back?", answer="No idea."),
            ),
            anchors_every=timedelta(hours=4),
            cost=0.004,
            cap=25.0,
        ),
    ),
    "surface.declared.1.testers": surface.SurfaceDeclared(
        surface="support-assistant",
        title="Support assistant",
        owner="@dana",
        version="v42",
        content=OLD,
        daily_requests=2_880_000,
        notices=(NOTICE,),
        fingerprint="77b0a2",
        testers=(p.Tester(person="@kim", handle="@kim", unit="user-81"), p.Tester(channel="#beta-testers")),
    ),
    "surface.declared.1.sources": surface.SurfaceDeclared(
        surface="support-assistant",
        title="Support assistant",
        owner="@dana",
        version="v42",
        content=OLD,
        daily_requests=2_880_000,
        notices=(NOTICE,),
        fingerprint="77b0a3",
        sources=(
            SourceTerms(
                name="warehouse",
                every=timedelta(minutes=5),
                delay=timedelta(minutes=2),
                late=timedelta(hours=1),
                timeout=timedelta(seconds=30),
                sql=SqlRows(
                    url="SOURCE_WAREHOUSE_URL",
                    rows="requests",
                    columns=SourceColumns(unit="user_id", at="served_at", exposure="exposure", id="request_id"),
                    metrics={"latency_ms": "duration_ms", "refusal_rate": "refused"},
                    segments={"language": "language"},
                    table="analytics.requests",
                ),
            ),
        ),
    ),
    "surface.declared.1.source_errors": surface.SurfaceDeclared(
        surface="support-assistant",
        title="Support assistant",
        owner="@dana",
        version="v42",
        content=OLD,
        daily_requests=2_880_000,
        notices=(NOTICE,),
        fingerprint="77b0a6",
        sources=(
            SourceTerms(
                name="warehouse",
                every=timedelta(minutes=5),
                delay=timedelta(minutes=2),
                late=timedelta(hours=1),
                timeout=timedelta(seconds=30),
                sql=SqlRows(
                    url="SOURCE_WAREHOUSE_URL",
                    rows="requests",
                    columns=SourceColumns(unit="user_id", at="served_at", exposure="exposure"),
                    metrics={},
                    table="analytics.requests",
                    error_category="error_kind",
                ),
            ),
        ),
    ),
    "surface.declared.1.source_ratios": surface.SurfaceDeclared(
        surface="support-assistant",
        title="Support assistant",
        owner="@dana",
        version="v42",
        content=OLD,
        daily_requests=2_880_000,
        notices=(NOTICE,),
        fingerprint="77b0a7",
        sources=(
            SourceTerms(
                name="warehouse",
                every=timedelta(minutes=5),
                delay=timedelta(minutes=2),
                late=timedelta(hours=1),
                timeout=timedelta(seconds=30),
                sql=SqlRows(
                    url="SOURCE_WAREHOUSE_URL",
                    rows="requests",
                    columns=SourceColumns(unit="user_id", at="served_at", exposure="exposure"),
                    metrics={},
                    table="analytics.requests",
                    ratios={"cited": RatioColumns(numerator="cited_claims", denominator="claims")},
                ),
            ),
        ),
    ),
    "surface.declared.1.counters": surface.SurfaceDeclared(
        surface="support-assistant",
        title="Support assistant",
        owner="@dana",
        version="v42",
        content=OLD,
        daily_requests=2_880_000,
        notices=(NOTICE,),
        fingerprint="77b0a4",
        sources=(
            SourceTerms(
                name="cluster-metrics",
                every=timedelta(minutes=1),
                delay=timedelta(seconds=15),
                late=timedelta(hours=1),
                timeout=timedelta(seconds=30),
                prometheus=PrometheusCounters(
                    url="SOURCE_PROMETHEUS_URL",
                    side="exposure",
                    label="exposure",
                    metrics={
                        "refusal_rate": CountedMetric(counter="refusals_total", of="requests_total"),
                        "latency_ms": CountedMetric(histogram="latency_seconds", scale=1000.0),
                    },
                    match={"job": "assistant"},
                    requests="requests_total",
                    requests_per_unit=10.0,
                ),
            ),
        ),
    ),
    "surface.declared.1.traces": surface.SurfaceDeclared(
        surface="support-assistant",
        title="Support assistant",
        owner="@dana",
        version="v42",
        content=OLD,
        daily_requests=20_000,
        notices=(NOTICE,),
        fingerprint="77b0a5",
        sources=(
            SourceTerms(
                name="traces",
                every=timedelta(minutes=5),
                delay=timedelta(minutes=2),
                late=timedelta(hours=1),
                timeout=timedelta(seconds=30),
                traces=TraceRows(
                    url="SOURCE_PHOENIX_URL",
                    system="phoenix",
                    rows="requests",
                    columns=SourceColumns(unit="user", at="", exposure="metadata.exposure"),
                    metrics={"latency_ms": "latency_ms", "eval_pass_rate": "score.correct"},
                    segments={"language": "metadata.language"},
                    project="support-assistant",
                ),
            ),
        ),
    ),
    "rollout.evidence_recorded.1.unread_source": _evidence(
        verdict.BrokenSource(
            metric="refusal_rate",
            title="Declined to answer",
            arm="canary",
            since=NOON,
            source="warehouse",
            why='it refuses the query: column "refused" does not exist',
        )
    ),
    "rollout.planned.1.testers": e.Planned(
        rollout="R-7",
        plan=replace(
            PLAN,
            testers=(p.Tester(person="U9", handle="@kim", unit="user-81"), p.Tester(channel="#beta-testers")),
        ),
        fingerprint="3f9a1c",
        from_content=OLD,
        to_content=NEW,
        by="slack:T1/U2",
    ),
    "surface.declared.1.own_metrics": surface.SurfaceDeclared(
        surface="support-assistant",
        title="Support assistant",
        owner="@dana",
        version="v42",
        content=OLD,
        daily_requests=2_880_000,
        notices=(NOTICE,),
        fingerprint="77b0a3",
        metrics=OWN_METRICS,
    ),
    "surface.declared.1.soft_errors": surface.SurfaceDeclared(
        surface="support-assistant",
        title="Support assistant",
        owner="@dana",
        version="v42",
        content=OLD,
        daily_requests=2_880_000,
        notices=(NOTICE,),
        fingerprint="77b0a5",
        soft_errors=surface.SoftErrorTerms(
            own=("rude_tone",), language="segment", schema={"type": "object", "required": ["answer"]}
        ),
    ),
    "rollout.evidence_recorded.1.judging": replace(
        _evidence(verdict.Continue()), judging=spending.JudgingSpend(spent=1.24, judged=310, cap=25.0)
    ),
    "rollout.evidence_recorded.1.exposed": replace(
        _evidence(verdict.Continue()), exposed_requests=1650, exposed_units=702
    ),
    "rollout.evidence_recorded.1.spread": replace(
        _evidence(verdict.Continue()),
        measures=tuple(replace(one, spread=0.62) for one in _evidence(verdict.Continue()).measures),
    ),
    "rollout.evidence_recorded.1.soft_errors": replace(
        _evidence(verdict.Continue()),
        soft_errors=(
            SoftErrorCounts(
                category="loop", canary=4, control=0, canary_requests=912, control_requests=17_300, is_new=True
            ),
        ),
    ),
    "rollout.planned.1.own_metrics": e.Planned(
        rollout="R-7",
        plan=replace(
            PLAN,
            metrics=OWN_METRICS,
            limits=(
                limits.Limit(
                    metric="resolution_rate",
                    kind=limits.LimitKind.DROPS_BY,
                    amount=0.02,
                    scale=limits.LimitScale.POINTS,
                    role=limits.LimitRole.ROLLBACK,
                    definition=OWN_METRICS[0],
                ),
                *PLAN.limits,
            ),
        ),
        fingerprint="3f9a1d",
        from_content=OLD,
        to_content=NEW,
        by="slack:T1/U2",
    ),
    "workspace.policy_applied.1.own_metrics": e.PolicyApplied(
        policy=replace(POLICY, metrics=OWN_METRICS), fingerprint="b2c1", by="slack:T1/U1"
    ),
    "rollout.approval_requested.1.skipping_by": e.ApprovalRequested(
        request="R-7.3",
        gate="ramp 25%",
        needed=2,
        verdict="Continue",
        expires_at=NOON,
        skipped="seen by all of us",
        skipped_by="slack:T1/U2",
    ),
    "rollout.stage_entered.1.skipped_by": e.StageEntered(
        index=3, name="canary", percent=2.5, skipped="the eval ran twice already", skipped_by="slack:T1/U2"
    ),
    "rollout.evidence_recorded.1.blind": replace(
        _evidence(verdict.Continue()),
        blind=(BLIND_SPOT, replace(BLIND_SPOT, unread=True, arm="control", absolute=True, needed=None, more=None)),
    ),
    "rollout.evidence_recorded.1.causes": replace(
        _evidence(verdict.Hold(findings=(FINDING,))),
        causes=(
            DifferenceCauses(
                metrics=("cost_per_request",),
                unit="US$",
                difference=0.0052,
                causes=(
                    Cause(factor="calls", canary=2.2, control=1.3, contribution=0.0041, low=0.0035, high=0.0047),
                    Cause(factor="call_cost", canary=0.006, control=0.0055, contribution=0.0011, low=None, high=None),
                ),
            ),
        ),
    ),
    "rollout.flip_confirmed.1.unheard": e.FlipConfirmed(seconds=19.4, processes=1, unheard=("web-2:811:9f00",)),
    "workspace.policy_applied.1.channels": e.PolicyApplied(
        policy=replace(POLICY, channels=policy.WorkspaceChannels(engineering="#ai-rollouts", leadership="#leadership")),
        fingerprint="b2c0",
        by="slack:T1/U1",
    ),
    "workspace.policy_applied.1.when_unwatched": e.PolicyApplied(
        policy=replace(POLICY, when_unwatched=policy.Unwatched.WITHDRAW), fingerprint="a10f", by="slack:T1/U1"
    ),
    "workspace.policy_applied.1.grow_on": e.PolicyApplied(
        policy=replace(POLICY, grow_on={p.Risk.LOW: policy.GrowOn.NOTICEABLE}), fingerprint="77d0ab", by="slack:T1/U1"
    ),
    "workspace.policy_applied.1.break_glass": e.PolicyApplied(
        policy=replace(POLICY, break_glass=policy.BreakGlass(groups=("ai-platform",))),
        fingerprint="0c11d5",
        by="slack:T1/U1",
    ),
    "rollout.planned.1.baseline": e.Planned(
        rollout="R-7",
        plan=PLAN,
        fingerprint=PLAN.fingerprint(),
        from_content=OLD,
        to_content=NEW,
        by="U2",
        baseline="R-3",
    ),
    "rollout.eval_recorded.1.report": e.EvalRecorded(
        stage=0,
        suite="support-300",
        ok=False,
        passed=284,
        failed=14,
        errors=2,
        reasons=("1 new failure in privacy: delete-4",),
        cases=("delete-4",),
        digest="3b1f9d",
        by="token:ingest",
        report=EVAL_REPORT,
    ),
    "rollout.planned.1.renewal": e.Planned(
        rollout="R-119",
        plan=PLAN,
        fingerprint="40c1dd6ae0f2b7a9",
        from_content=OLD,
        to_content=NEW,
        by="slack:T1/U2",
        renewal=renewal.PlanRenewal(
            from_version="v41", to_version="v42", live_by="R-118", replaces=("params", "prompt")
        ),
    ),
    "rollout.planned.1.lower_bound": e.Planned(
        rollout="R-7", plan=CERTAIN, fingerprint=CERTAIN.fingerprint(), from_content=OLD, to_content=NEW, by="U2"
    ),
    "rollout.planned.1.steps": e.Planned(
        rollout="R-7", plan=STEPPED, fingerprint=STEPPED.fingerprint(), from_content=OLD, to_content=NEW, by="U2"
    ),
    "rollout.planned.1.strata": e.Planned(
        rollout="R-7", plan=STRATIFIED, fingerprint=STRATIFIED.fingerprint(), from_content=OLD, to_content=NEW, by="U2"
    ),
    "rollout.flip_confirmed.1.stratum": e.FlipConfirmed(seconds=0.38, processes=3, stratum="free"),
    "rollout.flip_unconfirmed.1.stratum": e.FlipUnconfirmed(seconds=60.2, missing=("web-2:811:9f00",), stratum="free"),
    "rollout.planned.1.finishing": e.Planned(
        rollout="R-7", plan=FINISHING, fingerprint=FINISHING.fingerprint(), from_content=OLD, to_content=NEW, by="U2"
    ),
    "rollout.rolled_back.1.bundle": e.RolledBack(
        by="slack:T1/U3",
        reason="R-119 of the bundle refunds-tone was rolled back",
        findings=(),
        version="v42",
        after_done=False,
        verdict_seconds=5400.0,
        judged_seconds=None,
        exposed_requests=1204,
        exposed_units=911,
        bundle_cause="R-119",
    ),
    "rollout.rolled_back.1.finishing": e.RolledBack(
        by="slack:T1/U2",
        reason="not now",
        findings=(),
        version="v42",
        after_done=False,
        verdict_seconds=None,
        judged_seconds=None,
        exposed_requests=0,
        exposed_units=0,
        finishing=True,
    ),
    "rollout.planned.1.holding": e.Planned(
        rollout="R-7", plan=HOLDING, fingerprint=HOLDING.fingerprint(), from_content=OLD, to_content=NEW, by="U2"
    ),
    "rollout.started.1.layer": e.Started(
        fingerprint=PLAN.fingerprint(),
        by="slack:T1/U2",
        layer=layers.LayerSlots(layer="chat", ranges=((0, 250_000), (500_000, 750_000))),
    ),
    "workspace.policy_applied.1.layers": e.PolicyApplied(
        policy=LAYERED, fingerprint=LAYERED.fingerprint(), by="slack:T1/U2"
    ),
    "rollout.planned.1.driving": e.Planned(
        rollout="R-7", plan=DRIVING, fingerprint=DRIVING.fingerprint(), from_content=OLD, to_content=NEW, by="U2"
    ),
    "rollout.planned.1.driving_label": e.Planned(
        rollout="R-7",
        plan=DRIVING_LABEL,
        fingerprint=DRIVING_LABEL.fingerprint(),
        from_content=OLD,
        to_content=NEW,
        by="U2",
    ),
    "rollout.planned.1.driving_several": e.Planned(
        rollout="R-7",
        plan=DRIVING_SEVERAL,
        fingerprint=DRIVING_SEVERAL.fingerprint(),
        from_content=OLD,
        to_content=NEW,
        by="U2",
    ),
    "rollout.planned.1.reverting": e.Planned(
        rollout="R-7", plan=REVERTING, fingerprint=REVERTING.fingerprint(), from_content=OLD, to_content=NEW, by="U2"
    ),
}
