"""The examples that ship can be applied as they are."""

from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest

from core.files.build_plan import build
from core.files.checks.check_files import check
from core.files.foresight.timeline import build_timeline
from core.files.kinds.policy_file import policy_from_file
from core.files.kinds.surface_file import surface_from_file
from core.files.read_file import parse_file
from core.files.syntax.problems import render_text
from core.rollout.plans.policy import DEFAULT_POLICY
from core.rollout.state.surface import evolve

EXAMPLES = Path(__file__).parents[2] / "examples"
SURFACES = (
    "surface.yaml",
    "surface-with-sources.yaml",
    "surface-with-complaints.yaml",
    "surface-with-prometheus.yaml",
    "surface-with-langfuse.yaml",
    "surface-with-phoenix.yaml",
    "surface-with-mlflow.yaml",
)
ROLLOUTS = ("first-rollout.yaml", "prompt-change.yaml", "model-upgrade.yaml", "drive-flags.yaml", "drive-labels.yaml")


def example(name):
    return parse_file((EXAMPLES / name).read_text(), name)


@pytest.fixture
def shop():
    return evolve(None, surface_from_file(example("surface.yaml")))


def test_each_file_is_one_of_these():
    assert {path.name for path in EXAMPLES.glob("*.yaml")} == {*ROLLOUTS, *SURFACES, "policy.yaml"}


@pytest.mark.parametrize("name", [*ROLLOUTS, *SURFACES, "policy.yaml"])
def test_it_has_neither_errors_nor_warnings(name, shop, now):
    assert render_text(check(example(name), shop, DEFAULT_POLICY, now)) == ""


@pytest.mark.parametrize("name", ROLLOUTS)
def test_it_is_a_plan_from_what_is_live_to_the_next_version(name, shop):
    plan = build(example(name), shop, DEFAULT_POLICY, resolve_handle=lambda handle: handle)
    assert (plan.from_version, plan.to_version) == (shop.live, "v43")


@pytest.mark.parametrize("name", ["prompt-change.yaml", "model-upgrade.yaml"])
def test_it_keeps_to_the_example_policy_too(name, shop, now):
    policy = policy_from_file(example("policy.yaml"))
    assert render_text(check(example(name), shop, policy, now)) == ""
    assert replace(policy, freezes=()) != DEFAULT_POLICY


def test_the_first_rollout_takes_minutes(shop, now):
    plan = build(example("first-rollout.yaml"), shop, DEFAULT_POLICY, resolve_handle=lambda handle: handle)
    assert sum((stage.min_hold for stage in plan.stages), timedelta(0)) == timedelta(minutes=10)
    rows = build_timeline(plan, shop, DEFAULT_POLICY, now)
    assert rows[-1].when_earliest - now == timedelta(minutes=11)
