"""What can be typed, and what is answered to what was not understood."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bot.commands.parsing.grammar import parse
from bot.commands.parsing.parsed_command import Misunderstood, ParsedCommand
from bot.commands.verb import VerbArguments
from bot.commands.verbs import TYPED_VERBS


@pytest.mark.parametrize(
    ("typed", "meant"),
    [
        ("", ParsedCommand(verb="help")),
        ("help", ParsedCommand(verb="help")),
        ("help rollback", ParsedCommand(verb="help", args=("rollback",))),
        ("status", ParsedCommand(verb="status")),
        ("STATUS R-118", ParsedCommand(verb="status", rollout="R-118")),
        ("status 118", ParsedCommand(verb="status", rollout="118")),
        ("list --mine", ParsedCommand(verb="list", flags={"mine": "yes"})),
        ("list --surface support-assistant", ParsedCommand(verb="list", flags={"surface": "support-assistant"})),
        ("list --state=on-hold", ParsedCommand(verb="list", flags={"state": "on_hold"})),
        ("start R-118", ParsedCommand(verb="start", rollout="R-118")),
        ('start R-118 --at "Tue 10:00"', ParsedCommand(verb="start", rollout="R-118", flags={"at": "Tue 10:00"})),
        ('start R-118 --at="Tue 10:00"', ParsedCommand(verb="start", rollout="R-118", flags={"at": "Tue 10:00"})),
        ('approve R-118 "ok for Tuesday"', ParsedCommand(verb="approve", rollout="R-118", text="ok for Tuesday")),
        ("approve", ParsedCommand(verb="approve")),
        ('reject 118 "not now"', ParsedCommand(verb="reject", rollout="118", text="not now")),
        ("advance R-118", ParsedCommand(verb="advance", rollout="R-118")),
        (
            "advance R-118 to 25%",
            ParsedCommand(verb="advance", rollout="R-118", arguments=VerbArguments(to_percent=25)),
        ),
        ("advance R-118 to 25", ParsedCommand(verb="advance", rollout="R-118", arguments=VerbArguments(to_percent=25))),
        ("advance to 25 %", ParsedCommand(verb="advance", arguments=VerbArguments(to_percent=25))),
        (
            'advance R-118 to 80% --skip-wait "copy fix"',
            ParsedCommand(
                verb="advance", rollout="R-118", arguments=VerbArguments(to_percent=80), flags={"skip-wait": "copy fix"}
            ),
        ),
        (
            'advance R-118 "seen by all"',
            ParsedCommand(verb="advance", rollout="R-118", text="", flags={"skip-wait": "seen by all"}),
        ),
        ('pause R-118 "odd greetings"', ParsedCommand(verb="pause", rollout="R-118", text="odd greetings")),
        ('hold "odd greetings"', ParsedCommand(verb="pause", text="odd greetings")),
        ("pause R-118 odd greetings", ParsedCommand(verb="pause", rollout="R-118", text="odd greetings")),
        ('pause R-118 "odd', ParsedCommand(verb="pause", rollout="R-118", text="odd")),
        ("pause R-118 odd --public", ParsedCommand(verb="pause", rollout="R-118", text="odd", flags={"public": "yes"})),
        ('pause R-118 "say --public"', ParsedCommand(verb="pause", rollout="R-118", text="say --public")),
        ("pause R-118 odd --soon", ParsedCommand(verb="pause", rollout="R-118", text="odd", unknown=("--soon",))),
        (
            "pause R-118 it is --so odd",
            ParsedCommand(verb="pause", rollout="R-118", text="it is --so odd", unknown=("--so",)),
        ),
        (
            'pause R-118 --why="it is odd"',
            ParsedCommand(verb="pause", rollout="R-118", text="it is odd", unknown=("--why",)),
        ),
        ("roll back R-118 odd", ParsedCommand(verb="rollback", rollout="R-118", text="odd")),
        ('resume R-118 "unrelated"', ParsedCommand(verb="resume", rollout="R-118", text="unrelated")),
        ("rollback support-assistant", ParsedCommand(verb="rollback", rollout="support-assistant")),
        ('abandon R-118 "no longer needed"', ParsedCommand(verb="abandon", rollout="R-118", text="no longer needed")),
        ("history R-118", ParsedCommand(verb="history", rollout="R-118")),
        ("metrics R-118 refusal_rate", ParsedCommand(verb="metrics", rollout="R-118", args=("refusal_rate",))),
        ("metrics Refusal_Rate", ParsedCommand(verb="metrics", args=("refusal_rate",))),
        (
            "metrics R-118 --segment language=de",
            ParsedCommand(verb="metrics", rollout="R-118", flags={"segment": "language=de"}),
        ),
        (
            "metrics refusal_rate --segment=plan=free",
            ParsedCommand(verb="metrics", args=("refusal_rate",), flags={"segment": "plan=free"}),
        ),
        (
            'metrics R-118 --segment "city=New York"',
            ParsedCommand(verb="metrics", rollout="R-118", flags={"segment": "city=New York"}),
        ),
        ("segments R-118", ParsedCommand(verb="segments", rollout="R-118")),
        ("segments", ParsedCommand(verb="segments")),
        ("explain R-118 Refusal_Rate", ParsedCommand(verb="explain", rollout="R-118", args=("refusal_rate",))),
        ("explain refusal_rate", ParsedCommand(verb="explain", args=("refusal_rate",))),
        ("whois cust_8841", ParsedCommand(verb="whois", args=("cust_8841",))),
        ("whois cust_8841 support-assistant", ParsedCommand(verb="whois", args=("cust_8841", "support-assistant"))),
        (
            'whois cust_8841 support-assistant at "Tue 13:00"',
            ParsedCommand(verb="whois", args=("cust_8841", "support-assistant"), flags={"at": "Tue 13:00"}),
        ),
        ("whois cust_8841 at Tue 13:00", ParsedCommand(verb="whois", args=("cust_8841",), flags={"at": "Tue 13:00"})),
        (
            "whois cust_8841 --where plan=pro",
            ParsedCommand(verb="whois", args=("cust_8841",), flags={"where": "plan=pro"}),
        ),
        ("move-back cust_8841", ParsedCommand(verb="move-back", arguments=VerbArguments(unit="cust_8841"))),
        (
            'move-back cust_8841 R-118 "wants the old one"',
            ParsedCommand(
                verb="move-back", rollout="R-118", arguments=VerbArguments(unit="cust_8841"), text="wants the old one"
            ),
        ),
        ("whois <@U0ANA00001|ana>", ParsedCommand(verb="whois", args=("U0ANA00001",))),
        ("notice R-118 preview", ParsedCommand(verb="notice", rollout="R-118", args=("preview",))),
        ("notice ack", ParsedCommand(verb="notice", args=("ack",))),
        ('feels-off R-118 "too short"', ParsedCommand(verb="feels-off", rollout="R-118", text="too short")),
        ("status R-118 --public", ParsedCommand(verb="status", rollout="R-118", flags={"public": "yes"})),
    ],
)
def test_a_line_is_read(typed: str, meant: ParsedCommand) -> None:
    assert parse(typed) == meant


@pytest.mark.parametrize(
    ("typed", "plain"),
    [
        ("pause R-118 “odd greetings”", 'pause R-118 "odd greetings"'),
        ("pause R-118 „odd greetings“", 'pause R-118 "odd greetings"'),
        ("advance R-118 to 25% —skip-wait “why”", 'advance R-118 to 25% --skip-wait "why"'),
        ("advance R-118 –-skip-wait “why”", 'advance R-118 --skip-wait "why"'),
        ("status\u00a0R-118", "status R-118"),
        ("\u200bstatus R-118\u200b", "status R-118"),
        ("status R‑118", "status R-118"),
    ],
)
def test_what_phones_make_of_a_line_is_undone(typed: str, plain: str) -> None:
    assert parse(typed) == parse(plain)
    assert isinstance(parse(typed), ParsedCommand)


@pytest.mark.parametrize(
    ("typed", "hint", "suggestion"),
    [
        ("advnace 118", 'I don\'t know "advnace". Did you mean `advance`?', "advance 118"),
        ("rolback R-1", 'I don\'t know "rolback". Did you mean `rollback`?', "rollback R-1"),
        ("frobnicate", 'I don\'t know "frobnicate". Type `/rollout help`', ""),
        ("help rolback", 'I don\'t know "rolback". Did you mean `rollback`?', "help rollback"),
        ("status R-1 now", 'I don\'t know what "now" means here. Usage: status [id]', "status R-1"),
        ("approve R-1 not yet", "Put what you want to say in quotes", 'approve R-1 "not yet"'),
        ("approve R-1 no rollback needed", "Put what you want to say in quotes", 'approve R-1 "no rollback needed"'),
        ("advance R-1 25%", 'I don\'t know what "25%" means here.', "advance R-1 to 25%"),
        ("advance R-1 to many", 'To how much? "many" is not a percentage', ""),
        ("advance R-1 to 250%", 'To how much? "250%" is not a percentage', ""),
        ('advance R-1 "a" --skip-wait "b"', "Give the reason once", ""),
        (
            "metrics R-1 refusal_rte",
            'There is no metric "refusal_rte". Did you mean refusal_rate?',
            "metrics R-1 refusal_rate",
        ),
        ("metrics R-1 --segment german", '"german" is not a segment, such as language=de.', "segments R-1"),
        ("metrics R-1 --segment =de", '"=de" is not a segment', "segments R-1"),
        ("metrics R-1 --segment", "--segment needs a value", ""),
        ("status R-1 --segment a=b", "`status` has no --segment.", ""),
        ("explain R-1", "Which metric? Usage: explain <id> <metric>", "metrics R-1"),
        ("explain", "Which metric?", "metrics"),
        (
            "explain refusal_rte",
            'There is no metric "refusal_rte". Did you mean refusal_rate?',
            "explain refusal_rate",
        ),
        (
            "explain R-1 refusal_rte",
            'There is no metric "refusal_rte". Did you mean refusal_rate?',
            "explain R-1 refusal_rate",
        ),
        (
            "explain R-1 refusal_rate hard_error_rate",
            'I don\'t know what "hard_error_rate" means here.',
            "explain R-1 refusal_rate",
        ),
        ("segments R-1 language=de", 'I don\'t know what "language=de" means here.', "segments R-1"),
        ("list --mien", "`list` has no --mien. Did you mean --mine?", ""),
        ("status --surface x", "`status` has no --surface. Its flags: --public, --json.", ""),
        ("list --state asleep", 'There is no state "asleep". The states: planned', ""),
        ("list --surface", "--surface needs a value", ""),
        ("list everything", 'I don\'t know what "everything" means here.', "list"),
        ("whois", "Whose version?", ""),
        ("move-back", "Whom?", ""),
        ("move-back cust_1 R-1 too short", 'I don\'t know what "too"', 'move-back cust_1 R-1 "too short"'),
        ("whois cust_1 at", "At what time?", ""),
        ("whois cust_1 --where pro", '"pro" is not an attribute', "whois cust_1"),
        ("whois a b c", 'I don\'t know what "c" means here.', "whois a b"),
        ('status "R-1"', 'I don\'t know what "R-1" means here.', ""),
        ('approve R-1 "odd', "A quote is not closed.", 'approve R-1 "odd"'),
        ("pause R-1 --simulate", "`pause` has no --simulate, so nothing was done.", "pause R-1"),
        ("how do I roll back R-1?", "Do you want to roll back? Nothing has been done yet.", "rollback"),
        ("notice R-1 preview send", 'I don\'t know what "send" means here.', ""),
    ],
)
def test_what_is_not_understood_is_never_run(typed: str, hint: str, suggestion: str) -> None:
    answer = parse(typed)
    assert isinstance(answer, Misunderstood)
    assert hint in answer.hint
    assert answer.suggestion == suggestion
    if suggestion:
        assert isinstance(parse(suggestion), ParsedCommand)


def test_mentions_in_a_reason_read_as_they_were_typed() -> None:
    typed = 'pause R-1 "ask <@U0DANA0001|dana> and <!subteam^S0AILEADS1|@ai-leads> in <#C0SUPPORT1|support>"'
    parsed = parse(typed)
    assert isinstance(parsed, ParsedCommand)
    assert parsed.text == "ask @dana and @ai-leads in #support"


def test_every_example_in_the_help_is_understood() -> None:
    for name, verb in TYPED_VERBS.items():
        parsed = parse(verb.example)
        assert isinstance(parsed, ParsedCommand), verb.example
        assert parsed.verb == name


@given(st.text(max_size=200))
def test_any_text_is_answered(typed: str) -> None:
    answer = parse(typed)
    assert isinstance(answer, ParsedCommand | Misunderstood)
    if isinstance(answer, ParsedCommand):
        assert answer.verb in TYPED_VERBS


@given(st.text(max_size=200))
def test_whatever_else_stands_on_the_line_a_rollback_of_an_id_is_understood(reason: str) -> None:
    answer = parse(f"rollback R-118: because {reason}")
    if isinstance(answer, Misunderstood):  # it asked for nothing to be done
        assert "so nothing was done" in answer.hint
    else:
        assert (answer.verb, answer.rollout) == ("rollback", "R-118")
        assert answer.text.startswith("because")


@pytest.mark.parametrize(
    ("typed", "meant"),
    [
        ("approve R-1 fine", ParsedCommand(verb="approve", rollout="R-1", text="fine")),
        ("approve R-1 looks good", ParsedCommand(verb="approve", rollout="R-1", text="looks good")),
        (
            'approve R-1 looks "very good" to us',
            ParsedCommand(verb="approve", rollout="R-1", text="looks very good to us"),
        ),
        ("reverted R-1 deployed", ParsedCommand(verb="reverted", rollout="R-1", text="deployed")),
        (
            "move-back cust_1 R-1 wrong",
            ParsedCommand(verb="move-back", rollout="R-1", arguments=VerbArguments(unit="cust_1"), text="wrong"),
        ),
        (
            "freeze support until Mon 08:00 sale",
            ParsedCommand(verb="freeze", rollout="support", args=("until", "Mon 08:00"), text="sale"),
        ),
        (
            "break-glass R-1 advance to 50% checkout is down",
            ParsedCommand(
                verb="break-glass",
                rollout="R-1",
                arguments=VerbArguments(choice="advance", to_percent=50),
                text="checkout is down",
            ),
        ),
        ("complaint it answered in English", ParsedCommand(verb="complaint", text="it answered in English")),
    ],
)
def test_a_shell_takes_the_quotes_so_the_words_at_the_end_are_the_text(typed: str, meant: ParsedCommand) -> None:
    assert parse(typed, has_lost_quotes=True) == meant


@pytest.mark.parametrize("typed", ["advance R-1 25%", "advance R-1 now", "advance R-1 to 25 percent", "status R-1 now"])
def test_words_that_a_shell_leaves_over_never_skip_a_wait(typed: str) -> None:
    assert parse(typed, has_lost_quotes=True) == parse(typed)
    assert isinstance(parse(typed), Misunderstood)


@pytest.mark.parametrize(
    ("typed", "again"),
    [
        ("advance to 25 % --skip-wait=seen", 'advance {id} to 25 % --skip-wait "seen"'),
        ("decide support keep 'tis better", "decide {id} keep 'tis better"),
        ('break-glass advance to 50% "checkout is {down}"', 'break-glass {id} advance to 50% "checkout is {{down}}"'),
        ('move-back cust_1 "they said \\"no\\""', 'move-back cust_1 {id} "they said \\"no\\""'),
        ("move-back --dry-run cust_1 support", "move-back cust_1 {id} --dry-run"),
        ("start --public --queue", "start {id} --queue"),
        ('review --not-normal --cost "less"', 'review {id} --not-normal --cost "less"'),
        ("evidence #12", "evidence #12 {id}"),
        ('metrics refusal_rate --segment "plan=pro max"', 'metrics {id} refusal_rate --segment "plan=pro max"'),
    ],
)
def test_a_line_is_said_again_with_its_rollout_and_means_the_same(typed: str, again: str) -> None:
    first = parse(typed)
    assert isinstance(first, ParsedCommand)
    assert first.again == again
    second = parse(first.again.format(id="R-1"))
    assert isinstance(second, ParsedCommand)
    flags = {name: value for name, value in first.flags.items() if name != "public"}
    assert second == replace(first, rollout="R-1", flags=flags)


def test_a_pipelines_word_is_asked_for_quotes_and_not_whether_to_roll_back() -> None:
    answer = parse("reverted R-1 deployed")
    assert isinstance(answer, Misunderstood)
    assert "Put what you want to say in quotes" in answer.hint
    assert isinstance(parse("revert R-1 deployed"), Misunderstood)
    assert parse("revert R-1 deployed").suggestion == "rollback"


def test_an_unknown_metric_leads_to_those_that_are_measured() -> None:
    answer = parse("explain R-1 nonsense")
    assert isinstance(answer, Misunderstood)
    assert (answer.hint, answer.suggestion) == ('There is no metric "nonsense".', "metrics R-1")
