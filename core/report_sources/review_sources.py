"""What a review rests on, read from the store: its draft from the history, its baseline from the sums and looks."""

from dataclasses import replace

from core.judging import record
from core.reviews import draft, measure_baseline
from core.rollout import commands as c
from core.rollout.plans.baseline import SurfaceBaseline
from core.rollout.refusal import Refused
from core.rollout.state.model import Rollout
from core.service.service import RolloutService
from core.store.observations import looks, observation_sums

MAX_LOOKS = 5000
"""Looks that are read for the complaints by hour; of more than that, evenly spaced ones."""


def load_draft(service: RolloutService, rollout: Rollout) -> draft.ReviewDraft:
    """The draft of a rollout's review, from its history. Refused if it has not started and ended."""
    if rollout.ended_at is None or rollout.started_at is None:
        why = "has not ended" if rollout.ended_at is None else "was given up before its start"
        raise Refused(f"{rollout.id} {why}, so there is nothing to review.", hint="See /rollout list --all.")
    surface = service.cached_world().surfaces.get(rollout.plan.surface)
    return draft.draft_review(rollout, service.load_entries(rollout.id), surface)


def complete_command(service: RolloutService, command: c.Command, rollout_id: str) -> c.Command:
    """The command, with what was measured if it is a review that keeps it; every other command as it is."""
    if not isinstance(command, c.SubmitReview) or not command.keeps_baseline:
        return command
    rollout = service.load_world().find_rollout(rollout_id)
    return command if rollout is None else replace(command, baseline=load_baseline(service, rollout))


def load_baseline(service: RolloutService, rollout: Rollout) -> SurfaceBaseline | None:
    """What this rollout measured of the version that is live now; None if that is too little or not the live one."""
    surface = service.cached_world().surfaces[rollout.plan.surface]
    with service.database.reading() as connection:
        sums = observation_sums.load_sums(connection, rollout.id)
        kept = looks.load_thinned(connection, rollout.id, MAX_LOOKS)
    seen = (record.load_recorded_look(one.look_json).look for one in kept)
    return measure_baseline.measure_baseline(rollout, sums, seen, surface.live)
