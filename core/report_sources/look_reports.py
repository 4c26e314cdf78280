"""What the newest look and the looks before it say, for cards, pages, JSON and reports."""

from collections.abc import Collection, Mapping
from dataclasses import replace
from datetime import datetime, timedelta

from core.judging import record
from core.judging.model.causes import DifferenceCauses
from core.judging.model.judgement import Judgement
from core.judging.model.soft_errors import SoftErrorCounts
from core.judging.report import causes, measures, series, soft_errors
from core.metrics.catalogue import UNCOUNTED
from core.rollout.judging.judging_limits import find_judging
from core.rollout.judging.judging_question import build_question
from core.rollout.state.model import Rollout
from core.service.saved_state import parse_saved_state
from core.service.service import RolloutService
from core.shadow_eval.spending import JudgingSpend
from core.store.observations import looks, observation_sums
from core.store.shadow_eval import judging_accounts


def load_newest_judgement(service: RolloutService, rollout: Rollout) -> Judgement | None:
    """The judgement of the newest look, with a row for every segment; None before the first look."""
    with service.database.reading() as connection:
        latest = looks.load_latest_state(connection, rollout.id)
    if latest is None:
        return None
    kept = parse_saved_state(latest[1])
    judgement, question = kept.load_judgement(), kept.load_question()
    return replace(judgement, segments=measures.build_segment_measures(question, judgement.state))


def load_causes(service: RolloutService, rollout: Rollout) -> tuple[DifferenceCauses, ...]:
    """Why cost and time differ between the arms in the current stage, by all that came in so far."""
    with service.database.reading() as connection:
        sums = observation_sums.load_sums(connection, rollout.id, segments=False)
    return causes.explain_differences(sums, rollout.stage_index)


def load_soft_errors(service: RolloutService, rollout: Rollout) -> tuple[SoftErrorCounts, ...]:
    """How often each soft error came in both arms, in the current stage so far; as recorded for one that has ended."""
    if not rollout.is_looked_at:
        return (rollout.evidence.soft_errors if rollout.evidence is not None else None) or ()
    with service.database.reading() as connection:
        sums = observation_sums.load_sums(connection, rollout.id, segments=False)
    compared = build_question(rollout, timedelta(0)).compared_stages
    return soft_errors.count_soft_errors(sums, rollout.stage_index, compared)


def load_judging_spend(service: RolloutService, rollout: Rollout) -> JudgingSpend | None:
    """What judging the answers of a rollout has cost by now; None if its surface names no judge."""
    judging = find_judging(service.load_world(), rollout.id)
    if judging is None:
        return None
    with service.database.reading() as connection:
        return judging_accounts.load_spend(connection, rollout.id, judging.cap)


def load_uncounted_reports(service: RolloutService, rollout: Rollout) -> Mapping[str, Mapping[str, int]]:
    """Reports of the current stage that count nowhere, by arm and by why; none of an arm that has any request."""
    if not rollout.is_looked_at:
        return {}
    with service.database.reading() as connection:
        return observation_sums.count_flaws(connection, rollout.id, rollout.stage_index, UNCOUNTED)


def load_unrecorded_judgement(service: RolloutService, rollout: Rollout) -> tuple[Judgement, datetime] | None:
    """What the newest look says as a whole, and when that was; None where nothing is newer than the last evidence."""
    if not rollout.is_looked_at:
        return None
    with service.database.reading() as connection:
        latest = looks.load_latest_state(connection, rollout.id)
        _, looked_at = looks.load_count_and_time(connection, rollout.id)
    if latest is None or looked_at is None or (rollout.evidence_at is not None and looked_at <= rollout.evidence_at):
        return None
    return parse_saved_state(latest[1]).load_judgement(), looked_at


def load_trend(service: RolloutService, rollout: Rollout, metric: str) -> tuple[series.SeriesPoint, ...]:
    """How the difference of a metric developed over the looks so far, thinned to what a chart can show."""
    return load_trends(service, rollout, (metric,))[metric]


def load_trends(
    service: RolloutService, rollout: Rollout, metrics: Collection[str]
) -> Mapping[str, tuple[series.SeriesPoint, ...]]:
    """As `load_trend` for several metrics, reading the looks only once."""
    with service.database.reading() as connection:
        latest = looks.load_latest_state(connection, rollout.id)
        found = looks.load_thinned(connection, rollout.id, series.MAX_POINTS) if metrics else ()
    if latest is None:
        return dict.fromkeys(metrics, ())
    question = parse_saved_state(latest[1]).load_question()
    seen = [record.load_recorded_look(one.look_json).look for one in found]
    return {metric: series.build_series(question, seen, metric) for metric in metrics}
