"""What people noticed so far: what they were told, what testers and the judge say, and which signals moved."""

from collections.abc import Sequence

from bot.rendering import wording
from bot.rendering.numbers import measure_rows, tester_words
from bot.rendering.sentences import headline
from core.judging.model.verdict import Measure, is_beyond_chance
from core.metrics.own_metrics import JUDGED_PREFIX
from core.rollout.state.model import Rollout
from core.shadow_eval.rubric import HIGHEST, LOWEST, MOST_CRITERIA, TITLE_SUFFIX

TITLE = "What people noticed"
MAX_TOLD, MAX_MOVED = 3, 5


def list_lines(rollout: Rollout, measures: Sequence[Measure]) -> list[str]:
    """One line each, escaped; empty before anybody has the new version, and where there is nothing to say."""
    if not rollout.was_exposed:
        return []
    measured = [m for m in measures if m.word != "No data" and not m.segment]
    judged = [m for m in measured if m.metric.startswith(JUDGED_PREFIX)]
    signals = [m for m in measured if m not in judged and _is_signal(rollout, m)]
    lines = [
        *_describe_testers(rollout),
        *_describe_doubts(rollout),
        *_describe_criteria(judged),
        *_describe_signals(signals),
    ]
    return [*_describe_told(rollout), *lines] if lines else []


def _describe_told(rollout: Rollout) -> list[str]:
    told = [wording.escape(b.text, 200) for b in rollout.plan.behaviour_changes if not b.unchanged]
    if not told:
        return ["Told beforehand: nothing changes for them."]
    return [f"Told beforehand: {wording.join_phrases([text.rstrip('.') for text in told], MAX_TOLD)}."]


def _describe_testers(rollout: Rollout) -> list[str]:
    """What testers said in the newest stage in which any of them answered, and what they wrote there."""
    stage = max((index for index, votes in rollout.votes.items() if votes), default=None)
    if stage is None:
        return ["Testers: nobody has answered yet."] if rollout.plan.testers else []
    where = headline.stage_label(rollout.plan.stages[stage])
    said = f"Testers ({where}): {tester_words.describe_votes(rollout, stage)}."
    return [said, *tester_words.list_quotes(rollout, stage)]


def _describe_doubts(rollout: Rollout) -> list[str]:
    many = len(rollout.felt_off)
    return [f"{wording.pluralize(many, 'person', 'people')} said that it feels off."] if many else []


def _is_signal(rollout: Rollout, measure: Measure) -> bool:
    metric = rollout.plan.find_metric(measure.metric)
    return metric is not None and metric.is_signal


def _describe_criteria(judged: Sequence[Measure]) -> list[str]:
    """Each criterion of the judge with its mean score on the current and the new version."""
    parts = [
        f"{_name_criterion(m)} {m.control:.1f} to {m.canary:.1f}{', beyond chance' if is_beyond_chance(m) else ''}"
        for m in measure_rows.sort_by_urgency(tuple(judged))
        if m.control is not None and m.canary is not None
    ]
    return [f"The judge, from {LOWEST} to {HIGHEST}: {'; '.join(parts[:MOST_CRITERIA])}."] if parts else []


def _name_criterion(measure: Measure) -> str:
    return measure_rows.title_in_sentence(measure.metric, measure.title.removesuffix(TITLE_SUFFIX))


def _describe_signals(signals: Sequence[Measure]) -> list[str]:
    """The usage signals whose range leaves out zero, the most urgent first."""
    if not signals:
        return []
    moved = [m for m in measure_rows.sort_by_urgency(tuple(signals)) if is_beyond_chance(m)]
    if not moved:
        return [f"Usage: none of {wording.pluralize(len(signals), 'signal')} moved beyond chance."]
    parts = [
        f"{measure_rows.title_in_sentence(m.metric, m.title)} {measure_rows.format_difference_with_range(m)}"
        for m in moved
    ]
    still = f"; {len(signals) - len(moved)} more did not move" if len(signals) > len(moved) else ""
    return [f"Usage that moved: {wording.join_phrases(parts, MAX_MOVED)}{still}."]
