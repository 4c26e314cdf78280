"""The answers that a judge rated worst, both versions side by side, and how far the judging is."""

from collections.abc import Mapping, Sequence

from bot.rendering import wording
from bot.rendering.blocks import blocks
from bot.rendering.blocks.blocks import Message
from bot.rendering.numbers import judge_words
from core.rollout.state.model import Rollout
from core.shadow_eval.redaction import redact
from core.shadow_eval.samples import ArmProgress, JudgedSample, JudgingProgress
from core.shadow_eval.spending import JudgingSpend

SHOWN = 3  # answers of each version
_TEXT = 350  # characters of a question or an answer
_ARMS = {"canary": "New version", "control": "Old version"}


def render(
    rollout: Rollout,
    judge: str,
    progress: JudgingProgress,
    worst: Mapping[str, Sequence[JudgedSample]],
    spend: JudgingSpend | None = None,
) -> Message:
    """`worst` holds the samples by arm, worst first. E-mail addresses, links and long numbers are taken out."""
    subject = wording.format_subject(rollout)
    arms = {arm: progress.arms.get(arm, ArmProgress()) for arm in _ARMS}
    if not any(arm.sampled for arm in arms.values()):
        return blocks.build_message(
            f"No answers of {subject} are kept.",
            blocks.section(
                "Name a judge under `judging:` in the surface file, and hand in answers to `POST /api/v1/answers`."
            ),
        )
    said = [_describe_progress(_ARMS[arm], found) for arm, found in arms.items()]
    if progress.repeated:
        share = wording.format_percent(round(100 * progress.agreed / progress.repeated))
        said.append(f"The judge agrees with itself in {share} of {progress.repeated} answers that it judged twice.")
    said += judge_words.list_lines(rollout, rollout.measures, spend)
    shown = [
        blocks.section("\n".join([f"*{_ARMS[arm]}, rated worst*", *(_format_sample(one) for one in samples)]))
        for arm, samples in worst.items()
        if samples
    ]
    return blocks.build_message(
        f"Judged answers of {subject}, by {wording.escape(judge, 60)}.",
        blocks.lines_section(said),
        *shown,
        blocks.context("Only you see this. E-mail addresses, links and long numbers are taken out; names are not."),
    )


def _describe_progress(title: str, arm: ArmProgress) -> str:
    failed = f", {wording.format_count(arm.failed)} could not be judged" if arm.failed else ""
    return (
        f"{title}: {wording.format_count(arm.judged)} of {wording.pluralize(arm.sampled, 'sampled answer')} judged, "
        f"{wording.format_count(arm.waiting)} wait{failed}."
    )


def _format_sample(one: JudgedSample) -> str:
    verdict = "passed" if one.passed else "failed"
    score = f", score {one.score:.2g}" if one.score is not None else ""
    question = wording.escape(redact(one.sample.question), _TEXT) or "(no question)"
    answer = wording.escape(redact(one.sample.answer), _TEXT) or "(empty)"
    return f" • {verdict}{score}\n     asked: {question}\n     answer: {answer}"
