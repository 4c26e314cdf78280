"""A stage as people call it inside a sentence."""

from typing import assert_never

from core.rollout.plans.plan import Stage, StageKind


def name_stage(stage: Stage) -> str:
    """`the small test (5 %)`, `the step to 25 %`, `the watch at the end`; a cohort has the name of the file."""
    match stage.kind:
        case StageKind.EVAL:
            return "the checks"
        case StageKind.SAFETY:
            return "the safety checks"
        case StageKind.COST_LATENCY:
            return "the cost and speed checks"
        case StageKind.ROLLBACK_DRILL:
            return "the switch-back drill"
        case StageKind.COHORT:
            return stage.name
        case StageKind.CANARY:
            return f"the small test ({stage.percent:g} %)"
        case StageKind.AB:
            return f"the long comparison ({stage.percent:g} %)"
        case StageKind.RAMP:
            return "the step to everyone" if stage.percent >= 100 else f"the step to {stage.percent:g} %"
        case StageKind.BAKE:
            return "the watch at the end"
        case _:
            assert_never(stage.kind)
