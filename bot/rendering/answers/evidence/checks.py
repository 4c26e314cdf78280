"""What the results of offline evals say about a rollout, gate by gate."""

from bot.rendering import wording
from bot.rendering.blocks import blocks
from bot.rendering.blocks.blocks import Block, Message
from bot.rendering.numbers import eval_words
from bot.rendering.numbers.detectability import unseen_by_evals
from bot.rendering.sentences import headline
from core.evals.coverage import EvalCoverage
from core.rollout.state.events import EvalRecorded
from core.rollout.state.model import Rollout


def render(rollout: Rollout, coverage: EvalCoverage) -> Message:
    """Every gate with its newest result and, if it is not met, why; gates without results are named; and what evals
    cannot show, of which `coverage` is a part."""
    subject = wording.format_subject(rollout)
    gates = [index for index, stage in enumerate(rollout.plan.stages) if stage.terms is not None]
    if not gates:
        return blocks.build_message(f"{subject} is not checked before its start: its plan has no eval stage.")
    waiting = [headline.stage_label(rollout.plan.stages[i]) for i in gates if i not in rollout.evals]
    hint = f"No results yet for {' and '.join(waiting)}: `rollout evals import FILE --rollout {rollout.id}`"
    return blocks.build_message(
        f"Checks of {subject}: {_count_met(rollout, gates)}.",
        *(_build_gate(rollout, rollout.evals[index]) for index in gates if index in rollout.evals),
        blocks.lines_section(
            [
                f"*{unseen_by_evals.TITLE}*",
                *(f" • {line}" for line in unseen_by_evals.list_lines(rollout.plan, rollout.evals, coverage)),
            ]
        ),
        blocks.context(hint) if waiting else None,
    )


def _count_met(rollout: Rollout, gates: list[int]) -> str:
    met = sum(index in rollout.evals and rollout.evals[index].ok for index in gates)
    return f"{met} of {wording.pluralize(len(gates), 'gate')} met"


def _build_gate(rollout: Rollout, event: EvalRecorded) -> Block | None:
    stage = headline.stage_label(rollout.plan.stages[event.stage])
    suite = f" ({wording.escape(event.suite, 60)})" if event.suite else ""
    reasons = [f"Not met: {wording.escape(reason, 300)}" for reason in event.reasons[:6]]
    heading = f"*{stage}{suite}: {'met' if event.ok else 'not met'}*"
    return blocks.lines_section([heading, *reasons, *eval_words.list_report_lines(event)])
