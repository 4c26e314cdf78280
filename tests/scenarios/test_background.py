"""What a rollout's control showed is what the next one is planned with."""

from collections.abc import Callable

import pytest

from core.metrics.catalogue import CATALOGUE
from core.report_sources import traffic_history
from tests.rehearsal import SURFACE, Rehearsal


def test_levels_and_pace_are_those_of_the_last_rollout(rehearse: Callable[..., Rehearsal]) -> None:
    rehearsal = rehearse("healthy")
    world = rehearsal.service.load_world()
    before = traffic_history.load_known_traffic(rehearsal.service, world.surfaces[SURFACE], world, rehearsal.at)
    assert before.measured == ""
    rehearsal.play(minutes=3)
    world = rehearsal.service.load_world()
    known = traffic_history.load_known_traffic(rehearsal.service, world.surfaces[SURFACE], world, rehearsal.at)
    assert known.levels_from == "as measured in R-1"
    assert known.level_of(CATALOGUE["eval_pass_rate"]).level == pytest.approx(0.92, abs=0.03)
    judged = known.level_of(CATALOGUE["eval_pass_rate"]).share
    assert judged == pytest.approx(0.25, abs=0.04)  # as the simulated judge checks
    cost = known.level_of(CATALOGUE["cost_per_request"]).level
    assert cost == pytest.approx(0.0139 * 1.133, rel=0.1)  # exp(.5^2 / 2)
    assert known.level_of(CATALOGUE["cost_per_request"]).spread == pytest.approx(0.5, abs=0.12)
    assert known.level_of(CATALOGUE["latency_p95"]).level == pytest.approx(1240 * 2.097, rel=0.12)  # exp(1.645 * .45)
    assert known.daily_requests == 2_880_000
