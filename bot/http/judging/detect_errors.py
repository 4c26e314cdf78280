"""Detects soft errors in the answers of one request, and counts them for the arm that each answer was given in."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import Connection

from bot.http.judging.take_answers import ReportedAnswer
from bot.http.observations.build_placed import build_placed_observation
from bot.http.observations.read_batch import AcceptedItem, CheckedBatch
from core.flags.placement import MisplacedObservation, Placement, UncountedReason, place_observation
from core.flags.snapshot import Snapshot
from core.metrics.observation import Observation
from core.rollout.state.surface import SoftErrorTerms, Surface
from core.shadow_eval.detect_soft_errors import AnswerChecks, detect_soft_errors, read_answer
from core.store.observations import deduplication

_SEGMENT = "language"


@dataclass(frozen=True, slots=True, kw_only=True)
class AnswerWithErrors:
    """An answer with the soft errors that rules found in it, and what they read off it."""

    answer: ReportedAnswer
    soft_errors: tuple[str, ...]
    readings: Mapping[str, float]


def find_errors(batch: Sequence[ReportedAnswer], surfaces: Mapping[str, Surface]) -> tuple[AnswerWithErrors, ...]:
    """The answers with soft errors or readings, of surfaces whose file says that answers are checked."""
    found: list[AnswerWithErrors] = []
    for answer in batch:
        surface = surfaces.get(answer.surface)
        if surface is None or surface.soft_errors is None:
            continue
        reasons = (answer.finish_reason,) if answer.finish_reason is not None else ()
        errors = detect_soft_errors(answer.answer, _build_checks(surface.soft_errors, answer), reasons)
        readings = read_answer(answer.answer, errors, surface.soft_errors.measure or {})
        if errors or readings:
            found.append(AnswerWithErrors(answer=answer, soft_errors=errors, readings=readings))
    return tuple(found)


def count_errors(
    connection: Connection, found: Sequence[AnswerWithErrors], snapshot: Snapshot, now: datetime
) -> CheckedBatch:
    """What is to be counted of these, in a writing transaction: each answer once, whatever is sent again.

    Every answer that is handed in is looked at, not only those that a judge gets, so that both arms are alike.
    """
    placed = [(one, place) for one in found if (place := _find_placement(one.answer, snapshot, now)) is not None]
    keys = {_deduplication_key(one.answer) for one, _ in placed}
    fresh = set(deduplication.claim_fresh_items(connection, keys, now)) if keys else set()
    accepted: list[AcceptedItem] = []
    for index, (one, place) in enumerate(placed):
        key = _deduplication_key(one.answer)
        if key not in fresh:
            continue
        fresh.remove(key)
        observation = Observation(
            surface=one.answer.surface,
            unit=one.answer.unit,
            at=one.answer.at or now,
            segments=one.answer.segments,
            soft_errors=one.soft_errors,
            readings=one.readings,
            is_request=False,
        )
        accepted.append(
            AcceptedItem(
                index=index,
                surface=one.answer.surface,
                id=None,
                placed=build_placed_observation(place, observation),
            )
        )
    return CheckedBatch(accepted=accepted, rejected=())


def _deduplication_key(answer: ReportedAnswer) -> tuple[str, str]:
    return answer.surface, f"answer/{answer.id}"


def _build_checks(terms: SoftErrorTerms, answer: ReportedAnswer) -> AnswerChecks:
    language = answer.segments.get(_SEGMENT, "") if terms.language == "segment" else terms.language
    return AnswerChecks(language=language, schema=terms.schema)


def _find_placement(answer: ReportedAnswer, snapshot: Snapshot, now: datetime) -> Placement | None:
    flags = snapshot.surfaces.get(answer.surface)
    at = answer.at or now
    if flags is None or at.tzinfo is None:
        return None
    try:
        place = place_observation(flags, unit=answer.unit, at=at, variant=answer.variant, exposure=answer.exposure)
    except MisplacedObservation:
        return None
    return None if isinstance(place, UncountedReason) else place
