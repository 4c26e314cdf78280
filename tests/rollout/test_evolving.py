"""No event is forgotten by the fold."""

from typing import get_args

from core.rollout.state.events import RolloutEvent
from core.rollout.state.evolve import EVENT_HANDLERS


def test_every_event_says_what_it_does_to_a_rollout():
    assert EVENT_HANDLERS.keys() == set(get_args(RolloutEvent))
