"""The demonstration: a sandbox Slack, the bot, and an AI feature with simulated users, in one process."""

import json
import random
import signal
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from http.client import HTTPConnection
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpx

from bot import app
from bot.connections import build_handle_resolver
from bot.program import Program
from bot.rendering import demo_narration
from bot.sandbox import traffic
from bot.sandbox.control import Sandbox
from bot.sandbox.page_banner import Narration, Way
from bot.settings import Settings
from core import apply_file
from core.rollout.context import Actor
from core.rollout.decisions import gating
from core.rollout.notifications.announcements import CARD_KEY
from core.rollout.state.model import TERMINAL_STATES, Rollout, RolloutState
from core.store.coordination import outbox

REQUESTS_PER_MINUTE = 2000  # of the rollout's clock
TICK = timedelta(seconds=10)
SEED = 20261123
FOREVER = datetime.max.replace(tzinfo=UTC)
SURFACE = "support-assistant"
MAX_LEAD_OVER_TRAFFIC = timedelta(seconds=15)  # of the rollout's clock; how far it may run ahead of the users' traffic
GIVE_UP_AFTER = timedelta(hours=4)  # of the rollout's clock
FILE = "first-rollout.yaml"
EXAMPLES = Path(__file__).parents[1] / "examples"


class UnknownScenario(Exception):
    """There is no scenario of this name; the message lists those there are."""


class FastClock:
    """A clock that runs `speed` times as fast as real time from its creation, and stops at its limit."""

    def __init__(self, speed: float) -> None:
        self._time = datetime.now(UTC)
        self._measured_at = time.monotonic()
        self._speed = speed
        self._limit = FOREVER
        self._lock = threading.Lock()

    def __call__(self) -> datetime:
        with self._lock:
            now = time.monotonic()
            self._time = min(self._time + timedelta(seconds=(now - self._measured_at) * self._speed), self._limit)
            self._measured_at = now
            return self._time

    @contextmanager
    def lift_limit_at_exit(self) -> Iterator[None]:
        """A context that lifts the limit at its end, whatever happened inside."""
        try:
            yield
        finally:
            self.set_limit(FOREVER)

    def set_limit(self, limit: datetime) -> None:
        """Stop at `limit` until a later limit is set; it never goes back."""
        self()
        with self._lock:
            self._limit = max(limit, self._time)


def run_scenario(scenario: str, *, headless: bool, speed: float, port: int) -> bool:
    """Play one scenario and return whether it ended as expected. Unless headless, serve its page until interrupted."""
    if scenario not in traffic.SCENARIOS:
        raise UnknownScenario(f'There is no scenario "{scenario}". There are: {", ".join(traffic.SCENARIOS)}.')
    clock = FastClock(speed)
    with tempfile.TemporaryDirectory(prefix="rampart-demo-") as folder:
        sandbox = Sandbox.start(0 if headless else port, clock=clock)
        sandbox.narrator.tell(Narration(now=demo_narration.BEFORE[0], next=demo_narration.BEFORE[1]))
        program = app.build_program(_build_settings(sandbox, Path(folder)), "serve", now=clock, speed=speed)
        try:
            url = program.serve_in_thread()
            program.start()
            sandbox.connect(f"{url}/slack/events")
            story = Demonstration(program, sandbox, scenario, clock, speed, url)
            if headless:
                return story.play_and_report()
            return _play_until_interrupted(story, sandbox)
        finally:
            program.stop()
            sandbox.stop()


def _build_settings(sandbox: Sandbox, folder: Path) -> Settings:
    return Settings(
        database_url=f"sqlite:///{folder}/rollout.db",
        slack_bot_token=sandbox.bot_token,
        slack_signing_secret=sandbox.signing_secret,
        slack_api_url=sandbox.api_url,
        tick=TICK,
        port=0,
    )


def _play_until_interrupted(demonstration: "Demonstration", sandbox: Sandbox) -> bool:
    """Print where to look, and play until SIGINT or SIGTERM."""
    interrupted = threading.Event()
    signal.signal(signal.SIGINT, lambda *_: interrupted.set())
    signal.signal(signal.SIGTERM, lambda *_: interrupted.set())
    what, _ = traffic.SCENARIOS[demonstration.scenario]
    print(f"\n  Open {sandbox.url} and watch.\n", flush=True)
    print(
        f'  Scenario "{demonstration.scenario}": {what}. One minute there takes {60 / demonstration.speed:.0f} s here.'
    )
    print("  The bot's own pages and API: " + demonstration.url)
    print("  Stop with Ctrl-C.\n", flush=True)
    thread = threading.Thread(target=demonstration.play_and_stay, args=(interrupted,), name="story", daemon=True)
    thread.start()
    interrupted.wait()
    thread.join(5)
    return True


@dataclass(frozen=True, slots=True, kw_only=True)
class Round:
    """One rollout of the demonstration: the scenario that its users live through, and what was live before it."""

    rollout: str
    scenario: str
    old_version: str
    yours: bool = False  # nobody presses anything but whoever is at the page


class Demonstration:
    """Plays the people and users of the demonstration, through the same interfaces that real ones use."""

    def __init__(
        self, program: Program, sandbox: Sandbox, scenario: str, clock: FastClock, speed: float, url: str
    ) -> None:
        self.scenario = scenario
        self.speed = speed
        self.url = url
        self._program = program
        self._sandbox = sandbox
        self._clock = clock
        self._finished = threading.Event()
        self._round = Round(rollout="R-1", scenario=scenario, old_version="v42")

    def play_and_report(self) -> bool:
        """Play it and print the transcript; returns whether it ended as expected."""
        began = time.monotonic()
        self.play(threading.Event())
        print(self._sandbox.render_transcript())
        rollout = self._get_rollout()
        wanted = RolloutState.DONE if self.scenario in traffic.HARMLESS_SCENARIOS else RolloutState.ROLLED_BACK
        live = self._program.service.load_world().surfaces[SURFACE].live
        seconds = time.monotonic() - began
        print(f"\n{rollout.id} is {rollout.state}; everyone gets {live}. It took {seconds:.0f} s at {self.speed:g}x.")
        if rollout.state is not wanted:
            print(f"This scenario should have ended differently: {wanted} was expected.", file=sys.stderr)
        return rollout.state is wanted

    def play_and_stay(self, interrupted: threading.Event) -> None:
        """Play it, then keep the users and Slack running until interrupted, for people to try things."""
        self.play(interrupted, stay=True)

    def play(self, interrupted: threading.Event, *, stay: bool = False) -> None:
        """From applying the files to the end of the rollout, with user traffic all the while."""
        users = threading.Thread(target=self._generate_traffic, args=(interrupted,), name="users", daemon=True)
        narrator = threading.Thread(target=self._narrate, name="narrator", daemon=True)
        try:
            narrator.start()
            self._apply_files("surface.yaml", (EXAMPLES / "surface.yaml").read_text(encoding="utf-8"))
            self._sandbox.act_as("mia").type_command(f"/rollout subscribe {SURFACE} as marketing", "#marketing")
            self._apply_files(FILE, (EXAMPLES / FILE).read_text(encoding="utf-8"))
            users.start()
            self._act_for_people()
            self._wait_until(lambda: self._get_rollout().state in TERMINAL_STATES, interrupted)
            self._wait_until(self._is_settled, interrupted)
            if stay and not interrupted.is_set():
                state = self._get_rollout().state.replace("_", " ")
                print(
                    f"  {self._round.rollout} is {state}. Users and Slack keep going; the next rollout is yours "
                    "to approve."
                )
                print("  Or try your own file:")
                print(f"  curl --data-binary @rollout.yaml {self.url}/api/v1/files\n", flush=True)
                self._begin_another()
                interrupted.wait()
        finally:
            self._finished.set()
            if users.is_alive():
                users.join()
            narrator.join()

    def _apply_files(self, name: str, text: str) -> str:
        """Hand in a file as Dana; the name of what it is about."""
        applied = apply_file.apply_text(
            self._program.service,
            text,
            name,
            by=Actor(id="slack:T0SANDBOX1/U0DANA0001", handle="@dana"),
            at=self._clock(),
            command_id=f"demo:{name}",
            resolve_handle=build_handle_resolver(self._program.settings),
        )
        return applied.id

    def _begin_another(self) -> None:
        """Leave a rollout to whoever is at the page: harmless after a harmful one, and the other way round."""
        live = self._program.service.load_world().surfaces[SURFACE].live
        text = another_file((EXAMPLES / FILE).read_text(encoding="utf-8"), live)
        rollout = self._apply_files("another-rollout.yaml", text)
        scenario = "refusals" if self.scenario in traffic.HARMLESS_SCENARIOS else "healthy"
        self._round = Round(rollout=rollout, scenario=scenario, old_version=live, yours=True)

    def _narrate(self) -> None:
        """Say over the page what happens, from the rollout as it is, until all is over."""
        while not self._finished.wait(0.2):
            told, rollout = self._round, self._program.service.cached_world().rollouts.get(self._round.rollout)
            if rollout is not None:
                now, following = demo_narration.tell(rollout, self._clock(), pace=self.speed, yours=told.yours)
                self._sandbox.narrator.tell(Narration(now=now, next=following, way=_way(rollout, told)))

    def _act_for_people(self) -> None:
        approval = self._sandbox.wait_for_message("#ai-rollouts", contains="Approval needed", timeout=30)
        notice = self._sandbox.wait_for_message("#support", contains="support assistant", timeout=30)
        self._sandbox.act_as("sam").click(notice, "Got it")
        self._sandbox.act_as("lee").click(approval, "Approve")
        self._sandbox.wait_for_message("#marketing", contains="support assistant", timeout=30)
        self._sandbox.act_as("ana").type_command(f"/rollout start {self._round.rollout}")
        if self._get_rollout().state is RolloutState.PLANNED:  # the lead time is not over yet, so start once it is
            message = self._sandbox.list_ephemerals("ana")[-1]
            self._sandbox.act_as("ana").click(message, "Start then")

    def _generate_traffic(self, interrupted: threading.Event) -> None:
        """Send user traffic. On a slow machine the clock waits for it, so that the scenario always has the same
        users."""
        chance = random.Random(SEED)
        asked = 0
        began = self._clock()
        with (
            closing(_open_connection(self.url)) as connection,
            httpx.Client(base_url=self.url, trust_env=False) as client,
            self._clock.lift_limit_at_exit(),
        ):
            while not (self._finished.is_set() or interrupted.is_set()):
                self._clock.set_limit(began + timedelta(minutes=asked / REQUESTS_PER_MINUTE) + MAX_LEAD_OVER_TRAFFIC)
                due = int((self._clock() - began).total_seconds() * REQUESTS_PER_MINUTE / 60) - asked
                count = min(due, 500)
                if count >= 1:
                    self._serve_batch(connection, client, chance, count, asked)
                    asked += count
                self._finished.wait(0.05)

    def _serve_batch(
        self,
        connection: HTTPConnection,
        client: httpx.Client,
        chance: random.Random,
        request_count: int,
        first_number: int,
    ) -> None:
        served: list[
            dict[str, str]
        ] = []  # how each was served: at this speed a stage may begin in the middle of a batch

        def serve(visitor: traffic.Visitor) -> tuple[str, str]:
            at = self._clock().isoformat()
            answer = _post_json(connection, f"/ofrep/v1/evaluate/flags/{SURFACE}", {"context": visitor.context})
            exposure = answer["metadata"].get("exposure")
            served.append({"at": at, **({"exposure": exposure} if exposure else {})})
            return answer["variant"], answer["metadata"]["version"]

        story = self._round
        seen = traffic.simulate_requests(chance, story.scenario, self._clock(), request_count, serve, story.old_version)
        batch = {"observations": [{**one, "surface": SURFACE, **how} for one, how in zip(seen, served, strict=True)]}
        key = f"demo-{first_number}"
        client.post("/api/v1/observations", json=batch, headers={"idempotency-key": key}, timeout=30).raise_for_status()

    def _get_rollout(self) -> Rollout:
        return self._program.service.cached_world().rollouts[self._round.rollout]

    def _is_settled(self) -> bool:
        rollout = self._get_rollout()
        if rollout.state is RolloutState.ROLLED_BACK and rollout.flip is None and not rollout.flip_doubted:
            return False
        with self._program.database.reading() as connection:
            unsent = outbox.measure_backlog(connection)
        return unsent.pending + unsent.leased == 0

    def _wait_until(self, condition: Callable[[], bool], interrupted: threading.Event) -> None:
        give_up = self._clock() + GIVE_UP_AFTER
        while not condition() and not interrupted.is_set() and self._clock() < give_up:
            self._finished.wait(0.05)


def another_file(text: str, live: str) -> str:
    """The file of the next rollout: another instruction, beginning at what is live now."""
    changed = {
        "rollout: fix-first": "rollout: fix-only",
        f"from: {SURFACE}@v42": f"from: {SURFACE}@{live}",
        "steps to fix it first, then the cause in one sentence.": "steps to fix it, and nothing else.",
        "replies bury the fix": "replies are still too long",
        "Answers start with the fix and are about a third shorter.": "Answers are the steps of the fix alone.",
    }
    for old, new in changed.items():
        text = text.replace(old, new)
    return text


def _way(rollout: Rollout, story: Round) -> Way | None:
    """Where somebody who is to act themselves finds the button."""
    card = rollout.messages.get(CARD_KEY)
    if not story.yours or card is None or rollout.state in TERMINAL_STATES:
        return None
    asked = (
        rollout.state in {RolloutState.PLANNED, RolloutState.WAITING}
        and rollout.request is not None
        and not gating.is_approved(rollout)
    )
    if asked:
        return Way(label="Be Lee, in its thread", person="lee", channel="ai-rollouts", thread=card.ts)
    return Way(label="Be Ana, at its card", person="ana", channel="ai-rollouts")


def _open_connection(url: str) -> HTTPConnection:
    """A bare HTTP connection, since a full client is too slow for hundreds of evaluations a second."""
    parts = urlsplit(url)
    return HTTPConnection(parts.hostname or "", parts.port, timeout=30)


def _post_json(connection: HTTPConnection, path: str, body: dict[str, Any]) -> Any:
    connection.request("POST", path, json.dumps(body), {"content-type": "application/json"})
    return json.loads(connection.getresponse().read())
