"""What testers say, as JSON."""

from dataclasses import asdict
from math import exp
from typing import Any

from core.rollout.state.model import Rollout
from core.rollout.votes.tally import count_votes

Json = dict[str, Any]


def votes_to_json(rollout: Rollout) -> list[Json]:
    """Stage by stage, what testers say by arm; `unknown` are those of whom it is not known which version they get.

    `e_value` is the evidence that they call the new version worse more often; at 20 the rollout holds.
    """
    return [_stage_to_json(rollout, stage) for stage in sorted(rollout.votes)]


def _stage_to_json(rollout: Rollout, stage: int) -> Json:
    tally = count_votes(rollout, stage)
    return {"stage": rollout.plan.stages[stage].name, "e_value": exp(tally.log_e), **asdict(tally)}
