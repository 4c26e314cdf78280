"""A small world whose traffic is counted as intake counts it: users fall into buckets, requests into looks."""

from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

import numpy as np
import pytest

from core.judging.judge import judge
from core.judging.limits.default_limits import ExpectedChange, derive_default_limits
from core.judging.limits.limits import Limit, LimitKind, LimitRole, LimitScale
from core.judging.look.look import Look, take_look
from core.judging.look.mean_caps import freeze_caps
from core.judging.model.evidence import (
    BUCKETS,
    CATEGORY_PREFIX,
    EVERYONE,
    REQUESTS,
    BucketSums,
    CellKey,
    EvidenceSums,
    capped_cell,
    exceedance_cell,
    exceedance_thresholds,
)
from core.judging.model.judgement import Judgement
from core.judging.model.question import Question, StageDesign
from core.judging.model.state import JudgingState
from core.judging.model.verdict import Verdict
from core.stats import quantile

START = datetime(2026, 11, 24, 9, 0, tzinfo=UTC)
TICK = timedelta(seconds=10)

REFUSALS = Limit(
    metric="refusal_rate", kind=LimitKind.RISES_BY, amount=0.01, scale=LimitScale.POINTS, role=LimitRole.ROLLBACK
)
USUAL = (
    Limit(
        metric="eval_pass_rate", kind=LimitKind.DROPS_BY, amount=0.02, scale=LimitScale.POINTS, role=LimitRole.ROLLBACK
    ),
    Limit(
        metric="cost_per_request",
        kind=LimitKind.RISES_BY,
        amount=0.15,
        scale=LimitScale.RELATIVE,
        role=LimitRole.ROLLBACK,
    ),
    Limit(
        metric="latency_p95",
        kind=LimitKind.EXCEEDS,
        amount=4000,
        scale=LimitScale.ABSOLUTE,
        role=LimitRole.ROLLBACK,
        lasting=timedelta(minutes=15),
    ),
    Limit(
        metric="new_error_category",
        kind=LimitKind.RATE_ABOVE,
        amount=0.002,
        scale=LimitScale.ABSOLUTE,
        role=LimitRole.ROLLBACK,
        min_events=5,
    ),
    Limit(
        metric="complaint_rate",
        kind=LimitKind.EXCEEDS_NORMAL_BY,
        amount=0.5,
        scale=LimitScale.RELATIVE,
        role=LimitRole.ROLLBACK,
    ),
    REFUSALS,
    Limit(
        metric="moderation_flag_rate",
        kind=LimitKind.RISES_BY,
        amount=0.002,
        scale=LimitScale.POINTS,
        role=LimitRole.ROLLBACK,
    ),
    Limit(metric="retry_rate", kind=LimitKind.RISES_BY, amount=0.01, scale=LimitScale.POINTS, role=LimitRole.HOLD),
    Limit(metric="latency_p95", kind=LimitKind.RISES_BY, amount=0.15, scale=LimitScale.RELATIVE, role=LimitRole.HOLD),
    Limit(
        metric="output_tokens", kind=LimitKind.CHANGES_BY, amount=0.2, scale=LimitScale.RELATIVE, role=LimitRole.HOLD
    ),
)
LANGUAGES = ("en", "en-gb", "de", "fr", "tr", "es", "pt", "it", "nl", "pl")
CANARY = StageDesign(index=2, name="canary", compared=True, canary_share=0.05, control_left=True)


@dataclass(frozen=True, kw_only=True)
class Traffic:
    """What an arm's requests look like."""

    refusals: float = 0.02
    passes: float = 0.92
    flags: float = 0.001
    retries: float = 0.08
    cost: float = 0.014
    latency: float = 1200.0
    complaints: float = 0.0008
    tokens: float = 1.0
    turns: float | None = None  # of a conversation; None: not reported
    categories: Mapping[str, float] = field(default_factory=dict)
    languages: Mapping[str, "Traffic"] = field(default_factory=dict)


class World:
    """Users in buckets, a clock, and the sums so far."""

    def __init__(self, limits: tuple[Limit, ...] = USUAL, *, seed: int = 1, users: int = 20_000) -> None:
        self.random = np.random.default_rng(seed)
        self.limits, self.users = limits, users
        self.bucket = self.random.integers(0, BUCKETS, users)
        self.position = self.random.random(users)
        self.weights: dict[CellKey, np.ndarray] = {}
        self.values: dict[CellKey, np.ndarray] = {}
        self.histograms: dict[CellKey, Counter[int]] = {}
        self.seen: dict[tuple[int, str], set[int]] = {}
        self.stages: tuple[StageDesign, ...] = (CANARY,)
        self.at = START
        self.state = JudgingState()
        self.looks: list[Look] = []
        self.expectations: tuple[ExpectedChange, ...] = ()
        self.cuts: tuple[str, ...] = ()
        self.language = self.random.integers(0, len(LANGUAGES), users)
        self.caps: dict[str, float] = {}

    @property
    def question(self) -> Question:
        return Question(
            limits=self.limits,
            implied=derive_default_limits(self.limits, self.expectations),
            expectations=self.expectations,
            cuts=self.cuts,
            caps=self.caps,
            stages=self.stages,
            current=self.stages[-1].index,
        )

    def enter(self, stage: StageDesign) -> None:
        self.stages = (*self.stages, stage)

    def serve(self, requests: int, canary: Traffic, control: Traffic) -> None:
        """So many requests of random users, each in the arm of its position."""
        stage = self.stages[-1]
        share = 1.0 if not stage.control_left else stage.canary_share
        who = self.random.integers(0, self.users, requests)
        served = self.position[who] < share
        for arm, mask, traffic in (("canary", served, canary), ("control", ~served, control)):
            self.arm(stage.index, arm, who[mask], traffic)

    def arm(self, stage: int, arm: str, who: np.ndarray, traffic: Traffic) -> None:
        """Requests of these users in one arm; where segments are judged, by language as well."""
        for number, language in enumerate(LANGUAGES if self.cuts else ()):
            own = traffic.languages.get(language)
            if own is not None:
                self._requests(stage, arm, who[self.language[who] == number], own, language)
            else:
                self._requests(stage, arm, who[self.language[who] == number], traffic, language)
        if not self.cuts:
            self._requests(stage, arm, who, traffic, "")

    def _requests(self, stage: int, arm: str, who: np.ndarray, traffic: Traffic, language: str) -> None:
        draw, n = self.random, len(who)
        segments = [EVERYONE, f"language={language}"] if language else [EVERYONE]
        bucket = self.bucket[who]
        self.seen.setdefault((stage, arm), set()).update(who.tolist())
        key = lambda metric: [CellKey(stage=stage, arm=arm, segment=s, metric=metric) for s in segments]  # noqa: E731
        self.add(key(REQUESTS), bucket, np.ones(n))
        for metric, rate in (
            ("refusal_rate", traffic.refusals),
            ("eval_pass_rate", traffic.passes),
            ("moderation_flag_rate", traffic.flags),
            ("retry_rate", traffic.retries),
        ):
            self.add(key(metric), bucket, draw.random(n) < rate)
        self.mean(key, "cost_per_request", bucket, traffic.cost * draw.lognormal(-0.5, 1.0, n))
        self.mean(key, "output_tokens", bucket, traffic.tokens * draw.lognormal(6, 0.5, n))
        if traffic.turns is not None:
            self.mean(key, "conversation_turns", bucket, np.maximum(draw.normal(traffic.turns, 1.5, n), 1))
        latency = traffic.latency * draw.lognormal(0, 0.5, n)
        self.add(key("latency_p95"), bucket, latency)
        for metric, thresholds in exceedance_thresholds(self.limits).items():
            for threshold in thresholds:
                self.add(key(exceedance_cell(metric, threshold)), bucket, latency > threshold)
        for one in key("latency_p95"):
            self.count(one, latency)
        for metric, rate in (
            ("complaint_rate", traffic.complaints),
            *((CATEGORY_PREFIX + c, r) for c, r in traffic.categories.items()),
        ):
            hit = draw.random(n) < rate
            if hit.any():
                self.add(key(metric), bucket[hit], np.ones(hit.sum()))

    def mean(self, key: Callable[[str], list[CellKey]], metric: str, bucket: np.ndarray, value: np.ndarray) -> None:
        """Readings of a mean as intake keeps them: as they are, cut and counted above the cap once that is known."""
        self.add(key(metric), bucket, value)
        if (cap := self.caps.get(metric)) is not None:
            self.add(key(capped_cell(metric, cap)), bucket, np.minimum(value, cap))
            self.add(key(exceedance_cell(metric, cap)), bucket, value > cap)
        else:
            self.count(key(metric)[0], value)

    def count(self, key: CellKey, values: np.ndarray) -> None:
        """Add values to a histogram."""
        bins, counts = np.unique(quantile.bin_indices(values), return_counts=True)
        self.histograms.setdefault(key, Counter()).update(dict(zip(bins.tolist(), counts.tolist(), strict=True)))

    def add(self, keys: list[CellKey], bucket: np.ndarray, value: np.ndarray) -> None:
        none = np.zeros(BUCKETS)
        for key in keys:
            self.weights[key] = self.weights.get(key, none) + np.bincount(bucket, minlength=BUCKETS)
            self.values[key] = self.values.get(key, none) + np.bincount(bucket, weights=value, minlength=BUCKETS)

    @property
    def sums(self) -> EvidenceSums:
        return EvidenceSums(
            cells={key: BucketSums(weight=self.weights[key], value=self.values[key]) for key in self.weights},
            histograms=self.histograms,
            first_exposures={key: len(units) for key, units in self.seen.items()},
        )

    def look(self) -> Judgement:
        """One tick later, what the engine says."""
        self.at += TICK
        before = self.state
        seen = take_look(self.question, self.sums, before, self.at)
        self.looks.append(seen)
        found = judge(self.question, seen, before)
        self.state = found.state
        self.caps = {**self.caps, **freeze_caps(self.question, self.sums)}
        return found

    def run(self, looks: int, canary: Traffic, control: Traffic, *, per_look: int = 333) -> tuple[int, Verdict]:
        """(look, verdict) of the first verdict that acts, or of the last look."""
        for number in range(1, looks + 1):
            self.serve(per_look, canary, control)
            verdict = self.look().verdict
            if verdict.name in ("roll_back", "hold", "skewed"):
                return number, verdict
        return looks, verdict


@pytest.fixture(scope="session")
def world() -> Callable[..., World]:
    """Make a world."""
    return World


@pytest.fixture(scope="session")
def traffic() -> type[Traffic]:
    """Describe an arm's requests."""
    return Traffic
