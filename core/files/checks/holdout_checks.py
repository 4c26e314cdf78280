"""Check a holdout: that nobody else decides who gets what, and that the old version lasts as long."""

from collections.abc import Iterator
from datetime import date, datetime

from core.files.kinds.rollout_file import RolloutFile
from core.files.syntax.problems import FileProblem
from core.files.syntax.units import format_duration
from core.rollout.plans.policy import Policy


def check(file: RolloutFile, policy: Policy, now: datetime | None) -> Iterator[FileProblem]:
    """An error where a driven flag decides, and a warning where the old version is switched off before the end."""
    if file.holdout is None:
        return
    if file.drives is not None:
        message = "a driven flag is set to 100% at the end, so nobody would be held back: leave out holdout, or drives"
        yield file.source.problem_at(("holdout",), message, at_key=True)
    until = file.change.rollback_to_available_until
    if until and now is not None:
        left = date.fromisoformat(until) - policy.to_local_time(now).date()
        if left < file.holdout.for_:
            yield file.source.problem_at(
                ("holdout", "for"),
                f"{file.change.from_version} can be called until {until} only, so the holdout ends before "
                f"{format_duration(file.holdout.for_)} are over",
                severity="warning",
            )
