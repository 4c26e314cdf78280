"""What is played of a template: a file that uses it, and how fast its time runs so that it ends within minutes."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from core.files.build_plan import build_stages
from core.files.kinds.rollout_file import RolloutFile
from core.files.read_file import parse_file
from core.files.templates import TEMPLATES
from core.rollout.decisions import approval_requests
from core.rollout.plans.plan import GATE_KINDS, Stage, StageKind
from core.rollout.state.model import TERMINAL_STATES, Rollout, RolloutState

EMERGENCY = "emergency-fix"
POLICY = """\
version: 1
kind: policy
break_glass: {groups: ["@ai-platform"], reason_min_chars: 20, review_within: 48h}
"""
"""For a template that starts without waiting for an approval."""
MOST_FOR_PEOPLE = 600.0
"""How many times as fast as real time it runs at most while somebody is asked, who must have a minute for it."""
ORDINARY_SPEED = 30.0
_PLAYED_WITHIN = timedelta(seconds=75)  # of real time; gates, people and messages come on top of it
_SLOWER_FOR_PEOPLE = 20
_LOOKS = 300  # in all of it
_SHORTEST_TICK = timedelta(seconds=10)
_WANTED_REQUESTS = 6000  # of each version in a stage, which shows that every limit of the file is kept
_WANTED_OF_FEW = 1500  # in a cohort, whose few people can show little
_WANTED_WITHOUT_CONTROL = 3000  # once everybody has it
_SPARE = 1.3  # so many times the least number of requests that a stage asks for

_PROMPT = {"prompt": "You are the support assistant. Give the steps to fix it first, then the cause in one sentence."}
_CHANGES: Mapping[str, tuple[Mapping[str, Any], str]] = {
    "model-upgrade-high-stakes": (
        {"model": {"provider": "acme-ai", "name": "large-4", "snapshot": "2026-11-30"}},
        "large-3 will be switched off next year.",
    ),
    "tools-change": (
        {"tools": ["lookup_order", "search_help", "send_again"]},
        "Customers ask for a parcel to be sent again.",
    ),
    "routing-change": (
        {"routing": {"default": "large-3", "search": "small-2"}},
        "Searching help pages needs no large model.",
    ),
    EMERGENCY: (_PROMPT, "Answers name a phone number that no longer exists."),
}
_LIMITS = (
    {"metric": "eval_pass_rate", "drops_by": "5pp"},
    {"metric": "refusal_rate", "rises_by": "3pp"},
    {"metric": "hard_error_rate", "rises_by": "2pp"},
    {"metric": "cost_per_request", "rises_by": "15%"},
    {"metric": "latency_p95", "exceeds": "4000ms"},
    {"metric": "new_error_category", "rate_above": "3%", "min_events": 5},
)


class UnknownTemplate(Exception):
    """There is no template of this name; the message lists those there are."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TemplatePlay:
    """The `file` that uses a template, and `policy` if it needs one. `length` is that of the plan, by the rollout's
    clock, which runs `speed` times as fast as real time, `people_speed` while somebody is asked."""

    name: str
    file: str
    policy: str
    length: timedelta
    speed: float
    people_speed: float
    tick: timedelta

    def choose_speed(self, rollout: Rollout) -> float:
        """How fast time runs now: slower while people are asked or something is measured in real seconds."""
        if rollout.state in TERMINAL_STATES:
            return ORDINARY_SPEED
        return self.people_speed if waits_for_people(rollout) else self.speed


def prepare(name: str, speed: float | None) -> TemplatePlay:
    """What to play of the template; UnknownTemplate if there is none of that name."""
    if name not in TEMPLATES:
        raise UnknownTemplate(f'There is no template "{name}". There are: {", ".join(TEMPLATES)}.')
    text = write_file(name)
    file = parse_file(text, "template.yaml")
    assert isinstance(file, RolloutFile)
    leads = [lead.before for lead in TEMPLATES[name].leads.values() if lead.before is not None]
    length = sum((stage.min_hold for stage in build_stages(file)), max(leads, default=timedelta(0)))
    fast = speed if speed is not None else length / _PLAYED_WITHIN
    return TemplatePlay(
        name=name,
        file=text,
        policy=POLICY if name == EMERGENCY else "",
        length=length,
        speed=fast,
        people_speed=min(fast, max(fast / _SLOWER_FOR_PEOPLE, ORDINARY_SPEED), MOST_FOR_PEOPLE),
        tick=max(length / _LOOKS, _SHORTEST_TICK),
    )


def write_file(name: str) -> str:
    """A short rollout file that leaves everything to the template which can be left to it."""
    to, why = _CHANGES.get(name, (_PROMPT, "Customers say that replies bury the fix."))
    return json.dumps(
        {
            "version": 1,
            "rollout": name,
            "surface": "support-assistant",
            "owner": "@dana",
            "template": name,
            "change": {"from": "support-assistant@v42", "to": to, "why": why},
            "behaviour_changes": [
                {
                    "audience": ["support", "marketing"],
                    "text": "Answers start with the fix and are about a third shorter.",
                }
            ],
            "assignment": {"control": "matched"},  # so that only those who are compared have to be simulated
            "rollback_when": _LIMITS,
        },
        indent=2,
    )


def waits_for_people(rollout: Rollout) -> bool:
    """Whether it goes on only once somebody has done something, or a drill was timed in real seconds."""
    match rollout.state:
        case RolloutState.PLANNED:
            return rollout.start is None
        case RolloutState.WAITING:
            return not approval_requests.is_approved(rollout)
        case RolloutState.RUNNING:
            stage = rollout.current_stage
            if stage.kind is StageKind.ROLLBACK_DRILL:
                return rollout.stage_index not in rollout.drilled
            return stage.kind in GATE_KINDS and rollout.stage_index not in rollout.evals
        case _:
            return True


def requests_per_second(stage: Stage) -> float:
    """Requests a second of the rollout's clock, of those who are compared: as many as a stage needs in its least time,
    and none where nobody is served the new version."""
    if not stage.has_exposure:
        return 0.0
    if stage.kind is StageKind.COHORT:
        wanted = _WANTED_OF_FEW
    else:
        wanted = _WANTED_REQUESTS if stage.is_compared else _WANTED_WITHOUT_CONTROL
    enough = max(wanted, _SPARE * stage.min_samples)
    return (2 if stage.is_compared else 1) * enough / stage.min_hold.total_seconds()
