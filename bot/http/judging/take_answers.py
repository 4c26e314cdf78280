"""Takes answers of both versions and keeps those that are sampled for a judge."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from hashlib import sha256
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

from bot.http.observations.parse_fields import MAX_CLOCK_LEAD
from core.flags.evaluation import MAX_UNIT_LENGTH
from core.flags.placement import MAX_LATENESS, MisplacedObservation, UncountedReason, place_observation
from core.flags.snapshot import Snapshot
from core.rollout.state.surface import Surface
from core.shadow_eval import sampling
from core.shadow_eval.samples import ShadowSample
from core.store.database.connections import Database
from core.store.shadow_eval import shadow_samples

MAX_ANSWERS = 500  # of one request
MAX_TEXT = 20_000  # characters of a question or an answer


Label = Annotated[str, Field(min_length=1, max_length=MAX_UNIT_LENGTH, pattern=r"^[^\x00]+$")]


class ReportedAnswer(BaseModel):
    """One answer that somebody got."""

    model_config = ConfigDict(extra="forbid")

    surface: str = Field(min_length=1, max_length=100)
    unit: Label = Field(description="as in `targetingKey`")
    id: Label = Field(description="of the request; the same answer is always treated alike")
    exposure: str | None = Field(None, description="`metadata.exposure` of the evaluation")
    variant: str | None = Field(None, description="without `exposure`: the variant of the evaluation")
    at: datetime | None = Field(None, description="when it was given; now if it is left out")
    question: str = Field("", max_length=MAX_TEXT)
    answer: str = Field(max_length=MAX_TEXT)
    segments: dict[Label, Label] = Field(default_factory=dict, max_length=50)
    finish_reason: Label | None = Field(None, description="how the model ended the answer, as its provider says")


class AnswerBatch(BaseModel):
    """Answers of one request."""

    model_config = ConfigDict(extra="forbid")

    answers: list[ReportedAnswer] = Field(max_length=MAX_ANSWERS)


@dataclass(frozen=True, slots=True, kw_only=True)
class AnswersTaken:
    """How many answers were taken and how many of them a judge will get; the others are not kept."""

    accepted: int
    sampled: int
    rejected: tuple[tuple[int, str], ...]


def take_answers(
    batch: Sequence[ReportedAnswer],
    database: Database,
    snapshot: Snapshot,
    surfaces: Mapping[str, Surface],
    now: datetime,
) -> AnswersTaken:
    """Keep the sampled ones of a batch of answers. What contradicts what was served is rejected by index."""
    chosen: list[ShadowSample] = []
    rejected: list[tuple[int, str]] = []
    for index, answer in enumerate(batch):
        try:
            sample = _choose(answer, snapshot, surfaces, now)
        except (MisplacedObservation, ValueError) as error:
            rejected.append((index, str(error)))
            continue
        if sample is not None:
            chosen.append(sample)
    kept = _keep(chosen, database, surfaces) if chosen else 0
    return AnswersTaken(accepted=len(batch) - len(rejected), sampled=kept, rejected=tuple(rejected))


def _choose(
    answer: ReportedAnswer,
    snapshot: Snapshot,
    surfaces: Mapping[str, Surface],
    now: datetime,
) -> ShadowSample | None:
    """The sample for an answer; None if it is not sampled. ValueError if it cannot be."""
    flags, surface = snapshot.surfaces.get(answer.surface), surfaces.get(answer.surface)
    if flags is None or surface is None:
        raise ValueError(f'unknown surface "{answer.surface}"')
    terms = surface.judging
    if terms is None and surface.soft_errors is None:
        raise ValueError(f"{surface.name} names no judge: add `judging:` to its file and apply it")
    at = answer.at or now
    if at.tzinfo is None:
        raise ValueError('"at" needs a time zone, such as 2026-11-24T10:00:00Z')
    if not now - MAX_LATENESS <= at <= now + MAX_CLOCK_LEAD:
        raise ValueError('"at" lies in the future, or more than an hour ago')
    placed = place_observation(flags, unit=answer.unit, at=at, variant=answer.variant, exposure=answer.exposure)
    if isinstance(placed, UncountedReason) or terms is None:
        return None  # without a judge, answers are checked by rules alone
    rollout = placed.tracked.rollout
    stage = next(span for span in reversed(placed.tracked.spans) if span.index == placed.stage)
    if stage.is_holdout or not sampling.is_sampled(rollout, answer.id, placed.arm, stage, terms.share):
        return None
    return ShadowSample(
        id=sha256(f"answer:{rollout}:{answer.id}".encode()).hexdigest()[:32],
        rollout=rollout,
        surface=surface.name,
        stage=placed.stage,
        arm=placed.arm.value,
        judge=terms.judge,
        at=at,
        expires_at=now + terms.keep,
        is_judged_twice=sampling.wants_second_opinion(rollout, answer.id),
        unit=answer.unit,
        question=answer.question,
        answer=answer.answer,
        segments=answer.segments,
    )


def _keep(chosen: Sequence[ShadowSample], database: Database, surfaces: Mapping[str, Surface]) -> int:
    """Store samples, up to what each rollout may keep; how many were stored."""
    kept = 0
    with database.writing_outside_log() as connection:
        for rollout in sorted({sample.rollout for sample in chosen}):
            samples = [sample for sample in chosen if sample.rollout == rollout]
            terms = surfaces[samples[0].surface].judging
            room = (terms.most if terms is not None else 0) - shadow_samples.count_samples(connection, rollout)
            shadow_samples.add_samples(connection, samples[: max(room, 0)])
            kept += min(len(samples), max(room, 0))
    return kept
