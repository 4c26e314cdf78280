"""What limits the judging of a rollout: what it may cost, and whether its judge is trusted at the moment."""

from collections.abc import Mapping

from core.judging.model.state import JudgeNews
from core.rollout.judging.rubrics import find_criteria
from core.rollout.state.model import Rollout
from core.rollout.state.sources import map_owners
from core.rollout.state.surface import JudgingTerms
from core.rollout.state.world import World
from core.shadow_eval.spending import HandOutTerms


def find_judging(world: World, rollout_id: str) -> JudgingTerms | None:
    """How the answers of a rollout are judged, as its surface says today; None if they are not."""
    rollout = world.find_rollout(rollout_id)
    surface = world.surfaces.get(rollout.plan.surface) if rollout is not None else None
    return surface.judging if surface is not None else None


def list_judged_metrics(world: World, rollout_id: str) -> tuple[str, ...]:
    """The metrics that the judge of a rollout fills: whether answers pass, their score, and the criteria of its rubric.

    Those that a source counts are left out, as nothing of the judge is counted there.
    """
    rollout = world.find_rollout(rollout_id)
    if rollout is None or (surface := world.surfaces.get(rollout.plan.surface)) is None:
        return ()
    owned = map_owners(surface.sources or ())
    criteria = (one.metric for one in find_criteria(world, rollout_id))
    return tuple(metric for metric in ("eval_pass_rate", "eval_score", *criteria) if metric not in owned)


def build_judge_news(world: World, rollout: Rollout) -> JudgeNews | None:
    """What a look is told of the judge; None before its anchors were judged for the first time."""
    check = rollout.judge_check
    if not (check.trusted or check.voided):
        return None
    metrics = list_judged_metrics(world, rollout.id)
    return JudgeNews(metrics=metrics, trusted=check.trusted, voided=check.voided, doubted=check.moved is not None)


def list_hand_out_terms(world: World) -> Mapping[str, HandOutTerms]:
    """What limits the tasks that a judge may get, by rollout; rollouts without any limit are left out."""
    found: dict[str, HandOutTerms] = {}
    for name, rollout in world.rollouts.items():
        terms = find_judging(world, name)
        moved = rollout.judge_check.moved is not None
        if terms is not None and (terms.cost is not None or terms.cap is not None or moved):
            found[name] = HandOutTerms(cost=terms.cost, cap=terms.cap, only_anchors=moved)
    return found
