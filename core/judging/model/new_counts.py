"""The counts that one look adds to one metric in one stage."""

from dataclasses import dataclass, replace

from core.judging.model.evidence import CONTROL, Arm


@dataclass(frozen=True, slots=True, kw_only=True)
class NewCounts:
    """Counts since the last look, overall or in one `segment`.

    `aside_*` came in too but are not included in the other counts. In a stage's first look some control buckets are set
    aside to learn the base rate (for an error category, some canary buckets, to detect that it appeared). For quantile
    crossings they are control's counts above the same threshold up to the last look.
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
    def has_any_counts(self) -> bool:
        """Whether anything came in since the last look."""
        return any(
            (self.canary_trials, self.canary_events, self.control_trials, self.control_events, self.aside_trials)
        )

    @property
    def has_trials(self) -> bool:
        """Whether either arm has a trial that counts as evidence, which those set aside do not."""
        return self.canary_trials > 0 or self.control_trials > 0

    def set_aside(self, arm: Arm, trials: float, events: float) -> "NewCounts":
        """A copy in which these trials and events of one arm are set aside."""
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
