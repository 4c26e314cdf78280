"""Anything in any order: two processes, a Slack that fails, a clock that jumps, and people who press twice."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import timedelta
from itertools import count
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)
from sqlalchemy.exc import DBAPIError

from core.rollout import commands as c
from core.rollout.context import Actor
from core.rollout.refusal import Conflict, Refused
from core.rollout.state.model import UNDER_WAY_STATES, RolloutState
from core.service.service import CommandRequest
from tests.trials import promises
from tests.trials.length import pick
from tests.trials.plant import DANA, LEE, MIRA, SURFACE, Clock, Process
from tests.trials.slack_in_process import Slack

EVERY = {str(state) for state in RolloutState}
ACTIVE = {str(state) for state in UNDER_WAY_STATES}

# The model. What each command may make of a rollout, by the state it finds; where a state is missing it is refused.
AFTER: dict[str, dict[str, set[str]]] = {
    "approve": {"planned": {"planned"}, "waiting": {"waiting"}, "paused": {"paused"}},
    "reject": {"planned": {"planned"}, "waiting": {"on_hold"}, "paused": {"on_hold"}},
    "start": {"planned": {"running"}} | {state: {state} for state in ACTIVE},
    "start then": {"planned": {"planned"}} | {state: {state} for state in ACTIVE},
    "advance": {"running": {"running", "waiting", "done"}},
    "pause": {state: {"paused"} for state in ACTIVE},
    "resume": {"running": {"running"}, "on_hold": {"running"}, "paused": {"running", "waiting", "on_hold"}},
    "roll back": {state: {"rolled_back"} for state in ACTIVE | {"done", "rolled_back"}}
    | {state: {"abandoned"} for state in ("planned", "abandoned")},
    "abandon": {state: {"abandoned"} for state in ("planned", "abandoned")},
    "concern": {state: {state} for state in EVERY},
    "felt off": {state: {state, "on_hold"} if state == "running" else {state} for state in ACTIVE},
}
NEVER_REFUSED = {"pause", "abandon", "concern", "felt off"}  # and rolling back what is not done: see `_hand_in`
BY_ITSELF: dict[str, set[str]] = {
    "planned": {"planned", "running"},
    "running": {"running", "waiting", "on_hold", "rolled_back", "done"},
    "waiting": {"waiting", "running", "on_hold", "rolled_back"},
    "on_hold": {"on_hold", "running", "rolled_back"},
    "paused": {"paused", "rolled_back"},
} | {state: {state} for state in ("done", "rolled_back", "abandoned")}

COMMANDS: dict[str, c.Command] = {
    "approve": c.Approve(),
    "reject": c.Reject(reason="not today"),
    "start": c.Start(),
    "advance": c.Advance(reason="seen enough"),
    "pause": c.Pause(reason="lunch"),
    "resume": c.Resume(reason="back"),
    "roll back": c.RollBack(reason="wrong answers"),
    "abandon": c.Abandon(reason="another time"),
    "concern": c.RaiseConcern(notice="support:#support", text="is support ready?"),
    "felt off": c.FeelsOff(text="curt"),
}
OFTEN = [*sorted(COMMANDS), "advance", "advance", "approve", "pause", "resume", "resume", "felt off", "felt off"]
FAILURES = ("429", "500", "timeout_before", "timeout_after", "cut_before", "cut_after", "error:is_archived")
METHODS = ("chat.postMessage", "chat.update", "conversations.history", "conversations.replies")

which = st.integers(0, 1)
persons = st.sampled_from([LEE, LEE, MIRA, DANA])


class Life(RuleBasedStateMachine):
    """One installation and everything that can happen to it."""

    new_database: Callable[[], str]

    def __init__(self) -> None:
        super().__init__()
        self.clock = Clock()
        self.slack = Slack(self.clock.now)
        url = type(self).new_database()
        self.processes = [Process(name, url, self.clock, self.slack) for name in ("web-1", "web-2")]
        self.ids = count(1)
        self.states: dict[str, str] = {}  # the model
        self.live = "v42"
        self.answered: list[tuple[CommandRequest, Any]] = []
        self.crashed: list[CommandRequest] = []

    @initialize(begun=st.sampled_from([True, True, False]), careful=st.booleans())
    def the_feature_is_known(self, begun: bool, careful: bool) -> None:
        self.processes[0].declare()
        self.plan(0, careful)
        if begun:
            self.approved_and_started(0, 0)

    # what people do

    @precondition(lambda self: len(self.states) < 3)
    @rule(who=which, careful=st.booleans())
    def plan(self, who: int, careful: bool) -> None:
        number = len(self.states) + 1
        self.processes[who].plan(number, f"plan-{next(self.ids)}", careful=careful)
        self.states[f"R-{number}"] = "planned"

    @rule(who=which, by=persons, verb=st.sampled_from(OFTEN), back=st.integers(0, 2))
    def command(self, who: int, by: Actor, verb: str, back: int) -> None:
        self._hand_in(who, verb, self._request(COMMANDS[verb], by, back))

    @rule(who=which, back=st.integers(0, 2))
    def approved_and_started(self, who: int, back: int) -> None:
        """The usual way, so that many histories get to the interesting part."""
        self.processes[who].drain()
        self._hand_in(who, "approve", self._request(c.Approve(), LEE, back))
        self.clock.turn(minutes=1)
        self._hand_in(who, "start", self._request(c.Start(), DANA, back))
        self.trust_the_log()

    @rule(who=which, minutes=st.sampled_from([0, 5, 100]))
    def start_then(self, who: int, minutes: int) -> None:
        self._hand_in(who, "start then", self._request(c.Start(then=self.clock.at + timedelta(minutes=minutes)), DANA))

    @precondition(lambda self: self.answered)
    @rule(who=which, choice=st.integers(0, 1_000))
    def the_same_again(self, who: int, choice: int) -> None:
        request, answer = self.answered[choice % len(self.answered)]
        before = self._head()
        assert self._answer(who, request) == answer
        assert self._head() == before

    @precondition(lambda self: self.answered)
    @rule(who=which, choice=st.integers(0, 1_000))
    def the_same_key_for_something_else(self, who: int, choice: int) -> None:
        request, _ = self.answered[choice % len(self.answered)]
        before = self._head()
        with pytest.raises(Conflict, match="used before"):
            self.processes[who].service.handle(replace(request, command=c.Pause(reason=f"other {choice}")))
        assert self._head() == before

    @rule(who=which, back=st.integers(0, 2))
    def a_button_from_yesterday(self, who: int, back: int) -> None:
        before = self._head()
        request = self._request(c.Approve(request="R-0.9"), LEE, back)
        assert isinstance(self._answer(who, request), str)
        assert self._head() == before

    @rule(verb=st.sampled_from(["approve", "pause", "resume", "start", "roll back"]), same=st.booleans())
    def two_press_at_once(self, verb: str, same: bool) -> None:
        requests = [self._request(COMMANDS[verb], by) for by in (LEE, LEE if same else MIRA)]
        if same:
            requests[1] = requests[0]
        before = self._head()
        with ThreadPoolExecutor(2) as threads:
            answers = list(threads.map(self._answer, (0, 1), requests))
        if same:
            assert answers[0] == answers[1]
        added = [r for r in promises.whole_log(self.processes[0].database) if r.position > before]
        kinds = [type(r.event).__name__ for r in added if r.stream.startswith("rollout:")]
        assert len(kinds) == len(set(kinds)) or verb == "resume", kinds
        self.answered += list(zip(requests, answers, strict=True))
        self.trust_the_log()

    # what time and traffic do

    @rule(who=which, seconds=st.sampled_from([1, 10, 60, 150]))
    def tick(self, who: int, seconds: int) -> None:
        self.clock.turn(seconds=seconds)
        self.processes[who].tick()
        for rollout, before in self.states.items():
            self._became(rollout, BY_ITSELF[before])

    @rule(who=which, ticks=st.integers(2, 6))
    def a_quiet_while(self, who: int, ticks: int) -> None:
        """Traffic of which nothing is wrong, so that rollouts grow and some are completed."""
        for _ in range(ticks):
            self.serve(who, "healthy", 60, 0)
            self.tick(who, 30)

    @rule(
        who=which,
        scenario=st.sampled_from(["healthy", "healthy", "refusals"]),
        number=st.sampled_from([10, 150]),
        late=st.sampled_from([0, 30]),
    )
    def serve(self, who: int, scenario: str, number: int, late: int) -> None:
        seed = next(self.ids)
        process = self.processes[who]
        answered = process.serve(number, scenario, seed, timedelta(seconds=late))
        assert answered["accepted"] + len(answered["rejected"]) == number

    @rule(hours=st.sampled_from([1, -1]))
    def the_clock_jumps(self, hours: int) -> None:
        self.clock.turn(hours=hours)

    # what breaks

    @rule(who=which)
    def deliver(self, who: int) -> None:
        self.processes[who].deliver()

    @rule(method=st.sampled_from(METHODS), kind=st.sampled_from(FAILURES), times=st.integers(1, 2))
    def slack_will_fail(self, method: str, kind: str, times: int) -> None:
        if kind == "error:is_archived" and not method.startswith("chat."):
            kind = "500"
        self.slack.side.faults.plan(method, kind, times=times, retry_after=30)

    @rule(who=which)
    def restart(self, who: int) -> None:
        self.processes[who].restart()

    @rule(
        who=which,
        verb=st.sampled_from(["pause", "resume", "felt off", "roll back"]),
        way=st.sampled_from(["refused", "lost"]),
    )
    def the_commit_fails(self, who: int, verb: str, way: Any) -> None:
        """Before it, nothing has happened; after it, everything has. Asked again, it has happened once."""
        request, before = self._request(COMMANDS[verb], MIRA), self._head()
        process = self.processes[who]
        process.trouble.plan(1, way, "commit")
        try:
            self._answer(who, request)
        except DBAPIError:
            if way == "refused":
                assert self._head() == before
        finally:
            process.trouble.calm()
        self._hand_in(1 - who, verb, request, again=True)

    @rule(who=which)
    def a_process_dies_while_it_sends(self, who: int) -> None:
        """Somewhere between the claim of a row and its end."""
        process = self.processes[who]
        process.trouble.plan(3, "refused", "commit")
        try:
            process.deliver()
        except DBAPIError:
            process.restart()
        process.trouble.calm()

    # what holds, always

    @invariant()
    def the_model_holds(self) -> None:
        for process in self.processes:
            world = process.world
            assert {r.id: str(r.state) for r in world.rollouts.values()} == self.states
            assert not world.surfaces or world.surfaces[SURFACE].live == self.live
            promises.traffic_follows_the_log(world)

    def teardown(self) -> None:
        try:
            self._at_the_end()
        finally:
            for process in self.processes:
                process.stop()
            self.slack.close()

    def _at_the_end(self) -> None:
        database = self.processes[0].database
        self.slack.heal()
        self.processes[1].drain()
        promises.the_log_is_sound(database)
        promises.memory_is_the_log(database, [p.service for p in self.processes])
        promises.every_effect_has_its_event(database)
        promises.said_in_order_and_once(database, self.slack)
        promises.the_card_is_true(database, self.processes[0].world, self.slack)
        for request, answer in self.answered:
            assert self._answer(0, request) == answer

    # how it is done

    def _request(self, command: c.Command, by: Actor, back: int = 0) -> CommandRequest:
        """`back` rollouts before the newest."""
        rollout = f"R-{max(1, len(self.states) - back)}"
        return CommandRequest(
            command=command, command_id=f"click-{next(self.ids)}", by=by, at=self.clock.at, rollout=rollout
        )

    def _hand_in(self, who: int, verb: str, request: CommandRequest, *, again: bool = False) -> None:
        before, head = self.states[request.rollout], self._head()
        answer = self._answer(who, request)
        self.answered.append((request, answer))
        if isinstance(answer, str):
            sure = verb in NEVER_REFUSED or (verb == "roll back" and before != "done")
            assert not (sure and before in AFTER[verb]), f"{verb} was refused to a {before} rollout: {answer}"
            assert self._head() == head
            return
        if verb == "roll back" and before == "done":
            self.trust_the_log(only=ACTIVE)  # what was being built on it has been taken back first
        self._became(request.rollout, AFTER[verb].get(before, set()))

    def _answer(self, who: int, request: CommandRequest) -> tuple[int, ...] | str:
        """The positions of what followed, or the words of the refusal."""
        try:
            return self.processes[who].service.handle(request).positions
        except Refused as refused:
            return refused.message

    def _became(self, rollout: str, allowed: set[str]) -> None:
        after = str(self.processes[0].world.rollouts[rollout].state)
        assert after in allowed, f"{rollout} went from {self.states[rollout]} to {after}"
        self._note(rollout, after)

    def _note(self, rollout: str, after: str) -> None:
        plan = self.processes[0].world.rollouts[rollout].plan
        if after != self.states[rollout] and after == "done":
            self.live = plan.to_version
        elif self.states[rollout] == "done" and after == "rolled_back":
            self.live = plan.from_version
        self.states[rollout] = after

    def trust_the_log(self, only: set[str] = EVERY) -> None:
        """Where the order is not ours to say, the model takes over what has become of it."""
        for rollout in self.processes[0].world.rollouts.values():
            if self.states[rollout.id] in only:
                self._note(rollout.id, str(rollout.state))

    def _head(self) -> int:
        return self.processes[0].world.position


def test_any_order(fresh: Callable[[], str]) -> None:
    class Here(Life):
        new_database = staticmethod(fresh)

    run_state_machine_as_test(
        Here,
        settings=settings(
            max_examples=pick(8, 2_000),
            stateful_step_count=pick(30, 50),
            deadline=None,
            database=None,
            derandomize=pick(True, False),
            print_blob=True,
            suppress_health_check=list(HealthCheck),
            phases=pick([Phase.generate], [Phase.generate, Phase.shrink]),
        ),
    )
