"""How the rollouts of a bundle move."""

from enum import StrEnum


class BundleOrder(StrEnum):
    """`together`: they start, hold and go back as one. `in_order`: each starts when the one before it is done."""

    TOGETHER = "together"
    IN_ORDER = "in_order"
