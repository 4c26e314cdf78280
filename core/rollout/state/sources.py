"""Where the metrics of a surface are pulled from, if they are not pushed: the terms as events store them."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Literal, TypeAlias

from core.judging.model.evidence import REQUESTS
from core.metrics.catalogue import ERROR_CATEGORIES, FEEDS

RowMeaning: TypeAlias = Literal["requests", "readings", "complaints"]
"""What a row is: a request that is counted here, readings of a request that is counted elsewhere, or a complaint."""
COMPLAINTS = "complaint_rate"
"""The metric of complaints, each of which counts once for its unit and hour."""


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
class RatioColumns:
    """The columns of a ratio of sums: what each row adds to its numerator, and to its denominator."""

    numerator: str
    denominator: str


@dataclass(frozen=True, slots=True, kw_only=True)
class SqlRows:
    """Rows of a database: of a `table`, or of a read-only `select`. `url` names the variable that holds the address.

    `segments` and `metrics` map what a row says to the column that says it; a metric is a key of an observation.
    `ratios` are the metrics that have two columns. `error_category` is the column of the kind of error. None for none.
    Complaints have neither metrics nor segments.
    """

    url: str
    rows: RowMeaning
    columns: SourceColumns
    metrics: Mapping[str, str]
    segments: Mapping[str, str] = field(default_factory=dict)
    table: str = ""
    select: str = ""
    error_category: str | None = None
    ratios: Mapping[str, RatioColumns] | None = None


TraceSystem: TypeAlias = Literal["langfuse", "phoenix", "mlflow"]
"""A tool that keeps traces."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TraceRows:
    """Traces of a tool that keeps them. `url` names the variable that holds its address; `project` is its project or
    experiment, empty where the address tells it.

    `columns`, `segments` and `metrics` name facts of a trace, such as `user`, `metadata.exposure` or `score.correct`.
    """

    url: str
    system: TraceSystem
    rows: RowMeaning
    columns: SourceColumns
    metrics: Mapping[str, str]
    segments: Mapping[str, str] = field(default_factory=dict)
    project: str = ""

    def reads(self, fact: str) -> bool:
        """Whether a fact of this name, or one that begins so, is read."""
        columns = self.columns
        sides = (columns.unit, columns.exposure, columns.variant, columns.version, columns.id)
        return any(one.startswith(fact) for one in (*sides, *self.metrics.values(), *self.segments.values()))


SideLabel: TypeAlias = Literal["exposure", "variant", "version"]
"""What a label says of the side that its counter belongs to: what the evaluation returned."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CountedMetric:
    """From which counters a metric follows: a `counter` and what it is counted `of`, or a `histogram`.

    What is counted is multiplied by `scale`, so that seconds become milliseconds.
    """

    counter: str = ""
    of: str = ""
    histogram: str = ""
    scale: float = 1.0


@dataclass(frozen=True, slots=True, kw_only=True)
class PrometheusCounters:
    """Counters of a Prometheus. `url` names the variable that holds its address.

    `side` says what the label `label` holds. `match` are labels that every series has. `requests` is the counter of
    requests; empty if they are counted elsewhere. Nobody knows whose requests are in a counter: as many as
    `requests_per_unit` count as one.
    """

    url: str
    side: SideLabel
    label: str
    metrics: Mapping[str, CountedMetric]
    match: Mapping[str, str] = field(default_factory=dict)
    requests: str = ""
    requests_per_unit: float = 10.0


@dataclass(frozen=True, slots=True, kw_only=True)
class SourceTerms:
    """One source, which is one of the kinds. It is read `every` so often, up to `delay` ago.

    Rows that come `late` after the end of their stage still count. A pull that takes longer than `timeout` fails.
    """

    name: str
    every: timedelta
    delay: timedelta
    late: timedelta
    timeout: timedelta
    sql: SqlRows | None = None
    prometheus: PrometheusCounters | None = None
    traces: TraceRows | None = None

    @property
    def url(self) -> str:
        """The variable that holds its address."""
        return self._kind.url

    @property
    def keys(self) -> tuple[str, ...]:
        """The keys of the metrics that it feeds, as they are written in the file."""
        if self.counts_complaints:
            return (COMPLAINTS,)
        ratios = (self.sql.ratios or {}) if self.sql is not None else {}
        return (*self._kind.metrics, *ratios)

    @property
    def counts_requests(self) -> bool:
        """Whether its rows are the requests of the surface."""
        if self.prometheus is not None:
            return bool(self.prometheus.requests)
        return (self.traces or self.require_sql()).rows == "requests"

    @property
    def counts_complaints(self) -> bool:
        """Whether its rows are complaints about the surface."""
        return self.sql is not None and self.sql.rows == "complaints"

    @property
    def counts_errors(self) -> bool:
        """Whether its rows tell kinds of errors."""
        return self.sql is not None and self.sql.error_category is not None

    @property
    def metrics(self) -> tuple[str, ...]:
        """Every metric that it feeds."""
        return tuple(dict.fromkeys(metric for key in self.keys for metric in FEEDS.get(key, (key,))))

    def require_sql(self) -> SqlRows:
        """The rows of a database that it reads; ValueError for other kinds."""
        if self.sql is None:
            raise ValueError(f"the source {self.name} is no database")
        return self.sql

    @property
    def _kind(self) -> SqlRows | PrometheusCounters | TraceRows:
        return self.prometheus or self.traces or self.require_sql()

    @property
    def owned(self) -> frozenset[str]:
        """What nothing else may count on the surface: its metrics, requests and kinds of errors, if it counts them."""
        requests = (REQUESTS,) if self.counts_requests else ()
        return frozenset((*self.metrics, *requests, *((ERROR_CATEGORIES,) if self.counts_errors else ())))


def longest_arrival(sources: Iterable[SourceTerms]) -> timedelta:
    """How long after a request its row may still be unread, as long as everything works."""
    return max((source.every + source.delay for source in sources), default=timedelta(0))


def map_unknown_units(sources: Iterable[SourceTerms]) -> Mapping[str, float]:
    """Metrics of which nobody knows whose requests they count: how many requests count as one."""
    return {
        metric: source.prometheus.requests_per_unit
        for source in sources
        if source.prometheus is not None
        for metric in source.metrics
    }


def map_owners(sources: Iterable[SourceTerms]) -> Mapping[str, str]:
    """The source that counts each metric (or `REQUESTS`), by its name."""
    return {metric: source.name for source in sources for metric in sorted(source.owned)}
