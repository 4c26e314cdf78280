"""Where the metrics of a surface are pulled from, if they are not pushed: the terms as events store them."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Literal, TypeAlias

from core.judging.model.evidence import REQUESTS
from core.metrics.catalogue import FEEDS

RowMeaning: TypeAlias = Literal["requests", "readings"]
"""What a row is: a request that is counted here, or readings of a request that is counted elsewhere."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SourceColumns:
    """The columns that say whose a row is. Of `exposure`, `variant` and `version` at least one is named."""

    unit: str
    at: str
    exposure: str = ""
    variant: str = ""
    version: str = ""
    id: str = ""  # rows that share one are the same row, and count once


@dataclass(frozen=True, slots=True, kw_only=True)
class SqlRows:
    """Rows of a database: of a `table`, or of a read-only `select`. `url` names the variable that holds the address.

    `segments` and `metrics` map what a row says to the column that says it; a metric is a key of an observation.
    """

    url: str
    rows: RowMeaning
    columns: SourceColumns
    metrics: Mapping[str, str]
    segments: Mapping[str, str] = field(default_factory=dict)
    table: str = ""
    select: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class SourceTerms:
    """One source. It is read `every` so often, up to `delay` ago.

    Rows that come `late` after the end of their stage still count. A pull that takes longer than `timeout` fails.
    """

    name: str
    every: timedelta
    delay: timedelta
    late: timedelta
    timeout: timedelta
    sql: SqlRows

    @property
    def counts_requests(self) -> bool:
        """Whether its rows are the requests of the surface."""
        return self.sql.rows == "requests"

    @property
    def metrics(self) -> tuple[str, ...]:
        """Every metric of the catalogue that it feeds."""
        return tuple(dict.fromkeys(metric for key in self.sql.metrics for metric in FEEDS.get(key, (key,))))

    @property
    def owned(self) -> frozenset[str]:
        """What nothing else may count on the surface: its metrics, and the requests if it counts them."""
        return frozenset((*self.metrics, REQUESTS) if self.counts_requests else self.metrics)


def longest_arrival(sources: Iterable[SourceTerms]) -> timedelta:
    """How long after a request its row may still be unread, as long as everything works."""
    return max((source.every + source.delay for source in sources), default=timedelta(0))


def map_owners(sources: Iterable[SourceTerms]) -> Mapping[str, str]:
    """The source that counts each metric (or `REQUESTS`), by its name."""
    return {metric: source.name for source in sources for metric in sorted(source.owned)}
