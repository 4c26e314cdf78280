"""The story of a demonstration: the people who act in it, and what is told of it."""

import sys
import threading
import time
from collections.abc import Callable
from datetime import datetime, timedelta
from pathlib import Path
from typing import TypeVar

from bot.demo import traffic
from bot.demo.controls import DemoControls
from bot.demo.fast_clock import FastClock
from bot.demo.people import TemplatePeople
from bot.demo.template_plays import ORDINARY_SPEED, TemplatePlay
from bot.demo.template_users import TemplateUsers
from bot.demo.users import SURFACE, Round, SimulatedUsers
from bot.rendering.sentences import demo_narration
from bot.sandbox.control import Sandbox
from bot.sandbox.page_banner import Narration, Way
from bot.sandbox.workspace.workspace import SandboxMessage
from bot.startup.connections import build_directory, build_file_lookups
from bot.startup.program import Program
from core.rollout.context import Actor
from core.rollout.decisions import approval_requests
from core.rollout.notifications.announcement import CARD_KEY
from core.rollout.state import holds
from core.rollout.state.model import TERMINAL_STATES, Rollout, RolloutState
from core.service import apply_file
from core.store.coordination import outbox

GIVE_UP_AFTER = timedelta(hours=4)  # of the rollout's clock
PATIENCE = timedelta(minutes=30)  # of the rollout's clock, which Lee and Ana leave to whoever is at the page
LENGTHS = 4  # of the plan of a template, until it is given up
FILE = "first-rollout.yaml"
EXAMPLES = Path(__file__).parents[2] / "examples"
T = TypeVar("T")


class _Stopped(Exception):
    """The story was stopped, or what it waited for did not happen; then it does not end as it should."""


class Demonstration:
    """Plays the people and users of the demonstration, through the same interfaces that real ones use."""

    def __init__(
        self,
        program: Program,
        sandbox: Sandbox,
        controls: DemoControls,
        clock: FastClock,
        url: str,
        play: TemplatePlay | None = None,
    ) -> None:
        self.play = play
        self.scenario = controls.scenario
        self.url = url
        self._controls = controls
        self._program = program
        self._sandbox = sandbox
        self._clock = clock
        self._finished, self._is_over = threading.Event(), threading.Event()  # of everything, of the first rollout
        self._lee_approves_at: datetime | None = None  # by the rollout's clock; None while Lee waits for nobody
        self._ana_rolls_back_at: datetime | None = None  # the same; None while nothing is held for a person
        self._round = Round(rollout="R-1", scenario=self.scenario, old_version="v42")

    def play_and_report(self) -> bool:
        """Play it and print the transcript; returns whether it ended as expected."""
        began, began_at = time.monotonic(), self._clock()
        self._play(stay=False)
        print(self._sandbox.render_transcript())
        rollout = self._get_rollout()
        wanted = RolloutState.DONE if self.scenario in traffic.HARMLESS_SCENARIOS else RolloutState.ROLLED_BACK
        live = self._program.service.load_world().surfaces[SURFACE].live
        seconds, minutes = time.monotonic() - began, (self._clock() - began_at) / timedelta(minutes=1)
        print(f"\n{rollout.id} is {_name(rollout.state)}; everyone gets {live}.", end=" ")
        print(f"In real time this is {minutes:.0f} min; the demo took {seconds:.0f} s.")
        if rollout.state is not wanted:
            print(f"This scenario should have ended differently: {_name(wanted)} was expected.", file=sys.stderr)
        return rollout.state is wanted

    def play_and_stay(self) -> None:
        """Play it, then leave another rollout to whoever is at the page, until the controls stop it."""
        self._play(stay=True)

    def _play(self, *, stay: bool) -> None:
        """From applying the files to the end of the rollout, with user traffic all the while."""
        threads = [
            threading.Thread(target=self._narrate, name="narrator", daemon=True),
            threading.Thread(target=self._send_traffic, kwargs={"stay": stay}, name="users", daemon=True),
        ]
        try:
            self._apply_files("surface.yaml", (EXAMPLES / "surface.yaml").read_text(encoding="utf-8"))
            self._sandbox.act_as("mia").type_command(f"/rollout subscribe {SURFACE} as marketing", "#marketing")
            if self.play is not None and self.play.policy:
                self._apply_files("policy.yaml", self.play.policy)
            text = self.play.file if self.play is not None else (EXAMPLES / FILE).read_text(encoding="utf-8")
            self._apply_files(FILE, text)
            for thread in threads:
                thread.start()
            if self.play is not None:
                self._act_through(self.play)
            else:
                self._act_for_people()
            self._wait_until(lambda: self._has_ended(PATIENCE if stay else timedelta(0)))
            self._is_over.set()
            self._wait_until(self._is_settled)
            if stay:
                self._begin_another()
                self._controls.stop.wait()
        except _Stopped:
            return
        finally:
            self._finished.set()
            self._is_over.set()
            for thread in threads:
                if thread.is_alive():
                    thread.join()

    def _send_traffic(self, *, stay: bool) -> None:
        """The users of the first rollout and, if there is one, of the one after it."""
        if self.play is not None:
            read_snapshot = self._program.snapshot_server.snapshot
            users = TemplateUsers(
                self.url,
                self._clock,
                self.play,
                self._round,
                read_snapshot=read_snapshot,
                read_rollout=self._get_rollout,
            )
            users.send_until(self._is_over)
        if self.play is None or stay:
            SimulatedUsers(self.url, self._clock, lambda: self._round).send_until(self._finished)

    def _apply_files(self, name: str, text: str) -> str:
        """Hand in a file as Dana; the name of what it is about."""
        settings = self._program.settings
        applied = apply_file.apply_text(
            self._program.service,
            text,
            name,
            by=Actor(id="slack:T0SANDBOX1/U0DANA0001", handle="@dana"),
            at=self._clock(),
            command_id=f"demo:{name}",
            lookups=build_file_lookups(settings, build_directory(settings)),
        )
        return applied.id

    def _begin_another(self) -> None:
        """Leave a rollout to whoever is at the page: harmless after a harmful one, and the other way round."""
        state = _name(self._get_rollout().state)
        print(f"  {self._round.rollout} is {state}. Users and Slack keep going; the next rollout is yours to approve.")
        print("  Or try your own file:")
        print(f"  curl --data-binary @rollout.yaml {self.url}/api/v1/files\n", flush=True)
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
                now, following = demo_narration.tell(
                    rollout,
                    self._clock(),
                    pace=0.0 if self._controls.is_paused else self._clock.speed,
                    yours=told.yours,
                    lee_approves_at=self._lee_approves_at,
                    ana_rolls_back_at=self._ana_rolls_back_at,
                )
                way = _way(rollout, told, waits_for_lee=self._lee_approves_at is not None)
                self._sandbox.narrator.tell(Narration(now=now, next=following, way=way))

    def _act_for_people(self) -> None:
        approval = self._wait_until(lambda: self._find_message("#ai-rollouts", "Approval needed"))
        notice = self._wait_until(lambda: self._find_message("#support", "support assistant"))
        self._sandbox.act_as("sam").click(notice, "Got it")
        self._approve(approval)
        self._wait_until(lambda: self._find_message("#marketing", "support assistant"))
        self._sandbox.act_as("ana").type_command(f"/rollout start {self._round.rollout}")
        # The lead time of the notices is probably not over yet: then start once it is.
        early = self._wait_until(lambda: self._is_started() or self._find_ephemeral("ana", "Start then"))
        if isinstance(early, SandboxMessage):
            self._sandbox.act_as("ana").click(early, "Start then")

    def _act_through(self, play: TemplatePlay) -> None:
        """From the plan to its end: whatever is asked of people, at the speed that leaves them the time for it."""
        people = TemplatePeople(self._sandbox, self.url, play, is_harmless=self.scenario in traffic.HARMLESS_SCENARIOS)

        def is_over() -> bool:
            rollout = self._get_rollout()
            self._controls.run_at(play.choose_speed(rollout))
            people.act(rollout)
            if not play.policy and (asked := people.find_request(rollout)) is not None:
                self._approve(asked)
            return rollout.state in TERMINAL_STATES

        self._wait_until(is_over)
        self._controls.run_at(ORDINARY_SPEED)

    def _approve(self, approval: SandboxMessage) -> None:
        """As Lee; after a while only, if whoever is at the page wants to do it themselves. The second one is Sam."""
        asked_at, patience = self._clock(), PATIENCE / ORDINARY_SPEED * self._clock.speed

        def has_lee_waited() -> bool:
            waits = self._controls.approves_self
            self._lee_approves_at = asked_at + patience if waits else None
            return not waits or self._clock() >= asked_at + patience

        self._wait_until(lambda: self._is_decided() or has_lee_waited())
        self._lee_approves_at = None
        for person in ("lee", "sam"):
            if not self._is_decided():
                self._sandbox.act_as(person).click(approval, "Approve")
        self._wait_until(self._is_approved_or_over)

    def _has_ended(self, patience: timedelta) -> bool:
        """Whether the rollout is over. One that a broken limit holds Ana rolls back, once whoever is at the page has
        had this long to decide."""
        rollout = self._get_rollout()
        hold = rollout.hold if rollout.state is RolloutState.ON_HOLD else None
        if hold is None or not hold.key.startswith(holds.LIMIT):
            self._ana_rolls_back_at = None
        elif self._ana_rolls_back_at is None:
            self._ana_rolls_back_at = self._clock() + patience / ORDINARY_SPEED * self._clock.speed
        elif self._clock() >= self._ana_rolls_back_at:
            self._sandbox.act_as("ana").type_command(f"/rollout rollback {rollout.id} {hold.text}")
            self._wait_until(lambda: self._get_rollout().state is not RolloutState.ON_HOLD)
        return rollout.state in TERMINAL_STATES

    def _is_decided(self) -> bool:
        rollout = self._get_rollout()
        return rollout.request is None or self._is_approved_or_over()

    def _is_approved_or_over(self) -> bool:
        rollout = self._get_rollout()
        return approval_requests.is_approved(rollout) or rollout.state in TERMINAL_STATES

    def _find_message(self, channel: str, words: str) -> SandboxMessage | None:
        messages = self._sandbox.list_messages(channel)
        return next((m for m in messages if words in self._sandbox.render_text(m)), None)

    def _find_ephemeral(self, person: str, words: str) -> SandboxMessage | None:
        messages = self._sandbox.list_ephemerals(person)
        return next((m for m in messages if words in self._sandbox.render_text(m)), None)

    def _is_started(self) -> bool:
        rollout = self._get_rollout()
        return rollout.state is not RolloutState.PLANNED or rollout.start is not None

    def _get_rollout(self) -> Rollout:
        return self._program.service.cached_world().rollouts[self._round.rollout]

    def _is_settled(self) -> bool:
        rollout = self._get_rollout()
        if rollout.state is RolloutState.ROLLED_BACK and rollout.flip is None and not rollout.flip_doubted:
            return False
        with self._program.database.reading() as connection:
            unsent = outbox.measure_backlog(connection)
        return unsent.pending + unsent.leased == 0

    def _wait_until(self, condition: Callable[[], T | None]) -> T:
        """Wait until the condition holds, and return its value.

        How long is measured by the rollout's clock, which waits for the users: a busy machine only takes longer.
        """
        give_up = self._clock() + (GIVE_UP_AFTER if self.play is None else LENGTHS * self.play.length)
        while not (value := condition()):
            if self._controls.stop.wait(0.05) or self._clock() > give_up:
                raise _Stopped
        return value


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


def _name(state: RolloutState) -> str:
    """The state in words: `rolled back`."""
    return state.replace("_", " ")


def _way(rollout: Rollout, story: Round, *, waits_for_lee: bool) -> Way | None:
    """Where somebody who is to act themselves finds the button; once it is over, what support was told."""
    card = rollout.messages.get(CARD_KEY)
    if rollout.state in TERMINAL_STATES:
        return Way(label="Be Sam, in #support", person="sam", channel="support")
    if card is None or not (story.yours or waits_for_lee):
        return None
    asked = (
        rollout.state in {RolloutState.PLANNED, RolloutState.WAITING}
        and rollout.request is not None
        and not approval_requests.is_approved(rollout)
    )
    if asked:
        return Way(label="Be Lee, in its thread", person="lee", channel="ai-rollouts", thread=card.ts)
    return Way(label="Be Ana, at its card", person="ana", channel="ai-rollouts")
