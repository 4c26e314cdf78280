"""Synthetic requests of a population: Poisson arrivals with persistent rates per user, drawn as counts.

Poisson arrivals with random marks split into independent Poisson counts per place (Kingman 1993, colouring theorem), so
rates need no single requests. Only amounts are drawn one by one.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import NormalDist

import numpy as np
from numpy.random import Generator

from core.files.foresight.known_traffic import KnownTraffic
from core.judging.limits.limits import NEW_CATEGORY_METRIC
from core.judging.model.evidence import BUCKETS, CANARY, CATEGORY_PREFIX, CONTROL, REQUESTS
from core.metrics.catalogue import CATALOGUE, FEEDS, Metric, MetricKind, denominator_key
from core.metrics.typical_levels import MetricLevel
from core.rollout.plans.plan import Stage
from core.simulation.harm import SimulatedHarm
from core.simulation.population import Bools, Population
from core.simulation.tally import Ints, Tally
from core.stats.input_checks import Array

ICC = 0.02
"""Assumed intraclass correlation of the requests of one user."""
MAX_DRAWN_REQUESTS = 50_000
"""Requests per arm that are drawn between two looks at most; traffic above that is scaled down to it."""
USUAL_ERRORS = ("Timeout", "RateLimited")
NEW_ERROR = "NeverSeenBefore"


@dataclass(frozen=True, slots=True, kw_only=True)
class _Signal:
    """Log-normal amounts that feed one or more metrics, in the metric's unit."""

    metrics: tuple[Metric, ...]
    median: float
    spread: float
    share: float


@dataclass(frozen=True, slots=True, kw_only=True)
class _ArmUsers:
    """Users of one arm of a stage, by place: share of all requests, mean rates, and the law of amounts.

    `shift` and `scale` are centre and spread of the normal behind amounts; its total variance is 1 even with few users,
    so that such places are not more expensive. `people` is the number of real people who may come.
    """

    arm: str
    weight: Array
    rates: Mapping[str, Array]
    shift: Array
    scale: Array
    people: int


class SyntheticTraffic:
    """Synthetic traffic of one simulated surface. `harm` is the new version's effect, None for no effect."""

    def __init__(
        self,
        known: KnownTraffic,
        metrics: Sequence[Metric],
        population: Population,
        harm: SimulatedHarm | None,
        chance: Generator,
        icc: float = ICC,
    ) -> None:
        assert known.daily_requests is not None
        self.pace, self.population, self._known, self._harm, self._chance = (
            known.daily_requests,
            population,
            known,
            harm,
            chance,
        )
        self._icc = icc / population.people_per_user
        reported = [metric for metric in metrics if metric.key != NEW_CATEGORY_METRIC]
        self._rates = [metric for metric in reported if metric.is_binary]
        self._counts = [metric for metric in reported if metric.kind is MetricKind.COUNT]
        self._signals = _build_signals(reported, known)
        self._user_rates = {metric.key: self._draw_user_rates(known.level_of(metric)) for metric in self._rates}
        # Users with slow requests also have expensive ones.
        self._user_normal = chance.standard_normal(population.size)
        self._crowds: tuple[_ArmUsers, ...] = ()
        self._stage, self._since = -1, 0.0
        self._after_cohort = False
        self._seen: dict[str, int] = {}

    def enter_stage(self, index: int, stage: Stage, control: str) -> None:
        """Start a stage: assign the users to its arms."""
        canary, rest = self.population.assign_arms(stage, control, after_cohort=self._after_cohort)
        shares = self.population.expected_shares(stage, control, after_cohort=self._after_cohort)
        self._after_cohort = self._after_cohort or stage.where is not None
        arms = ((CANARY, canary, shares[0]), (CONTROL, rest, shares[1]))
        self._crowds = tuple(self._build_crowd(arm, who, share) for arm, who, share in arms if who.any())
        self._stage, self._since, self._seen = index, 0.0, {CANARY: 0, CONTROL: 0}

    def add_arrivals(self, tally: Tally, days: float) -> None:
        """Draw and count what comes in during this many days."""
        # If users come k times on average, exponentially distributed, one has not come yet with chance 1 / (1 + k).
        each = self.pace / self.population.people
        fresh = 1 - (1 + each * self._since) / (1 + each * (self._since + days))
        self._since += days
        for crowd in self._crowds:
            before = tally.count_requests(self._stage, crowd.arm)
            self._serve_requests(tally, crowd, days)
            came = int(tally.count_requests(self._stage, crowd.arm) - before)
            self._seen[crowd.arm] += self._draw_newcomers(
                crowd, fresh, came, float(crowd.weight.sum()) * self.pace * days
            )
        tally.set_exposures(self._stage, self._seen[CANARY], self._seen[CONTROL])

    def _draw_newcomers(self, crowd: _ArmUsers, fresh: float, came: int, expected: float) -> int:
        """Number of these requests that are a user's first in this stage, also when traffic was scaled down."""
        unseen = max(crowd.people - self._seen[crowd.arm], 0)
        if expected > MAX_DRAWN_REQUESTS or expected <= 0:
            return int(self._chance.binomial(unseen, fresh))
        return min(unseen, int(self._chance.binomial(came, min(unseen * fresh / expected, 1.0))))

    def _serve_requests(self, tally: Tally, crowd: _ArmUsers, days: float) -> None:
        chance, stage, arm = self._chance, self._stage, crowd.arm
        expected = crowd.weight * self.pace * days
        if (total := float(expected.sum())) > MAX_DRAWN_REQUESTS:
            expected = expected * (MAX_DRAWN_REQUESTS / total)
        served = chance.poisson(expected)
        tally.add(stage, arm, REQUESTS, served.astype(float), served.astype(float))
        harm = self._harm if arm == CANARY else None
        for metric in self._rates:
            rates = crowd.rates[metric.key]
            if harm is not None and harm.metric == metric.key:
                rates = harm.apply_to_rates(rates)
            read = self._draw_readings(served, self._known.level_of(metric).share)
            events = chance.binomial(read, rates)
            tally.add(stage, arm, metric.key, read.astype(float), events.astype(float))
            if metric.key == "hard_error_rate":
                self._name_errors(tally, arm, events)
        for metric in self._counts:
            ratio = harm.ratio if harm is not None and harm.metric == metric.key else 1.0
            came = chance.poisson(served * self._known.level_of(metric).level * ratio).astype(float)
            tally.add(stage, arm, metric.key, came, came)
        for signal in self._signals:
            ratio = harm.ratio if harm is not None and harm.metric in {one.key for one in signal.metrics} else 1.0
            read = self._draw_readings(served, signal.share)
            place = np.repeat(np.arange(len(read)), read)
            normal = crowd.shift[place] + crowd.scale[place] * chance.standard_normal(len(place))
            values = signal.median * ratio * np.exp(signal.spread * normal)
            for metric in signal.metrics:
                if metric.kind is MetricKind.RATIO:  # the denominators of simulated requests are all 1
                    ones = np.bincount(place, minlength=len(read)).astype(float)
                    tally.add(stage, arm, metric.key, ones, np.bincount(place, values, len(read)).astype(float))
                    tally.add(stage, arm, denominator_key(metric.key), ones, ones)
                else:
                    tally.add_values(stage, arm, metric, place, values)
        if harm is not None and harm.metric == NEW_CATEGORY_METRIC:
            failed = chance.binomial(served, min(harm.shift, 1.0)).astype(float)
            tally.add(stage, arm, CATEGORY_PREFIX + NEW_ERROR, failed, failed)

    def _name_errors(self, tally: Tally, arm: str, errors: Ints) -> None:
        """Give errors the usual category names, the same in both arms."""
        first = self._chance.binomial(errors, 1 / 2)
        for name, came in zip(USUAL_ERRORS, (first, errors - first), strict=True):
            tally.add(self._stage, arm, CATEGORY_PREFIX + name, came.astype(float), came.astype(float))

    def _draw_readings(self, served: Ints, share: float) -> Ints:
        return served if share >= 1 else self._chance.binomial(served, share)

    def _draw_user_rates(self, level: MetricLevel) -> Array:
        """Draw each user's rate from a beta distribution whose intraclass correlation is the ICC."""
        size, rate = self.population.size, min(max(level.level, 1e-6), 1 - 1e-6)
        if self._icc <= 0:
            return np.full(size, rate)
        concentration = (1 - self._icc) / self._icc
        return self._chance.beta(rate * concentration, (1 - rate) * concentration, size)

    def _build_crowd(self, arm: str, who: Bools, share: float) -> _ArmUsers:
        population, places = self.population, len(self.population.profiles) * BUCKETS
        place, activity = population.place[who], population.activity[who]
        weight = np.bincount(place, activity, places).astype(np.float64)
        safe = np.where(weight > 0, weight, 1.0)
        alike = np.bincount(place, activity**2, places) / safe**2
        return _ArmUsers(
            arm=arm,
            weight=weight,
            rates={
                metric: np.clip(np.bincount(place, activity * rates[who], places) / safe, 0.0, 1.0)
                for metric, rates in self._user_rates.items()
            },
            shift=np.bincount(place, activity * self._user_normal[who], places) / safe * np.sqrt(self._icc),
            scale=np.sqrt(1 - self._icc * alike),
            people=int(self._chance.binomial(population.people, share)),
        )


def _build_signals(metrics: Sequence[Metric], known: KnownTraffic) -> list[_Signal]:
    found: dict[tuple[str, ...], _Signal] = {}
    for metric in metrics:
        if not metric.has_amounts:
            continue
        fed = next((fed for fed in FEEDS.values() if metric.key in fed), (metric.key,))
        level, q = known.level_of(metric), metric.quantile
        above = level.spread**2 / 2 if q is None else NormalDist().inv_cdf(q) * level.spread
        measured = tuple(CATALOGUE.get(key, metric) for key in fed)
        median = level.level / float(np.exp(above))
        signal = _Signal(metrics=measured, median=median, spread=level.spread, share=level.share)
        # The tail of a distribution says more about it than its middle.
        if fed not in found or (q or 0) > 0.5:
            found[fed] = signal
    return list(found.values())
