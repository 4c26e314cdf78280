"""What a review rests on, read from the store: its draft from the history."""

from core.reviews import draft
from core.rollout.refusal import Refused
from core.rollout.state.model import Rollout
from core.service.service import RolloutService


def load_draft(service: RolloutService, rollout: Rollout) -> draft.ReviewDraft:
    """The draft of a rollout's review, from its history. Refused if it has not started and ended."""
    if rollout.ended_at is None or rollout.started_at is None:
        why = "has not ended" if rollout.ended_at is None else "was given up before its start"
        raise Refused(f"{rollout.id} {why}, so there is nothing to review.", hint="See /rollout list --all.")
    surface = service.cached_world().surfaces.get(rollout.plan.surface)
    return draft.draft_review(rollout, service.load_entries(rollout.id), surface)
