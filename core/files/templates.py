"""The eight built-in templates: stages, limits and lead times that a file need not write."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from types import MappingProxyType
from typing import Any

from core.judging.model.question import ALL_SEGMENTS
from core.rollout.plans.plan import Risk

DEFAULT_TEMPLATE = "prompt-standard"


@dataclass(frozen=True, slots=True, kw_only=True)
class NoticeLead:
    """How long before the start an audience is notified, and whether somebody has to acknowledge."""

    before: timedelta | None = None
    acknowledge: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Template:
    """`stages` and `rollback_when` are written as in a file. `leads` applies if the surface's channels are used."""

    title: str
    risk: Risk
    stages: tuple[Mapping[str, Any], ...]
    leads: Mapping[str, NoticeLead]
    segments: tuple[str, ...] = ()
    rollback_when: tuple[Mapping[str, Any], ...] = ()  # added if the file has no limit on that metric
    dated_snapshot: bool = False  # a model name must contain its date
    compares_extensively: bool = False  # the long comparison takes at least twice the canary's sample


def _build_leads(hours: int, *audiences: str, acknowledge: bool = False) -> Mapping[str, NoticeLead]:
    return {
        a: NoticeLead(before=timedelta(hours=hours) or None, acknowledge=acknowledge and a == "support")
        for a in audiences
    }


_EVAL = {"eval": {"min_pass_rate": "92%", "compare_to_current": True}}
_INTERNAL = {"cohort": {"name": "internal", "where": {"internal": True}, "hold": "2h"}}
_STEPS = {"ramp": {"steps": ["10%", "25%", "50%", "100%"], "hold": "12h"}}

TEMPLATES: Mapping[str, Template] = MappingProxyType(
    {
        "prompt-low-stakes": Template(
            title="For daily shipping: about 6 hours",
            risk=Risk.LOW,
            stages=(
                _EVAL,
                {"canary": {"percent": 5, "min_hold": "1h", "max_hold": "12h"}},
                {"ramp": {"steps": ["50%", "100%"], "hold": "1h"}},
                {"bake": {"hold": "4h"}},
            ),
            leads={},
        ),
        "prompt-standard": Template(
            title="The default for a prompt: 3 to 4 days",
            risk=Risk.STANDARD,
            stages=(
                _EVAL,
                _INTERNAL,
                {"canary": {"percent": 5, "min_hold": "6h", "max_hold": "24h", "min_samples": 1500}},
                _STEPS,
                {"bake": {"hold": "48h"}},
            ),
            leads=_build_leads(24, "support", "marketing"),
        ),
        "model-upgrade-high-stakes": Template(
            title="Another model: about four weeks",
            risk=Risk.HIGH,
            stages=(
                _EVAL,
                {"safety": {"no_new_failures_in": "all"}},
                {"cost_latency": {"max_cost_rise": "25%", "max_p95_rise": "20%"}},
                {"rollback_drill": {"within": "10s"}},
                {"cohort": {"name": "internal", "where": {"internal": True}, "hold": "24h"}},
                {"canary": {"percent": 1, "min_hold": "24h", "max_hold": "72h", "min_samples": 3000}},
                {"ab": {"percent": 50, "days": 14}},
                {"ramp": {"steps": ["75%", "100%"], "hold": "24h", "advance": "approve"}},
                {"bake": {"hold": "168h"}},
            ),
            leads=_build_leads(72, "support", "marketing", "downstream", acknowledge=True),
            segments=(ALL_SEGMENTS,),
            dated_snapshot=True,
            compares_extensively=True,
        ),
        "prompt-rewrite-long-ab": Template(
            title="A rewrite that is compared for whole weeks: 2 to 5 weeks",
            risk=Risk.STANDARD,
            stages=(
                _EVAL,
                _INTERNAL,
                {"canary": {"percent": 5, "min_hold": "24h", "max_hold": "72h", "min_samples": 1500}},
                {"ab": {"percent": 50, "days": 14, "max_hold": "28d", "min_samples": 3000}},
                {"ramp": {"steps": ["100%"], "hold": "24h"}},
                {"bake": {"hold": "48h"}},
            ),
            leads=_build_leads(48, "support", "marketing"),
        ),
        "tools-change": Template(
            title="Tools added, removed or changed: 3 days",
            risk=Risk.STANDARD,
            stages=(
                _EVAL,
                {"canary": {"percent": 2, "min_hold": "6h", "max_hold": "24h", "min_samples": 1500}},
                _STEPS,
                {"bake": {"hold": "24h"}},
            ),
            leads=_build_leads(24, "support", "marketing"),
            rollback_when=(
                {"metric": "tool_error_rate", "rises_by": "1pp"},
                {"metric": "llm_calls_per_request", "rises_by": "10%"},
            ),
        ),
        "routing-change": Template(
            title="Which requests go to which model: 2 days",
            risk=Risk.STANDARD,
            stages=(
                _EVAL,
                {"canary": {"percent": 5, "min_hold": "6h", "max_hold": "24h", "min_samples": 1500}},
                {"ramp": {"steps": ["25%", "50%", "100%"], "hold": "6h"}},
                {"bake": {"hold": "24h"}},
            ),
            leads=_build_leads(24, "downstream"),
            segments=("route",),
        ),
        "power-users-first": Template(
            title="People who opted in come first: 5 to 6 days",
            risk=Risk.STANDARD,
            stages=(
                _EVAL,
                _INTERNAL,
                {"cohort": {"name": "power-users", "where": {"opt_in": True}, "hold": "48h"}},
                {"canary": {"percent": 5, "min_hold": "6h", "max_hold": "24h", "min_samples": 1500}},
                _STEPS,
                {"bake": {"hold": "48h"}},
            ),
            leads=_build_leads(24, "support", "marketing"),
        ),
        "emergency-fix": Template(
            title="Something is broken now: one hour",
            risk=Risk.STANDARD,
            stages=(
                {"canary": {"percent": 5, "min_hold": "30m", "max_hold": "2h"}},
                {"ramp": {"steps": ["100%"], "hold": "15m"}},
                {"bake": {"hold": "4h"}},
            ),
            leads={},
        ),
    }
)
