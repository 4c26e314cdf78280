"""Which segments are judged, and when: the largest first, as many as there are slots; each keeps its slot."""

from datetime import datetime

from core.judging.look import bucket_sums
from core.judging.model.alpha_shares import SEGMENT_SLOTS
from core.judging.model.evidence import EvidenceSums
from core.judging.model.question import Question
from core.judging.model.state import JudgingState

MIN_SEGMENT_REQUESTS = 50  # requests that a segment needs in the current stage to get a slot


def are_segments_due(question: Question, before: JudgingState, at: datetime) -> bool:
    """Whether this look must include the segments: at most once per `question.segments_every`."""
    last = before.segments_seen
    return bool(question.cuts) and (last is None or at - last >= question.segments_every)


def assign_slots(question: Question, sums: EvidenceSums, before: JudgingState) -> tuple[tuple[str, ...], int]:
    """(segments with a slot, number of segments without one). Segments get a slot, largest first, once they have
    `MIN_SEGMENT_REQUESTS`, and keep it."""
    found = bucket_sums.count_segment_requests(sums, question.current, question.cuts)
    fresh = sorted((-requests, name) for name, requests in found.items() if name not in before.slots)
    ready = [name for requests, name in fresh if -requests >= MIN_SEGMENT_REQUESTS]
    slots = (*before.slots, *ready)[:SEGMENT_SLOTS]
    return slots, len([name for name in found if name not in slots])
