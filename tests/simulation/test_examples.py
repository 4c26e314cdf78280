"""What the example files, and the plan in the README, promise: a harm of twice a limit does not reach everybody."""

import re
from pathlib import Path

import pytest

from core.files.build_plan import build
from core.files.foresight.known_traffic import assume_traffic
from core.files.kinds.surface_file import surface_from_file
from core.files.read_file import parse_file
from core.rollout.plans.policy import DEFAULT_POLICY
from core.rollout.state.surface import evolve
from core.simulation.harm import build_harms
from core.simulation.study import Study, StudyTask, run_task
from tests.trials.length import pick

ROOT = Path(__file__).parents[2]
EXAMPLES = ROOT / "examples"
NAMES = (
    "README.md",
    "first-rollout.yaml",
    "prompt-change.yaml",
    "model-upgrade.yaml",
    "drive-flags.yaml",
    "drive-labels.yaml",
)
RUNS = pick(1, 100)
MOST = pick(0, 1)  # runs of one harm in which everybody gets it


def read_plan(name):
    if name == "README.md":
        return re.search(r"```yaml\n(version: 1\nrollout: .*?)```", (ROOT / name).read_text(), re.DOTALL)[1]
    return (EXAMPLES / name).read_text()


def study_of(name):
    """The plan at the traffic that the example's surface names, with each rollback limit broken by twice its amount."""
    shop = evolve(None, surface_from_file(parse_file((EXAMPLES / "surface.yaml").read_text(), "surface.yaml")))
    file = parse_file(read_plan(name), name)
    plan = build(file, shop, DEFAULT_POLICY, resolve_handle=lambda handle: handle)
    known = assume_traffic(shop)
    return Study(plan=plan, known=known, harms=build_harms(plan.limits, known), runs=RUNS)


@pytest.mark.slow
@pytest.mark.parametrize("name", NAMES)
def test_a_harm_of_twice_a_limit_does_not_reach_everybody(name):
    asked = study_of(name)
    everybody = {stage.name for stage in asked.plan.stages if stage.has_exposure and stage.percent == 100}
    assert everybody
    reached = {harm.text: 0 for harm in asked.harms}
    for index, harm in enumerate(asked.harms):
        for number in range(RUNS):
            stop = run_task(asked, StudyTask(harm=index, number=number)).rollback
            reached[harm.text] += stop is None or stop.stage in everybody
    assert len(reached) >= 3
    assert {text: runs for text, runs in reached.items() if runs > MOST} == {}
