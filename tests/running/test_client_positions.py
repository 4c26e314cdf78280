"""A process answers for the clients that evaluate by its snapshot: it reports no position that one may lack."""

from dataclasses import dataclass, field

import pytest

from bot.process import client_positions
from bot.process.client_positions import SERVING_SECONDS, ClientPositions, TooManyClients


@dataclass
class House:
    elapsed: float = 0.0
    caught_up: int = 0
    clients: ClientPositions = field(init=False)

    def __post_init__(self) -> None:
        self.clients = ClientPositions(lambda: self.elapsed)
        self.clients.on_all_current(self._count)
        self.clients.record_document("canary", 10)

    def _count(self) -> None:
        self.caught_up += 1

    def roll_back(self) -> None:
        self.clients.record_document("canary", 19)
        self.clients.record_document("live", 20)


@pytest.fixture
def house() -> House:
    return House()


def test_without_clients_a_process_reports_what_it_has_reached(house: House) -> None:
    house.roll_back()
    assert house.clients.limit_position(20) == 20


def test_a_client_that_is_behind_is_waited_for(house: House) -> None:
    house.clients.record_contact("one", "canary", "canary")
    house.clients.record_contact("two", "canary", "canary")
    assert house.clients.limit_position(19) == 19, "no answer has changed since"
    house.roll_back()
    assert house.clients.limit_position(20) == 19
    house.clients.record_contact("one", "canary", "live")
    assert house.clients.limit_position(20) == 19, "it was sent the new document and may not have read it"
    house.clients.record_contact("one", "live", "live")
    assert (house.clients.limit_position(20), house.caught_up) == (19, 0)
    house.clients.record_contact("two", "live", "live")
    assert (house.clients.limit_position(20), house.caught_up) == (20, 1)


def test_a_client_is_waited_for_as_long_as_it_may_be_serving(house: House) -> None:
    house.clients.record_contact("one", "canary", "canary")
    house.roll_back()
    house.elapsed += SERVING_SECONDS
    assert house.clients.limit_position(20) == 19
    house.elapsed += 0.1
    assert house.clients.limit_position(20) == 20
    assert house.clients.count_clients() == (0, 0)


def test_a_client_that_ends_is_not_waited_for(house: House) -> None:
    house.clients.record_contact("one", "canary", "canary")
    house.roll_back()
    house.clients.forget("one")
    house.clients.forget("one")
    assert house.clients.limit_position(20) == 20


def test_a_new_client_may_be_serving_what_it_was_sent(house: House) -> None:
    house.clients.record_contact("new", "", "canary")
    house.roll_back()
    house.clients.record_contact("new", "", "live")
    assert house.clients.limit_position(20) == 19


def test_of_a_document_that_this_process_never_had_nothing_is_believed(house: House) -> None:
    house.clients.record_contact("one", "from another process", "canary")
    assert house.clients.limit_position(19) == 0


def test_no_more_clients_are_taken_than_can_be_tracked(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(client_positions, "MAX_CLIENTS", 1)
    house.clients.record_contact("one", "canary", "canary")
    with pytest.raises(TooManyClients):
        house.clients.record_contact("two", "", "canary")
    house.elapsed += SERVING_SECONDS + 1
    house.clients.record_contact("two", "", "canary")
