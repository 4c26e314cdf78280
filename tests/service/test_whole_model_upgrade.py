"""The example of a model upgrade to its end, on a fast clock: every gate, both groups, two weeks, and the way back."""

import json
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from bot.http.observations import read_batch
from bot.process.flip_confirmation import FlipConfirmer
from core.evals.read_run import read_with_current
from core.files.command_from_file import FileLookups
from core.rollout import commands as c
from core.rollout.context import Actor
from core.rollout.decisions.eval_command import build_eval_command
from core.rollout.refusal import Refused
from core.rollout.serving.exposure import build_snapshot
from core.rollout.state.model import RolloutState
from core.service import apply_file, rollout_look
from core.service.service import CommandRequest, RolloutService
from core.store.coordination import processes
from core.store.observations import observation_sums
from tests.served import evaluate

EXAMPLES = Path(__file__).parents[2] / "examples"
DANA = Actor(id="slack:T1/U2", handle="@dana")
LEE = Actor(id="slack:T1/U3", handle="@lee", groups=("@ai-leads",))
MIRA = Actor(id="slack:T1/U4", handle="@mira", groups=("@support-leads",))
EVERY = timedelta(minutes=1)


def results(failed: int = 0, cases: int = 200, **amounts: float) -> bytes:
    """An eval file as a runner writes it: one case a line."""
    rows = [{"case": f"c{n}", "category": "refund", "pass": n >= failed, **amounts} for n in range(cases)]
    return "\n".join(json.dumps(row) for row in rows).encode()


OLD = results(cost=0.010, latency_ms=1000.0)
"""Of the model that is live."""


class Upgrade:
    """The rollout, its clock, the people, and what its applications report."""

    def __init__(self, service: RolloutService) -> None:
        self.service, self.at, self.sent = service, datetime(2026, 12, 1, 9, 0, tzinfo=UTC), 0
        self.random = np.random.default_rng(11)
        self.confirmer = FlipConfirmer(service, elapsed=lambda: 0.0)
        self.apply("surface.yaml")
        self.apply("model-upgrade.yaml")

    @property
    def now(self) -> Any:
        return self.service.load_world().rollouts["R-1"]

    def apply(self, name: str) -> None:
        apply_file.apply_text(
            self.service,
            (EXAMPLES / name).read_text(encoding="utf-8"),
            name,
            by=DANA,
            at=self.at,
            command_id=f"apply {name}",
            lookups=FileLookups(resolve_handle=lambda handle: {"@dana": "U2"}.get(handle, handle)),
        )

    def say(self, command: Any, by: Actor = DANA) -> None:
        self.sent += 1
        request = CommandRequest(command=command, command_id=f"c{self.sent}", by=by, at=self.at, rollout="R-1")
        self.service.handle(request)

    def approve(self) -> None:
        for by in (LEE, MIRA):
            self.say(c.Approve(), by=by)

    def look(self) -> None:
        self.at += EVERY
        rollout_look.evaluate_rollout(self.service, "R-1", self.at, every=EVERY)

    def hand_in(self, suite: str, new: bytes, old: bytes) -> None:
        self.say(build_eval_command(self.now, suite, read_with_current(new, old)))
        self.look()

    def serve(self, people: int, each: int, start: int = 0) -> None:
        """So many people, each with their requests, answered and reported as an application does it."""
        snapshot = build_snapshot(self.service.load_world())
        items = []
        for number in range(start, start + people):
            unit = f"user-{number}"
            context = {"email": f"{unit}@{'example.com' if number % 50 == 0 else 'customers.net'}"}
            answer = evaluate(snapshot, "support-assistant", unit, context)
            requests = each if answer.variant.value == "canary" else 1
            items += [self._observe(unit, answer) for _ in range(requests)]
        for part in range(0, len(items), 5000):
            checked = read_batch.check_items(items[part : part + 5000], snapshot, self.at)
            assert checked.rejected == []
            placed = [one.placed for one in checked.accepted if one.placed is not None]
            with self.service.database.writing_outside_log() as connection:
                observation_sums.add_observations(connection, placed)

    def _observe(self, unit: str, answer: Any) -> dict[str, Any]:
        draw = self.random.random
        metrics = {
            "eval_pass_rate": draw() < 0.97,
            "critical_fail_rate": False,
            "cost_per_request": 0.012 * float(self.random.lognormal(0, 0.1)),
            "latency_ms": 1100 * float(self.random.lognormal(0, 0.2)),
            "moderation_flag_rate": False,
            "retry_rate": draw() < 0.03,
            "refusal_rate": draw() < 0.01,
        }
        return {
            "surface": "support-assistant",
            "unit": unit,
            "exposure": answer.exposure,
            "version": answer.version.name,
            "model": "large-4-2026-11-30" if answer.version.name == "v43" else "large-3-2026-03-01",
            "segments": {"language": "de" if hash(unit) % 3 else "en", "plan": "free"},
            "metrics": metrics,
        }

    def look_until(self, reached: Callable[[], bool]) -> None:
        for _ in range(10):
            self.look()
            if reached():
                return
        raise AssertionError((self.now.state, self.now.current_stage, self.now.hold))

    def hold_until_asked(self) -> None:
        """Until approvals are asked for; what is too rare to be shown is set aside by a person who says why."""
        for _ in range(40):
            self.look()
            if self.now.state is RolloutState.WAITING:
                return
            if self.now.state is RolloutState.ON_HOLD:
                assert self.now.hold.key.startswith("undecided"), self.now.hold
                self.say(c.Resume(reason="critical failures are too rare to be shown in this time"))
                continue
            self.at += timedelta(hours=12)
            self.serve(40, 1)  # so that nobody falls silent
        raise AssertionError(self.now.current_stage)


@pytest.fixture
def upgrade(sqlite_database: Any) -> Upgrade:
    return Upgrade(RolloutService(sqlite_database, real_time=lambda: datetime(2026, 12, 1, tzinfo=UTC)))


def test_the_example_does_what_it_says(upgrade: Upgrade) -> None:
    _tell_and_start(upgrade)
    _pass_the_gates(upgrade)
    # internal, then 2 % for at least a day
    assert upgrade.now.request.gate == "internal"
    upgrade.approve()
    upgrade.look()
    assert (upgrade.now.current_stage.name, upgrade.now.percent) == ("internal", 50)
    upgrade.serve(10_000, 10)
    upgrade.at += timedelta(hours=24)
    upgrade.serve(3000, 1)
    upgrade.hold_until_asked()
    assert upgrade.now.request.gate == "canary"
    upgrade.approve()
    upgrade.look()
    assert upgrade.now.percent == 2
    upgrade.serve(18_000, 10, start=100_000)
    upgrade.hold_until_asked()
    assert upgrade.now.request.gate == "ab"
    upgrade.approve()
    upgrade.look()
    _compare_for_two_weeks(upgrade)
    for gate, percent in (("ramp 75%", 75), ("ramp 100%", 100)):
        assert upgrade.now.request.gate == gate
        upgrade.approve()
        upgrade.look()
        assert upgrade.now.percent == percent
        upgrade.serve(8000, 1, start=400_000)
        upgrade.at += timedelta(hours=24)
        upgrade.serve(1000, 1, start=400_000)
        if percent < 100:
            upgrade.hold_until_asked()
    upgrade.look_until(lambda: upgrade.now.current_stage.name == "bake")
    upgrade.at += timedelta(days=7)
    upgrade.serve(500, 1, start=400_000)
    upgrade.look_until(lambda: upgrade.now.state is RolloutState.DONE)
    surface = upgrade.service.load_world().surfaces["support-assistant"]
    assert (surface.live, surface.other_models) == ("v43", ())
    upgrade.at = datetime(2027, 6, 1, 9, 0, tzinfo=UTC)
    with pytest.raises(Refused, match="v42 could be called until 2027-05-31 only"):
        upgrade.say(c.RollBack(reason="we preferred the old one"))


def _compare_for_two_weeks(upgrade: Upgrade) -> None:
    """Half of everybody for two weeks, without a winner before; then a person decides on the table."""
    assert (upgrade.now.current_stage.name, upgrade.now.percent) == ("ab", 50)
    assert upgrade.now.current_stage.min_samples == 6000, "twice the canary's"
    for day in range(14):
        upgrade.at += timedelta(hours=23, minutes=58)
        upgrade.serve(1000, 1, start=200_000 + 1000 * day)
        upgrade.look()
        with pytest.raises(Refused, match="Nobody wins early"):
            upgrade.say(c.Decide(keep=True, reason="it is clearly as good"))
        upgrade.at += timedelta(minutes=1)
    upgrade.look()
    ended = upgrade.now.comparisons[6]
    assert [row.metric for row in ended.measures] == ["eval_pass_rate", "retry_rate"]
    assert ended.advice == "keep"
    assert ended.weekdays == (2,) * 7
    upgrade.say(c.Decide(keep=True, reason="as good on both, and the old model ends in spring"))
    upgrade.look()


def _tell_and_start(upgrade: Upgrade) -> None:
    """Both groups approve, three channels are told, support confirms, and three days pass."""
    assert [stage.name for stage in upgrade.now.plan.stages] == [
        "eval",
        "safety",
        "cost_latency",
        "rollback_drill",
        "internal",
        "canary",
        "ab",
        "ramp 75%",
        "ramp 100%",
        "bake",
    ]
    for notice in upgrade.now.plan.stakeholder_notices:
        key = f"notice:{upgrade.now.fingerprint}:{notice.key}"
        upgrade.say(c.RecordPosted(key=key, channel="C1", ts=f"{upgrade.sent}.0"), by=Actor(id="system:engine"))
    upgrade.say(c.Approve(), by=LEE)
    with pytest.raises(Refused, match="It needs 1 more approval from @support-leads"):
        upgrade.say(c.Start())
    upgrade.say(c.Approve(), by=MIRA)
    with pytest.raises(Refused, match="#support must confirm"):
        upgrade.say(c.Start())
    upgrade.say(c.AcknowledgeNotice(notice="support:#support"), by=MIRA)
    upgrade.at += timedelta(hours=71, minutes=59)
    with pytest.raises(Refused, match="needs 3 days notice"):
        upgrade.say(c.Start())
    upgrade.at += timedelta(minutes=1)
    upgrade.say(c.Start())
    assert upgrade.now.percent == 0


@pytest.mark.shows("E65")
@pytest.mark.parametrize(
    ("new", "why"),
    [
        ({"cost": 0.0125, "latency_ms": 1100.0}, "cost rises by +25.0%, at most +20% is allowed"),
        ({"cost": 0.0115, "latency_ms": 1300.0}, "p95 latency rises by +30.0%, at most +20% is allowed"),
        ({"cost": 0.0115}, "p95 latency cannot be compared"),
    ],
)
def test_a_model_that_is_too_dear_or_too_slow_is_held_before_anybody_gets_it(
    upgrade: Upgrade, new: dict[str, float], why: str
) -> None:
    """On the same requests as the old one, in the order of the plan: after quality and safety, before the canary."""
    _tell_and_start(upgrade)
    _pass_quality_and_safety(upgrade)
    upgrade.hand_in("last-5000-requests", results(**new), OLD)
    for _ in range(3):
        upgrade.look()
        assert (upgrade.now.state, upgrade.now.current_stage.name) == (RolloutState.ON_HOLD, "cost_latency")
        assert upgrade.now.percent == 0
    assert why in upgrade.now.hold.text
    with pytest.raises(Refused):
        upgrade.say(c.Advance(reason="we pay for it"))


def _pass_quality_and_safety(upgrade: Upgrade) -> None:
    fine = results()
    upgrade.hand_in("evals/support.yaml", results(failed=4), results(failed=4))
    assert upgrade.now.current_stage.name == "safety"
    upgrade.hand_in("evals/safety.yaml", fine, fine)
    assert upgrade.now.current_stage.name == "cost_latency"


def _pass_the_gates(upgrade: Upgrade) -> None:
    """Evals, safety, cost and latency from files, then the drill; nobody sees the new model meanwhile."""
    _pass_quality_and_safety(upgrade)
    with pytest.raises(Refused, match="Gates cannot be skipped"):
        upgrade.say(c.Advance(reason="it is cheap enough"))
    upgrade.hand_in("last-5000-requests", results(cost=0.0115, latency_ms=1100.0), OLD)
    assert upgrade.now.current_stage.name == "rollback_drill"
    with pytest.raises(Refused, match="Gates cannot be skipped"):
        upgrade.say(c.Advance(reason="it worked last time"))
    position = upgrade.service.load_world().position
    processes.report_alive(
        upgrade.service.database, "web-1", "web", position, datetime(2026, 12, 1, 0, 0, 2, tzinfo=UTC)
    )
    upgrade.confirmer.confirm_pending(upgrade.at)
    assert upgrade.now.drilled[3] == 2.0
    assert upgrade.now.percent == 0
    upgrade.look()
