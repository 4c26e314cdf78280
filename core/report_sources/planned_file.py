"""What the plan of a rollout file would be in this workspace, with its outlook. Nothing is planned."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from core.files.checks import bundle_checks
from core.files.foresight.outlook import PlanOutlook, build_outlook
from core.files.kinds.bundle_file import BundleFile
from core.files.kinds.rollout_file import RolloutFile
from core.files.plan_from_file import plan_from_file
from core.files.prompt_files import ReadPrompt, refuse_prompt_file
from core.files.read_file import parse_file
from core.files.syntax.problems import FileProblem, UnreadableFile
from core.report_sources import eval_coverage, traffic_history
from core.rollout.concurrency import shared_parts
from core.rollout.concurrency.shared_parts import SharedPart
from core.rollout.plans.plan import Plan
from core.rollout.refusal import Refused
from core.rollout.state.events import EvalRecorded
from core.rollout.state.surface import Surface
from core.rollout.state.world import World
from core.service.service import RolloutService

_NO_RESULTS: Mapping[int, EvalRecorded] = {}


@dataclass(frozen=True, slots=True, kw_only=True)
class PlannedFile:
    """The plan of a file. `warnings` are all that its checks say, `evals` the results that its rollout has already."""

    file: RolloutFile
    plan: Plan
    surface: Surface
    outlook: PlanOutlook
    warnings: Sequence[FileProblem]
    evals: Mapping[int, EvalRecorded]
    shared: tuple[SharedPart, ...]  # parts that rollouts under way elsewhere change as well


def plan_file(service: RolloutService, text: str, filename: str, now: datetime) -> PlannedFile:
    """Read a rollout file that names no prompt files, and plan it. Raises UnreadableFile with every problem, and
    Refused if it is another kind of file or its AI feature is unknown."""
    bundle, planned = plan_files(service, text, filename, now, refuse_prompt_file)
    if bundle:
        raise Refused(
            f"{filename} is a bundle, and this takes one rollout.", hint="See all of them: rollout plan FILE."
        )
    return planned[0]


def plan_files(
    service: RolloutService, text: str, filename: str, now: datetime, read_prompt: ReadPrompt
) -> tuple[str, tuple[PlannedFile, ...]]:
    """(the name of the bundle, empty for a single rollout; the plan of each rollout, in order). Raises as `plan_file`
    does."""
    world = service.load_world()
    file = parse_file(text, filename, read_prompt, world.own_metrics)
    if isinstance(file, BundleFile):
        if wrong := tuple(bundle_checks.check(file)):
            raise UnreadableFile(wrong)
        return file.bundle, tuple(_plan_rollout(service, world, one, now) for one in file.rollouts)
    if not isinstance(file, RolloutFile):
        raise Refused(
            f"{filename} is not a rollout file; only those have a plan.", hint="Apply it: rollout apply FILE."
        )
    return "", (_plan_rollout(service, world, file, now),)


def _plan_rollout(service: RolloutService, world: World, file: RolloutFile, now: datetime) -> PlannedFile:
    plan, warnings = plan_from_file(file, world, now, lambda handle: handle)
    known, before = world.find_rollout(plan.name), world.surfaces[plan.surface].versions[plan.from_version]
    evals = known.evals if known is not None and known.plan.to_version == plan.to_version else {}
    return PlannedFile(
        file=file,
        plan=plan,
        surface=world.surfaces[plan.surface],
        outlook=load_outlook(service, plan, now, warnings, evals),
        warnings=warnings,
        evals=evals,
        shared=shared_parts.find_shared_parts(world, plan.surface, before, {**before, **plan.change}),
    )


def load_outlook(
    service: RolloutService,
    plan: Plan,
    now: datetime,
    warnings: Sequence[FileProblem] = (),
    evals: Mapping[int, EvalRecorded] = _NO_RESULTS,
) -> PlanOutlook:
    """The outlook of a plan on a known surface; `warnings` are those of its file, `evals` its results so far."""
    world = service.cached_world()
    surface = world.surfaces[plan.surface]
    traffic = eval_coverage.load_segment_traffic(service, plan, world)
    return build_outlook(
        plan,
        surface,
        world.policy_for(surface.name),
        traffic_history.load_known_traffic(service, surface, world, now),
        now,
        warnings=[w.message for w in warnings if not w.is_forecast],
        coverage=eval_coverage.find_plan_coverage(traffic, plan, world, evals),
        traffic=traffic,
    )
