"""Which version a user gets on each AI feature, and why."""

from collections.abc import Mapping, Sequence
from typing import assert_never

from bot.rendering import wording
from bot.rendering.blocks import blocks
from bot.rendering.blocks.blocks import Message
from core.flags.evaluation import Evaluation
from core.flags.snapshot import Reason, Variant
from core.rollout.model import Rollout
from core.rollout.surface import Surface


def render(unit: str, answers: Sequence[tuple[Surface, Evaluation]], rollouts: Mapping[str, Rollout]) -> Message:
    """One line per feature: the version `unit` gets, the reason, and the previous version."""
    lines = [_format_assignment(unit, surface, found, rollouts.get(found.rollout)) for surface, found in answers]
    cohorts = any(r.plan.stages[r.stage_index].where for _, f in answers if (r := rollouts.get(f.rollout)) and r.spans)
    note = "Cohorts are not checked here: they depend on what the application knows (plan, region, e-mail)."
    return blocks.build_message(lines[0], blocks.lines_section(lines[1:]), blocks.context(note) if cohorts else None)


def _format_assignment(unit: str, surface: Surface, found: Evaluation, rollout: Rollout | None) -> str:
    who, name = wording.escape(unit, 80), wording.escape(surface.name, 60)
    version = wording.escape(found.version, 40)
    if rollout is None:
        return f"{who} gets {name} {version}, like everyone: no rollout is under way there."
    new = found.version == rollout.plan.to_version
    before = f" Before: {wording.escape(rollout.plan.from_version, 40)}." if new else ""
    bucket = f" (bucket {found.bucket / 1_000_000:.4f})" if found.bucket is not None else ""
    return (
        f"{who} gets {name} {version} ({'new' if new else 'current'}), because: "
        f"{_explain_assignment(found, rollout)}{bucket}.{before}"
    )


def _explain_assignment(found: Evaluation, rollout: Rollout) -> str:
    share = wording.format_percent(rollout.percent)
    if found.cohort:
        return f"member of {wording.escape(found.cohort, 40)}, {share} of them, in {rollout.id}"
    match found.variant:
        case Variant.CANARY:
            return f"random {share} in {rollout.id}" if rollout.percent < 100 else f"everyone gets it in {rollout.id}"
        case Variant.CONTROL:
            return f"not among the random {share} in {rollout.id}"
        case Variant.STABLE:
            outside = found.reason is Reason.DEFAULT
            return f"{rollout.id} does not reach them in this stage" if outside else f"not compared in {rollout.id}"
        case _:
            assert_never(found.variant)
