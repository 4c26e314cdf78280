"""Which segments are judged, and when: the largest first, at most twelve; each is judged from then on."""

from datetime import datetime

from core.judging.look import bucket_sums
from core.judging.model.alpha_shares import MAX_JUDGED_SEGMENTS
from core.judging.model.evidence import EvidenceSums
from core.judging.model.question import Question
from core.judging.model.state import JudgingState

MIN_SEGMENT_REQUESTS = 50  # requests that a segment needs in the current stage to be judged


def are_segments_due(question: Question, before: JudgingState, at: datetime) -> bool:
    """Whether this look must include the segments: at most once per `question.segments_every`."""
    last = before.segments_seen
    return bool(question.cuts) and (last is None or at - last >= question.segments_every)


def choose_segments(question: Question, sums: EvidenceSums, before: JudgingState) -> tuple[tuple[str, ...], int]:
    """(segments that are judged, number of those that are not). They are chosen, largest first, once they have
    `MIN_SEGMENT_REQUESTS`, and stay chosen."""
    found = bucket_sums.count_segment_requests(sums, question.current, question.cuts)
    fresh = sorted((-requests, name) for name, requests in found.items() if name not in before.slots)
    ready = [name for requests, name in fresh if -requests >= MIN_SEGMENT_REQUESTS]
    chosen = (*before.slots, *ready)[:MAX_JUDGED_SEGMENTS]
    return chosen, len([name for name in found if name not in chosen])
