"""The machine's clock."""

from datetime import UTC, datetime


def utc_now() -> datetime:
    """The machine's clock in UTC, as opposed to the rollouts' clock, which may run faster."""
    return datetime.now(UTC)
