"""What an investigation rests on, read from the store: the history, the looks, and what other rollouts did."""

from dataclasses import replace

from core.report_sources import look_reports
from core.reviews.investigation import Investigation, begin_investigation
from core.rollout.refusal import Refused
from core.rollout.state.model import Rollout
from core.service.service import RolloutService


def find_investigation(service: RolloutService, rollout: Rollout) -> Investigation | None:
    """The investigation of a rollout; None unless it was rolled back after people had got the new version."""
    world = service.cached_world()
    begun = begin_investigation(rollout, service.load_entries(rollout.id), world.rollouts.values())
    if begun is None:
        return None
    newest = look_reports.load_newest_judgement(service, rollout)
    if newest is not None:  # newer than the last evidence, and with every segment
        begun = replace(
            begun,
            measures=newest.measures,
            segments=newest.segments,
            segments_checked=newest.segments_checked,
        )
    limited = {m.metric for m in begun.measures if m.limit_text is not None and not m.implied and not m.segment}
    return replace(begun, trends=look_reports.load_trends(service, rollout, limited))


def load_investigation(service: RolloutService, rollout: Rollout) -> Investigation:
    """As `find_investigation`; Refused if there is nothing to investigate."""
    found = find_investigation(service, rollout)
    if found is None:
        why = "nobody had got its new version" if rollout.rollback is not None else "it was not rolled back"
        raise Refused(f"There is nothing to investigate about {rollout.id}: {why}.", code="not_found")
    return found
