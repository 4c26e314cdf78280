"""What is asked of the workspace and not of one rollout."""

from dataclasses import dataclass
from datetime import datetime, time

from core.rollout.plans.policy import Policy
from core.rollout.state.surface import RetirementTold, SurfaceDeclared


@dataclass(frozen=True, slots=True, kw_only=True)
class ApplySurface:
    """Apply a surface file."""

    declared: SurfaceDeclared


@dataclass(frozen=True, slots=True, kw_only=True)
class ApplyPolicy:
    """Apply a policy file."""

    policy: Policy
    fingerprint: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Subscribe:
    """Follow an AI feature as an audience."""

    surface: str
    audience: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Unsubscribe:
    """Stop following: an AI feature, as one audience, or everything if both are empty."""

    surface: str = ""
    audience: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class ChangeNotifications:
    """Set everything at once: the role on the home tab, quiet hours in `zone`, and each (surface, audience) to
    follow."""

    role: str
    quiet_from: time | None
    quiet_until: time | None
    zone: str
    topics: tuple[tuple[str, str], ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class ReportOtherModel:
    """Report that `answered` is the model in a response for this version of a surface."""

    surface: str
    version: str
    answered: str


@dataclass(frozen=True, slots=True, kw_only=True)
class TellRetirement:
    """Warn a surface of the retirement of the model that it calls, once per step."""

    surface: str
    told: RetirementTold


@dataclass(frozen=True, slots=True, kw_only=True)
class FreezeChanges:
    """Let nothing start or grow until a time, on one AI feature or (empty) on all."""

    surface: str
    until: datetime
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class UnfreezeChanges:
    """End declared freezes: of one AI feature, or all of them if empty."""

    surface: str = ""
