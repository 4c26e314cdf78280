"""Three months with a few held back, on a real database: their end, their comparison, and what the review says."""

from datetime import timedelta

import numpy as np

from bot.rendering.documents import review_document
from core.flags.bucketing import compute_bucket
from core.flags.placement import Placement, place_observation
from core.metrics.observation import Observation
from core.report_sources import review_sources
from core.rollout import commands as c
from core.rollout.serving.exposure import build_snapshot
from core.rollout.state import events as e
from core.rollout.state.model import RolloutState
from core.service import holdout_comparison, rollout_look
from core.store.audit import verify
from core.store.observations import observation_sums
from core.store.observations.observation_batch import PlacedObservation
from tests.served import evaluate

HOLDING = """\
version: 1
rollout: tone-held
surface: support-assistant
owner: "@dana"
risk: low
change:
  from: support-assistant@v42
  to: {prompt: prompts/system.md@sha256:9f2c51e0}
stages:
  - canary: {percent: 5, min_hold: 2m, max_hold: 3h, min_samples: 20}
  - ramp: {steps: [50%, 100%], hold: 1m}
rollback_when:
  - {metric: eval_pass_rate, drops_by: 2pp}
  - {metric: refusal_rate, rises_by: 1pp}
notify:
  - {channel: "#ai-rollouts", as: engineering}
holdout: {percent: 10%, for: 90d}
"""
EVERY = timedelta(seconds=10)


def report(desk, database, random, number, *, passes):
    """One request of each of `number` people, who are served as the snapshot says and report what they got."""
    snapshot = build_snapshot(desk.service.load_world())
    flags, placed = snapshot.surfaces["support-assistant"], []
    for person in range(number):
        unit = f"u{person}"
        answer = evaluate(snapshot, "support-assistant", unit, {})
        place = place_observation(flags, unit=unit, at=desk.at, exposure=answer.exposure)
        if isinstance(place, Placement):
            readings = {
                "eval_pass_rate": float(random.random() < passes[answer.version.name]),
                "refusal_rate": float(random.random() < 0.02),
            }
            seen = Observation(surface="support-assistant", unit=unit, at=desk.at, readings=readings)
            arm = place.arm.value
            placed.append(PlacedObservation(rollout="R-1", stage=place.stage, arm=arm, unit=unit, observation=seen))
    with database.writing_outside_log() as connection:
        observation_sums.add_observations(connection, placed)


def run_until_done(desk, files, database, random):
    """The rollout begins, is as good as before, and is done."""
    desk.apply(files["surface"])
    desk.apply(HOLDING)
    desk.say(c.Start())
    while desk.service.load_world().rollouts["R-1"].is_under_way:
        report(desk, database, random, 1500, passes={"v42": 0.9, "v43": 0.9})
        rollout_look.evaluate_rollout(desk.service, "R-1", desk.later(minutes=2).at, every=EVERY)


def test_the_next_start_on_the_surface_ends_it_in_the_same_transaction(desk, files, database):
    run_until_done(desk, files, database, np.random.default_rng(3))
    following = HOLDING.replace("tone-held", "tone-next").replace("@v42", "@v43").replace("9f2c51e0", "77aa51e0")

    warned = desk.apply(following)
    outcome = desk.say(c.Start(), rollout="R-2")

    assert any("R-1 holds 10% back on v42 until" in one.message for one in warned.warnings)
    ended, started = (desk.service.load_world().rollouts[name] for name in ("R-1", "R-2"))
    assert (ended.holdout_ended.cause, ended.holdout_ended.reason) == ("rollout", "R-2")
    assert started.is_under_way
    assert len(outcome.positions) == 4
    answers = {
        evaluate(build_snapshot(outcome.world), "support-assistant", f"u{n}", {}).version.name for n in range(500)
    }
    assert answers == {"v43", "v44"}
    with database.reading() as connection:
        assert verify.verify(connection).problems == ()


def test_harm_that_shows_after_months_is_told_and_moves_nobody(desk, files, database):
    random = np.random.default_rng(3)
    later = {"v42": 0.9, "v43": 0.8}
    run_until_done(desk, files, database, random)
    assert desk.service.load_world().rollouts["R-1"].state is RolloutState.DONE

    for _ in range(3):
        report(desk, database, random, 3000, passes=later)
        holdout_comparison.settle_due(desk.service, desk.later(days=29).at)
    assert desk.service.load_world().rollouts["R-1"].holdout_ended is None
    holdout_comparison.settle_due(desk.service, desk.later(days=4).at)
    ended = desk.service.load_world().rollouts["R-1"]
    assert (ended.holdout_ended.cause, ended.holdout_result) == ("time", None)
    holdout_comparison.settle_due(desk.service, desk.later(minutes=61).at)
    holdout_comparison.settle_due(desk.service, desk.later(minutes=61).at)

    rollout = desk.service.load_world().rollouts["R-1"]
    found = rollout.holdout_result
    assert (found.advice, rollout.state) == ("go back", RolloutState.DONE)
    words = {row.metric: row.word for row in found.measures}
    assert words == {"eval_pass_rate": "Worse", "refusal_rate": "Not enough data"}
    assert found.new_requests + found.held_requests == 9000
    assert found.held_units == sum(compute_bucket("expose", "R-1", f"u{person}") >= 900_000 for person in range(3000))
    assert found.held_requests == 3 * found.held_units
    kinds = [type(one.event) for one in desk.service.load_history("R-1")]
    assert (kinds.count(e.HoldoutEnded), kinds.count(e.HoldoutCompared)) == (1, 1)
    text = review_document.render_markdown(review_sources.load_draft(desk.service, rollout), "UTC")
    assert "## Those who were held back" in text
    assert "the new version is worse on at least one measure" in text
    assert "Worse" in text.split("## Those who were held back")[1]
