"""Metrics of what is served: by rollout, surface and stage, and to which clients. Their number is bounded."""

from collections import Counter
from collections.abc import Iterator

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from bot.http.clients.change_streams import ChangeStreams
from bot.http.clients.snapshot_endpoint import SnapshotEndpoint
from bot.http.ofrep import OfrepEndpoint
from bot.process.client_positions import ClientPositions
from core.service.service import RolloutService

MAX_ROLLOUTS = 200
"""Rollouts under way that have metrics of their own; the newest are kept."""
MAX_ANSWERS = 1_000
"""Combinations of rollout, surface, stage and variant; the most frequent are kept."""


class ServingCollector(Collector):
    """Collects the metrics of rollouts under way, of answers, and of clients."""

    def __init__(
        self,
        service: RolloutService,
        flags: OfrepEndpoint,
        snapshots: SnapshotEndpoint,
        streams: ChangeStreams,
        clients: ClientPositions,
    ) -> None:
        self._service, self._flags, self._snapshots = service, flags, snapshots
        self._streams, self._clients = streams, clients

    def collect(self) -> Iterator[Metric]:
        """Every metric, as prometheus_client asks for them."""
        yield self._collect_rollouts()
        yield self._collect_answers()
        clients = GaugeMetricFamily(
            "rampart_clients",
            "Clients that evaluate by themselves, by their snapshot",
            labels=["snapshot"],
        )
        current, behind = self._clients.count_clients()
        clients.add_metric(["current"], current)
        clients.add_metric(["behind"], behind)
        yield clients
        snapshots = CounterMetricFamily("rampart_snapshot_requests", "Polls of clients", labels=["outcome"])
        snapshots.add_metric(["sent"], self._snapshots.sent_count)
        snapshots.add_metric(["unchanged"], self._snapshots.unchanged_count)
        yield snapshots
        yield GaugeMetricFamily("rampart_streams", "Event streams that are open", self._streams.open_count)
        yield CounterMetricFamily("rampart_streams_opened", "Event streams opened", self._streams.opened_count)

    def _collect_rollouts(self) -> Metric:
        percent = GaugeMetricFamily(
            "rampart_rollout_percent",
            "Share of the new version in the stage of each rollout under way, in percent",
            labels=["rollout", "surface", "stage", "state"],
        )
        under_way = [r for r in self._service.cached_world().rollouts.values() if r.is_under_way]
        for rollout in under_way[-MAX_ROLLOUTS:]:
            stage = rollout.current_stage
            labels = [rollout.id, rollout.plan.surface, stage.name, rollout.state.value]
            percent.add_metric(labels, stage.percent)
        return percent

    def _collect_answers(self) -> Metric:
        answers = CounterMetricFamily(
            "rampart_answers",
            "Answers that this process gave over OFREP",
            labels=["surface", "rollout", "stage", "variant", "version"],
        )
        counts: Counter[tuple[str, ...]] = Counter()
        for surface, answer, count in self._flags.count_answers():
            counts[surface, answer.rollout, answer.stage, answer.variant.value, answer.version.name] += count
        for labels, count in counts.most_common(MAX_ANSWERS):
            answers.add_metric(list(labels), count)
        return answers
