"""Starts what a demonstration needs, plays it, and stops everything again."""

import signal
import tempfile
import threading
from datetime import timedelta
from pathlib import Path

from bot import app
from bot.demo.fast_clock import FastClock
from bot.demo.story import Demonstration
from bot.rendering import demo_narration
from bot.sandbox import traffic
from bot.sandbox.control import Sandbox
from bot.sandbox.page_banner import Narration
from bot.settings import Settings

TICK = timedelta(seconds=10)


class UnknownScenario(Exception):
    """There is no scenario of this name; the message lists those there are."""


def run_scenario(scenario: str, *, headless: bool, speed: float, port: int) -> bool:
    """Play one scenario and return whether it ended as expected. Unless headless, serve its page until interrupted."""
    if scenario not in traffic.SCENARIOS:
        raise UnknownScenario(f'There is no scenario "{scenario}". There are: {", ".join(traffic.SCENARIOS)}.')
    clock = FastClock(speed)
    with tempfile.TemporaryDirectory(prefix="rampart-demo-") as folder:
        sandbox = Sandbox.start(0 if headless else port, clock=clock)
        sandbox.narrator.tell(Narration(now=demo_narration.BEFORE[0], next=demo_narration.BEFORE[1]))
        settings = _build_settings(sandbox, Path(folder))
        program = app.build_program(settings, "serve", now=clock, speed=lambda: clock.speed)
        try:
            url = program.serve_in_thread()
            program.start()
            sandbox.connect(f"{url}/slack/events")
            story = Demonstration(program, sandbox, scenario, clock, url)
            if headless:
                return story.play_and_report()
            return _play_until_interrupted(story, sandbox, scenario, speed)
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


def _play_until_interrupted(story: Demonstration, sandbox: Sandbox, scenario: str, speed: float) -> bool:
    """Print where to look, and play until SIGINT or SIGTERM."""
    interrupted = threading.Event()
    signal.signal(signal.SIGINT, lambda *_: interrupted.set())
    signal.signal(signal.SIGTERM, lambda *_: interrupted.set())
    what, _ = traffic.SCENARIOS[scenario]
    print(f"\n  Open {sandbox.url} and watch.\n", flush=True)
    print(f'  Scenario "{scenario}": {what}. One minute there takes {60 / speed:.0f} s here.')
    print("  The bot's own pages and API: " + story.url)
    print("  Stop with Ctrl-C.\n", flush=True)
    thread = threading.Thread(target=story.play, args=(interrupted,), kwargs={"stay": True}, name="story", daemon=True)
    thread.start()
    interrupted.wait()
    thread.join(5)
    return True
