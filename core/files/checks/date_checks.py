"""Check that the dates of a change leave enough time: its deadline, the last day of the old version, and a holdout."""

from collections.abc import Iterator
from datetime import date, datetime, timedelta
from itertools import takewhile

from core import durations
from core.files.build_plan import build_notices, build_stages, find_start_problem
from core.files.find_changes import find_changes
from core.files.kinds.rollout_file import RolloutFile
from core.files.syntax.problems import FieldPath, FileProblem, UnreadableFile
from core.files.syntax.times import format_moment
from core.rollout.models.way_back import WITHOUT_WAY_BACK, choose_last_day, find_retirement
from core.rollout.plans.plan import Content
from core.rollout.plans.policy import Policy
from core.rollout.state.surface import Surface


def check(file: RolloutFile, surface: Surface | None, policy: Policy, now: datetime | None) -> Iterator[FileProblem]:
    """Warnings, as a late change is better than an untested one; an error where there is no way back from its start."""
    yield from _check_holdout(file, surface, policy, now)
    begins = _find_earliest_start(file, surface, policy, now)
    if begins is None:
        return
    stages = build_stages(file)
    end = begins + sum((stage.min_hold for stage in stages), timedelta(0))
    before_all = takewhile(lambda stage: stage.percent < 100 or bool(stage.audience), stages)
    everyone = begins + sum((stage.min_hold for stage in before_all), timedelta(0))
    local, change = policy.to_local_time(end), file.change
    if change.deadline and local.date() > date.fromisoformat(change.deadline):
        message = f"with these holds it ends on {format_moment(local)} at the earliest, which is after this deadline"
        yield file.source.problem_at(("change", "deadline"), message, severity="warning")
    yield from _check_new_model(file, surface, policy.to_local_time(begins).date())
    yield from _check_way_back(
        file, surface, policy.to_local_time(begins), policy.to_local_time(everyone), policy.to_local_time(end)
    )


def _check_way_back(
    file: RolloutFile, surface: Surface | None, start: datetime, everyone: datetime, end: datetime
) -> Iterator[FileProblem]:
    """An error where nobody can be rolled back from the start, a warning where nobody can before the end, or where some
    would still have the old version."""
    found = _find_last_day(file, surface)
    if found is None:
        return
    path, last, known = found
    if start.date() > last and file.template != WITHOUT_WAY_BACK:
        message = (
            f"{known}it starts on {format_moment(start)} at the earliest, and nobody could be rolled back from its "
            f"first moment: let it start by {'this day' if not known else last.isoformat()}; if the old version cannot "
            f"be called already, write template: {WITHOUT_WAY_BACK}, and harm holds it instead of going back"
        )
        yield file.source.problem_at(path, message)
    elif everyone.date() > last:
        message = (
            f"{known}everyone has the new version on {format_moment(everyone)} at the earliest; those who have the old "
            f"one until then get no answers after {'this day' if not known else last.isoformat()}, and nobody can be "
            "rolled back: shorten the holds, or start earlier"
        )
        yield file.source.problem_at(path, message, severity="warning")
    elif end.date() > last:
        message = (
            f"{known}it is watched until {format_moment(end)} at the earliest, but nobody could roll back after "
            f"{'this day' if not known else last.isoformat()}: shorten the holds, or start earlier"
        )
        yield file.source.problem_at(path, message, severity="warning")
    elif known and file.change.rollback_to_available_until:
        yield file.source.problem_at(
            path, f"{known}its last day is {last.isoformat()}, and nobody is moved back to it later", severity="warning"
        )


def _find_last_day(file: RolloutFile, surface: Surface | None) -> tuple[FieldPath, date, str] | None:
    """(where to point, the last day of the old version, what its provider says if that is earlier than the file)."""
    written, field = file.change.rollback_to_available_until, ("change", "rollback_to_available_until")
    before, after = _find_contents(file, surface)
    found = choose_last_day(written, before, after, surface)
    if found is None or found.retirement is None:
        return (field, found.day, "") if found is not None else None
    told = found.retirement
    says = f"{file.change.from_version} calls {told.model}, which is switched off on {told.on.isoformat()}: "
    return field if written else ("change", "from"), found.day, says


def _find_contents(file: RolloutFile, surface: Surface | None) -> tuple[Content, Content]:
    """What the old version holds, and the new one; empty if that is unknown or refused elsewhere."""
    if surface is None or file.change.from_version not in surface.versions:
        return {}, {}
    before = surface.versions[file.change.from_version]
    try:
        return before, {**before, **find_changes(file, surface)[1]}
    except UnreadableFile:
        return before, before


def _check_new_model(file: RolloutFile, surface: Surface | None, start: date) -> Iterator[FileProblem]:
    """A new version whose model is switched off: an error if that is before its start, else a warning."""
    told = find_retirement(surface, _find_contents(file, surface)[1])
    if told is None:
        return
    off = f"the new version calls {told.model}, which is switched off on {told.on.isoformat()}"
    better = f"such as {told.replacement}" if told.replacement else "that stays"
    yield file.source.problem_at(
        ("change", "to"),
        f"{off}: name a model {better}",
        severity="error" if told.on <= start else "warning",
    )


def _check_holdout(
    file: RolloutFile, surface: Surface | None, policy: Policy, now: datetime | None
) -> Iterator[FileProblem]:
    """A warning where the old version is switched off before the holdout ends."""
    found = _find_last_day(file, surface)
    if file.holdout is None or found is None or now is None:
        return
    until = found[1]
    if until - policy.to_local_time(now).date() < file.holdout.for_:
        yield file.source.problem_at(
            ("holdout", "for"),
            f"{file.change.from_version} can be called until {until.isoformat()} only, so the holdout ends before "
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
