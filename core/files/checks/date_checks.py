"""Check that the dates of a change leave enough time: its deadline, the last day of the old version, and a holdout."""

from collections.abc import Iterator
from datetime import date, datetime, timedelta

from core import durations
from core.files.build_plan import build_notices, build_stages, find_start_problem
from core.files.kinds.rollout_file import RolloutFile
from core.files.syntax.problems import FileProblem
from core.files.syntax.times import format_moment
from core.rollout.plans.policy import Policy
from core.rollout.state.surface import Surface

WITHOUT_WAY_BACK = "emergency-fix"
"""The template for an old version that cannot be called any more."""


def check(file: RolloutFile, surface: Surface | None, policy: Policy, now: datetime | None) -> Iterator[FileProblem]:
    """Warnings, as a late change is better than an untested one; an error where there is no way back from its start."""
    yield from _check_holdout(file, policy, now)
    begins = _find_earliest_start(file, surface, policy, now)
    if begins is None:
        return
    end = begins + sum((stage.min_hold for stage in build_stages(file)), timedelta(0))
    local, change = policy.to_local_time(end), file.change
    if change.deadline and local.date() > date.fromisoformat(change.deadline):
        message = f"with these holds it ends on {format_moment(local)} at the earliest, which is after this deadline"
        yield file.source.problem_at(("change", "deadline"), message, severity="warning")
    until = change.rollback_to_available_until
    start = policy.to_local_time(begins)
    if until and start.date() > date.fromisoformat(until) and file.template != WITHOUT_WAY_BACK:
        message = (
            f"it starts on {format_moment(start)} at the earliest, and nobody could be rolled back from its first "
            f"moment: let it start by this day; if the old version cannot be called already, write template: "
            f"{WITHOUT_WAY_BACK}, and harm holds it instead of going back"
        )
        yield file.source.problem_at(("change", "rollback_to_available_until"), message)
    elif until and local.date() > date.fromisoformat(until):
        message = (
            f"it is watched until {format_moment(local)} at the earliest, but nobody could roll back after this "
            "day: shorten the holds, or start earlier"
        )
        yield file.source.problem_at(("change", "rollback_to_available_until"), message, severity="warning")


def _check_holdout(file: RolloutFile, policy: Policy, now: datetime | None) -> Iterator[FileProblem]:
    """A warning where the old version is switched off before the holdout ends."""
    until = file.change.rollback_to_available_until
    if file.holdout is None or not until or now is None:
        return
    if date.fromisoformat(until) - policy.to_local_time(now).date() < file.holdout.for_:
        yield file.source.problem_at(
            ("holdout", "for"),
            f"{file.change.from_version} can be called until {until} only, so the holdout ends before "
            f"{durations.format_typed(file.holdout.for_)} are over",
            severity="warning",
        )


def _find_earliest_start(
    file: RolloutFile, surface: Surface | None, policy: Policy, now: datetime | None
) -> datetime | None:
    """The earliest start, ignoring freezes and quiet hours; None if it is unknown."""
    written = (
        file.start.to_utc(policy.timezone) if file.start is not None and not find_start_problem(file, policy) else None
    )
    lead = max((n.before or timedelta(0) for n in build_notices(file, surface)), default=timedelta(0))
    begins = [moment for moment in (written, now + lead if now is not None else None) if moment is not None]
    return max(begins, default=None)
