"""The `holdout` section of a rollout file: who keeps the old version after the rollout is done, and for how long."""

from datetime import timedelta

from pydantic import Field, model_validator

from core.durations import LONGEST_DURATION
from core.files.syntax.fields import Duration, Percent, StrictModel, field_error
from core.rollout.plans.plan import Holdout

LARGEST_HOLDOUT = 20.0  # percent


class HoldoutTerms(StrictModel):
    """A share of the units, and how long after the end they are held back."""

    percent: Percent
    for_: Duration = Field(alias="for")

    @model_validator(mode="after")
    def _check_bounds(self) -> "HoldoutTerms":
        if self.percent > LARGEST_HOLDOUT:
            raise field_error("percent", f"hold back at most {LARGEST_HOLDOUT:g}%")
        if not timedelta(hours=1) <= self.for_ <= LONGEST_DURATION:
            raise field_error("for", f"hold them back for 1h at least and {LONGEST_DURATION.days}d at most")
        return self

    def to_holdout(self) -> Holdout:
        """The holdout as it is in the plan."""
        return Holdout(percent=self.percent, lasts=self.for_)
