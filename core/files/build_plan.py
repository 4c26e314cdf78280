"""Build the plan that a rollout file asks for: fill in the template, and name every stage and version."""

from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import datetime
from typing import Any

from core.files.rollout_file import RolloutFile
from core.files.syntax.limit_terms import LimitTerms
from core.files.syntax.problems import Unreadable
from core.files.templates import TEMPLATES, Lead, Template
from core.judging.model.limits import Limit, Role
from core.rollout.plan import NoticePlan, Plan, Risk, Stage, changed_parts
from core.rollout.policy import Policy
from core.rollout.surface import Surface, is_taken, next_version

MERGED = ("params", "routing")  # parts that are merged key by key; all others are replaced as a whole


def build(
    file: RolloutFile,
    surface: Surface,
    policy: Policy,
    *,
    resolve_handle: Callable[[str], str],
    to_version: str | None = None,
) -> Plan:
    """The plan of `file` on `surface`.

    `resolve_handle` returns the Slack user id of an @handle, or the handle itself. `to_version` names the new version
    if the file does not (for a file that is applied again), unless that name has another content by now.

    Raises UnreadableFile if no plan is possible. What is merely unwise is reported by `checks`.
    """
    template = TEMPLATES[file.template]
    risk = file.careful
    from_version, change = changes(file, surface)
    owner = file.owner or surface.owner
    return Plan(
        name=file.rollout,
        surface=file.surface,
        owner=resolve_handle(owner),
        owner_handle=owner,
        risk=risk,
        template=file.template,
        from_version=from_version,
        to_version=file.change.to.version or _name(surface, from_version, change, to_version),
        change=change,
        why=file.change.why,
        ticket=file.change.ticket,
        deadline=file.change.deadline,
        rollback_until=file.change.rollback_to_available_until,
        behaviour_changes=tuple(behaviour.plan() for behaviour in file.behaviour_changes),
        expectations=tuple(expected.plan(metric) for metric, expected in file.expectations.items()),
        stages=stages(file),
        unit=file.assignment.unit,
        control=file.assignment.control,
        segments=template.segments if file.assignment.segments is None else file.assignment.segments,
        approvals=file.approvals.plan(policy.risk[risk].approvals),
        limits=limits(file),
        notices=_with_engineering(file, surface),
        start=_start(file, policy),
        drives=file.drives.plan() if file.drives is not None else None,
    )


def _name(surface: Surface, from_version: str, change: Mapping[str, Any], before: str | None) -> str:
    """The name of the new version: `before`, unless it is unset or has another content, else the next free one."""
    content = {**surface.versions[from_version], **change}
    return next_version(surface) if before is None or is_taken(surface, before, content) else before


def stages(file: RolloutFile) -> tuple[Stage, ...]:
    """Every stage in order. A ramp becomes one stage per step."""
    return tuple(stage for entry in file.entries for stage in entry.stages())


def limits(file: RolloutFile) -> tuple[Limit, ...]:
    """The rollback limits of the file, then those the template adds, then the hold limits."""
    named = {terms.metric for terms in file.rollback_when}
    added = [LimitTerms.model_validate(terms) for terms in TEMPLATES[file.template].rollback_when]
    rollback = [*file.rollback_when, *(terms for terms in added if terms.metric not in named)]
    return (
        *(terms.limit(Role.ROLLBACK) for terms in rollback),
        *(terms.limit(Role.HOLD) for terms in file.hold_when),
    )


def notices(file: RolloutFile, surface: Surface | None) -> tuple[NoticePlan, ...]:
    """Whom to notify: the file's list, else the surface's channels with the lead times of the template.

    For a low-risk change that nobody will notice, only engineering is notified.
    """
    if file.notify is not None:
        return tuple(notice.plan() for notice in file.notify)
    if surface is None:
        return ()
    template = TEMPLATES[file.template]
    silent = file.careful is Risk.LOW and not file.noticeable
    return tuple(_led(notice, template) for notice in surface.notices if notice.audience == "engineering" or not silent)


def changes(file: RolloutFile, surface: Surface) -> tuple[str, Mapping[str, Any]]:
    """The version to start from, and the parts that differ from it, each as a whole.

    Raises UnreadableFile if there is no such version or nothing differs.
    """
    from_version = file.change.from_version
    before = surface.versions.get(from_version)
    if before is None:
        known = ", ".join(surface.versions)
        message = f"{surface.name} never had a version {from_version}; it had {known}"
        raise Unreadable([file.source.problem(("change", "from"), message)])
    after = dict(before)
    for part, content in file.change.to.content().items():
        old = before.get(part)
        merge = part in MERGED and isinstance(content, dict) and isinstance(old, Mapping)
        after[part] = {**old, **content} if merge else content  # type: ignore[dict-item]
    different = {part: after[part] for part in changed_parts(before, after)}
    if not different:
        message = f"nothing changes: {from_version} has exactly this already"
        raise Unreadable([file.source.problem(("change", "to"), message, at_key=True)])
    return from_version, different


def start_problem(file: RolloutFile, policy: Policy) -> str | None:
    """Why the written start does not exist (the clocks skip it); None if it does."""
    try:
        _moment(file, policy)
    except ValueError as error:
        return str(error)
    return None


def _moment(file: RolloutFile, policy: Policy) -> datetime | None:
    """The start in UTC; None if the file has none. ValueError if the clocks skip it."""
    return None if file.start is None else file.start.at(policy.timezone)


def _start(file: RolloutFile, policy: Policy) -> datetime | None:
    """The start in UTC; None if the file has none. UnreadableFile if the clocks skip it."""
    try:
        return _moment(file, policy)
    except ValueError as error:
        raise Unreadable([file.source.problem(("start",), str(error))]) from error


def _led(notice: NoticePlan, template: Template) -> NoticePlan:
    """The notice with what it leaves out taken from the template."""
    lead = template.leads.get(notice.audience, Lead())
    return replace(notice, before=notice.before or lead.before, acknowledge=notice.acknowledge or lead.acknowledge)


def _with_engineering(file: RolloutFile, surface: Surface) -> tuple[NoticePlan, ...]:
    """The notices, with the surface's engineering channels added if the file names none."""
    told = notices(file, surface)
    if any(notice.audience == "engineering" for notice in told):
        return told
    engineering = tuple(notice for notice in surface.notices if notice.audience == "engineering")
    if not engineering:
        message = (
            'no channel is told "as: engineering", so the rollout would have no card: add one here or to the surface'
        )
        raise Unreadable([file.source.problem(("notify",), message, at_key=True)])
    return (*engineering, *told)
