"""A cohort that grows in steps: a stage for each, of one audience."""

from collections.abc import Callable
from typing import Any

import pytest

from core.files.syntax.problems import UnreadableFile
from core.files.write_file import export_plan
from core.rollout.plans.plan import StageKind

Text = Callable[..., str]
STEPS = "  - cohort: {name: free, where: {plan: free}, steps: [5%, 25%, 50%], hold: 2h}\n  - canary"


def test_each_step_is_a_stage_of_the_same_audience(small: Text, built: Callable[..., Any]) -> None:
    plan = built(small(("  - canary", STEPS)))
    found = [(s.name, s.audience, s.percent) for s in plan.stages if s.kind is StageKind.COHORT and s.stratum]
    assert found == [("free 5%", "free", 5), ("free 25%", "free", 25), ("free 50%", "free", 50)]
    assert {stage.audience for stage in plan.stages if stage.kind is not StageKind.COHORT} == {""}


def test_it_is_written_back_as_steps(small: Text, built: Callable[..., Any]) -> None:
    plan = built(small(("  - canary", STEPS)))
    assert built(export_plan(plan)) == plan
    assert "- 25%" in export_plan(plan)


@pytest.mark.parametrize(
    ("written", "problem"),
    [
        ("steps: [25%, 5%]", "percentages must grow"),
        ("steps: [5%, 5%]", "percentages must grow"),
        ("percent: 5, steps: [25%]", "write percent, or the steps in which it grows, not both"),
        ("steps: []", "this is empty"),
    ],
)
def test_steps_grow_and_stand_alone(small: Text, checked: Callable[..., str], written: str, problem: str) -> None:
    cohort = f"  - cohort: {{name: free, where: {{plan: free}}, {written}}}\n  - canary"
    with pytest.raises(UnreadableFile, match=problem):
        checked(small(("  - canary", cohort)))


def test_an_audience_is_written_once_with_all_of_its_steps(small: Text, checked: Callable[..., str]) -> None:
    again = STEPS.replace("  - canary", "  - cohort: {name: Free, where: {plan: trial}}\n  - canary")
    assert 'two cohorts are called "Free": write its steps in one' in checked(small(("  - canary", again)))


def test_the_name_of_a_stratum_without_a_stage_is_its_own(small: Text, checked: Callable[..., str]) -> None:
    text = small(("  - canary", STEPS)) + "assignment: {strata: {free: {plan: free}}}\n"
    assert '"free" is a cohort stage and so a stratum already' in checked(text)


@pytest.mark.parametrize(
    ("strata", "said"),
    [
        ("{a: {plan: pro}, b: {plan: pro}}", 'whoever is in "b" is in "a" before, which counts'),
        ("{a: {plan: [pro, team]}, b: {plan: pro, country: DE}}", 'whoever is in "b" is in "a" before'),
        ("{b: {plan: free, country: DE}}", 'whoever is in "b" is in "free" before'),
        ("{a: {plan: []}}", "an empty list fits nobody: write at least one value"),
    ],
)
def test_a_stratum_that_nobody_could_be_in_is_refused(
    small: Text, checked: Callable[..., str], strata: str, said: str
) -> None:
    text = small(("  - canary", STEPS)) + f"assignment: {{strata: {strata}}}\n"
    try:
        found = checked(text)
    except UnreadableFile as unreadable:
        found = str(unreadable)
    assert said in found


def test_strata_that_overlap_are_allowed(small: Text, checked: Callable[..., str]) -> None:
    strata = "{a: {plan: pro, country: DE}, b: {plan: pro}, c: {country: [DE, AT]}}"
    assert "whoever" not in checked(small(("  - canary", STEPS)) + f"assignment: {{strata: {strata}}}\n")
