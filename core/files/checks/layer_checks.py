"""Check layers: that their shares fit, that each surface is in one at most, and that a plan can keep to its share."""

from collections.abc import Collection, Iterator

from core.files.kinds.policy_file import PolicyFile
from core.files.kinds.rollout_file import RolloutFile
from core.files.syntax.problems import FileProblem
from core.files.syntax.suggest import suggest_nearest
from core.rollout.plans.layers import find_layer
from core.rollout.plans.policy import Policy


def check_policy(file: PolicyFile) -> Iterator[FileProblem]:
    """Shares over 100 %, surfaces for which nobody is left, and those that are in two layers."""
    first: dict[str, str] = {}
    for name, shares in file.layers.items():
        total = sum(share for share in shares.values() if share is not None)
        unshared = [surface for surface, share in shares.items() if share is None]
        if total > 100:
            yield file.source.problem_at(
                ("layers", name), f"these shares add up to {total:g}%, over 100%: nobody can be in two", at_key=True
            )
        elif total == 100 and unshared:
            yield file.source.problem_at(
                ("layers", name, unshared[0]),
                "the others have 100% of the users, so nobody is left for it",
                at_key=True,
            )
        for surface in shares:
            path = ("layers", name, surface)
            if surface in first:
                message = f"{surface} is in the layer {first[surface]} already; a surface is in one layer"
                yield file.source.problem_at(path, message, at_key=True)
            first.setdefault(surface, name)


def check_surfaces(file: PolicyFile, known: Collection[str]) -> Iterator[FileProblem]:
    """Surfaces that nobody has applied: their share of the users waits for them."""
    for name, shares in file.layers.items():
        for surface in shares:
            if surface not in known:
                yield file.source.problem_at(
                    ("layers", name, surface),
                    f"there is no AI feature called {surface} yet.{suggest_nearest(surface, known)}",
                    at_key=True,
                    severity="warning",
                )


def check_rollout(file: RolloutFile, policy: Policy) -> Iterator[FileProblem]:
    """A flag system of a team's own knows no layers, so it cannot drive a surface in one."""
    layer = find_layer(policy.layers, file.surface)
    if layer is not None and any(not one.to_driven_flag().is_label for one in file.driven_entries):
        message = (
            f"{file.surface} is in the layer {layer.name} of the policy, and a driven flag would also serve users of "
            "the layer's other surfaces: let applications ask Rampart instead"
        )
        yield file.source.problem_at(("drives",), message, at_key=True)
