"""A rollback is confirmed once the clients that evaluate by themselves have it too, and not before."""

import threading
import time
from collections.abc import Callable, Iterator

import pytest

from bot.process.client_positions import ClientPositions
from bot.process.flip_confirmation import FlipConfirmer
from bot.process.snapshot_server import SnapshotServer
from core.flags.document import DocumentEncoder
from core.rollout import commands as c
from core.rollout.state import events as e
from core.service.service import RolloutService
from core.store.coordination import processes
from core.store.database.connections import Database
from core.store.models import ProcessReport
from tests.trials.faults import laborer
from tests.trials.faults.test_many_kills import begun


@pytest.fixture
def service(sqlite_database: Database) -> RolloutService:
    service = RolloutService(sqlite_database)
    begun(service)
    return service


@pytest.fixture
def clients() -> ClientPositions:
    return ClientPositions()


@pytest.fixture
def web(service: RolloutService, clients: ClientPositions) -> Iterator[SnapshotServer]:
    server = SnapshotServer(service, process_id="web-1", role="web", now=laborer.now, clients=clients)
    server.start()
    yield server
    server.stop()


def wait_for_report(service: RolloutService, wanted: Callable[[ProcessReport], bool]) -> ProcessReport:
    """The first report of the process that is as `wanted`."""
    until = time.monotonic() + 30
    while time.monotonic() < until:
        with service.database.reading() as connection:
            (report,) = processes.load_processes(connection)
        if wanted(report):
            return report
        threading.Event().wait(0.02)
    raise AssertionError(f"no such report: {report}")


def find_confirmation(service: RolloutService) -> e.FlipConfirmed | None:
    told = [r.event for r in service.load_history("R-1")]
    return next((x for x in told if isinstance(x, e.FlipConfirmed)), None)


def test_a_rollback_waits_for_a_client(service: RolloutService, clients: ClientPositions, web: SnapshotServer) -> None:
    confirmer, encoder = FlipConfirmer(service), DocumentEncoder()
    before = encoder.encode(web.snapshot()).etag
    clients.record_document(before, web.snapshot().position)
    clients.record_contact("client-1", "", before)
    laborer.command(service, c.RollBack(reason="wrong answers"), "back")
    back = service.load_world().position
    behind = wait_for_report(service, lambda report: report.position < back)
    assert wait_for_report(service, lambda report: report.seen_at > behind.seen_at).position < back
    confirmer.confirm_pending(laborer.now())
    assert find_confirmation(service) is None

    clients.record_contact("client-1", encoder.encode(web.snapshot()).etag, "")
    wait_for_report(service, lambda report: report.position == back)
    confirmer.confirm_pending(laborer.now())
    confirmed = find_confirmation(service)
    assert confirmed is not None
    assert (confirmed.processes, confirmed.unheard) == (1, None)


def test_a_process_that_stops_while_it_has_clients_leaves_its_report(
    service: RolloutService, clients: ClientPositions, web: SnapshotServer
) -> None:
    clients.record_contact("client-1", "", "any")
    web.stop()
    with service.database.reading() as connection:
        assert len(processes.load_processes(connection)) == 1
    clients.forget("client-1")
    web.stop()
    with service.database.reading() as connection:
        assert processes.load_processes(connection) == ()
