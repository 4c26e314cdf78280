"""What one look adds to one metric's counts in one stage."""

from dataclasses import dataclass, replace

from core.judging.model.evidence import CONTROL, Arm


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """Counts since the last look, of everybody or of one `segment`.

    `aside_*` are part of what came in, but not of the other counts: in a stage's first look some of control's buckets
    are set aside to learn the base rate from (for an error category: some of the canary's, to see it appear). For a
    quantile's crossings they are control's counts up to the last look, above the same threshold.
    """

    stage: int
    metric: str
    segment: str = ""
    canary_trials: float
    canary_events: float
    control_trials: float
    control_events: float
    aside_trials: float = 0.0
    aside_events: float = 0.0

    @property
    def moved(self) -> bool:
        """Whether anything came in."""
        return any(
            (self.canary_trials, self.canary_events, self.control_trials, self.control_events, self.aside_trials)
        )

    @property
    def counted(self) -> bool:
        """Whether either arm has a trial that counts as evidence."""
        return self.canary_trials > 0 or self.control_trials > 0

    def setting_aside(self, arm: Arm, trials: float, events: float) -> "Step":
        """The same counts, with some of one arm's set aside."""
        if arm == CONTROL:
            return replace(
                self,
                control_trials=self.control_trials - trials,
                control_events=self.control_events - events,
                aside_trials=trials,
                aside_events=events,
            )
        return replace(
            self,
            canary_trials=self.canary_trials - trials,
            canary_events=self.canary_events - events,
            aside_trials=trials,
            aside_events=events,
        )
