"""What a Prometheus has scraped: raw samples of counters, and what is known of the processes that they are of."""

from bisect import bisect_right
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

Labels = tuple[tuple[str, str], ...]
Target = tuple[str, str]
"""(job, instance): one process, as Prometheus scrapes it."""

NEW_TARGET = 600.0
"""Seconds before the first sample of a series in which its target must have been scraped, for it to begin at zero."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Series:
    """The raw samples of one series, by time: (seconds since 1970, value)."""

    labels: Labels
    samples: Sequence[tuple[float, float]]

    @property
    def target(self) -> Target:
        """The process that it is of."""
        return find_target(dict(self.labels))


def find_target(named: Mapping[str, str]) -> Target:
    """The process that a series with these labels is of."""
    return named.get("job", ""), named.get("instance", "")


@dataclass(frozen=True, slots=True, kw_only=True)
class TargetHistory:
    """What is known of the processes: when each was scraped, and when it said that it had started, sample by sample."""

    scraped: Mapping[Target, Sequence[float]] = field(default_factory=dict)
    started: Mapping[Target, Sequence[tuple[float, float]]] = field(default_factory=dict)

    def last_scrape_before(self, target: Target, at: float) -> float | None:
        """The scrape before one at `at`; None if none is known within `NEW_TARGET`."""
        times = self.scraped.get(target, ())
        place = bisect_right(times, at - 1e-3)
        return times[place - 1] if place and at - times[place - 1] <= NEW_TARGET else None

    def started_at(self, target: Target, at: float) -> float | None:
        """When the process that was scraped at `at` had started, as it said then; None if it does not say."""
        said = self.started.get(target, ())
        place = bisect_right(said, (at, float("inf")))
        return said[place - 1][1] if place and at - said[place - 1][0] <= NEW_TARGET else None
