"""What a file comes to: what people read, what happens when, who is served what, and what is judged."""

from collections.abc import Iterator
from dataclasses import replace
from datetime import datetime, timedelta
from itertools import product
from typing import Any

from bot.rendering.answers.planning import plan_outlook
from bot.rendering.charts import plain_text
from bot.rendering.messages import approval, card, plan_facts
from bot.rendering.messages.notices import notice
from core.evals.read_run import read_run
from core.files.foresight.known_traffic import assume_traffic
from core.files.foresight.outlook import build_outlook
from core.flags import evaluation
from core.judging.model.judgement import Judgement
from core.judging.model.question import Question
from core.judging.model.state import JudgingState
from core.judging.model.verdict import Continue
from core.rollout import commands as c
from core.rollout.consequences import surface_events_for
from core.rollout.context import ENGINE, Actor, Context
from core.rollout.decisions.decider import decide
from core.rollout.decisions.eval_command import build_eval_command
from core.rollout.judging.judging_question import build_question
from core.rollout.permissions import roles
from core.rollout.permissions.approvers import find_approver_rule
from core.rollout.plans.plan import Plan
from core.rollout.plans.policy import Policy
from core.rollout.refusal import Refused
from core.rollout.serving import driving
from core.rollout.serving.exposure import build_surface_flags
from core.rollout.state import events as e
from core.rollout.state.evolve import evolve
from core.rollout.state.model import Rollout
from core.rollout.state.surface import Surface
from core.rollout.state.surface import evolve as evolve_surface
from core.rollout.state.world import World

ZONE = "Europe/Berlin"
UNITS = [f"u-{number}" for number in range(150)]
ANA = Actor(id="slack:T1/U1", handle="@ana", groups=("@ai-eng", "@ai-platform"), channel="#ai-rollouts")
DANA = Actor(id="slack:T1/U0DANA", handle="@dana", groups=("@ai-eng",), channel="#ai-rollouts")
APPROVERS = (
    DANA,
    Actor(id="slack:T1/U3", handle="@lee", groups=("@ai-leads", "@a"), channel="#a"),
    Actor(id="slack:T1/U4", handle="@mira", groups=("@ai-leads", "@b"), channel="#b"),
    Actor(id="slack:T1/U5", handle="@kim", groups=("@ai-leads",), channel="#ai-rollouts"),
)
EVERYBODY = (
    ANA,
    *APPROVERS,
    *(
        Actor(id=f"slack:T1/V{n}", handle=h, groups=g, channel=ch)
        for n, (h, g, ch) in enumerate(product(("@a", "@b", "@c"), ((), ("@a",), ("@b",)), ("#a", "#b")))
    ),
)
RUNS = tuple(
    "case,category,pass,version,cost,latency_ms\n" + "\n".join(rows)
    for rows in (
        # 93 of 100 pass; cost and slow answers rise by 15 %; one new failure in each of two categories
        [f"k{i},{'ab'[i % 2]},{str(i > 6).lower()},v43,1.15,1150" for i in range(100)]
        + [f"k{i},{'ab'[i % 2]},{str(i != 0).lower()},v42,1,1000" for i in range(100)],
        ["k0,a,false,v43,1,1000", "k0,a,true,v42,1,1000", "k1,b,true,v43,1,1000", "k1,b,true,v42,1,1000"],
    )
)
PEOPLE: tuple[dict[str, Any], ...] = ({}, {"internal": True}, {"plan": "beta"}, {"plan": "free"}, {"plan": "trial"})


def list_texts(plan: Plan, surface: Surface, policy: Policy, at: datetime) -> list[str]:
    """What people read before the start: card, request for approval, plan, and notices with their channels."""
    rollout = _plan(plan, surface, at)
    outlook = build_outlook(plan, surface, policy, assume_traffic(surface), at)
    request = e.ApprovalRequested(request="R-1.1", gate="start", needed=1, verdict="none", expires_at=at)
    facts = plan_facts.DecisionFacts(outlook=outlook, rule=find_approver_rule(rollout, policy, ()))
    return [
        plain_text.render_text(card.render(rollout, ZONE)),
        plain_text.render_text(approval.render(rollout, request, (), at, ZONE, facts=facts)),
        plain_text.render_text(plan_outlook.render(outlook, ZONE)),
        *(
            f"{one.channel}: {plain_text.render_text(shown)}"
            for one in plan.stakeholder_notices
            for shown in (notice.render(rollout, one, surface.title, at, at, ZONE, is_closed=False),)
        ),
    ]


def list_answers(plan: Plan, surface: Surface, policy: Policy, at: datetime) -> list[tuple[bytes, ...]]:
    """The content that each of some people is served, in every stage."""
    return [
        tuple(
            evaluation.choose_answer(flags, unit, {**context, "targetingKey": unit}).version.json
            for context in PEOPLE
            for unit in UNITS
        )
        for rollout in _run(plan, surface, at)
        for flags in [build_surface_flags(_world(rollout, surface, policy), surface.name)]
    ]


def list_questions(plan: Plan, surface: Surface, at: datetime) -> list[Question]:
    """What the judge is asked in every stage that serves somebody."""
    return [build_question(rollout, timedelta(seconds=10)) for rollout in _run(plan, surface, at)]


def list_results(plan: Plan, surface: Surface, at: datetime) -> list[str]:
    """What comes of some eval runs at each gate."""
    rollout, said = _plan(plan, surface, at), []
    for suite, rows in product(("", "a", "b", "a.yaml", "b.yaml"), RUNS):
        try:
            recorded = build_eval_command(rollout, suite, read_run(rows.encode()))
            said.append(f"{recorded.suite} {recorded.ok} {recorded.reasons}")
        except Refused as refusal:
            said.append(str(refusal))
    for gate in plan.stages:
        if gate.terms is not None:
            alone = _plan(replace(plan, stages=(gate, plan.stages[-1])), surface, at)
            said += [str(build_eval_command(alone, "", read_run(rows.encode())).reasons) for rows in RUNS]
    return said


def list_events(plan: Plan, surface: Surface, policy: Policy, at: datetime) -> list[str]:
    """What happens when in sixteen days in which everything goes well: people approve and start, nothing gets worse."""
    play = _Play(surface, policy, at)
    play.give(c.PlanRollout(plan=plan), DANA)
    if play.rollout is None:
        return play.said
    for notice_plan in plan.stakeholder_notices:
        key = f"notice:{play.rollout.fingerprint}:{notice_plan.key}"
        play.give(c.RecordPosted(key=key, channel="C1", ts="1.0"), ENGINE)
    for hour in range(1, 16 * 24):
        play.at = at + timedelta(hours=hour)
        play.live_an_hour(hour)
    return play.said


def list_permissions(policy: Policy, at: datetime) -> list[str]:
    """What comes of it when each of some people acts as an operator or as an admin."""
    said = []
    for role, by in product(("operator", "admin"), EVERYBODY):
        try:
            roles.check_role(role, Context(at=at, by=by, policy=policy, surface=None, new_id="R-1"))
            said.append("may")
        except Refused as refusal:
            said.append(str(refusal))
    return said


def list_broken_glass(plan: Plan, surface: Surface, policy: Policy, at: datetime) -> list[str]:
    """What comes of it when people start without approvals, with shorter and longer reasons."""
    play = _Play(surface, policy, at)
    for length, by in product((15, 25), EVERYBODY):
        play.rollout = _plan(plan, surface, at)
        play.give(c.ForceForward(action="start", reason="x" * length), by)
    return play.said


class _Play:
    """A rollout as its hours go by, and what was said of it: each event with its time, each refusal."""

    def __init__(self, surface: Surface, policy: Policy, at: datetime) -> None:
        self.surface, self.policy, self.at = surface, policy, at
        self.rollout: Rollout | None = None
        self.said: list[str] = []

    def give(self, command: c.RolloutCommand, by: Actor) -> None:
        context = Context(at=self.at, by=by, policy=self.policy, surface=self.surface, new_id="R-1")
        try:
            events = decide(self.rollout, command, context)
        except Refused as refusal:
            self.said.append(f"{self.at} {refusal} {refusal.hint}")
            return
        for event in events:
            self.rollout = evolve(self.rollout, event, self.at)
            for consequence in surface_events_for(event, self.rollout.id, self.at):
                self.surface = evolve_surface(self.surface, consequence)
            if not isinstance(event, e.Planned):
                self.said.append(f"{self.at} {event!r}".replace(self.rollout.fingerprint, "plan"))

    def live_an_hour(self, hour: int) -> None:
        assert self.rollout is not None
        if self.rollout.request is not None and hour % 3 == 0:
            self.give(c.Approve(), APPROVERS[hour // 3 % len(APPROVERS)])
        if self.rollout.started_at is None:
            self.give(c.Start(), ANA)
            return
        stage = self.rollout.stage
        if stage is not None and stage.terms is not None and self.rollout.stage_index not in self.rollout.evals:
            suite = stage.terms.suite
            passed = c.RecordEval(
                suite=suite, ok=True, passed=9, failed=0, errors=0, reasons=(), cases=(), digest=str(hour)
            )
            self.give(passed, ENGINE)
        if driving.is_drilling(self.rollout):
            self.give(c.RecordDrill(seconds=5.5), ENGINE)
        elif self.rollout.is_under_way:
            self.give(c.Tick(look=self._look(hour) if self.rollout.percent else None), ENGINE)

    def _look(self, hour: int) -> c.LookResult:
        assert self.rollout is not None
        since = self.rollout.spans[-1].since
        requests = 3 * round((self.at - since) / timedelta(hours=1))
        return c.LookResult(
            judgement=Judgement(
                verdict=Continue(),
                measures=(),
                state=JudgingState(),
                canary_requests=requests,
                control_requests=requests,
                canary_units=requests,
                control_units=requests,
                exposed_requests=requests,
                exposed_units=requests,
            ),
            first_look=1,
            last_look=hour,
            state_before="",
            looks="",
            state_after="",
            judged_seconds=0.01,
        )


def _world(rollout: Rollout, surface: Surface, policy: Policy) -> World:
    return World(surfaces={surface.name: surface}, rollouts={rollout.id: rollout}, policy=policy)


def _plan(plan: Plan, surface: Surface, at: datetime) -> Rollout:
    before = surface.live_content
    planned = e.Planned(
        rollout="R-1",
        plan=plan,
        fingerprint="7f3a19c000000000",
        from_content=before,
        to_content={**before, **plan.change},
        by="slack:T1/U0DANA",
    )
    return evolve(None, planned, at)


def _run(plan: Plan, surface: Surface, at: datetime) -> Iterator[Rollout]:
    """The rollout in each stage that serves somebody."""
    rollout = evolve(_plan(plan, surface, at), e.Started(fingerprint="7f3a19c000000000", by="system:engine"), at)
    for index, stage in enumerate(plan.stages):
        at += timedelta(hours=1)
        rollout = evolve(rollout, e.StageEntered(index=index, name=stage.name, percent=stage.percent), at)
        if stage.percent:
            yield rollout


def yield_effects(plan: Plan | None, surface: Surface, policy: Policy, at: datetime) -> Iterator[object]:
    """All of it, what is quickest first."""
    yield list_permissions(policy, at)
    if plan is None:
        return
    yield list_texts(plan, surface, policy, at)
    yield list_questions(plan, surface, at)
    yield list_answers(plan, surface, policy, at)
    yield list_results(plan, surface, at)
    yield list_broken_glass(plan, surface, policy, at)
    yield list_events(plan, surface, policy, at)
