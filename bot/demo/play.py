"""Starts what a demonstration needs, plays it as often as asked for, and stops everything again."""

import signal
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path

from bot.demo.controls import DemoControls
from bot.demo.fast_clock import FastClock
from bot.demo.story import Demonstration
from bot.rendering.sentences import demo_narration
from bot.sandbox import traffic
from bot.sandbox.control import Sandbox
from bot.sandbox.page_banner import Narration
from bot.settings import Settings
from bot.startup import app

TICK = timedelta(seconds=10)


class UnknownScenario(Exception):
    """There is no scenario of this name; the message lists those there are."""


def run_scenario(scenario: str, *, headless: bool, speed: float, port: int) -> bool:
    """Play one scenario and return whether it ended as expected. Unless headless, serve its page until interrupted."""
    if scenario not in traffic.SCENARIOS:
        raise UnknownScenario(f'There is no scenario "{scenario}". There are: {", ".join(traffic.SCENARIOS)}.')
    controls = DemoControls(scenario, speed)
    if headless:
        with _open_stage(controls, FastClock(speed), 0) as (_, story):
            return story.play_and_report()
    signal.signal(signal.SIGINT, lambda *_: controls.end_for_good())
    signal.signal(signal.SIGTERM, lambda *_: controls.end_for_good())
    while not controls.is_over:
        clock = FastClock(speed)
        with _open_stage(controls, clock, port) as (sandbox, story):
            port = sandbox.port
            controls.begin(clock, sandbox.narrator)
            _announce(sandbox, story, speed)
            thread = threading.Thread(target=story.play_and_stay, name="story", daemon=True)
            thread.start()
            controls.stop.wait()
            thread.join(5)
    return True


@contextmanager
def _open_stage(controls: DemoControls, clock: FastClock, port: int) -> Iterator[tuple[Sandbox, Demonstration]]:
    """An empty Slack and a bot with an empty database, and the story to be played with them."""
    with tempfile.TemporaryDirectory(prefix="rampart-demo-") as folder:
        sandbox = Sandbox.start(port, clock=clock)
        sandbox.narrator.tell(Narration(now=demo_narration.BEFORE[0], next=demo_narration.BEFORE[1]))
        settings = _build_settings(sandbox, Path(folder))
        program = app.build_program(settings, "serve", now=clock, speed=lambda: clock.speed)
        try:
            url = program.serve_in_thread()
            program.start()
            sandbox.connect(f"{url}/slack/events")
            yield sandbox, Demonstration(program, sandbox, controls, clock, url)
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


def _announce(sandbox: Sandbox, story: Demonstration, speed: float) -> None:
    """Print where to look."""
    what, _ = traffic.SCENARIOS[story.scenario]
    print(f"\n  Open {sandbox.url} and watch.\n", flush=True)
    print(f'  Scenario "{story.scenario}": {what}. One minute there takes {60 / speed:.0f} s here.')
    print("  The bot's own pages and API: " + story.url)
    print("  Stop with Ctrl-C.\n", flush=True)
