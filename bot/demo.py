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
from bot.rendering import narration
from bot.sandbox import traffic
from bot.sandbox.control import Sandbox
from bot.sandbox.narration import Narration, Way
from bot.settings import Settings
from core import apply_file
from core.rollout import gates
from core.rollout.announcements import CARD_KEY
from core.rollout.context import Actor
from core.rollout.model import TERMINAL, Rollout, State
from core.store.coordination import outbox

REQUESTS_A_MINUTE = 2000  # of the rollout's clock
TICK = timedelta(seconds=10)
SEED = 20261123
FOR_EVER = datetime.max.replace(tzinfo=UTC)
SURFACE = "support-assistant"
AHEAD = timedelta(seconds=15)  # of the rollout's clock; how far it may run ahead of the users' traffic
GIVE_UP = timedelta(hours=4)  # of the rollout's clock
FILE = "first-rollout.yaml"
EXAMPLES = Path(__file__).parents[1] / "examples"


class NoSuchScenario(Exception):
    """There is no scenario of this name; the message lists those there are."""


class FastClock:
    """A clock that runs `speed` times as fast as real time from its creation, and stops at its limit."""

    def __init__(self, pace: float) -> None:
        self._at = datetime.now(UTC)
        self._since = time.monotonic()
        self._pace = pace
        self._furthest = FOR_EVER
        self._lock = threading.Lock()

    def __call__(self) -> datetime:
        with self._lock:
            now = time.monotonic()
            self._at = min(self._at + timedelta(seconds=(now - self._since) * self._pace), self._furthest)
            self._since = now
            return self._at

    @contextmanager
    def held(self) -> Iterator[None]:
        """A context that lifts the limit at its end, whatever happened inside."""
        try:
            yield
        finally:
            self.go_until(FOR_EVER)

    def go_until(self, furthest: datetime) -> None:
        """Stop at `limit` until a later limit is set; it never goes back."""
        self()
        with self._lock:
            self._furthest = max(furthest, self._at)


def run(scenario: str, *, headless: bool, speed: float, port: int) -> bool:
    """Play one scenario and return whether it ended as expected. Unless headless, serve its page until interrupted."""
    if scenario not in traffic.SCENARIOS:
        raise NoSuchScenario(f'There is no scenario "{scenario}". There are: {", ".join(traffic.SCENARIOS)}.')
    clock = FastClock(speed)
    with tempfile.TemporaryDirectory(prefix="rampart-demo-") as folder:
        sandbox = Sandbox.start(0 if headless else port, clock=clock)
        sandbox.narrator.tell(Narration(now=narration.BEFORE[0], next=narration.BEFORE[1]))
        program = app.build(_settings(sandbox, Path(folder)), "serve", now=clock, pace=speed)
        try:
            url = program.serve_in_thread()
            program.start()
            sandbox.connect(f"{url}/slack/events")
            story = Story(program, sandbox, scenario, clock, speed, url)
            if headless:
                return story.tell()
            return _watch(story, sandbox)
        finally:
            program.stop()
            sandbox.stop()


def _settings(sandbox: Sandbox, folder: Path) -> Settings:
    return Settings(
        database_url=f"sqlite:///{folder}/rollout.db",
        slack_bot_token=sandbox.bot_token,
        slack_signing_secret=sandbox.signing_secret,
        slack_api_url=sandbox.api_url,
        tick=TICK,
        port=0,
    )


def _watch(story: "Story", sandbox: Sandbox) -> bool:
    """Print where to look, and play until SIGINT or SIGTERM."""
    interrupted = threading.Event()
    signal.signal(signal.SIGINT, lambda *_: interrupted.set())
    signal.signal(signal.SIGTERM, lambda *_: interrupted.set())
    what, _ = traffic.SCENARIOS[story.scenario]
    print(f"\n  Open {sandbox.url} and watch.\n", flush=True)
    print(f'  Scenario "{story.scenario}": {what}. One minute there takes {60 / story.speed:.0f} s here.')
    print("  The bot's own pages and API: " + story.url)
    print("  Stop with Ctrl-C.\n", flush=True)
    teller = threading.Thread(target=story.go_on, args=(interrupted,), name="story", daemon=True)
    teller.start()
    interrupted.wait()
    teller.join(5)
    return True


@dataclass(frozen=True, slots=True, kw_only=True)
class Round:
    """One rollout of the demonstration: the scenario that its users live through, and what was live before it."""

    rollout: str
    scenario: str
    old_version: str
    yours: bool = False  # nobody presses anything but whoever is at the page


class Story:
    """Plays the people and users of the demonstration, through the same interfaces that real ones use."""

    def __init__(
        self, program: app.Program, sandbox: Sandbox, scenario: str, clock: FastClock, speed: float, url: str
    ) -> None:
        self.scenario = scenario
        self.speed = speed
        self.url = url
        self._program = program
        self._sandbox = sandbox
        self._clock = clock
        self._over = threading.Event()
        self._round = Round(rollout="R-1", scenario=scenario, old_version="v42")

    def tell(self) -> bool:
        """Play it and print the transcript; returns whether it ended as expected."""
        began = time.monotonic()
        self.play(threading.Event())
        print(self._sandbox.transcript())
        rollout = self._rollout()
        wanted = State.DONE if self.scenario in traffic.HARMLESS else State.ROLLED_BACK
        live = self._program.service.world().surfaces[SURFACE].live
        seconds = time.monotonic() - began
        print(f"\n{rollout.id} is {rollout.state}; everyone gets {live}. It took {seconds:.0f} s at {self.speed:g}x.")
        if rollout.state is not wanted:
            print(f"That is not how this scenario should end: {wanted} was expected.", file=sys.stderr)
        return rollout.state is wanted

    def go_on(self, interrupted: threading.Event) -> None:
        """Play it, then keep the users and Slack running until interrupted, for people to try things."""
        self.play(interrupted, stay=True)

    def play(self, interrupted: threading.Event, *, stay: bool = False) -> None:
        """From applying the files to the end of the rollout, with user traffic all the while."""
        users = threading.Thread(target=self._users, args=(interrupted,), name="users", daemon=True)
        narrator = threading.Thread(target=self._narrate, name="narrator", daemon=True)
        try:
            narrator.start()
            self._apply("surface.yaml", (EXAMPLES / "surface.yaml").read_text(encoding="utf-8"))
            self._apply(FILE, (EXAMPLES / FILE).read_text(encoding="utf-8"))
            users.start()
            self._people()
            self._until(lambda: self._rollout().state in TERMINAL, interrupted)
            self._until(self._settled, interrupted)
            if stay and not interrupted.is_set():
                state = self._rollout().state.replace("_", " ")
                print(
                    f"  {self._round.rollout} is {state}. Users and Slack go on; the next rollout is yours to approve."
                )
                print("  Or try a file of yours:")
                print(f"  curl --data-binary @rollout.yaml {self.url}/api/v1/files\n", flush=True)
                self._begin_another()
                interrupted.wait()
        finally:
            self._over.set()
            if users.is_alive():
                users.join()
            narrator.join()

    def _apply(self, name: str, text: str) -> str:
        """Hand in a file as Dana; the name of what it is about."""
        applied = apply_file.apply_text(
            self._program.service,
            text,
            name,
            by=Actor(id="slack:T0SANDBOX1/U0DANA0001", handle="@dana"),
            at=self._clock(),
            command_id=f"demo:{name}",
            resolve_handle=app.resolver(self._program.settings),
        )
        return applied.id

    def _begin_another(self) -> None:
        """Leave a rollout to whoever is at the page: harmless after a harmful one, and the other way round."""
        live = self._program.service.world().surfaces[SURFACE].live
        text = another_file((EXAMPLES / FILE).read_text(encoding="utf-8"), live)
        rollout = self._apply("another-rollout.yaml", text)
        scenario = "refusals" if self.scenario in traffic.HARMLESS else "healthy"
        self._round = Round(rollout=rollout, scenario=scenario, old_version=live, yours=True)

    def _narrate(self) -> None:
        """Say over the page what happens, from the rollout as it is, until all is over."""
        while not self._over.wait(0.2):
            told, rollout = self._round, self._program.service.peek().rollouts.get(self._round.rollout)
            if rollout is not None:
                now, following = narration.tell(rollout, self._clock(), pace=self.speed, yours=told.yours)
                self._sandbox.narrator.tell(Narration(now=now, next=following, way=_way(rollout, told)))

    def _people(self) -> None:
        approval = self._sandbox.wait_message("#ai-rollouts", contains="Approval needed", timeout=30)
        notice = self._sandbox.wait_message("#support", contains="support assistant", timeout=30)
        self._sandbox.person("sam").click(notice, "Got it")
        self._sandbox.person("lee").click(approval, "Approve")
        self._sandbox.wait_message("#marketing", contains="support assistant", timeout=30)
        self._sandbox.person("ana").command(f"/rollout start {self._round.rollout}")
        if self._rollout().state is State.PLANNED:  # the lead time is not over yet, so start once it is
            message = self._sandbox.ephemerals("ana")[-1]
            self._sandbox.person("ana").click(message, "Start then")

    def _users(self, interrupted: threading.Event) -> None:
        """Send user traffic. On a slow machine the clock waits for it, so that the scenario always has the same
        users."""
        chance = random.Random(SEED)
        asked = 0
        began = self._clock()
        with (
            closing(_connection(self.url)) as connection,
            httpx.Client(base_url=self.url, trust_env=False) as client,
            self._clock.held(),
        ):
            while not (self._over.is_set() or interrupted.is_set()):
                self._clock.go_until(began + timedelta(minutes=asked / REQUESTS_A_MINUTE) + AHEAD)
                due = int((self._clock() - began).total_seconds() * REQUESTS_A_MINUTE / 60) - asked
                count = min(due, 500)
                if count >= 1:
                    self._serve(connection, client, chance, count, asked)
                    asked += count
                self._over.wait(0.05)

    def _serve(
        self, connection: HTTPConnection, client: httpx.Client, chance: random.Random, count: int, number: int
    ) -> None:
        served: list[
            dict[str, str]
        ] = []  # how each was served: at this speed a stage may begin in the middle of a batch

        def serve(visitor: traffic.Visitor) -> tuple[str, str]:
            at = self._clock().isoformat()
            answer = _post(connection, f"/ofrep/v1/evaluate/flags/{SURFACE}", {"context": visitor.context})
            exposure = answer["metadata"].get("exposure")
            served.append({"at": at, **({"exposure": exposure} if exposure else {})})
            return answer["variant"], answer["metadata"]["version"]

        story = self._round
        seen = traffic.respond(chance, story.scenario, self._clock(), count, serve, story.old_version)
        batch = {"observations": [{**one, "surface": SURFACE, **how} for one, how in zip(seen, served, strict=True)]}
        key = f"demo-{number}"
        client.post("/api/v1/observations", json=batch, headers={"idempotency-key": key}, timeout=30).raise_for_status()

    def _rollout(self) -> Rollout:
        return self._program.service.peek().rollouts[self._round.rollout]

    def _settled(self) -> bool:
        rollout = self._rollout()
        if rollout.state is State.ROLLED_BACK and rollout.flip is None and not rollout.flip_doubted:
            return False
        with self._program.database.reading() as connection:
            unsent = outbox.waiting(connection)
        return unsent.pending + unsent.leased == 0

    def _until(self, true: Callable[[], bool], interrupted: threading.Event) -> None:
        give_up = self._clock() + GIVE_UP
        while not true() and not interrupted.is_set() and self._clock() < give_up:
            self._over.wait(0.05)


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
    if not story.yours or card is None or rollout.state in TERMINAL:
        return None
    asked = (
        rollout.state in {State.PLANNED, State.WAITING} and rollout.request is not None and not gates.is_open(rollout)
    )
    if asked:
        return Way(label="Be Lee, in its thread", person="lee", channel="ai-rollouts", thread=card.ts)
    return Way(label="Be Ana, at its card", person="ana", channel="ai-rollouts")


def _connection(url: str) -> HTTPConnection:
    """A bare HTTP connection, since a full client is too slow for hundreds of evaluations a second."""
    parts = urlsplit(url)
    return HTTPConnection(parts.hostname or "", parts.port, timeout=30)


def _post(connection: HTTPConnection, path: str, body: dict[str, Any]) -> Any:
    connection.request("POST", path, json.dumps(body), {"content-type": "application/json"})
    return json.loads(connection.getresponse().read())
