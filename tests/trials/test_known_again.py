"""A commit whose answer was lost: the process that made it knows what it did."""

from collections.abc import Callable
from contextlib import suppress

from sqlalchemy.exc import DBAPIError

from core.rollout import commands as c
from core.rollout.state.model import RolloutState
from tests.trials.plant import Clock, Process
from tests.trials.record import begin
from tests.trials.slack_in_process import Slack


def test_who_carried_out_a_command_whose_answer_was_lost_serves_what_it_decided(fresh: Callable[[], str]) -> None:
    clock = Clock()
    slack = Slack(clock.now)
    process = Process("web-1", fresh(), clock, slack)
    begin(process)
    process.trouble.plan(1, "lost", "commit")
    with suppress(DBAPIError):
        process.say(c.Pause(reason="odd greetings"), "pause")
    assert process.trouble.failed
    process.say(c.Pause(reason="odd greetings"), "pause")
    assert process.service.cached_world().rollouts["R-1"].state is RolloutState.PAUSED
    process.stop()
    slack.close()
