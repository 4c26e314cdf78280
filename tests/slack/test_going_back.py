"""Going back has no syntax: whatever a frightened person types either goes back, or asks one question with a button."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import count
from typing import Any

import pytest

from bot.commands import run_verb
from bot.commands.parsing import grammar
from bot.commands.request import CommandContext
from bot.rendering.blocks.blocks import Message
from core.rollout.context import Actor
from core.rollout.state.events import ComplaintReported, Rejected, RolledBack
from core.rollout.state.model import RolloutState
from core.service.apply_file import apply_text
from core.service.service import RolloutService
from core.store.database.connections import Database

SURFACE = """\
version: 1
kind: surface
surface: {surface}
title: {title}
owner: "@dana"
live: {{version: v42, prompt: old.md}}
daily_requests: 1000000
notify: [{{channel: "#ai-rollouts", as: engineering}}]
"""
ROLLOUT = """\
version: 1
rollout: {name}
surface: {surface}
owner: "@dana"
risk: low
template: prompt-low-stakes
change: {{from: {surface}@v42, to: {{prompt: new.md}}, why: Shorter answers.}}
stages:
  - canary: {{percent: 5, min_hold: 1m, max_hold: 30m, min_samples: 10}}
  - ramp: {{steps: [50%, 100%], hold: 1m}}
  - bake: {{hold: 1m}}
rollback_when: [{{metric: refusal_rate, rises_by: 1pp}}]
notify: [{{channel: "#ai-rollouts", as: engineering}}]
"""
SUPPORT = ("support-assistant", "Support assistant", "support-tone")
SEARCH = ("search-help", "Search help", "model-upgrade")
SAM = Actor(id="slack:T1/U0SAM", handle="@sam", channel="#support")
LEE = Actor(id="slack:T1/U0LEE", handle="@lee", channel="#ai-rollouts")
NOON = datetime(2026, 11, 24, 12, 0, tzinfo=UTC)


@dataclass(frozen=True, slots=True, kw_only=True)
class Desk:
    """Somebody who types; `running` are the rollouts' ids."""

    service: RolloutService
    ids: Any

    def say(self, typed: str, by: Actor = SAM) -> Message:
        asked = CommandContext(service=self.service, by=by, at=NOON, command_id=f"typed-{next(self.ids)}")
        return run_verb.execute(grammar.parse(typed), asked)

    def state(self, rollout: str = "R-1") -> RolloutState:
        return self.service.load_world().rollouts[rollout].state

    def reason(self, rollout: str = "R-1") -> str:
        found = [r.event for r in self.service.load_history(rollout) if isinstance(r.event, RolledBack)]
        return found[-1].reason

    def began(self, surface: str, title: str, name: str) -> str:
        """Declare the feature, and start a rollout on it; its id."""
        ana = Actor(id="cli:ana", handle="ana")
        for text in (SURFACE.format(surface=surface, title=title), ROLLOUT.format(surface=surface, name=name)):
            applied = apply_text(self.service, text, "file.yaml", by=ana, at=NOON, command_id=f"apply-{next(self.ids)}")
        self.say(f"start {applied.id}", ana)
        assert self.state(applied.id) is RolloutState.RUNNING
        return applied.id


@pytest.fixture
def idle(sqlite_database: Database) -> Desk:
    return Desk(service=RolloutService(sqlite_database), ids=count())


@pytest.fixture
def desk(idle: Desk) -> Desk:
    """One rollout runs: R-1 support-tone on support-assistant."""
    idle.began(*SUPPORT)
    return idle


@pytest.fixture
def busy(desk: Desk) -> Desk:
    """Two run: R-1, and R-2 model-upgrade on search-help."""
    desk.began(*SEARCH)
    return desk


def buttons(message: Message) -> list[str]:
    return [x["value"] for b in message.blocks if b["type"] == "actions" for x in b["elements"]]


def shown(message: Message) -> str:
    return str([message.text, *message.blocks])


DONE = [
    # As it is taught.
    ("rollback R-1", ""),
    ('rollback R-1 "odd greetings"', "odd greetings"),
    ("rollback R-1 --public", ""),
    # The rest of the line is the reason.
    ("rollback R-1 odd greetings", "odd greetings"),
    ("rollback R-1 answers are odd", "answers are odd"),
    ("rollback R-1: answers are odd!", "answers are odd!"),
    ("rollback R-1 - answers are odd", "answers are odd"),
    ("rollback R-1 — sehr seltsam — für alle", "sehr seltsam — für alle"),
    ("rollback R-1 because it says “sorry” twice", "because it says “sorry” twice"),
    ("rollback R-1 why does it say sorry?", "why does it say sorry?"),
    ("rollback R-1 if it is not too late", "if it is not too late"),
    ("rollback R-1\nanswers are odd\nfor everybody", "answers are odd\nfor everybody"),
    ("rollback R-1 ask <@U0DANA0001|dana> in <#C0SUPPORT1|support>", "ask @dana in #support"),
    ("rollback R-1 see <https://example.com/t/1|the ticket>", "see https://example.com/t/1"),
    # Quotes of any kind, closed or not.
    ("rollback R-1 “odd greetings”", "odd greetings"),
    ("rollback R-1 „komische Grüße“", "komische Grüße"),
    ("rollback R-1 'odd greetings'", "odd greetings"),
    ('rollback R-1 "odd greetings', "odd greetings"),
    ('rollback R-1 odd greetings"', "odd greetings"),
    ('rollback R-1 it says "sorry', 'it says "sorry'),
    ('rollback R-1 "odd" and "rude"', '"odd" and "rude"'),
    ('rollback "R-1"', ""),
    ("rollback “R-1” odd", "odd"),
    # The id as people write it.
    ("rollback r-1 odd", "odd"),
    ("rollback R1", ""),
    ("rollback r1 odd", "odd"),
    ("rollback 1", ""),
    ("rollback #1", ""),
    ("rollback R 1", ""),
    ("rollback R–1 odd", "odd"),
    ("rollback R‑1", ""),
    ("rollback <R-1>", ""),
    ("rollback `R-1`", ""),
    ("rollback *R-1* odd", "odd"),
    ("rollback (R-1)", ""),
    ("rollback R-1.", ""),
    ("rollback R-1!!!", ""),
    ("rollback R-1, now", ""),
    ("rollback <https://rollout.example.com/r/R-1|R-1> odd", "odd"),
    ("rollback <https://rollout.example.com/r/R-1>", ""),
    ("rollback https://rollout.example.com/r/R-1", ""),
    ("rollback\u00a0R-1\u200b", ""),
    ("rollback Ｒ－１", ""),
    # The name, or what it runs on.
    ("rollback support-tone", ""),
    ("rollback support-tone answers are odd", "answers are odd"),
    ("rollback supp", ""),
    ("rollback support-assistant", ""),
    ("rollback support-assistant answers are odd", "answers are odd"),
    ("rollback Support-Assistant", ""),
    ("rollback support assistant", ""),
    ("rollback the support assistant, answers are odd", "answers are odd"),
    ("rollback support_assistant", ""),
    # No id at all, while one runs.
    ("rollback", ""),
    ("rollback!", ""),
    ("rollback now", ""),
    ("rollback please!!!", ""),
    ("rollback answers are odd", "answers are odd"),
    ('rollback "answers are odd"', "answers are odd"),
    ("rollback everything is broken R-1", "everything is broken R-1"),
    ("rollback it now, answers are odd", "it now, answers are odd"),
    # The verb as people write it.
    ("ROLLBACK R-1", ""),
    ("RollBack r-1 NOW", ""),
    ("roll back R-1 answers are odd", "answers are odd"),
    ("roll-back R-1", ""),
    ("roll_back R-1", ""),
    ("Roll back", ""),
    ("rollback: R-1", ""),
    ("rollback, R-1", ""),
    ("rollback!!! R-1 odd", "odd"),
    ("rollbackR-1", ""),
    ("`rollback R-1`", ""),
    ("*rollback* R-1 odd", "odd"),
    ("/rollout rollback R-1", ""),
    ("please roll back R-1 now", ""),
    ("pls rollback", ""),
    ("R-1 rollback", ""),
    ("R-1 roll back now!", ""),
    ("🚨 rollback R-1 🚨", ""),
    (":rotating_light: rollback R-1 :rotating_light:", ""),
    ("🚨🚨 ROLL BACK 🚨🚨", ""),
    # Flags it does not have.
    ("rollback --force R-1 odd", "odd"),
    ("rollback R-1 --force", ""),
    ("rollback -f R-1", ""),
    ("--public rollback R-1", ""),
    ("rollback R-1 odd —very", "odd —very"),
    ("rollback --id=R-1", ""),
    ("rollback --id R-1 --reason odd greetings", "odd greetings"),
    ("rollback R-1 -m 'odd greetings'", "odd greetings"),
]


@pytest.mark.parametrize(("typed", "reason"), DONE)
def test_it_goes_back_and_the_rest_of_the_line_is_the_reason(desk: Desk, typed: str, reason: str) -> None:
    answer = desk.say(typed)
    assert desk.state() is RolloutState.ROLLED_BACK, shown(answer)
    assert desk.reason() == reason


ASKED = [
    # Mistyped: said back, not guessed.
    "rolback R-1",
    "rollbck R-1 answers are odd",
    "rol back R-1",
    "roolback",
    "rollbakc R-1",
    "undo R-1",
    "revert R-1",
    "stop R-1",
    "abort",
    "cancel R-1",
    "kill it",
    "go back",
    "switch back to v42",
    "R-1",
    "R-1 is broken",
    "help!!! roll back",
    "help me roll back R-1",
    "start rollback R-1",
    "do a rollback of R-1",
    # Spoken of, not asked for.
    "how do I roll back?",
    "how do I rollback R-1",
    "can we roll back R-1?",
    "should I rollback?",
    "what does rollback do",
    "don't roll back R-1",
    "do not rollback R-1",
    "no rollback please",
    "we rolled back R-1 yesterday",
    "rollback?",
    "rollback R-1?",
    "rollback R-1 ???",
    "rollback is not needed",
    "rollback not needed any more",
    "rollback how does that work",
    "rollback if errors rise",
    "rollback tomorrow",
    # Asked to do nothing.
    "rollback R-1 --simulate",
    "rollback --help",
    "rollback R-1 -h",
    # A name that there is not.
    "rollback R-9 answers are odd",
    "rollback suport-assistant answers are odd",
    "rollback billing-bot answers are odd",
    "rollback billing",
    "rollback R-7 R-9",
]


@pytest.mark.parametrize("typed", ASKED)
def test_it_asks_one_question_and_its_one_button_goes_back(desk: Desk, typed: str) -> None:
    question = desk.say(typed)
    assert desk.state() is RolloutState.RUNNING, shown(question)
    offered = buttons(question)
    assert len(offered) == 1, shown(question)
    assert offered[0].startswith("rollback R-1"), offered
    desk.say(offered[0])
    assert desk.state() is RolloutState.ROLLED_BACK


def test_a_mistyped_rollback_keeps_its_reason_on_the_button(desk: Desk) -> None:
    desk.say(buttons(desk.say("rolback R-1 answers are odd"))[0])
    assert desk.reason() == "answers are odd"


def test_a_long_reason_is_kept_on_the_button_as_far_as_a_button_goes(busy: Desk) -> None:
    typed = "answers are odd, " * 300
    busy.say(buttons(busy.say(f"rollback {typed}"))[0])
    assert busy.reason("R-2").startswith("answers are odd, answers")


@pytest.mark.parametrize(
    ("typed", "said"),
    [
        ("rollback R-1 odd --force", "`rollback` has no --force"),
        ("rollback --now R-1", "`rollback` has no --now"),
        ("rollback R-1 --reason=odd", "`rollback` has no --reason"),
    ],
)
def test_a_flag_that_is_not_known_is_said_after_the_rollback(desk: Desk, typed: str, said: str) -> None:
    answer = desk.say(typed)
    assert desk.state() is RolloutState.ROLLED_BACK
    assert said in shown(answer)


def test_with_two_running_one_is_asked_for_and_each_has_a_button(busy: Desk) -> None:
    question = busy.say("rollback answers are odd")
    assert [b.split(" ")[:2] for b in buttons(question)] == [["rollback", "R-2"], ["rollback", "R-1"]]
    busy.say(buttons(question)[1])
    assert (busy.state("R-1"), busy.state("R-2")) == (RolloutState.ROLLED_BACK, RolloutState.RUNNING)
    assert busy.reason("R-1") == "answers are odd"


@pytest.mark.parametrize(
    ("typed", "gone"),
    [
        ("rollback R-2 worse than R-1 was", "R-2"),
        ("please roll back the canary of R-2, it is odd", "R-2"),
        ("rollback answers of search-help are odd", "R-2"),
        ("rollback search help", "R-2"),
        ("rollback model-upgrade now", "R-2"),
    ],
)
def test_with_two_running_the_one_that_is_named_goes_back(busy: Desk, typed: str, gone: str) -> None:
    busy.say(typed)
    assert [r for r in ("R-1", "R-2") if busy.state(r) is RolloutState.ROLLED_BACK] == [gone]


@pytest.mark.parametrize(
    "typed",
    [
        "rollback support says that answers are odd",
        "rollback since R-1 and R-2 are odd",
        "rollback 5 customers complain",
        "rollback R-9",
        "rollback billing-bot",
    ],
)
def test_with_two_running_what_may_mean_either_is_asked_about(busy: Desk, typed: str) -> None:
    question = busy.say(typed)
    assert (busy.state("R-1"), busy.state("R-2")) == (RolloutState.RUNNING, RolloutState.RUNNING)
    assert buttons(question)


def test_another_rollout_on_the_same_line_gets_a_button(busy: Desk) -> None:
    answer = busy.say("rollback R-1 R-2")
    assert busy.state("R-1") is RolloutState.ROLLED_BACK
    assert buttons(answer) == ["rollback R-2"]
    assert "R-2 model-upgrade continues" in shown(answer)


@pytest.mark.parametrize("typed", ["rollback answers are odd", "rollback answers R-9 are odd"])
def test_a_word_that_is_also_the_name_of_one_that_ended_is_asked_about(idle: Desk, typed: str) -> None:
    idle.began("search-help", "Search help", "answers")
    idle.say("rollback R-1")
    idle.began(*SUPPORT)
    question = idle.say(typed)
    assert idle.state("R-2") is RolloutState.RUNNING
    assert [b.split()[:2] for b in buttons(question)] == [["rollback", "R-2"]]


def test_where_it_had_ended_before_what_still_runs_gets_a_button(busy: Desk) -> None:
    busy.say("rollback R-1")
    answer = busy.say("rollback R-1 answers are odd")
    assert "No change needed" in shown(answer)
    assert buttons(answer) == ["rollback R-2"]


def test_a_thread_says_which_one_is_meant(busy: Desk) -> None:
    from core.rollout.commands import RecordPosted
    from core.rollout.context import ENGINE
    from core.service.service import CommandRequest

    posted = RecordPosted(key="card", channel="C1", ts="7.1")
    busy.service.handle(CommandRequest(command=posted, command_id="card", by=ENGINE, at=NOON, rollout="R-1"))
    asked = CommandContext(service=busy.service, by=SAM, at=NOON, command_id="in-thread", thread_ts="7.1")
    run_verb.execute(grammar.parse("roll back, answers are odd"), asked)
    assert (busy.state("R-1"), busy.state("R-2")) == (RolloutState.ROLLED_BACK, RolloutState.RUNNING)
    assert busy.reason("R-1") == "answers are odd"


def test_with_nothing_running_it_says_so(idle: Desk) -> None:
    assert "There are no rollouts yet" in shown(idle.say("rollback answers are odd"))
    idle.began(*SUPPORT)
    idle.say("rollback")
    assert "No rollout is running" in shown(idle.say("rollback answers are odd"))


@pytest.mark.parametrize(
    ("typed", "reason"),
    [
        ("pause R-1 odd greetings", "odd greetings"),
        ("hold odd greetings", "odd greetings"),
        ('pause R-1 "odd greetings', "odd greetings"),
        ("pause support-assistant answers are odd --soon", "answers are odd"),
        ("pause R-1 for 2h", "for 2h"),
    ],
)
def test_a_pause_takes_the_rest_of_the_line(desk: Desk, typed: str, reason: str) -> None:
    answer = desk.say(typed)
    assert desk.state() is RolloutState.PAUSED, shown(answer)
    assert f"“{reason}”" in shown(answer)


def test_a_pause_that_names_an_end_is_told_that_it_has_none(desk: Desk) -> None:
    assert "until somebody resumes it" in shown(desk.say("pause R-1 for 2h"))


def test_a_pause_that_speaks_of_going_back_offers_it(desk: Desk) -> None:
    answer = desk.say("pause and roll back R-1")
    assert desk.state() is RolloutState.PAUSED
    assert "rollback R-1" in buttons(answer)


def _resumed(desk: Desk) -> None:
    desk.say("pause R-1")
    desk.say("resume R-1 the greeting bug was unrelated")
    assert desk.state() is RolloutState.RUNNING


def _doubted(desk: Desk) -> None:
    answer = desk.say("feels-off R-1 too short for refunds")
    assert "“too short for refunds”" in shown(answer)


def _rejected(desk: Desk) -> None:
    approved = ROLLOUT.replace("risk: low", "risk: low\napprovals: {{required: 1}}").replace("@dana", "U0DANA0001")
    ana = Actor(id="cli:ana", handle="ana")
    for text in (SURFACE, approved):
        named = text.format(surface="search-help", title="Search help", name="model-upgrade")
        apply_text(desk.service, named, "file.yaml", by=ana, at=NOON, command_id=f"apply-{next(desk.ids)}")
    desk.say("reject R-2 not before the sale", LEE)
    (said,) = [r.event for r in desk.service.load_history("R-2") if isinstance(r.event, Rejected)]
    assert said.reason == "not before the sale"


def _complained(desk: Desk) -> None:
    desk.say("complaint R-1 it's answered in English")
    (said,) = [r.event for r in desk.service.load_history("R-1") if isinstance(r.event, ComplaintReported)]
    assert said.text == "it's answered in English"


@pytest.mark.parametrize("told", [_resumed, _doubted, _rejected, _complained])
def test_every_verb_with_one_free_text_takes_the_rest_of_the_line(desk: Desk, told: Callable[[Desk], None]) -> None:
    told(desk)


def test_a_plan_is_abandoned_with_the_rest_of_the_line(desk: Desk) -> None:
    ana = Actor(id="cli:ana", handle="ana")
    desk.say("rollback")
    text = ROLLOUT.format(surface="support-assistant", name="second-try").replace("new.md", "newer.md")
    apply_text(desk.service, text, "file.yaml", by=ana, at=NOON, command_id="again")
    assert "“no longer needed”" in shown(desk.say("abandon R-2 no longer needed", ana))
