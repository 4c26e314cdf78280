"""Why a plan that waited was made again: another version went live meanwhile."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class PlanRenewal:
    """What the plan was before, and what of the live version it replaces."""

    from_version: str
    to_version: str
    live_by: str  # the rollout that made the live version live; empty if a file did
    # parts that differ between the two bases and that this plan changes as well: as they are live, they are replaced
    replaces: tuple[str, ...]
