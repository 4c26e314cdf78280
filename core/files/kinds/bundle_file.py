"""The bundle file: several rollouts in one file, each a document of its own, and how they move."""

from typing import Annotated, Literal

from pydantic import Field, PrivateAttr, model_validator

from core.files.kinds.rollout_file import RolloutFile
from core.files.syntax.fields import Name, WrittenFile, field_error
from core.rollout.plans.bundle_order import BundleOrder

Names = Annotated[tuple[Name, ...], Field(min_length=2, max_length=20)]


class BundleFile(WrittenFile):
    """Which rollouts move as one, and in which order; the rollouts follow as documents of the same file."""

    version: Literal[1]
    kind: Literal["bundle"] = "bundle"
    bundle: Name
    together: Names | None = None
    in_order: Names | None = None

    _rollouts: tuple[RolloutFile, ...] = PrivateAttr(default=())

    @model_validator(mode="after")
    def _check_one_order(self) -> "BundleFile":
        if (self.together is None) == (self.in_order is None):
            raise field_error("bundle", "name its rollouts once: under together, or under in_order")
        return self

    @property
    def order(self) -> BundleOrder:
        """How they move."""
        return BundleOrder.TOGETHER if self.together is not None else BundleOrder.IN_ORDER

    @property
    def names(self) -> tuple[str, ...]:
        """The names of its rollouts, in its order."""
        return self.together or self.in_order or ()

    @property
    def rollouts(self) -> tuple[RolloutFile, ...]:
        """The documents that follow, as they are written."""
        return self._rollouts

    def attach_rollouts(self, rollouts: tuple[RolloutFile, ...]) -> None:
        """Called once, after parsing. Frozen models allow setting private attributes."""
        self._rollouts = rollouts
