"""The judgement of one look: the verdict, what it rests on, and the state for the next look."""

from dataclasses import dataclass

from core.judging.model.state import JudgingState
from core.judging.model.verdict import Finding, Measure, Verdict


@dataclass(frozen=True, slots=True, kw_only=True)
class Judgement:
    """A verdict and what it rests on.

    Requests and units are those of the current stage; `exposed_*` are the canary's over the whole rollout
    (`exposed_units` is a lower bound). `notes` are reported but hold nothing: violated dry-run limits and unexpected
    improvements. `pending` are findings that lack nothing but the time that their limit's `for` asks; until then the
    rollout does not grow. `segments` are the rows with the most evidence at the last look at segments, out of the
    `segments_checked` that had enough requests.
    """

    verdict: Verdict
    measures: tuple[Measure, ...]
    state: JudgingState
    canary_requests: int
    control_requests: int
    canary_units: int
    control_units: int
    exposed_requests: int
    exposed_units: int
    notes: tuple[Finding, ...] = ()
    pending: tuple[Finding, ...] = ()
    segments: tuple[Measure, ...] = ()
    segments_checked: int = 0
