"""What reviews and the comparison of strata rest on, read from the store: the history, and the newest look."""

from core.report_sources import look_reports
from core.reviews import draft
from core.reviews.strata_verdicts import StratumVerdict, build_verdicts
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


def load_strata(service: RolloutService, rollout: Rollout) -> tuple[StratumVerdict, ...]:
    """The strata of a rollout as of the newest look, in order; everyone else comes last."""
    newest = look_reports.load_unrecorded_judgement(service, rollout)
    events = (recorded.event for recorded in service.load_history(rollout.id))
    return build_verdicts(rollout, events, newest[0] if newest is not None else None)
