"""Until when the previous version can be called, and what the way back is once it cannot."""

from dataclasses import dataclass
from datetime import date, datetime, timedelta

from core.rollout.models.called_model import format_model, is_switched_off_with
from core.rollout.plans.plan import Content, Plan
from core.rollout.plans.policy import Policy
from core.rollout.state.surface import RetirementTold, Surface

NO_WAY_BACK = "no_way_back"
"""Key of the hold that replaces a rollback to a version that nobody can be served any more."""
WITHOUT_WAY_BACK = "emergency-fix"
"""The template for an old version that cannot be called any more."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LastDay:
    """The last day on which the previous version can be called.

    `retirement` is what its provider says; None where only the file names the day, or names an earlier one.
    """

    day: date
    retirement: RetirementTold | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class WayBackEnd:
    """Until when people can be moved back, and a sentence that says what to do later instead."""

    last: LastDay
    later: str


def foresee_end(plan: Plan, surface: Surface | None) -> WayBackEnd | None:
    """When nobody can be moved back any more, and what to do then; None if that is not foreseen."""
    last = find_last_day(plan, surface)
    if last is None:
        return None
    return WayBackEnd(last=last, later=suggest_way_back(plan, surface, last.day + timedelta(days=1)))


def find_retirement(surface: Surface | None, content: Content) -> RetirementTold | None:
    """When the model that a version calls is switched off, as far as the surface was told; None if it was not.

    What was told last of a model holds, so a date that its provider moves replaces the one before. A retirement that
    names a dated model says nothing about a version that calls it without a date, which may mean another one.
    """
    newest = {told.model: told for told in (surface.retirements if surface is not None else ())}
    configured = format_model(content)
    found = [told for told in newest.values() if configured and is_switched_off_with(configured, told.model)]
    return min(found, key=lambda told: told.on, default=None)


def find_last_day(plan: Plan, surface: Surface | None) -> LastDay | None:
    """The earlier one of the day that the file names and the day before the provider's; None if neither is known."""
    before = surface.versions.get(plan.from_version, {}) if surface is not None else {}
    return choose_last_day(plan.rollback_until, before, {**before, **plan.change}, surface)


def choose_last_day(named: str, before: Content, after: Content, surface: Surface | None) -> LastDay | None:
    """The same for a day as the file writes it, empty for none, and the content before and after the change.

    Where the new version is switched off no later, as with a new prompt for the same model, the provider's day closes
    no way back: those who go back lose nothing by it.
    """
    written = _read_day(named)
    told, told_new = find_retirement(surface, before), find_retirement(surface, after)
    if told_new is not None and told is not None and told_new.on <= told.on:
        told = None
    if told is not None and (written is None or told.on <= written):
        return LastDay(day=told.on - timedelta(days=1), retirement=told)
    return LastDay(day=written) if written is not None else None


def _read_day(named: str) -> date | None:
    """The day that a plan names. Text that is no day of the calendar keeps nobody from going back."""
    try:
        day = date.fromisoformat(named)
    except ValueError:
        return None
    return day if day < date.max else None


def is_way_back_closed(plan: Plan, surface: Surface | None, policy: Policy, at: datetime) -> bool:
    """Whether `at` is after the last day on which the previous version can be called, in the policy's time zone."""
    last = find_last_day(plan, surface)
    return last is not None and policy.to_local_time(at).date() > last.day


def explain_closed_way_back(plan: Plan, surface: Surface | None) -> str:
    """Why nobody can be moved back, as a sentence without its full stop."""
    last = find_last_day(plan, surface)
    until = f" until {last.day.isoformat()} only" if last is not None else ""
    told = last.retirement if last is not None else None
    off = f", as {told.model} was switched off on {told.on.isoformat()}" if told is not None else ""
    return f"{plan.from_version} could be called{until}{off}, so going back to it would leave people without answers"


def suggest_instead(plan: Plan, surface: Surface | None, on: date) -> str:
    """What to do `on` that day instead of rolling back, also where the provider's day is wrong."""
    last = find_last_day(plan, surface)
    told = last.retirement if last is not None else None
    wrong = f" If {told.model} still answers, put its day right in the list of retirements." if told is not None else ""
    return f"{suggest_way_back(plan, surface, on)}{wrong}"


def suggest_way_back(plan: Plan, surface: Surface | None, on: date) -> str:
    """The way back that is left: the versions of the surface with another model, newest first, that are not known to be
    switched off `on` that day."""
    versions = surface.versions if surface is not None else {}
    gone = versions.get(plan.from_version, {}).get("model")
    others = [
        version
        for version, content in versions.items()
        if version not in {plan.from_version, plan.to_version}
        and content.get("model") not in (None, gone)
        and ((told := find_retirement(surface, content)) is None or told.on > on)
    ]
    if others:
        return (
            f"The way back is a new rollout from {plan.to_version} to what {' or '.join(others[:-4:-1])} was, which "
            "had another model."
        )
    return f"The way back is a new rollout from {plan.to_version} to a model that can be called."
