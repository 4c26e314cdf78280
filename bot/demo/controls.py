"""What whoever is at the page may choose: how fast time runs, what is played next, and who approves."""

import threading

from bot.demo import traffic
from bot.demo.fast_clock import FastClock
from bot.sandbox.page_banner import Control, Narrator, Option

PAUSED = "pause"
NORMAL = "normal"
_PACES = {PAUSED: 0.0, "slow": 1 / 6, NORMAL: 1.0, "fast": 4.0}  # of the speed that was asked for


class DemoControls:
    """The choices, which outlast a play. `stop` ends the current one, for another or for good."""

    def __init__(self, scenario: str, speed: float) -> None:
        self.scenario = scenario
        self.approves_self = False
        self.is_over = False
        self.stop = threading.Event()
        self._speed = speed
        self._pace = NORMAL
        self._clock = FastClock(speed)
        self._narrator: Narrator | None = None

    @property
    def is_paused(self) -> bool:
        """Whether time stands still at the moment."""
        return self._pace == PAUSED

    def begin(self, clock: FastClock, narrator: Narrator) -> None:
        """Follow the clock and the page of a play that begins."""
        self.stop.clear()
        self._clock, self._narrator = clock, narrator
        self._pace = NORMAL if self.is_paused else self._pace
        self._apply()
        if self.is_over:
            self.stop.set()

    def run_at(self, speed: float) -> None:
        """From now on this is the normal pace, as many times as fast as real time."""
        if speed != self._speed:
            self._speed = speed
            self._apply()

    def end_for_good(self) -> None:
        """Stop the current play, and begin no other."""
        self.is_over = True
        self.stop.set()

    def choose(self, name: str, value: str) -> str:
        """Do what was chosen on the page; returns what to tell there."""
        match name:
            case "speed":
                self._pace = value
                reply = _describe_pace(self._speed, value)
            case "approve":
                self.approves_self = bool(value)
                reply = "Next time Lee leaves the approval to you for a while." if value else "Lee approves."
            case _:
                self.scenario = value
                self.stop.set()
                reply = "It begins anew in an empty Slack, in a few seconds."
        self._apply()
        return reply

    def _apply(self) -> None:
        self._clock.set_speed(self._speed * _PACES[self._pace])
        if self._narrator is not None:
            offered = list_controls(self.scenario, self._speed, self._pace, approves_self=self.approves_self)
            self._narrator.offer(offered, self.choose)


def list_controls(scenario: str, speed: float, pace: str, *, approves_self: bool) -> tuple[Control, ...]:
    """What the page offers while `scenario` is played at this pace of `speed`."""
    paces = tuple(
        Option(value=value, label=value.capitalize(), hint=_describe_pace(speed, value), key=value[0])
        for value in _PACES
    )
    endings = tuple(Option(value=name, label=name, hint=what) for name, (what, _) in traffic.SCENARIOS.items())
    again = Option(value=scenario, label="Again", hint="The same scenario from its beginning, in an empty Slack")
    myself = Option(value="on", label="", hint="Be Lee and press Approve; Lee does it if you do not within a while")
    switched = "on" if approves_self else ""
    return (
        Control(name="speed", label="Time", kind="one_of", options=paces, chosen=pace),
        Control(name="again", label="Again", kind="button", options=(again,)),
        Control(name="ending", label="Another ending", kind="menu", options=endings, chosen=scenario),
        Control(name="approve", label="I approve myself", kind="switch", options=(myself,), chosen=switched),
    )


def _describe_pace(speed: float, pace: str) -> str:
    if pace == PAUSED:
        return "Time stands still; Slack goes on."
    return f"Time runs {speed * _PACES[pace]:g} times as fast as real time, if this machine can."
