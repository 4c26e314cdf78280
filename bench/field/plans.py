"""Which rollouts the field trial plays: every template, and plans drawn at random."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import Any

from numpy.random import Generator

from core.files import build_plan
from core.files.kinds.rollout_file import RolloutFile
from core.files.read_file import parse_file
from core.files.templates import TEMPLATES
from core.rollout.plans.plan import GATE_KINDS, AdvanceMode, Plan, StageKind
from core.rollout.state.surface import Surface
from core.rollout.state.world import World

SURFACE = "assistant"
SURFACE_FILE = json.dumps(
    {
        "version": 1,
        "kind": "surface",
        "surface": SURFACE,
        "title": "Assistant",
        "owner": "@dana",
        "notify": [{"channel": "#ai", "as": "engineering"}],
        "live": {
            "version": "v42",
            "prompt": "old",
            "model": {"provider": "acme", "name": "m", "snapshot": "2026-01-01"},
        },
    }
)
LIMITS = (
    {"metric": "eval_pass_rate", "drops_by": "2pp"},
    {"metric": "refusal_rate", "rises_by": "1pp"},
    {"metric": "hard_error_rate", "rises_by": "0.5pp"},
    {"metric": "cost_per_request", "rises_by": "15%"},
    {"metric": "latency_p95", "rises_by": "20%"},
    {"metric": "new_error_category", "rate_above": "0.2%", "min_events": 5},
    {"metric": "complaint_rate", "exceeds_normal_by": "50%"},
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Tried:
    """One plan and the traffic it is played with."""

    name: str
    plan: Plan
    requests_a_day: float


def drawn(number: int, surface: Surface, world: World, chance: Generator) -> Tried:
    """The `number`-th plan: the templates in turn, and random ones in between."""
    names = tuple(TEMPLATES)
    text = _of_template(names[number // 2 % len(names)]) if number % 2 == 0 else _at_random(chance)
    file = parse_file(json.dumps({**_usual(), **text}), "plan.json")
    assert isinstance(file, RolloutFile)
    known = {"@dana": "U2"}
    plan = build_plan.build(file, surface, world.policy, resolve_handle=lambda handle: known.get(handle, handle))
    stages = tuple(replace(one, advance=AdvanceMode.AUTO) for one in plan.stages if one.kind not in GATE_KINDS)
    plan = replace(plan, stages=stages)
    busy = float(10 ** chance.uniform(1, 5.5))
    length = sum((_expected(one.min_hold, one.kind) for one in stages), timedelta(0)) / timedelta(days=1)
    return Tried(name=str(text.get("template", "random")), plan=plan, requests_a_day=min(busy, MOST_REQUESTS / length))


MOST_REQUESTS = 30_000
"""Of one rollout, about: each is evaluated, reported, placed and counted by the program itself."""


def _expected(hold: timedelta, kind: StageKind) -> timedelta:
    return hold if kind is not StageKind.BAKE else hold / 4


def _usual() -> Mapping[str, Any]:
    return {
        "version": 1,
        "rollout": "trial",
        "surface": SURFACE,
        "owner": "@dana",
        "change": {"from": f"{SURFACE}@v42", "to": {"version": "v43", "prompt": "new"}, "why": "a trial"},
        "behaviour_changes": [{"audience": ["support"], "text": "Answers start with the fix."}],
        "assignment": {"segments": ["language"]},
        "rollback_when": list(LIMITS),
        "notify": [{"channel": "#ai", "as": "engineering"}],
    }


def _of_template(name: str) -> Mapping[str, Any]:
    return {"template": name, "risk": str(TEMPLATES[name].risk)}


def _at_random(chance: Generator) -> Mapping[str, Any]:
    """Some cohorts, a canary, a ramp, a bake; times from a minute to two days."""

    def time(low: float, high: float) -> str:
        return f"{round(60 * 10 ** chance.uniform(low, high))}s"

    cohorts = [{"opt_in": True}, {"internal": True}, {"plan": "paid"}]
    stages: list[Mapping[str, Any]] = [
        {
            "cohort": {
                "name": f"cohort-{i}",
                "where": cohorts[i],
                "percent": int(chance.choice([20, 50, 80, 100])),
                "hold": time(0.5, 2.5),
            }
        }
        for i in chance.permutation(3)[: chance.integers(0, 3)]
    ]
    hold = time(1, 3)
    stages.append(
        {"canary": {"percent": int(chance.integers(1, 6)), "min_hold": hold, "max_hold": f"{int(hold[:-1]) * 3}s"}}
    )
    steps = sorted({int(x) for x in chance.choice([10, 25, 50, 75], chance.integers(1, 4))} | {100})
    stages.append({"ramp": {"steps": [f"{x}%" for x in steps], "hold": time(1, 2.9)}})
    stages.append({"bake": {"hold": time(1, 2)}})
    assignment = {"segments": ["language"], "control": str(chance.choice(["concurrent", "matched"]))}
    return {"stages": stages, "risk": str(chance.choice(["low", "standard"])), "assignment": assignment}
