"""The columns of a source that readings come from, and the metrics that each feeds."""

from collections.abc import Mapping
from dataclasses import dataclass

from core.metrics.catalogue import CATALOGUE, FEEDS, Metric, MetricKind, denominator_key
from core.rollout.state.sources import COMPLAINTS, SqlRows


@dataclass(frozen=True, slots=True, kw_only=True)
class ReadColumn:
    """A column that readings come from. `metrics` are those that it feeds, which all take the same values.

    Without a `name`, each row is one.
    The two columns of a ratio name each other: `partner` is the number of the other one.
    """

    name: str
    key: str  # as the file names it
    metrics: tuple[str, ...]
    definition: Metric  # of the first; all of them are summed alike
    is_boolean: bool
    partner: int | None = None
    is_denominator: bool = False

    @property
    def kind(self) -> MetricKind:
        """How its values are summed."""
        return self.definition.kind


def list_read_columns(rows: SqlRows, booleans: frozenset[str], own: Mapping[str, Metric]) -> tuple[ReadColumn, ...]:
    """The columns to read. `booleans` are those of a boolean type; `own` are the surface's own metrics that are judged,
    and one that was defined since is left for the next rollout."""
    if rows.rows == "complaints":
        counted = CATALOGUE[COMPLAINTS]
        return (ReadColumn(name="", key=COMPLAINTS, metrics=(COMPLAINTS,), definition=counted, is_boolean=False),)
    fed = [(key, name, tuple(FEEDS.get(key, (key,)))) for key, name in rows.metrics.items()]
    found = [
        ReadColumn(name=name, key=key, metrics=metrics, definition=definition, is_boolean=name in booleans)
        for key, name, metrics in fed
        if (definition := own.get(metrics[0]) or CATALOGUE.get(metrics[0])) is not None
    ]
    for key, pair in (rows.ratios or {}).items():
        for name, metric in ((pair.numerator, key), (pair.denominator, denominator_key(key))):
            if (definition := own.get(key)) is not None:
                found.append(
                    ReadColumn(
                        name=name,
                        key=metric,
                        metrics=(metric,),
                        definition=definition,
                        is_boolean=name in booleans,
                        partner=len(found) + (1 if metric == key else -1),
                        is_denominator=metric != key,
                    )
                )
    return tuple(found)
