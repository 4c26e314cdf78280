"""Starts what a demonstration needs, plays it as often as asked for, and stops everything again."""

import signal
import tempfile
import textwrap
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path

from bot.delivery import messages
from bot.demo import template_plays, traffic
from bot.demo.controls import DemoControls
from bot.demo.fast_clock import FastClock
from bot.demo.story import Demonstration
from bot.demo.template_plays import ORDINARY_SPEED, TemplatePlay
from bot.rendering.sentences import demo_narration
from bot.sandbox.control import Sandbox
from bot.sandbox.page_banner import Narration
from bot.setting_values import DEFAULT_BLIND_AFTER
from bot.settings import Settings
from bot.startup import app
from core import durations

TICK = timedelta(seconds=10)
SHORT_PAUSE = timedelta(seconds=0.1)  # between two messages to a channel
BLIND_TICKS = 30  # a busy machine may miss some looks of a fast clock


class UnknownScenario(Exception):
    """There is no scenario of this name; the message lists those there are."""


def run_scenario(
    scenario: str, *, headless: bool, port: int, speed: float | None = None, template: str | None = None
) -> bool:
    """Play one scenario and return whether it ended as expected. Unless headless, serve its page until interrupted.

    With a `template` its whole plan is played, which takes about two minutes at the `speed` that is chosen if none is
    given. Raises UnknownScenario and UnknownTemplate.
    """
    if scenario not in traffic.SCENARIOS:
        raise UnknownScenario(f'There is no scenario "{scenario}". There are: {", ".join(traffic.SCENARIOS)}.')
    play = template_plays.prepare(template, speed) if template is not None else None
    speed = speed if speed is not None else ORDINARY_SPEED
    controls = DemoControls(scenario, play.people_speed if play is not None else speed)
    if headless:
        clock = FastClock(play.people_speed if play is not None else speed)
        with _open_stage(controls, clock, 0, play) as (sandbox, story):
            controls.begin(clock, sandbox.narrator)
            return story.play_and_report()
    signal.signal(signal.SIGINT, lambda *_: controls.end_for_good())
    signal.signal(signal.SIGTERM, lambda *_: controls.end_for_good())
    while not controls.is_over:
        controls.run_at(play.people_speed if play is not None else speed)
        clock = FastClock(speed)
        with _open_stage(controls, clock, port, play) as (sandbox, story):
            port = sandbox.port
            controls.begin(clock, sandbox.narrator)
            _announce(sandbox, story, speed)
            thread = threading.Thread(target=story.play_and_stay, name="story", daemon=True)
            thread.start()
            controls.stop.wait()
            thread.join(5)
    return True


@contextmanager
def _open_stage(
    controls: DemoControls, clock: FastClock, port: int, play: TemplatePlay | None
) -> Iterator[tuple[Sandbox, Demonstration]]:
    """An empty Slack and a bot with an empty database, and the story to be played with them."""
    with tempfile.TemporaryDirectory(prefix="rampart-demo-") as folder:
        # Where an hour takes a fraction of a second, Slack's one message a second would delay each by half a day.
        sandbox = Sandbox.start(port, clock=clock, rate_limits="post" if play is None else "off")
        pause = messages.CHANNEL_PAUSE if play is None else SHORT_PAUSE
        sandbox.narrator.tell(Narration(now=demo_narration.BEFORE[0], next=demo_narration.BEFORE[1]))
        settings = _build_settings(sandbox, Path(folder), play.tick if play is not None else TICK)
        program = app.build_program(settings, "serve", now=clock, speed=lambda: clock.speed, channel_pause=pause)
        try:
            url = program.serve_in_thread()
            program.start()
            sandbox.connect(f"{url}/slack/events")
            yield sandbox, Demonstration(program, sandbox, controls, clock, url, play)
        finally:
            program.stop()
            sandbox.stop()


def _build_settings(sandbox: Sandbox, folder: Path, tick: timedelta) -> Settings:
    return Settings(
        database_url=f"sqlite:///{folder}/rollout.db",
        slack_bot_token=sandbox.bot_token,
        slack_signing_secret=sandbox.signing_secret,
        slack_api_url=sandbox.api_url,
        tick=tick,
        blind_after=max(DEFAULT_BLIND_AFTER, BLIND_TICKS * tick),
        port=0,
    )


def _announce(sandbox: Sandbox, story: Demonstration, speed: float) -> None:
    """Print where to look."""
    what, _ = traffic.SCENARIOS[story.scenario]
    print(f"\n  Open {sandbox.url} and watch.\n", flush=True)
    if story.play is not None:
        days = durations.format_rounded(story.play.length)
        print(f'  Template "{story.play.name}": {days} at least, played in some minutes. "{story.scenario}": {what}.')
        print("  Its file, to try it yourself:\n" + textwrap.indent(story.play.file, "    "))
    else:
        print(f'  Scenario "{story.scenario}": {what}. One minute there takes {60 / speed:.0f} s here.')
    print("  The bot's own pages and API: " + story.url)
    print("  Stop with Ctrl-C.\n", flush=True)
