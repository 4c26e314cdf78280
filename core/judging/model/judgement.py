"""What one look comes to: a verdict, with what it rests on and what is remembered for the next look."""

from dataclasses import dataclass

from core.judging.model.state import State
from core.judging.model.verdict import Finding, Measure, Verdict


@dataclass(frozen=True, slots=True, kw_only=True)
class Judgement:
    """A verdict with what it rests on. Requests and units are those of the stage under way; `exposed_*` are the
    canary's over the whole rollout (units: at least). `notes` are told and hold nothing: dry-run limits that would have
    spoken, what is unexpectedly better. `segments` are the rows that stand out at the last look at segments, among the
    `segments_checked` that had enough."""

    verdict: Verdict
    measures: tuple[Measure, ...]
    state: State
    canary_requests: int
    control_requests: int
    canary_units: int
    control_units: int
    exposed_requests: int
    exposed_units: int
    notes: tuple[Finding, ...] = ()
    segments: tuple[Measure, ...] = ()
    segments_checked: int = 0
