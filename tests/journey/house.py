"""Rampart in this process beside a sandbox Slack, with a rollouts' clock that stands still until it is let go."""

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

import httpx

from bot.demo.fast_clock import FOREVER, FastClock
from bot.sandbox.control import Sandbox
from bot.sandbox.persona import Persona
from bot.sandbox.workspace.workspace import SandboxMessage
from bot.settings import Settings
from bot.startup import app
from bot.startup.program import Program
from core.rollout.state.model import Rollout
from core.store.audit import verify
from core.store.coordination import outbox
from tests.socket_mode import hang_up

TICK = timedelta(seconds=10)
PACE = 60.0
SHORTEST_PAUSE, LONGEST_PAUSE = 0.01, 0.1  # seconds between two looks at what is waited for
EXAMPLES = Path(__file__).parents[2] / "examples"
POLICY = "version: 1\nkind: policy\ncanary_percent: {min: 1, max: 50}\n"
ROLLOUT = """\
version: 1
rollout: fix-first
surface: support-assistant
owner: "@dana"
risk: standard
change:
  from: support-assistant@v42
  to: {version: v43, prompt: "Give the steps to fix it first."}
  why: "Customers say that replies bury the fix."
behaviour_changes:
  - {audience: [support, marketing], text: "Answers start with the fix and are about a third shorter."}
stages:
  - canary: {percent: 20, min_hold: 1m, max_hold: 3h, min_samples: 100}
  - ramp: {steps: [50%, 100%], hold: 30s}
  - bake: {hold: 1m}
rollback_when:
  - {metric: eval_pass_rate, drops_by: 2pp}
  - {metric: refusal_rate, rises_by: 1pp}
  - {metric: cost_per_request, rises_by: 15%}
  - {metric: latency_p95, exceeds: 4000ms}
notify:
  - {channel: "#ai-rollouts", as: engineering}
  - {channel: "#support", as: support, before: 1m, acknowledge: true}
  - {channel: "#marketing", as: marketing, before: 1m}
"""


class Clock(FastClock):
    """Stands still at the real time at which it was made; from `go` on it runs `pace` times as fast."""

    def __init__(self, pace: float) -> None:
        super().__init__(pace)
        self.set_limit(self())

    def go(self) -> None:
        self.set_limit(FOREVER)


@dataclass(slots=True)
class House:
    """A served program, the Slack it talks to, and the people in it."""

    sandbox: Sandbox
    program: Program
    clock: Clock
    url: str

    @classmethod
    def open(cls, database_url: str, folder: Path, *, transport: str = "http", pace: float = PACE) -> "House":
        """Serve and connect. The clock stands still."""
        clock = Clock(pace)
        sandbox = Sandbox.start(transport=transport, clock=clock, rate_limits="off")  # type: ignore[arg-type]
        policy = folder / "policy.yaml"
        policy.write_text(POLICY)
        settings = Settings(
            database_url=database_url,
            slack_bot_token=sandbox.bot_token,
            slack_signing_secret=sandbox.signing_secret,
            slack_app_token=sandbox.app_token if transport == "socket" else "",
            slack_api_url=sandbox.api_url,
            policy=policy,
            tick=TICK,
            port=0,
        )
        program = app.build_program(settings, "serve", now=clock, speed=lambda: pace, channel_pause=timedelta(0))
        house = cls(sandbox=sandbox, program=program, clock=clock, url=program.serve_in_thread())
        program.start()
        if transport == "http":
            sandbox.connect(f"{house.url}/slack/events")
        else:
            sandbox.wait_for(lambda: sandbox.connections, 15)
        return house

    def close(self) -> None:
        if self.sandbox.transport == "socket":
            assert self.program.socket_mode is not None
            hang_up(self.program.socket_mode, self.sandbox)
        self.program.scheduler.stop(within=90)  # a delivery under way must not reach into the next test's database
        self.program.stop()
        self.sandbox.stop()

    def apply(self, text: str) -> dict[str, Any]:
        """Apply a file over `POST /api/v1/files`."""
        answer = httpx.post(f"{self.url}/api/v1/files", content=text, trust_env=False, timeout=30)
        assert answer.status_code == 200, answer.text
        return answer.json()  # type: ignore[no-any-return]

    def plan(self, rollout_file: str = ROLLOUT) -> SandboxMessage:
        """The surface is known, the rollout planned; the request for approval, once it is in the thread."""
        self.apply((EXAMPLES / "surface.yaml").read_text())
        assert self.apply(rollout_file)["id"] == "R-1"
        return self.said("#ai-rollouts", "Approval needed")

    def schedule(self, rollout_file: str = ROLLOUT) -> str:
        """Plan, approve and schedule it: it starts once the clock runs. What the request for approval said."""
        approval = self.plan(rollout_file)
        asked = self.text(approval)
        self.said("#support", "What customers may notice")
        self.said("#marketing", "Answers start with the fix")
        self.person("lee").click(approval, "Approve")
        self.person("ana").type_command("/rollout start R-1")
        self.person("ana").click(self.whispered("ana", "Earliest start"), "Start then")
        return asked

    def person(self, handle: str) -> Persona:
        return self.sandbox.act_as(handle)

    @property
    def rollout(self) -> Rollout:
        return self.program.service.load_world().rollouts["R-1"]

    @property
    def card(self) -> SandboxMessage:
        return self.sandbox.list_messages("#ai-rollouts")[0]

    def text(self, message: SandboxMessage) -> str:
        """What stands in a message now, without emphasis."""
        return self.sandbox.render_text(self.sandbox.reload_message(message) or message).replace("*", "")

    def said(self, channel: str, words: str, *, person: str | None = None, within: float = 90) -> SandboxMessage:
        """The newest message with these words, as soon as there is one."""

        def found() -> list[SandboxMessage]:
            return [m for m in self.sandbox.list_messages(channel, person) if words in self.text(m)]

        return self.sandbox.wait_for(found, within)[-1]

    def whispered(self, handle: str, words: str) -> SandboxMessage:
        """What only this person sees."""

        def found() -> list[SandboxMessage]:
            return [m for m in self.sandbox.list_ephemerals(handle) if words in self.text(m)]

        return self.sandbox.wait_for(found, 90)[-1]

    def until(self, true: Callable[[], object], what: str, *, within: float = 180) -> None:
        """Wait until something holds of the program."""
        waiting_until(true, lambda: f"{what}; R-1 is {self.rollout.state}, {self.rollout.waiting_for!r}", within=within)

    def waiting_to_be_said(self) -> int:
        """Messages that are not posted yet."""
        with self.program.database.reading() as connection:
            unsent = outbox.measure_backlog(connection)
        return unsent.pending + unsent.leased

    def problems_of_the_log(self) -> tuple[Any, ...]:
        with self.program.database.reading() as connection:
            return tuple(verify.verify(connection).problems)


def waiting_until(true: Callable[[], object], what: Callable[[], str], *, within: float) -> None:
    """Wait until something holds; TimeoutError says what did not.

    It is asked ever less often, down to ten times a second: who asks takes from what is waited for.
    """
    pause, seconds = threading.Event(), SHORTEST_PAUSE
    give_up = time.monotonic() + within
    while not true():
        if time.monotonic() > give_up:
            raise TimeoutError(f"this did not happen within {within:g} s: {what()}")
        pause.wait(seconds)
        seconds = min(1.5 * seconds, LONGEST_PAUSE)
