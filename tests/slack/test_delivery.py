"""Emptying the outbox: at least once, in order, looked for before it is said again, and nothing silent."""

import socket
import threading

import pytest
from slack_sdk import WebClient

from bot.delivery.messages import deliver_due
from core.rollout import commands as c
from core.rollout.state.model import RolloutState
from core.store.coordination import outbox


def _unsent(office):
    with office.service.database.reading() as connection:
        return outbox.measure_backlog(connection)


def _marks(office, channel):
    """What carries a mark of ours in a channel, threads included: twice the same mark is a message said twice."""
    top = office.sandbox.list_messages(channel)
    said = [*top, *(reply for message in top for reply in office.sandbox.list_replies(message)[1:])]
    return [str(m.metadata) for m in {m.ts: m for m in said}.values() if m.metadata]


def test_the_card_comes_before_its_thread(office):
    office.plan()
    first, *rest = [m for m in office.sandbox.list_messages("#ai-rollouts") if not m.in_thread]
    assert "Planned: R-1" in office.shown(first)
    assert rest == [], "everything else about the rollout stands in the thread"
    assert len(office.sandbox.list_replies(first)) > 1
    assert _unsent(office).pending == 0


def test_slow_down_is_heeded_and_costs_no_attempt(office):
    office.sandbox.fail_next("chat.postMessage", "429", retry_after=7)
    office.plan()
    assert office.sandbox.list_messages("#ai-rollouts") == [], "the channel waits as a whole, in order"
    office.later(seconds=6).deliver()
    assert office.sandbox.list_messages("#ai-rollouts") == []
    office.later(seconds=1).deliver()
    assert "Planned: R-1" in office.shown(office.card())
    assert len(_marks(office, "#ai-rollouts")) == len(set(_marks(office, "#ai-rollouts")))


def test_an_error_of_slack_is_tried_again(office):
    office.sandbox.fail_next("chat.postMessage", "500", times=2)
    office.plan()
    office.later(minutes=10).deliver()
    office.later(minutes=10).deliver()
    assert "Planned: R-1" in office.shown(office.card())
    assert _unsent(office).pending == 0


def test_what_arrived_although_its_answer_was_lost_is_not_said_twice(office):
    office.sandbox.fail_next("chat.postMessage", "cut_after")
    office.plan()
    office.later(minutes=10).deliver()
    office.later(minutes=10).deliver()
    marks = _marks(office, "#ai-rollouts")
    assert len(marks) == len(set(marks))
    assert office.rollout.messages["card"].ts == office.card().ts
    assert _unsent(office).pending == 0


def test_what_slack_will_never_take_is_told_to_the_engineers(office):
    office.apply(office.surface_file)
    office.apply(office.rollout_file.replace('"#support"', '"#nowhere"'))
    for _ in range(4):
        office.later(seconds=30).deliver()
    assert any("#nowhere" in text for text in office.thread())
    assert _unsent(office).dead >= 1


def test_a_notice_of_an_abandoned_plan_is_not_sent(office):
    office.apply(office.surface_file)
    office.apply(office.rollout_file)
    office.say(
        c.Abandon(reason="not this week"),
        by=office.directory.resolve_actor("T0SANDBOX1", "U0ANA00001", moves_forward=True),
    )
    office.deliver()
    assert office.sandbox.list_messages("#support") == []
    assert office.sandbox.list_messages("#marketing") == []


@pytest.mark.shows("E52")
def test_a_rollback_needs_no_slack_and_is_told_when_it_is_back(office):
    office.start()
    office.sandbox.fail_next("chat.postMessage", "cut_before", times=3)
    office.sandbox.fail_next("chat.update", "cut_before", times=3)
    office.say(c.RollBack(reason="wrong answers"))
    assert office.rollout.state is RolloutState.ROLLED_BACK
    office.deliver()
    for _ in range(6):
        office.later(minutes=6).deliver()
    assert any("Rolled back" in office.shown(m) for m in office.sandbox.list_messages("#ai-rollouts"))
    assert any("Switched back" in office.shown(m) for m in office.sandbox.list_messages("#support"))
    assert _unsent(office).pending == 0


def test_one_try_is_one_request_even_where_the_connection_is_cut(office):
    """The client's own retry would post again what may have arrived, without looking."""
    requests = []
    with socket.create_server(("127.0.0.1", 0)) as server:

        def hang_up() -> None:
            while True:
                try:
                    connection, _ = server.accept()
                except OSError:
                    return
                requests.append(connection.recv(65536).split(b" ")[1])
                connection.close()

        listening = threading.Thread(target=hang_up)
        listening.start()
        office.apply(office.surface_file)
        office.apply(office.rollout_file)
        cut = WebClient(token="xoxb-1", base_url=f"http://127.0.0.1:{server.getsockname()[1]}/api/")
        deliver_due(office.service, cut, lambda: office.at)
        server.shutdown(socket.SHUT_RDWR)
        listening.join(5)
    # One for each of the three channels, which do not wait for each other.
    assert requests == [b"/api/chat.postMessage"] * 3
    assert _unsent(office).pending > 0
