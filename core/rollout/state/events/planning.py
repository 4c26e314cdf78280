"""What happens to a plan before its rollout starts, and to the bundle that it belongs to."""

from dataclasses import dataclass
from datetime import datetime
from typing import ClassVar, TypeAlias

from core.rollout.plans.bundle_order import BundleOrder
from core.rollout.plans.plan import Content, Plan
from core.rollout.plans.renewal import PlanRenewal


@dataclass(frozen=True, slots=True, kw_only=True)
class Planned:
    """A rollout file was applied. Applying it again before the start resets approvals and notices.

    With a `renewal`, no file was: a plan that waited in the queue was made again on the version that is live now. That
    resets the approvals alone.
    """

    TYPE: ClassVar[str] = "rollout.planned"
    LATER: ClassVar[tuple[str, ...]] = (*(f"plan.{name}" for name in Plan.LATER), "baseline", "renewal")
    rollout: str
    plan: Plan
    fingerprint: str
    from_content: Content
    to_content: Content
    by: str
    baseline: str | None = None  # the rollout whose baseline filled in the sample sizes
    renewal: PlanRenewal | None = None  # why it was made again; None: a file was applied


@dataclass(frozen=True, slots=True, kw_only=True)
class StartScheduled:
    """A person pressed `Start then`: the rollout starts automatically at this time."""

    TYPE: ClassVar[str] = "rollout.start_scheduled"
    start: datetime
    by: str


@dataclass(frozen=True, slots=True, kw_only=True)
class BaseChanged:
    """Before the start, the live version changed: either away from the version the plan starts from (the rollout cannot
    start) or back to it."""

    TYPE: ClassVar[str] = "rollout.base_changed"
    live: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Abandoned:
    """The plan was given up before its start."""

    TYPE: ClassVar[str] = "rollout.abandoned"
    WRITTEN: ClassVar[tuple[str, ...]] = ("reason",)
    by: str
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Bundled:
    """The rollout moves with others, as a file says. `members` are the ids of all of them, in the order of the file."""

    TYPE: ClassVar[str] = "rollout.bundled"
    bundle: str
    order: BundleOrder
    members: tuple[str, ...]
    by: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Unbundled:
    """The file of its bundle was applied without it, so it moves alone."""

    TYPE: ClassVar[str] = "rollout.unbundled"
    bundle: str
    by: str


@dataclass(frozen=True, slots=True, kw_only=True)
class BundleNotFollowed:
    """`cause`, a rollout of the same bundle, went back, and this one could not follow: why."""

    TYPE: ClassVar[str] = "rollout.bundle_not_followed"
    bundle: str
    cause: str
    why: str


PlanningEvent: TypeAlias = Planned | StartScheduled | BaseChanged | Abandoned | Bundled | Unbundled | BundleNotFollowed
