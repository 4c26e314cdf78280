"""The plan that a rollout file describes in this world: a new one, or that of its rollout; who its people are."""

from collections.abc import Callable
from dataclasses import replace
from datetime import datetime
from typing import NoReturn, TypeAlias

from core.files import build_plan
from core.files.checks import check_files
from core.files.kinds.rollout_file import RolloutFile
from core.files.syntax.problems import FieldPath, FileProblem, UnreadableFile, raise_on_errors
from core.files.syntax.times import format_moment
from core.metrics.catalogue import Metric
from core.rollout.plans.plan import Plan
from core.rollout.refusal import Refused
from core.rollout.serving import holdout
from core.rollout.state.model import Rollout, RolloutState
from core.rollout.state.surface import Surface
from core.rollout.state.world import World

ResolveHandle: TypeAlias = Callable[[str], str]  # @handle -> Slack user id; without Slack, the handle itself


class UnknownPerson(Exception):
    """A handle belongs to nobody or to several people; or, if `is_temporary`, it could not be looked up now."""

    def __init__(self, reason: str, *, is_temporary: bool = False) -> None:
        super().__init__(reason)
        self.is_temporary = is_temporary


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
        *(build_owner_warning(file, str(person)) for person in unknown[:1]),
        *(build_tester_warning(file, handle, str(why)) for handle, why in lost.items()),
    )


def build_tester_warning(file: RolloutFile, handle: str, why: str) -> FileProblem:
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


def build_owner_warning(file: RolloutFile, why: str) -> FileProblem:
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
    surface = world.require_surface(file.surface)
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
    warnings = raise_on_errors(check_files.check(file, surface, world.policy_for(surface.name), at))
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
