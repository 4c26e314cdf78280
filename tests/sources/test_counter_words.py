"""What is said of counters: those whose label says nothing, and how much of the last pull counts."""

from datetime import UTC, datetime, timedelta

from bot.cli.files import counter_reports, report_parts
from bot.sources.prometheus.check_source import CounterReport
from core.rollout.state.sources import CountedMetric, PrometheusCounters, SourceTerms
from core.store.observations.pulled_sums import PullState

NOW = datetime(2026, 11, 23, 9, 0, tzinfo=UTC)
TERMS = SourceTerms(
    name="cluster-metrics",
    every=timedelta(minutes=1),
    delay=timedelta(0),
    late=timedelta(hours=1),
    timeout=timedelta(seconds=30),
    prometheus=PrometheusCounters(
        url="SOURCE_PROMETHEUS_URL",
        side="exposure",
        label="exposure",
        requests="requests_total",
        metrics={"refusal_rate": CountedMetric(counter="refusals_total", of="requests_total")},
    ),
)


def test_a_label_that_says_nothing_is_told_as_what_keeps_the_check_from_passing() -> None:
    report = CounterReport(name="cluster-metrics", grown={"requests_total": 296.0}, sides=(("", 296.0),))
    lines = counter_reports.describe(TERMS, report, NOW, query=False)
    assert report.has_problem
    assert (
        "  ! none of them has the label exposure: it is empty while no rollout runs, and then has to hold what the "
        "evaluation returned"
    ) in lines
    known = CounterReport(name="cluster-metrics", grown={"requests_total": 296.0}, sides=(("R-1.0.canary", 296.0),))
    assert not any(line.startswith("  !") for line in counter_reports.describe(TERMS, known, NOW, query=False))


def test_samples_that_were_read_are_no_rows_of_which_most_are_lost() -> None:
    state = PullState(read_rows=306, counted_rows=23)
    assert report_parts.describe_counted(state, TERMS) == "306 samples, in which counters grew 23 times for a side"
    assert report_parts.describe_counted(state, None) == "23 of 306 rows count"
