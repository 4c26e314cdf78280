"""Check own metrics against what is in force: rollouts that are judged by them, and definitions elsewhere."""

from collections.abc import Iterator

from core.files.kinds.policy_file import PolicyFile
from core.files.kinds.surface_file import SurfaceFile
from core.files.syntax.problems import FieldPath, FileProblem
from core.metrics.catalogue import Metric
from core.metrics.own_metrics import JUDGED_PREFIX, describe_change
from core.rollout.state.model import Rollout
from core.rollout.state.world import World


def check_metrics_in_force(file: SurfaceFile | PolicyFile, world: World) -> Iterator[FileProblem]:
    """A definition must not change under a rollout that is judged by it, and no name is defined at both levels.

    A new metric is judged from the next rollout on, which a warning says.
    """
    yield from _check_other_level(file, world)
    defined = {terms.name: terms.to_metric() for terms in file.metrics}
    places: dict[str, FieldPath] = {terms.name: ("metrics", number) for number, terms in enumerate(file.metrics)}
    for rollout in _list_judged(file, world):
        for before in rollout.plan.metrics or ():
            if before not in _metrics_of_level(file, world) or before.key.startswith(JUDGED_PREFIX):
                continue  # a rubric stays as it is for another reason: a rollout has one judge throughout
            after = defined.get(before.key)
            if after is None:
                yield file.source.problem_at(
                    ("metrics",), f"{_explain(rollout, before)}: keep its definition until that ends", at_key=True
                )
            elif change := describe_change(before, after):
                yield file.source.problem_at(
                    places[before.key],
                    f"{_explain(rollout, before)}, and {change} differ from what was agreed: wait until that ends, or "
                    "give the new metric another name",
                )
        judged = {metric.key for metric in rollout.plan.metrics or ()}
        for name in defined.keys() - judged:
            yield file.source.problem_at(
                places[name], f"{rollout.id} is running without {name}: the next rollout counts it", severity="warning"
            )


def _explain(rollout: Rollout, metric: Metric) -> str:
    return f"{rollout.id} is judged by {metric.key} right now"


def _list_judged(file: SurfaceFile | PolicyFile, world: World) -> list[Rollout]:
    """Rollouts under way on the surfaces that the file is about."""
    return [
        rollout
        for rollout in world.rollouts.values()
        if rollout.is_under_way and (isinstance(file, PolicyFile) or rollout.plan.surface == file.surface)
    ]


def _metrics_of_level(file: SurfaceFile | PolicyFile, world: World) -> tuple[Metric, ...]:
    """What the file of the same kind that is in force defines."""
    if isinstance(file, PolicyFile):
        return world.policy.metrics or ()
    surface = world.surfaces.get(file.surface)
    return (surface.metrics if surface is not None else None) or ()


def _check_other_level(file: SurfaceFile | PolicyFile, world: World) -> Iterator[FileProblem]:
    own = world.own_metrics
    everywhere = {metric.key for metric in own.everywhere}
    for number, terms in enumerate(file.metrics):
        if isinstance(file, SurfaceFile):
            owner = "the policy" if terms.name in everywhere else ""
        else:
            owner = ", ".join(own.find_owners(terms.name))
        if owner:
            yield file.source.problem_at(
                ("metrics", number, "name"), f"{terms.name} is defined by {owner} already: keep one of the two"
            )
