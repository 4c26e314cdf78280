"""What the strata of a rollout rest on, read from the store: its history and the newest look."""

from core.report_sources import look_reports
from core.reviews.strata_verdicts import StratumVerdict, build_verdicts
from core.rollout.state.model import Rollout
from core.service.service import RolloutService


def load_strata(service: RolloutService, rollout: Rollout) -> tuple[StratumVerdict, ...]:
    """The strata of a rollout as of the newest look, in order; everyone else comes last."""
    newest = look_reports.load_unrecorded_judgement(service, rollout)
    events = (recorded.event for recorded in service.load_history(rollout.id))
    return build_verdicts(rollout, events, newest[0] if newest is not None else None)
