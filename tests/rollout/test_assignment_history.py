"""Who got which version, when: from the events and the bucketing alone."""

from collections.abc import Callable, Sequence
from datetime import datetime, timedelta
from typing import Any

import pytest

from core.flags.bucketing import compute_bucket
from core.rollout.consequences import surface_events_for
from core.rollout.plans.plan import DrivenFlag, Stage, StageKind
from core.rollout.serving.assignment_history import Assignment, assign_unit, fold_flags
from core.rollout.state import events as e
from core.rollout.state.surface import SurfaceDeclared

CANARY = Stage(kind=StageKind.CANARY, name="canary", percent=5)
RAMP = Stage(kind=StageKind.RAMP, name="ramp 50%", percent=50)
STAFF = Stage(kind=StageKind.COHORT, name="staff", percent=100, where={"email_domain": "example.com"})


def unit_with(accept: Callable[[int], bool], rollout: str = "R-1") -> str:
    """A unit whose bucket in this rollout is accepted."""
    return next(u for u in map(str, range(100_000)) if accept(compute_bucket("expose", rollout, u)))


class Log:
    """The events of one surface, an hour between any two that are told."""

    def __init__(self, words: Any, **plan: Any) -> None:
        self.at: datetime = words.monday
        self.steps: list[tuple[str, e.Event, datetime, int]] = []
        declared = SurfaceDeclared(
            surface="support-assistant",
            title="",
            owner="U2",
            version="v42",
            content={"prompt": "old"},
            daily_requests=None,
            notices=(),
            fingerprint="f",
        )
        self._append("surface:support-assistant", declared)
        self.plan = words.plan(**plan)

    def _append(self, stream: str, event: e.Event) -> None:
        self.steps.append((stream, event, self.at, len(self.steps) + 1))

    def happen(self, *events: e.RolloutEvent, rollout: str = "R-1") -> "Log":
        for event in events:
            self._append(f"rollout:{rollout}", event)
            for consequence in surface_events_for(event, rollout, self.at):
                self._append("surface:support-assistant", consequence)
        self.at += timedelta(hours=1)
        return self

    def begin(self, rollout: str = "R-1") -> "Log":
        planned = e.Planned(
            rollout=rollout,
            plan=self.plan,
            fingerprint="f",
            from_content={"prompt": "old"},
            to_content={"prompt": "new"},
            by="U2",
        )
        return self.happen(planned, rollout=rollout).happen(
            e.Started(fingerprint="f", by="U2"), self.enter(0), rollout=rollout
        )

    def enter(self, index: int) -> e.StageEntered:
        stage = self.plan.stages[index]
        return e.StageEntered(index=index, name=stage.name, percent=stage.percent)

    def roll_back(self) -> e.RolledBack:
        return e.RolledBack(
            by="U2",
            reason="",
            findings=(),
            version="v42",
            after_done=False,
            verdict_seconds=None,
            judged_seconds=None,
            exposed_requests=0,
            exposed_units=0,
        )

    def assign(self, unit: str, **known: str) -> tuple[Assignment, ...]:
        return assign_unit(fold_flags("support-assistant", self.steps), unit, known)


def versions(assigned: Sequence[Assignment]) -> list[str]:
    return [one.version for one in assigned]


@pytest.fixture
def log(words: Any) -> Callable[..., Log]:
    return lambda *stages, **plan: Log(words, stages=stages or (CANARY, RAMP), **plan)


def test_a_rollback_leaves_the_time_in_which_the_new_version_was_served(log: Callable[..., Log]) -> None:
    story = log().begin()
    started = story.steps[-1][2]
    story.happen(story.roll_back())
    before, during, after = story.assign(unit_with(lambda bucket: bucket < 50_000))
    assert versions([before, during, after]) == ["v42", "v43", "v42"]
    assert (during.since, during.until) == (started, started + timedelta(hours=1))
    assert during.rollout == "R-1"
    assert after.until is None


def test_who_was_never_reached_keeps_one_version_throughout(log: Callable[..., Log]) -> None:
    story = log().begin()
    story.happen(story.roll_back())
    (only,) = story.assign(unit_with(lambda bucket: bucket > 500_000))
    assert (only.version, only.until) == ("v42", None)


def test_growth_reaches_a_unit_when_the_share_passes_its_bucket(log: Callable[..., Log]) -> None:
    story = log().begin()
    story.happen(story.enter(1))
    grown = story.steps[-1][2]
    before, after = story.assign(unit_with(lambda bucket: 50_000 <= bucket < 500_000))
    assert versions([before, after]) == ["v42", "v43"]
    assert after.since == grown


def test_a_finished_rollout_is_one_unbroken_time_on_the_new_version(log: Callable[..., Log]) -> None:
    story = log().begin()
    story.happen(e.Completed(version="v43", retired="v42"))
    assert versions(story.assign(unit_with(lambda bucket: bucket < 50_000))) == ["v42", "v43"]


def test_a_cohort_by_attributes_cannot_be_decided_without_them(log: Callable[..., Log]) -> None:
    story = log(STAFF, CANARY).begin()
    last = story.assign("cust_1")[-1]
    assert last.version == ""
    assert [(a.answer.version.name, a.cohort.name if a.cohort else None) for a in last.answers] == [
        ("v43", "staff"),
        ("v42", None),
    ]


def test_known_attributes_decide_a_cohort(log: Callable[..., Log]) -> None:
    story = log(STAFF, CANARY).begin()
    assert story.assign("cust_1", email="ana@example.com")[-1].version == "v43"
    assert story.assign("cust_1", email_domain="else.org")[-1].version == "v42"
    assert story.assign("cust_1", plan="pro")[-1].version == ""


def test_a_cohort_that_changes_nothing_for_a_unit_leaves_no_doubt(log: Callable[..., Log]) -> None:
    story = log(STAFF, CANARY).begin()
    story.happen(story.enter(1))
    inside = story.assign(unit_with(lambda bucket: bucket < 50_000))
    assert inside[-1].version == "v43"  # by the random share, whatever its attributes
    assert story.assign(unit_with(lambda bucket: bucket > 50_000))[-1].version == ""


def test_what_another_flag_system_assigns_is_not_guessed(log: Callable[..., Log]) -> None:
    flag = DrivenFlag(url="https://flags", project="p", environment="prod", feature="f", strategy="s", system="unleash")
    story = log(drives=flag).begin()
    assert story.assign(unit_with(lambda bucket: bucket < 50_000))[-1].answers == ()
