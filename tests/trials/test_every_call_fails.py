"""The n-th call of the database driver fails, for every n of a whole rollout: asked again, everything happened once."""

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TypeAlias

import pytest
from sqlalchemy.exc import DBAPIError

from bot.delivery.consumer import LEASE
from core.rollout import commands as c
from core.rollout.state import events as e
from core.rollout.state.model import RolloutState
from core.store.errors import StoreError
from core.store.formats import codec
from tests.trials import promises
from tests.trials.broken_driver import Way
from tests.trials.length import LONG, pick
from tests.trials.plant import DANA, LEE, MONDAY, TICK, Clock, Process
from tests.trials.slack_in_process import Slack

TRIES = 5
LOOKING = "step 7"
Story: TypeAlias = list[tuple[int, str, str, str]]


@dataclass(slots=True)
class Step:
    """Something that is done `after` so many minutes, and again and again until it succeeds."""

    after: int
    do: Callable[[], object]
    again_in: timedelta = timedelta(0)  # what has claimed something is succeeded only when its lease has run out


def script(process: Process) -> Iterator[Step]:
    """A whole short rollout. Every step has an hour of its own, so that its repeats do not move those after it."""
    yield Step(0, process.declare)
    yield Step(1, lambda: process.plan(1, "plan"))
    yield Step(60, process.drain, LEASE)
    yield Step(120, lambda: process.say(c.Approve(), "approve", by=LEE))
    yield Step(180, lambda: process.say(c.Start(), "start", by=DANA))
    yield Step(181, process.follow)
    yield Step(181, lambda: process.serve(40, "healthy", 1))
    yield Step(182, process.tick, TICK)
    yield Step(240, lambda: process.say(c.RollBack(reason="wrong answers"), "back", by=LEE))
    yield Step(300, process.drain, LEASE)
    yield Step(360, process.tick, TICK)
    yield Step(420, process.drain, LEASE)


class Undertaking:
    """The script on a database of its own, with trouble at one call of the driver."""

    def __init__(self, url: str) -> None:
        self.clock = Clock()
        self.slack = Slack(self.clock.now)
        self.process = Process("web-1", url, self.clock, self.slack)
        self.disturbed = ""  # the name of the step

    def run(self, at: int, way: Way) -> "Undertaking":
        """Every step until it succeeds. What fails must say so with an error of the database or the store."""
        trouble = self.process.trouble
        trouble.plan(at, way)
        for number, step in enumerate(script(self.process)):
            self.clock.at = MONDAY + timedelta(minutes=step.after)
            for _ in range(TRIES):
                try:
                    step.do()
                except (DBAPIError, StoreError):
                    assert trouble.failed
                    self.clock.at += step.again_in
                else:
                    break
                finally:
                    if trouble.failed and not self.disturbed:
                        self.disturbed = f"step {number}"
                        self.clock.at += step.again_in
            else:
                raise AssertionError(f"step {number} never succeeds")
        return self

    def close(self) -> None:
        self.process.stop()
        self.slack.close()

    def check(self) -> None:
        promises.the_log_is_sound(self.process.database)
        promises.memory_is_the_log(self.process.database, [self.process.service])
        promises.every_effect_has_its_event(self.process.database)
        promises.said_in_order_and_once(self.process.database, self.slack)
        promises.the_card_is_true(self.process.database, self.process.world, self.slack)
        promises.traffic_follows_the_log(self.process.world)
        assert self.process.world.rollouts["R-1"].state is RolloutState.ROLLED_BACK

    def story(self) -> Story:
        """The log without what may differ: when exactly, how long judging took, and the ts that Slack chose.

        Channels do not wait for each other, so of what was posted only the count before each event is compared.
        """
        log = [(r.position, r.stream, *_told(r.event)) for r in promises.whole_log(self.process.database)]
        posted = [one for one in log if one[2] == e.MessagePosted.TYPE]
        said = [(0, stream, kind, body) for stream, kind, body in sorted(one[1:] for one in posted)]
        return [*(one for one in log if one not in posted), *said]


def _told(event: e.Event) -> tuple[str, str]:
    kind, _, body = codec.encode(event)
    for name in ("judged_seconds", "expires_at", "ts", "seconds"):
        body = re.sub(rf'"{name}":("[^"]*"|[^,}}]*)', f'"{name}":…', body)
    return kind, body


def _without_looks(story: Story) -> list[tuple[str, str, str]]:
    """A look that failed is followed by another one, and meanwhile the evidence is doubted aloud; the rest is alike."""
    looking = {e.EvidenceRecorded.TYPE, e.Held.TYPE, e.HoldCleared.TYPE, e.TailsFrozen.TYPE, e.MessagePosted.TYPE}
    told = [(stream, kind, re.sub(r'"exposed_\w+":\d+', "", body)) for _, stream, kind, body in story]
    return [one for one in told if one[1] not in looking]


def undisturbed(url: str) -> tuple[int, Story]:
    """How many calls the script takes, and the log that it leaves."""
    calm = Undertaking(url).run(0, "refused")
    calls = calm.process.trouble.calls
    calm.check()
    story = calm.story()
    calm.close()
    return calls, story


@pytest.mark.parametrize("way", ["refused", "lost"])
def test_every_call_fails_once(fresh: Callable[[], str], way: Way) -> None:
    calls, wanted = undisturbed(fresh())
    for at in _chosen(calls):
        undertaking = Undertaking(fresh()).run(at, way)
        where = f"call {at} of {calls}, {undertaking.disturbed}: {undertaking.process.trouble.failed[:90]}"
        try:
            assert undertaking.process.trouble.failed
            undertaking.check()
            if undertaking.disturbed == LOOKING:
                assert _without_looks(undertaking.story()) == _without_looks(wanted)
            else:
                assert undertaking.story() == wanted
        except BaseException as error:
            error.add_note(where)
            raise
        finally:
            undertaking.close()


def _chosen(calls: int) -> range:
    """All of them; in the short form every so many, beginning elsewhere every day."""
    step = pick(calls // 12, 1)
    return range(1 if LONG else 1 + datetime.now(UTC).toordinal() % step, calls + 1, step)
