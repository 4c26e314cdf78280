"""The plan that is agreed before a rollout starts: stages, limits, approvals and notices, as one immutable value."""

import hashlib
import json
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from functools import reduce
from typing import Any, ClassVar
from urllib.parse import urlsplit

from core.judging.limits.limits import Limit
from core.metrics.catalogue import Metric
from core.metrics.own_metrics import find_metric
from core.rollout.plans.driven_systems import DRIVEN_SYSTEMS, FIRST_STAGE

Content = Mapping[str, Any]  # the whole content of a version: prompt, model, params, tools, routing
MERGED_PARTS = ("params", "routing")  # parts that are merged key by key; all others are replaced as a whole


class StageKind(StrEnum):
    EVAL = "eval"
    SAFETY = "safety"
    COST_LATENCY = "cost_latency"
    ROLLBACK_DRILL = "rollback_drill"
    COHORT = "cohort"
    CANARY = "canary"
    AB = "ab"
    RAMP = "ramp"
    BAKE = "bake"


GATE_KINDS = frozenset({StageKind.EVAL, StageKind.SAFETY, StageKind.COST_LATENCY, StageKind.ROLLBACK_DRILL})


class AdvanceMode(StrEnum):
    AUTO = "auto"
    APPROVE = "approve"


class Risk(StrEnum):
    LOW = "low"
    STANDARD = "standard"
    HIGH = "high"


@dataclass(frozen=True, slots=True, kw_only=True)
class EvalTerms:
    """What an `eval`, `safety` or `cost_latency` gate requires of a run. Rates and rises are fractions."""

    suite: str = ""
    min_pass_rate: float | None = None
    no_new_failures_in: tuple[str, ...] = ()  # ("*",) means every category
    compare_to_current: bool = False
    max_cost_rise: float | None = None
    max_p95_rise: float | None = None
    by_lower_bound: bool | None = None  # True: the lower end of the pass rate's interval has to reach `min_pass_rate`

    @property
    def is_empty(self) -> bool:
        """Whether the file requires nothing, so that the built-in terms apply."""
        return self == EvalTerms(suite=self.suite)


# The terms of a gate whose file gives none, by kind. New failures in critical categories then count as well.
DEFAULT_EVAL_TERMS: Mapping[StageKind, EvalTerms] = {
    StageKind.EVAL: EvalTerms(min_pass_rate=0.92),
    StageKind.SAFETY: EvalTerms(no_new_failures_in=("*",)),
    StageKind.COST_LATENCY: EvalTerms(max_cost_rise=0.25, max_p95_rise=0.20),
}
CRITICAL_CATEGORIES = ("critical", "safety")


@dataclass(frozen=True, slots=True, kw_only=True)
class Stage:
    """One stage of the plan. `percent` is the share of the stage's audience, 0 to 100; durations are in rollout
    time."""

    kind: StageKind
    name: str
    percent: float = 0.0
    where: Mapping[str, str | tuple[str, ...]] | None = None  # cohort: every equality and in-list must match
    min_hold: timedelta = timedelta(0)
    max_hold: timedelta | None = None
    min_samples: int = 0  # canary requests of this stage
    advance: AdvanceMode = AdvanceMode.AUTO  # how this stage is entered: automatically or after approval
    terms: EvalTerms | None = None
    drill_within: timedelta | None = None
    stratum: str | None = None  # cohort: the audience, if it has several stages; None: the stage is named after it
    decide_on: tuple[str, ...] = ()  # ab: the metrics on which a person decides when the stage is over

    @property
    def audience(self) -> str:
        """The name of a cohort, which all of its stages have in common; empty for a stage that is open to everybody."""
        return (self.stratum or self.name) if self.kind is StageKind.COHORT else ""

    @property
    def longest_hold(self) -> timedelta:
        """How long the stage lasts before a person is asked: `max_hold`, else four times `min_hold`, else a day."""
        return self.max_hold or 4 * self.min_hold or timedelta(days=1)

    @property
    def is_decided_at_end(self) -> bool:
        """Whether this is a long comparison: nothing but harm ends it before its horizon, and then a person decides."""
        return self.kind is StageKind.AB and bool(self.decide_on)

    def has_matched_control(self, control: str) -> bool:
        """Whether control is as large as the canary, with the others in neither arm: where it is `matched` and so many
        are left. A cohort is compared whole: who left it uncompared could not be told from others later."""
        return control == "matched" and self.kind is not StageKind.COHORT and 0 < self.percent <= 50

    def control_share(self, control: str) -> float:
        """The share (0 to 1) of the audience that is control."""
        share = self.percent / 100
        return share if self.has_matched_control(control) else 1 - share

    @property
    def has_exposure(self) -> bool:
        """Whether anyone gets the new version in this stage."""
        return self.percent > 0

    @property
    def is_compared(self) -> bool:
        """Whether canary and control run side by side in this stage."""
        return 0 < self.percent < 100


@dataclass(frozen=True, slots=True, kw_only=True)
class BehaviourChange:
    """A change that users will notice, shown to people verbatim."""

    audience: tuple[str, ...]
    text: str
    example_before: str = ""
    example_after: str = ""
    unchanged: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Expectation:
    """What the owner expects of a metric; `low` and `high` are fractions, relative to control or in percentage
    points."""

    metric: str
    direction: str  # up | down | same
    low: float | None = None
    high: float | None = None
    points: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class NoticePlan:
    """One channel to notify: its audience, how long before the start, and whether somebody has to acknowledge."""

    channel: str
    audience: str  # engineering | support | marketing | downstream
    before: timedelta | None = None
    acknowledge: bool = False

    @property
    def key(self) -> str:
        """What identifies the notice within its rollout, as in `support:#support`."""
        return f"{self.audience}:{self.channel}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Approvals:
    """How many people must approve at a gate, and the groups that each need one approver; names as Slack writes
    them."""

    required: int = 0
    groups: tuple[str, ...] = ()
    owner_may_approve: bool = False

    @property
    def needed(self) -> int:
        """How many people must approve: the required number, and at least one per group."""
        return max(self.required, len(set(self.groups)))


@dataclass(frozen=True, slots=True, kw_only=True)
class DrivenFlag:
    """A flag or a label in a team's own system, which follows the plan. `system` is a row of `DRIVEN_SYSTEMS`, which
    says what the other fields are called in a file."""

    url: str  # without a slash at the end; of flagd, the name of its file
    project: str
    environment: str
    feature: str  # the flag, the model or the prompt
    strategy: str  # what of it moves: the rule that holds the percentage, or the label
    system: str
    new: str | None = None  # what the new version is called there, where the system has to be told
    old: str | None = None  # and the old one
    moves: str | None = None  # of a label: everyone | first_stage

    @property
    def title(self) -> str:
        """What people call it: feature, system and what tells it apart, as in `new-prompt in Unleash (production)`."""
        known = DRIVEN_SYSTEMS[self.system]
        return f"{self.feature} in {known.title} ({getattr(self, known.told_by)})"

    @property
    def place(self) -> tuple[str, ...]:
        """Where it is: two rollouts with the same place would undo each other's changes."""
        return (self.system, self.url, self.project, self.environment, self.feature, self.strategy)

    @property
    def is_label(self) -> bool:
        """Whether it points at one version, as opposed to dividing people by a percentage."""
        return DRIVEN_SYSTEMS[self.system].is_label

    def percent_at(self, percent: float) -> float:
        """What it should be at while this percentage of people gets the new version. A label is at 0 or 100."""
        if not self.is_label:
            return percent
        return 100.0 if percent >= 100 or (percent > 0 and self.moves == FIRST_STAGE) else 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class CodeRevert:
    """How code behind the flag is reverted after a rollback: by a pull request on GitHub, or by a deploy system."""

    system: str  # github | webhook
    url: str  # of the API or of the webhook, without a slash at the end
    repository: str = ""  # GitHub: owner/name
    pull_request: int = 0  # GitHub: the merged one to revert

    @property
    def title(self) -> str:
        """What people call it: of a webhook its host, as the path may be a secret."""
        return f"{self.repository}#{self.pull_request}" if self.system == "github" else urlsplit(self.url).netloc


@dataclass(frozen=True, slots=True, kw_only=True)
class Tester:
    """Somebody who opted in to say how a new version is: one person, or everybody in a channel.

    `unit` is the id by which applications know this person; without it nobody knows which version they get.
    """

    person: str = ""  # a Slack user id if it could be resolved, else the handle as written
    handle: str = ""  # as written
    channel: str = ""
    unit: str = ""

    @property
    def target(self) -> str:
        """Where they are asked: a Slack user id for a direct message, or a channel."""
        return self.channel or self.person


@dataclass(frozen=True, slots=True, kw_only=True)
class Holdout:
    """Units that never get the new version by this rollout and keep the old one for a time after it is done."""

    percent: float  # of all units, 0 to 100
    lasts: timedelta  # from the end of the rollout


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """Everything that is frozen at the start. Approvals are bound to its `fingerprint`."""

    # Added when plans were already stored: left out of bytes and fingerprint while unset, so that those stay the same.
    LATER: ClassVar[tuple[str, ...]] = (
        *(
            "drives",
            *(f"drives.{each}{name}" for each in ("", "*.") for name in ("new", "old", "moves")),
            "reverts",
            "stages.*.terms.by_lower_bound",
            "flows",
            "testers",
            "finish_within",
            "strata",
            "stages.*.stratum",
        ),
        *("metrics", "limits.*.definition", "holdout"),
    )

    name: str
    surface: str
    owner: str  # a Slack user id if it could be resolved, else the handle as written
    owner_handle: str = ""
    risk: Risk
    template: str
    from_version: str
    to_version: str
    change: Content  # the parts that differ from `from_version`
    why: str = ""
    ticket: str = ""
    deadline: str = ""
    rollback_until: str = ""  # the last day on which the old version can still be called
    behaviour_changes: tuple[BehaviourChange, ...] = ()
    expectations: tuple[Expectation, ...] = ()
    stages: tuple[Stage, ...]
    unit: str = "user"
    control: str = "concurrent"  # concurrent | matched
    segments: tuple[str, ...] = ()
    approvals: Approvals
    limits: tuple[Limit, ...]
    notices: tuple[NoticePlan, ...]
    start: datetime | None = None
    # kinds of requests that are judged by themselves: name -> the segments that tell them
    flows: Mapping[str, Mapping[str, str | tuple[str, ...]]] | None = None
    metrics: tuple[Metric, ...] | None = None  # the surface's own, as they were defined when this was agreed
    drives: DrivenFlag | tuple[DrivenFlag, ...] | None = None  # one stands alone, as plans were stored before
    # how long after the rollout conversations under way may go on with the version that they began with; None: they
    # change at their next turn
    finish_within: timedelta | None = None
    # audiences without a stage of their own that can be rolled back alone: name -> conditions on the context, in order
    strata: Mapping[str, Mapping[str, str | tuple[str, ...]]] | None = None
    reverts: tuple[CodeRevert, ...] | None = None  # what reverts the code after a rollback; None: there is none
    testers: tuple[Tester, ...] | None = None  # who is asked how the new version is; None: nobody
    holdout: Holdout | None = None  # who keeps the old version after the end; None: nobody

    @property
    def driven(self) -> tuple[DrivenFlag, ...]:
        """Every flag and label that follows this plan, in the order of the file."""
        if self.drives is None:
            return ()
        return (self.drives,) if isinstance(self.drives, DrivenFlag) else self.drives

    @property
    def dividing(self) -> tuple[DrivenFlag, ...]:
        """Those of them that decide who gets which version; while there are any, Rampart's own bucketing does not."""
        return tuple(one for one in self.driven if not one.is_label)

    @property
    def engineering_channel(self) -> str:
        """Where the card is posted: the first channel with the audience engineering."""
        return next(n.channel for n in self.notices if n.audience == "engineering")

    @property
    def stakeholder_notices(self) -> tuple[NoticePlan, ...]:
        """The notices to everyone but engineering, in plain words. (Engineering has the card.)"""
        return tuple(n for n in self.notices if n.audience != "engineering")

    @property
    def needs_approval(self) -> bool:
        """Whether anybody has to approve, at the start or at a later gate."""
        later = any(stage.advance is AdvanceMode.APPROVE for stage in self.stages)
        return bool(self.approvals.needed) or later or self.risk is Risk.HIGH

    def find_metric(self, name: str) -> Metric | None:
        """The metric of this name, as the plan has it or the catalogue; None if there is none."""
        return find_metric(name, self.metrics)

    def fingerprint(self) -> str:
        """Sixteen hex digits over every field: equal plans have the same fingerprint, a changed plan has another."""
        fields = drop_unset_fields(asdict(self), self.LATER)
        return hashlib.sha256(json.dumps(_to_json_value(fields), sort_keys=True).encode()).hexdigest()[:16]


def drop_unset_fields(fields: dict[str, Any], paths: Iterable[str]) -> dict[str, Any]:
    """Drop the fields at these dotted paths that are None; `*` stands for each item of a list.

    Whatever a path leads through may be None or lack the field.
    """
    for path in paths:
        *around, name = path.split(".")
        for inside in reduce(_step_into, around, [fields]):
            if isinstance(inside, dict) and name in inside and inside[name] is None:
                del inside[name]
    return fields


def _step_into(found: list[Any], name: str) -> list[Any]:
    """The values one step further on a path; none where there is no list, or no such object."""
    if name == "*":
        return [each for one in found if isinstance(one, list | tuple) for each in one]
    return [one[name] for one in found if isinstance(one, dict) and one.get(name) is not None]


def _to_json_value(value: Any) -> Any:
    """The value as plain JSON types: durations in seconds, times as ISO 8601."""
    match value:
        case Mapping():
            return {str(k): _to_json_value(v) for k, v in value.items()}
        case tuple() | list():
            return [_to_json_value(v) for v in value]
        case timedelta():
            return value.total_seconds()
        case datetime():
            return value.isoformat()
        case _:
            return value


def content_hash(content: Content) -> str:
    """Twelve hex digits that identify a version's content, whatever the version is called."""
    return hashlib.sha256(json.dumps(_to_json_value(content), sort_keys=True).encode()).hexdigest()[:12]


def changed_parts(before: Content, after: Content) -> tuple[str, ...]:
    """Which parts of a version differ (`prompt`, `model`, …), computed from the contents."""
    return tuple(sorted(k for k in {*before, *after} if before.get(k) != after.get(k)))
