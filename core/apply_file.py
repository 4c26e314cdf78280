"""Applies a file: read its text, check it, build what it describes, and hand that in as one command."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Literal, NoReturn, TypeAlias

from core.files import build_plan
from core.files.checks import checks
from core.files.policy_file import PolicyFile, policy_of
from core.files.read_file import read
from core.files.rollout_file import RolloutFile
from core.files.surface_file import SurfaceFile, surface_of
from core.files.syntax.problems import Problem, Unreadable, errors
from core.rollout import commands as c
from core.rollout.context import Actor, is_user
from core.rollout.model import Rollout, State
from core.rollout.plan import Plan
from core.rollout.refusal import NotFound, Refused
from core.rollout.surface import Surface
from core.rollout.world import World
from core.service import Outcome, Request, Service

Kind: TypeAlias = Literal["rollout", "surface", "policy"]
Resolve: TypeAlias = Callable[[str], str]  # @handle -> Slack user id; without Slack, the handle itself


class UnknownPerson(Exception):
    """A handle belongs to nobody or to several people; or, if `is_temporary`, it could not be looked up now."""

    def __init__(self, why: str, *, passing: bool = False) -> None:
        super().__init__(why)
        self.passing = passing


@dataclass(frozen=True, slots=True, kw_only=True)
class Applied:
    """The result of applying a file. `changed` is False if it describes what is already the case."""

    kind: Kind
    id: str  # R-1, the surface's name, or "policy"
    changed: bool
    outcome: Outcome
    warnings: tuple[Problem, ...]


def apply_text(
    service: Service,
    text: str,
    filename: str,
    *,
    by: Actor,
    at: datetime,
    command_id: str,
    resolve_handle: Resolve = lambda handle: handle,
    not_driven: Callable[[str], str] = lambda url: "",
    source: str = "",
) -> Applied:
    """Apply a rollout, surface or policy file.

    `explain_undrivable` says why a flag provider's address would never be called; empty if it would. Raises
    `Unreadable` with every problem and its line, `NotFound` for an unknown surface, `Refused` from the decider.
    """
    world = service.world()
    file = read(text, filename)
    command: c.Command
    match file:
        case SurfaceFile():
            warnings = _checked(checks.check(file, None, world.policy, at))
            command, kind, name = c.ApplySurface(declared=surface_of(file)), "surface", file.surface
        case PolicyFile():
            warnings = _checked(checks.check(file, None, world.policy, at))
            policy = policy_of(file)
            command, kind, name = c.ApplyPolicy(policy=policy, fingerprint=policy.fingerprint()), "policy", "policy"
        case RolloutFile():
            plan, warnings = plan_of(file, world, at, resolve_handle)
            _refuse_address(file, plan, world, not_driven)
            if not is_user(plan.owner) and plan.asks_for_approval:
                why = f"{plan.owner_handle} cannot be looked up without a Slack, and the approvals need that"
                warnings = (*warnings, _owner_warning(file, why))
            command, kind, name = c.PlanRollout(plan=plan), "rollout", plan.name
    outcome = service.handle(Request(command=command, command_id=command_id, by=by, at=at, source=source))
    rollout = outcome.world.named(name) if kind == "rollout" else None
    return Applied(
        kind=kind,  # type: ignore[arg-type]
        id=rollout.id if rollout else name,
        changed=bool(outcome.positions) and not outcome.repeated,
        outcome=replace(outcome, rollout=rollout or outcome.rollout),
        warnings=warnings,
    )


def plan_of(file: RolloutFile, world: World, at: datetime, resolve_handle: Resolve) -> tuple[Plan, tuple[Problem, ...]]:
    """The plan that a rollout file describes in this world, and warnings about it.

    A file that still describes its existing rollout gives exactly that rollout's plan, whatever went live since.
    """
    unknown: list[UnknownPerson] = []

    def resolve(handle: str) -> str:
        try:
            return resolve_handle(handle)
        except UnknownPerson as person:
            unknown.append(person)
            return handle

    plan, warnings = _plan_of(file, world, at, resolve)
    if unknown and plan.asks_for_approval:
        _refuse_owner(file, plan, unknown[0])
    return plan, (*warnings, *(_owner_warning(file, str(person)) for person in unknown[:1]))


def _refuse_owner(file: RolloutFile, plan: Plan, unknown: UnknownPerson) -> NoReturn:
    """Refuse a plan whose owner is unknown: nobody may approve their own change, so the owner must be known."""
    if unknown.passing:
        raise Refused(
            f"Slack cannot be asked right now who {plan.owner_handle} is, and the owner may not approve.",
            hint="Nothing was changed. Apply the file again in a minute.",
            code="unavailable",
        )
    raise Unreadable([_at_owner(file, f"{unknown}; the owner may not approve, so they have to be known")])


def _refuse_address(file: RolloutFile, plan: Plan, world: World, not_driven: Callable[[str], str]) -> None:
    """Refuse a plan whose flag could never be set, unless its rollout has already started."""
    known = world.named(file.rollout)
    if plan.drives is None or (known is not None and known.started_at is not None):
        return
    if why := not_driven(plan.drives.url):
        raise Unreadable(
            [file.source.problem(("drives", plan.drives.system, "url"), f"it would never be called: {why}")]
        )


def _owner_warning(file: RolloutFile, why: str) -> Problem:
    return replace(_at_owner(file, f"{why}, so nobody can tell the owner from others"), severity="warning")


def _at_owner(file: RolloutFile, message: str) -> Problem:
    return file.source.problem(("owner",) if file.owner else ("surface",), message)


def _plan_of(
    file: RolloutFile, world: World, at: datetime, resolve_handle: Resolve
) -> tuple[Plan, tuple[Problem, ...]]:
    """The existing rollout's plan if the file still describes it; otherwise a new plan, checked, and its warnings."""
    surface = world.surfaces.get(file.surface)
    if surface is None:
        known = ", ".join(world.surfaces) or "none yet"
        raise NotFound(
            f"There is no AI feature called {file.surface}. Known: {known}.",
            hint="Apply its surface file first: rollout apply surface.yaml.",
        )
    known_as = _standing(world.named(file.rollout))
    if known_as is not None:
        then = replace(surface, live=known_as.plan.from_version)
        same = _built(file, then, world, _as_frozen(known_as, resolve_handle), known_as.plan.to_version)
        if same is not None and same.fingerprint() == known_as.fingerprint:
            return same, ()
    warnings = _checked(checks.check(file, surface, world.policy, at))
    name = known_as.plan.to_version if known_as else None
    plan = build_plan.build(file, surface, world.policy, resolve_handle=resolve_handle, to_version=name)
    return plan, warnings


def _as_frozen(rollout: Rollout, resolve_handle: Resolve) -> Resolve:
    """Resolve handles, but keep the owner of a rollout that has already started."""
    plan = rollout.plan

    def resolve(handle: str) -> str:
        return plan.owner if rollout.started_at and handle == plan.owner_handle else resolve_handle(handle)

    return resolve


def _standing(rollout: Rollout | None) -> Rollout | None:
    """The rollout, unless it was abandoned."""
    return rollout if rollout is not None and rollout.state is not State.ABANDONED else None


def _built(file: RolloutFile, surface: Surface, world: World, resolve_handle: Resolve, to_version: str) -> Plan | None:
    try:
        return build_plan.build(file, surface, world.policy, resolve_handle=resolve_handle, to_version=to_version)
    except Unreadable:
        return None  # the file describes another plan; the checks that follow report what is wrong with it


def _checked(found: tuple[Problem, ...]) -> tuple[Problem, ...]:
    """Return the problems if all are warnings; raise `Unreadable` if any is an error."""
    if errors(found):
        raise Unreadable(found)
    return found
