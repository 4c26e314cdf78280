"""Where nobody knows whose requests are counted, they count as fewer: a loud few people are no finding."""

from collections.abc import Mapping

import numpy as np
import pytest

from core.judging.judge import judge
from core.judging.limits.limits import Limit, LimitKind, LimitRole, LimitScale
from core.judging.look.look import take_look
from core.judging.look.unknown_units import MIN_CLUSTERS
from core.judging.model.evidence import BUCKETS, REQUESTS, BucketSums, CellKey, EvidenceSums
from core.judging.model.question import Question, StageDesign
from core.judging.model.state import JudgingState
from core.judging.model.verdict import Verdict
from core.judging.record import load_question, to_json
from tests.judging.conftest import START, TICK

REFUSALS = Limit(
    metric="refusal_rate", kind=LimitKind.RISES_BY, amount=0.01, scale=LimitScale.POINTS, role=LimitRole.ROLLBACK
)
COST = Limit(
    metric="cost_per_request", kind=LimitKind.RISES_BY, amount=0.15, scale=LimitScale.RELATIVE, role=LimitRole.ROLLBACK
)
STAGE = StageDesign(index=0, name="canary", compared=True, canary_share=0.5, control_left=True)
BOTH = ("refusal_rate", "cost_per_request")


class Counters:
    """Requests of people who come back all the time, counted by minute and without a word of who they are."""

    def __init__(self, seed: int, unknown: Mapping[str, float]) -> None:
        self.draw = np.random.default_rng(seed)
        self.cells: dict[CellKey, np.ndarray] = {}
        self.state = JudgingState()
        self.at = START
        self.question = Question(limits=(REFUSALS, COST), stages=(STAGE,), current=0, unknown_units=unknown)

    def minute(self, people: Mapping[str, tuple[np.ndarray, float]], requests: int) -> Verdict:
        """So many requests of each arm in a minute; `people` are by arm how likely each is refused, and the cost."""
        bucket = self.draw.integers(0, BUCKETS)
        for arm, (refused, cost) in people.items():
            who = self.draw.integers(0, len(refused), requests)
            hit = self.draw.random(requests) < refused[who]
            for metric, value in (
                (REQUESTS, requests),
                ("refusal_rate", hit.sum()),
                ("cost_per_request", cost * self.draw.lognormal(0, 0.5, requests).sum()),
            ):
                cell = self.cells.setdefault(
                    CellKey(stage=0, arm=arm, segment="", metric=metric), np.zeros((2, BUCKETS))
                )
                cell[:, bucket] += (requests, value)
        return self.look()

    def look(self) -> Verdict:
        self.at += 6 * TICK
        sums = EvidenceSums(
            cells={key: BucketSums(weight=c[0].copy(), value=c[1].copy()) for key, c in self.cells.items()}
        )
        self.seen = take_look(self.question, sums, self.state, self.at)
        found = judge(self.question, self.seen, self.state)
        self.state = found.state
        return found.verdict


def crowd(draw: np.random.Generator, people: int, rate: float) -> np.ndarray:
    """People of whom one in so many is always refused, and the others never."""
    return (draw.random(people) < rate).astype(float)


def false_alarms(of: float, histories: tuple[int, ...], people: int = 60) -> int:
    """How many of these histories of two arms of people who are alike, each with many requests, are rolled back."""
    alarms = 0
    for seed in histories:
        counters = Counters(seed, dict.fromkeys(BOTH, of))
        arms = {arm: (crowd(counters.draw, people, 0.1), 0.01) for arm in ("canary", "control")}
        alarms += any(counters.minute(arms, 20).name == "roll_back" for _ in range(40))
    return alarms


def test_people_who_come_back_are_no_finding_where_as_many_requests_count_as_one() -> None:
    misleading = (5, 6, 7, 9)  # a quarter of all histories, were every request somebody else's
    assert false_alarms(1, misleading) == 4
    assert false_alarms(20 * 40 / 60, misleading) == 0  # requests of each of them


@pytest.mark.parametrize(("of", "within"), [(1, 40), (10, 120)])
def test_harm_is_found_later_the_more_requests_count_as_one(of: float, within: int) -> None:
    counters = Counters(1, dict.fromkeys(BOTH, of))
    arms = {"canary": (np.full(5000, 0.15), 0.01), "control": (np.full(5000, 0.03), 0.01)}
    verdicts = [counters.minute(arms, 30).name for _ in range(within)]
    assert verdicts.index("roll_back") > (3 if of == 1 else 10)


def test_a_mean_needs_enough_clusters_and_assumed_people_and_is_then_found() -> None:
    counters = Counters(2, dict.fromkeys(BOTH, 4))
    arms = {"canary": (np.full(5000, 0.02), 0.02), "control": (np.full(5000, 0.02), 0.01)}
    verdicts = [counters.minute(arms, 40).name for _ in range(60)]
    assert verdicts.index("roll_back") + 1 >= MIN_CLUSTERS
    assert "roll_back" in verdicts


def test_the_error_of_a_mean_is_wider_by_the_root_of_how_many_count_as_one() -> None:
    errors = {}
    for of in (1.0, 9.0):
        counters = Counters(3, dict.fromkeys(BOTH, of))
        arms = {arm: (np.full(5000, 0.02), 0.01) for arm in ("canary", "control")}
        for _ in range(40):
            counters.minute(arms, 40)
        found = counters.seen.find_comparison("cost_per_request", 0)
        assert found is not None
        assert found.error is not None
        errors[of] = found.error
    assert errors[9.0] == pytest.approx(3 * errors[1.0])


def test_events_that_are_counted_before_their_requests_are_no_more_than_those() -> None:
    counters = Counters(4, dict.fromkeys(BOTH, 10))
    arms = {arm: (np.full(5000, 0.02), 0.01) for arm in ("canary", "control")}
    counters.minute(arms, 40)
    counters.cells[CellKey(stage=0, arm="canary", segment="", metric="refusal_rate")][1] *= 1000
    assert counters.look().name in ("continue", "too_early")


def test_a_question_reads_back_with_what_it_assumes_and_an_old_one_assumes_nothing() -> None:
    asked = Counters(5, {"refusal_rate": 10.0}).question
    assert load_question(to_json(asked)) == asked
    old = to_json(asked).replace(',"unknown_units":{"refusal_rate":10.0}', "")
    assert load_question(old).unknown_units == {}
