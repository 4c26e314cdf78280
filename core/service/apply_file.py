"""Applies a file: read its text, check it, build what it describes, and hand that in as one command."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Literal, NoReturn, TypeAlias

from core.files import build_plan
from core.files.checks import bundle_checks, check_files, drives_checks, layer_checks
from core.files.checks.metric_checks import check_metrics_in_force
from core.files.kinds.bundle_file import BundleFile
from core.files.kinds.policy_file import PolicyFile, policy_from_file
from core.files.kinds.rollout_file import RolloutFile
from core.files.kinds.surface_file import SurfaceFile, surface_from_file
from core.files.prompt_files import ReadPrompt, refuse_prompt_file
from core.files.read_file import parse_file
from core.files.syntax.problems import FieldPath, FileProblem, UnreadableFile, select_errors
from core.files.syntax.times import format_moment
from core.metrics.catalogue import Metric
from core.rollout import commands as c
from core.rollout.concurrency import bundles
from core.rollout.context import Actor, is_slack_user_id
from core.rollout.plans.driven_systems import DRIVEN_SYSTEMS
from core.rollout.plans.plan import Plan
from core.rollout.refusal import NotFound, Refused
from core.rollout.serving import holdout
from core.rollout.state.model import Rollout, RolloutState
from core.rollout.state.surface import Surface
from core.rollout.state.world import World
from core.service.service import CommandOutcome, CommandRequest, RolloutService

FileKind: TypeAlias = Literal["rollout", "bundle", "surface", "policy"]
ResolveHandle: TypeAlias = Callable[[str], str]  # @handle -> Slack user id; without Slack, the handle itself


class UnknownPerson(Exception):
    """A handle belongs to nobody or to several people; or, if `is_temporary`, it could not be looked up now."""

    def __init__(self, reason: str, *, is_temporary: bool = False) -> None:
        super().__init__(reason)
        self.is_temporary = is_temporary


@dataclass(frozen=True, slots=True, kw_only=True)
class AppliedFile:
    """The result of applying a file. `changed` is False if it describes what is already the case."""

    kind: FileKind
    id: str  # R-1, the name of the surface or of the bundle, or "policy"
    changed: bool
    outcome: CommandOutcome
    warnings: tuple[FileProblem, ...]
    rollouts: tuple[str, ...] = ()  # the ids of those in a bundle, in its order


def apply_text(
    service: RolloutService,
    text: str,
    filename: str,
    *,
    by: Actor,
    at: datetime,
    command_id: str,
    resolve_handle: ResolveHandle = lambda handle: handle,
    read_prompt: ReadPrompt = refuse_prompt_file,
    explain_undrivable: Callable[[str], str] = lambda url: "",
    source: str = "",
) -> AppliedFile:
    """Apply a rollout, bundle, surface or policy file.

    `read_prompt` reads a prompt that stands in a file beside this one. `explain_undrivable` says why a flag provider's
    address would never be called; empty if it would. Raises `UnreadableFile` with every problem and its line,
    `NotFound` for an unknown surface, `Refused` from the decider.
    """
    world = service.load_world()
    file = parse_file(text, filename, read_prompt, world.own_metrics)
    command: c.Command
    match file:
        case SurfaceFile():
            found = check_files.check(file, None, world.policy, at)
            warnings = _raise_on_errors((*found, *check_metrics_in_force(file, world)))
            command, kind, name = c.ApplySurface(declared=surface_from_file(file)), "surface", file.surface
        case PolicyFile():
            found = check_files.check(file, None, world.policy, at)
            found = (*found, *layer_checks.check_surfaces(file, world.surfaces))
            warnings = _raise_on_errors((*found, *check_metrics_in_force(file, world)))
            policy = policy_from_file(file)
            command, kind, name = c.ApplyPolicy(policy=policy, fingerprint=policy.fingerprint()), "policy", "policy"
        case RolloutFile():
            command, warnings = _build_rollout_command(file, world, at, resolve_handle, explain_undrivable)
            kind, name = "rollout", file.rollout
        case BundleFile():
            command, warnings = _build_bundle_command(file, world, at, resolve_handle, explain_undrivable)
            kind, name = "bundle", file.bundle
    outcome = service.handle(CommandRequest(command=command, command_id=command_id, by=by, at=at, source=source))
    rollout = outcome.world.find_named(name) if kind == "rollout" else None
    bundle = bundles.find_bundle(outcome.world, name) if kind == "bundle" else None
    return AppliedFile(
        kind=kind,  # type: ignore[arg-type]
        id=rollout.id if rollout else name,
        rollouts=tuple(one.id for one in bundle.members) if bundle is not None else (),
        changed=bool(outcome.positions) and not outcome.repeated,
        outcome=replace(outcome, rollout=rollout or outcome.rollout),
        warnings=warnings,
    )


def _warn_of_holdout(file: RolloutFile, world: World) -> tuple[FileProblem, ...]:
    """That the start of this rollout ends a holdout on its surface."""
    holding = [r for r in world.rollouts.values() if r.plan.surface == file.surface and holdout.is_holding(r)]
    return tuple(
        file.source.problem_at(
            ("surface",),
            f"{one.id} holds {one.plan.holdout.percent:g}% back on {one.plan.from_version} until "
            f"{format_moment(world.policy.to_local_time(due))}: the start of {file.rollout} ends that",
            severity="warning",
        )
        for one in holding
        if one.plan.holdout is not None and (due := holdout.find_due(one)) is not None
    )


def _build_rollout_command(
    file: RolloutFile,
    world: World,
    at: datetime,
    resolve_handle: ResolveHandle,
    explain_undrivable: Callable[[str], str],
) -> tuple[c.PlanRollout, tuple[FileProblem, ...]]:
    """The command that plans what a rollout file describes, and what is unwise about it."""
    plan, warnings = plan_from_file(file, world, at, resolve_handle)
    _refuse_undrivable(file, plan, world, explain_undrivable)
    if not is_slack_user_id(plan.owner) and plan.needs_approval:
        why = f"{plan.owner_handle} cannot be looked up without Slack, but the approvals need to know who that is"
        warnings = (*warnings, _build_owner_warning(file, why))
    warnings = (*warnings, *_warn_of_unasked_testers(file, plan, warnings))
    return build_plan_command(file, plan, world), warnings


def _build_bundle_command(
    file: BundleFile,
    world: World,
    at: datetime,
    resolve_handle: ResolveHandle,
    explain_undrivable: Callable[[str], str],
) -> tuple[c.PlanBundle, tuple[FileProblem, ...]]:
    """The command that plans all rollouts of a bundle, and what is unwise about them.

    The problems of all of them are told at once.
    """
    problems, plans = list(bundle_checks.check(file)), []
    for one in file.rollouts:
        try:
            command, warnings = _build_rollout_command(one, world, at, resolve_handle, explain_undrivable)
        except UnreadableFile as unreadable:
            problems += unreadable.problems
            continue
        problems += warnings
        plans.append(command)
    warned = _raise_on_errors(tuple(problems))
    by_name = {one.plan.name: one for one in plans}
    ordered = tuple(by_name[name] for name in file.names)
    return c.PlanBundle(name=file.bundle, order=file.order, plans=ordered), warned


def build_plan_command(file: RolloutFile, plan: Plan, world: World) -> c.PlanRollout:
    """The command that plans what a file describes, with the baseline that its sample sizes come from."""
    return c.PlanRollout(plan=plan, baseline=build_plan.find_baseline_used(file, world.surfaces[plan.surface]))


def plan_from_file(
    file: RolloutFile, world: World, at: datetime, resolve_handle: ResolveHandle
) -> tuple[Plan, tuple[FileProblem, ...]]:
    """The plan that a rollout file describes in this world, and warnings about it.

    A file that still describes its existing rollout gives exactly that rollout's plan, whatever went live since.
    """
    unknown: list[UnknownPerson] = []

    def resolve_or_collect(handle: str) -> str:
        try:
            return resolve_handle(handle)
        except UnknownPerson as person:
            unknown.append(person)
            return handle

    lost: dict[str, UnknownPerson] = {}

    def resolve_tester(handle: str) -> str:
        try:
            return resolve_handle(handle)
        except UnknownPerson as person:
            lost[handle] = person
            return handle

    plan, warnings = _build_or_reuse_plan(file, world, at, resolve_or_collect, resolve_tester)
    if unknown and plan.needs_approval:
        _refuse_unknown_owner(file, plan, unknown[0])
    return plan, (
        *warnings,
        *(_build_owner_warning(file, str(person)) for person in unknown[:1]),
        *(_build_tester_warning(file, handle, str(why)) for handle, why in lost.items()),
    )


def _warn_of_unasked_testers(file: RolloutFile, plan: Plan, known: tuple[FileProblem, ...]) -> Iterator[FileProblem]:
    """One warning if testers could not be looked up because there is no Slack."""
    missing = [t.handle for t in plan.testers or () if not t.channel and not is_slack_user_id(t.person)]
    if missing and not any(handle in problem.message for problem in known for handle in missing):
        why = f"{', '.join(missing[:5])} cannot be looked up without Slack"
        yield _build_tester_warning(file, missing[0], why)


def _build_tester_warning(file: RolloutFile, handle: str, why: str) -> FileProblem:
    """That a tester cannot be asked, where the file names them."""
    written = file.testers or ()
    number = next((number for number, terms in enumerate(written) if terms.person == handle), None)
    path: FieldPath = ("testers", number, "person") if number is not None else ("surface",)
    return replace(
        file.source.problem_at(path, f"{why}, so the tester {handle} is not asked and cannot vote"), severity="warning"
    )


def _refuse_unknown_owner(file: RolloutFile, plan: Plan, unknown: UnknownPerson) -> NoReturn:
    """Refuse a plan whose owner is unknown: nobody may approve their own change, so the owner must be known."""
    if unknown.is_temporary:
        raise Refused(
            f"Slack does not answer right now, so it is not known who {plan.owner_handle} is, and owners may "
            "not approve their own changes.",
            hint="Nothing was changed. Apply the file again in a minute.",
            code="unavailable",
        )
    raise UnreadableFile(
        [_build_owner_problem(file, f"{unknown}; owners may not approve their own changes, so the owner must be known")]
    )


def _refuse_undrivable(file: RolloutFile, plan: Plan, world: World, explain_undrivable: Callable[[str], str]) -> None:
    """Refuse a plan whose flag could never be set, unless its rollout has already started."""
    known = world.find_named(file.rollout)
    if known is not None and known.started_at is not None:
        return
    problems = []
    for number, driven in enumerate(plan.driven):
        address = DRIVEN_SYSTEMS[driven.system].address_field
        if address and (why := explain_undrivable(driven.url)):
            path = (*drives_checks.entry_path(file, number), driven.system, address)
            problems.append(file.source.problem_at(path, f"it would never be called: {why}"))
    if problems:
        raise UnreadableFile(problems)


def _build_owner_warning(file: RolloutFile, why: str) -> FileProblem:
    return replace(
        _build_owner_problem(file, f"{why}, so the owner cannot be told apart from other people"), severity="warning"
    )


def _build_owner_problem(file: RolloutFile, message: str) -> FileProblem:
    return file.source.problem_at(("owner",) if file.owner else ("surface",), message)


def _build_or_reuse_plan(
    file: RolloutFile,
    world: World,
    at: datetime,
    resolve_handle: ResolveHandle,
    resolve_tester: ResolveHandle,
) -> tuple[Plan, tuple[FileProblem, ...]]:
    """The existing rollout's plan if the file still describes it; otherwise a new plan, checked, and its warnings."""
    surface = world.surfaces.get(file.surface)
    if surface is None:
        known = ", ".join(world.surfaces) or "none yet"
        raise NotFound(
            f"There is no AI feature called {file.surface}. Known: {known}.",
            hint="Apply its surface file first: rollout apply surface.yaml.",
        )
    known_as = _unless_abandoned(world.find_named(file.rollout))
    if known_as is not None:
        # What has started is judged by what was agreed, whatever the definitions say since.
        agreed = (known_as.plan.metrics or ()) if known_as.started_at is not None else None
        then = replace(surface, live=known_as.plan.from_version)
        keep_owner = _keep_frozen_owner(known_as, resolve_handle)
        keep_testers = _keep_frozen_testers(known_as, resolve_tester)
        same = _try_build_plan(file, then, world, keep_owner, keep_testers, known_as.plan, agreed)
        if same is not None and same.fingerprint() == known_as.fingerprint:
            return same, ()
    warnings = _raise_on_errors(check_files.check(file, surface, world.policy_for(surface.name), at))
    warnings = (*warnings, *_warn_of_holdout(file, world))
    name = known_as.plan.to_version if known_as else None
    plan = build_plan.build(
        file,
        surface,
        world.policy,
        resolve_handle=resolve_handle,
        resolve_tester=resolve_tester,
        to_version=name,
    )
    return plan, warnings


def _keep_frozen_testers(rollout: Rollout, resolve_tester: ResolveHandle) -> ResolveHandle:
    """Resolve handles, but keep the testers of a rollout that has already started."""
    known = {tester.handle: tester.person for tester in rollout.plan.testers or ()} if rollout.started_at else {}

    def resolve(handle: str) -> str:
        return known.get(handle) or resolve_tester(handle)

    return resolve


def _keep_frozen_owner(rollout: Rollout, resolve_handle: ResolveHandle) -> ResolveHandle:
    """Resolve handles, but keep the owner of a rollout that has already started."""
    plan = rollout.plan

    def resolve(handle: str) -> str:
        return plan.owner if rollout.started_at and handle == plan.owner_handle else resolve_handle(handle)

    return resolve


def _unless_abandoned(rollout: Rollout | None) -> Rollout | None:
    """The rollout, unless it was abandoned."""
    return rollout if rollout is not None and rollout.state is not RolloutState.ABANDONED else None


def _try_build_plan(
    file: RolloutFile,
    surface: Surface,
    world: World,
    resolve_handle: ResolveHandle,
    resolve_tester: ResolveHandle,
    known: Plan,
    metrics: tuple[Metric, ...] | None,
) -> Plan | None:
    """The plan as it would be under the version name and with the sample sizes of a `known` one."""
    try:
        return build_plan.build(
            file,
            surface,
            world.policy,
            resolve_handle=resolve_handle,
            resolve_tester=resolve_tester,
            to_version=known.to_version,
            sample_sizes={stage.name: stage.min_samples for stage in known.stages},
            metrics=metrics,
        )
    except UnreadableFile:
        return None  # the file describes another plan; the checks that follow report what is wrong with it


def _raise_on_errors(found: tuple[FileProblem, ...]) -> tuple[FileProblem, ...]:
    """Return the problems if all are warnings; raise `UnreadableFile` if any is an error."""
    if select_errors(found):
        raise UnreadableFile(found)
    return found
