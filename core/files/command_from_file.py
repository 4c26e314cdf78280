"""The command that a file describes, and what is unwise about it."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import assert_never

from core.files import build_plan
from core.files.checks import bundle_checks, channel_checks, check_files, drives_checks, layer_checks
from core.files.checks.channel_checks import ExplainChannel
from core.files.checks.metric_checks import check_metrics_in_force
from core.files.kinds.bundle_file import BundleFile
from core.files.kinds.policy_file import PolicyFile, policy_from_file
from core.files.kinds.rollout_file import RolloutFile
from core.files.kinds.surface_file import SurfaceFile, surface_from_file
from core.files.plan_from_file import ResolveHandle, build_owner_warning, build_tester_warning, plan_from_file
from core.files.read_file import AnyFile
from core.files.syntax.problems import FileProblem, UnreadableFile, raise_on_errors
from core.rollout import commands as c
from core.rollout.context import is_slack_user_id
from core.rollout.plans.driven_systems import DRIVEN_SYSTEMS
from core.rollout.plans.plan import Plan
from core.rollout.state.world import World


@dataclass(frozen=True, slots=True, kw_only=True)
class FileLookups:
    """What is looked up of what a file names, elsewhere than in the log; without Slack, hardly anything is."""

    resolve_handle: ResolveHandle = lambda handle: handle
    explain_undrivable: Callable[[str], str] = lambda url: ""
    """Why a flag provider's address would never be called; empty if it would."""
    explain_channel: ExplainChannel = lambda channel: ""
    """Why nothing could be posted in a channel; empty if it could."""


NO_LOOKUPS = FileLookups()


def build_command(
    file: AnyFile,
    world: World,
    at: datetime,
    lookups: FileLookups,
) -> tuple[c.Command, tuple[FileProblem, ...]]:
    """The command that applies a file of any kind in this world, and what is unwise about it.

    Raises `UnreadableFile` with every problem and its line, `NotFound` for an unknown surface.
    """
    match file:
        case SurfaceFile():
            found = check_files.check(file, None, world.policy, at)
            found = (*found, *channel_checks.check_surface(file, world, lookups.explain_channel))
            warnings = raise_on_errors((*found, *check_metrics_in_force(file, world)))
            return c.ApplySurface(declared=surface_from_file(file)), warnings
        case PolicyFile():
            found = check_files.check(file, None, world.policy, at)
            found = (*found, *layer_checks.check_surfaces(file, world.surfaces))
            warnings = raise_on_errors((*found, *check_metrics_in_force(file, world)))
            policy = policy_from_file(file)
            return c.ApplyPolicy(policy=policy, fingerprint=policy.fingerprint()), warnings
        case RolloutFile():
            return _build_rollout_command(file, world, at, lookups)
        case BundleFile():
            return _build_bundle_command(file, world, at, lookups)
        case _:
            assert_never(file)


def build_plan_command(file: RolloutFile, plan: Plan, world: World) -> c.PlanRollout:
    """The command that plans what a file describes, with the baseline that its sample sizes come from."""
    return c.PlanRollout(plan=plan, baseline=build_plan.find_baseline_used(file, world.surfaces[plan.surface]))


def _build_rollout_command(
    file: RolloutFile,
    world: World,
    at: datetime,
    lookups: FileLookups,
) -> tuple[c.PlanRollout, tuple[FileProblem, ...]]:
    """The command that plans what a rollout file describes, and what is unwise about it."""
    plan, warnings = plan_from_file(file, world, at, lookups.resolve_handle)
    _refuse_undrivable(file, plan, world, lookups.explain_undrivable)
    if not is_slack_user_id(plan.owner) and plan.needs_approval:
        why = f"{plan.owner_handle} cannot be looked up without Slack, but the approvals need to know who that is"
        warnings = (*warnings, build_owner_warning(file, why))
    warnings = (*warnings, *_warn_of_unasked_testers(file, plan, warnings))
    warnings = (*warnings, *channel_checks.check_plan(file, plan, world, lookups.explain_channel))
    return build_plan_command(file, plan, world), warnings


def _build_bundle_command(
    file: BundleFile,
    world: World,
    at: datetime,
    lookups: FileLookups,
) -> tuple[c.PlanBundle, tuple[FileProblem, ...]]:
    """The command that plans all rollouts of a bundle, and what is unwise about them.

    The problems of all of them are told at once.
    """
    problems, plans = list(bundle_checks.check(file)), []
    for one in file.rollouts:
        try:
            command, warnings = _build_rollout_command(one, world, at, lookups)
        except UnreadableFile as unreadable:
            problems += unreadable.problems
            continue
        problems += warnings
        plans.append(command)
    warned = raise_on_errors(tuple(problems))
    by_name = {one.plan.name: one for one in plans}
    ordered = tuple(by_name[name] for name in file.names)
    return c.PlanBundle(name=file.bundle, order=file.order, plans=ordered), warned


def _warn_of_unasked_testers(file: RolloutFile, plan: Plan, known: tuple[FileProblem, ...]) -> Iterator[FileProblem]:
    """One warning if testers could not be looked up because there is no Slack."""
    missing = [t.handle for t in plan.testers or () if not t.channel and not is_slack_user_id(t.person)]
    if missing and not any(handle in problem.message for problem in known for handle in missing):
        why = f"{', '.join(missing[:5])} cannot be looked up without Slack"
        yield build_tester_warning(file, missing[0], why)


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
