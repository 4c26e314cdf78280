"""Evidence of a judge that has moved is taken back to where the judge was last trusted."""

from collections.abc import Collection, Mapping
from dataclasses import replace
from typing import TypeVar

from core.judging.look.judged_cells import is_judged_cell
from core.judging.model.question import Question
from core.judging.model.state import JudgeNews, JudgeTrust, JudgingState

_V = TypeVar("_V")


def set_untrusted_aside(question: Question, news: JudgeNews | None, before: JudgingState) -> JudgingState:
    """The state before a look, without what the judge's metrics showed since it was last trusted.

    The same state if the judge was not found to have moved since the last look.
    """
    if news is None or news.voided <= (before.judge.voided if before.judge is not None else 0):
        return before
    return _take_back(question, news, before, before.judge.kept if before.judge is not None else JudgingState())


def expect_silence(news: JudgeNews | None, state: JudgingState) -> JudgingState:
    """The state without when readings of a doubted judge last came: that they stop is no broken source."""
    if news is None or not news.doubted:
        return state
    arrivals = {key: one for key, one in state.arrivals.items() if not _is_of_metrics(key, news.metrics)}
    return replace(state, arrivals=arrivals)


def remember_trust(
    question: Question, news: JudgeNews | None, before: JudgingState, after: JudgingState
) -> JudgingState:
    """The state `after` a look, with what there is to go back to if the judge is found to have moved."""
    if news is None:
        return after
    known = before.judge
    trusted_again = known is None or news.trusted > known.trusted
    kept = _select_judged(question, news, after) if trusted_again else (known.kept if known is not None else None)
    return replace(after, judge=JudgeTrust(trusted=news.trusted, voided=news.voided, kept=kept or JudgingState()))


def _select_judged(question: Question, news: JudgeNews, state: JudgingState) -> JudgingState:
    """What a state holds of the judge's metrics, and of nothing else."""
    return _take_back(question, news, replace(JudgingState(), stage=state.stage), state)


def _take_back(question: Question, news: JudgeNews, state: JudgingState, kept: JudgingState) -> JudgingState:
    """`state`, but as `kept` in everything that rests on the judge's metrics."""
    positions = {i for i, limit in enumerate(question.criteria) if limit.metric in news.metrics}
    same_stage = state.stage == kept.stage

    def is_of_judge(key: str) -> bool:
        return _is_of_metrics(key, news.metrics)

    def is_at_position(key: str) -> bool:
        return int(key.partition("|")[0]) in positions

    def mix(now: Mapping[str, _V], then: Mapping[str, _V], mine: Collection[str]) -> dict[str, _V]:
        found = {key: value for key, value in now.items() if key not in mine}
        return {**found, **{key: value for key, value in then.items() if key in mine}}

    def mix_by_metric(now: Mapping[str, _V], then: Mapping[str, _V]) -> dict[str, _V]:
        mixed = mix(now, then, {key for key in (*now, *then) if is_of_judge(key)})
        return {key: mixed[key] for key in sorted(mixed)}

    def mix_by_position(now: Mapping[str, _V], then: Mapping[str, _V]) -> dict[str, _V]:
        mixed = mix(now, then, {key for key in (*now, *then) if is_at_position(key)})
        return {key: mixed[key] for key in sorted(mixed, key=lambda key: int(key.partition("|")[0]))}

    return replace(
        state,
        totals=mix_by_metric(state.totals, kept.totals),
        tracks=(
            *(one for one in state.tracks if one.limit not in positions),
            *(one for one in kept.tracks if one.limit in positions),
        ),
        thresholds=(
            *(one for one in state.thresholds if one.limit not in positions),
            *(one for one in kept.thresholds if one.limit in positions),
        ),
        baselines=mix_by_metric(state.baselines, kept.baselines),
        taus=mix_by_position(state.taus, kept.taus),
        beyond_since=mix_by_position(state.beyond_since, kept.beyond_since),
        recent=mix_by_metric(state.recent, kept.recent),
        lately=mix_by_metric(state.lately, kept.lately),
        outliers=mix_by_metric(state.outliers, kept.outliers),
        variances=mix_by_metric(state.variances, kept.variances),
        effects=mix_by_metric(state.effects, kept.effects),
        arrivals={key: one for key, one in state.arrivals.items() if not is_of_judge(key)},
        kept=tuple(
            sorted(
                {one for one in state.kept if one not in positions}
                | {one for one in kept.kept if one in positions and same_stage}
            )
        ),
        segments=(
            *(one for one in state.segments if one.limit not in positions),
            *(one for one in kept.segments if one.limit in positions),
        ),
    )


def _is_of_metrics(key: str, metrics: Collection[str]) -> bool:
    """Whether a key of the state, such as `"2|eval_score~4|language=de"`, is of one of these metrics."""
    return any(is_judged_cell(part, metrics) for part in key.split("|"))
