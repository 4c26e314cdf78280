"""A simulated AI feature: the observations its requests produce, per version and scenario."""

import math
import random
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import datetime

USERS = 40_000
LANGUAGES = ("en",) * 12 + ("de",) * 4 + ("fr",) * 4 + ("tr",) * 3 + ("ja",)
PLANS = ("free", "free", "paid")


@dataclass(frozen=True, slots=True, kw_only=True)
class Behaviour:
    """How one version behaves: rates as shares of requests, cost in US dollars, latency in milliseconds."""

    passes: float = 0.92
    judged: float = 0.25  # share of requests whose answer is checked
    refuses: float = 0.02
    retries: float = 0.083
    errors: float = 0.004
    flagged: float = 0.0011
    complains: float = 0.0008
    clicks: float = 0.31
    turns: float = 4.0
    calls: float = 1.3  # of a model
    cost: float = 0.0139  # median
    cost_spread: float = 0.5  # sigma of the logarithm
    latency: float = 1240.0  # median
    latency_spread: float = 0.45
    new_error: float = 0.0  # share of requests that fail in a way never seen before


CONTROL_BEHAVIOUR = Behaviour()
SCENARIOS: dict[str, tuple[str, Behaviour]] = {
    "healthy": ("nothing gets worse; it reaches everyone", replace(CONTROL_BEHAVIOUR, cost=0.0121, latency=1150.0)),
    "quality-drop": ("answers that pass the checks fall from 92 % to 80 %", replace(CONTROL_BEHAVIOUR, passes=0.80)),
    "cost-doubles": (
        "every request costs twice as much, because it asks the model twice as often",
        replace(CONTROL_BEHAVIOUR, cost=2 * CONTROL_BEHAVIOUR.cost, calls=2 * CONTROL_BEHAVIOUR.calls),
    ),
    "refusals": ("it declines to answer 8 % of requests instead of 2 %", replace(CONTROL_BEHAVIOUR, refuses=0.08)),
    "slow-p95": (
        "one answer in eight takes over four seconds",
        replace(CONTROL_BEHAVIOUR, latency=1400.0, latency_spread=0.95),
    ),
    "new-error": (
        "6 % of requests run into an error never seen before, and recover from it",
        replace(CONTROL_BEHAVIOUR, new_error=0.06),
    ),
    "complaints": (
        "ten times as many people complain, and nothing else shows",
        replace(CONTROL_BEHAVIOUR, complains=10 * CONTROL_BEHAVIOUR.complains),
    ),
    "one-language": (
        "it declines half of the requests in Japanese; the total hides that",
        replace(CONTROL_BEHAVIOUR, refuses=0.002),
    ),
}
LANGUAGE_OVERRIDES: dict[str, tuple[str, Behaviour]] = {"one-language": ("ja", replace(CONTROL_BEHAVIOUR, refuses=0.5))}
"""Scenarios in which one language behaves differently: (language, its behaviour)."""
HARMLESS_SCENARIOS = frozenset({"healthy"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Visitor:
    """The user behind one request, with the traits that targeting may use."""

    unit: str
    language: str
    plan: str
    internal: bool
    opted_in: bool

    @property
    def context(self) -> dict[str, str | bool]:
        """The flag evaluation context that an application would send."""
        domain = "example.com" if self.internal else "mail.test"
        return {
            "targetingKey": self.unit,
            "email": f"{self.unit}@{domain}",
            "language": self.language,
            "plan": self.plan,
            "internal": self.internal,
            "opt_in": self.opted_in,
        }


def generate_visitors(rng: random.Random, count: int) -> Iterator[Visitor]:
    """Draw `count` visitors from 40,000 users with fixed traits, 2 % of them internal."""
    for _ in range(count):
        yield build_visitor(rng.randrange(USERS))


def build_visitor(number: int) -> Visitor:
    """One of the 40,000 users, numbered from 0, with their fixed traits; a tenth have opted in to new versions."""
    return Visitor(
        unit=f"user-{number}",
        language=LANGUAGES[number % len(LANGUAGES)],
        plan=PLANS[number % len(PLANS)],
        internal=number % 50 == 0,
        opted_in=number % 10 == 1,
    )


def build_observation(
    rng: random.Random, visitor: Visitor, variant: str, behaviour: Behaviour, at: datetime
) -> dict[str, object]:
    """One simulated observation, in the form of `POST /api/v1/observations` but without a surface."""
    failed = rng.random() < behaviour.errors
    new_failure = rng.random() < behaviour.new_error
    metrics: dict[str, float | bool] = {
        "refusal_rate": rng.random() < behaviour.refuses,
        "retry_rate": rng.random() < behaviour.retries,
        "hard_error_rate": failed,
        "moderation_flag_rate": rng.random() < behaviour.flagged,
        "suggestion_ctr": rng.random() < behaviour.clicks,
        "cost_per_request": behaviour.cost * math.exp(rng.gauss(0.0, behaviour.cost_spread)),
        "latency_ms": behaviour.latency * math.exp(rng.gauss(0.0, behaviour.latency_spread)),
        "conversation_turns": max(1.0, rng.gauss(behaviour.turns, 1.5)),
    }
    # By the digits of the cost, which are as good as random here.
    metrics["llm_calls_per_request"] = math.floor(behaviour.calls + metrics["cost_per_request"] * 1e6 % 1)
    if rng.random() < behaviour.judged:
        metrics["eval_pass_rate"] = rng.random() < behaviour.passes
    if rng.random() < behaviour.complains:
        metrics["complaint_rate"] = True
    observation: dict[str, object] = {
        "unit": visitor.unit,
        "variant": variant,
        "at": at.isoformat(),
        "segments": {"language": visitor.language, "plan": visitor.plan},
        "metrics": metrics,
    }
    if new_failure:
        observation["error_category"] = "ToolSchemaMismatch"
    elif failed:
        observation["error_category"] = rng.choice(("Timeout", "RateLimited"))
    return observation


def simulate_requests(
    rng: random.Random,
    scenario: str,
    at: datetime,
    count: int,
    evaluate: Callable[[Visitor], tuple[str, str]],
    old_version: str,
    visitors: Sequence[Visitor] | None = None,
) -> list[dict[str, object]]:
    """Simulate `count` requests and return their observations; `evaluate` returns (variant, version) for a visitor.

    Versions other than `old_version` show the scenario's behaviour. Only `visitors` come, or everybody.
    """
    _, changed = SCENARIOS[scenario]
    language, own = LANGUAGE_OVERRIDES.get(scenario, ("", changed))
    observations = []
    for visitor in generate_visitors(rng, count) if visitors is None else rng.choices(visitors, k=count):
        variant, version = evaluate(visitor)
        behaviour = CONTROL_BEHAVIOUR if version == old_version else own if visitor.language == language else changed
        observations.append(build_observation(rng, visitor, variant, behaviour, at))
    return observations
