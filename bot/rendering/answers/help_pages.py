"""What can be typed: one overview, and one page per verb with an example."""

from dataclasses import dataclass

from bot.rendering import wording
from bot.rendering.blocks import blocks
from bot.rendering.blocks.blocks import Message


@dataclass(frozen=True, slots=True, kw_only=True)
class Verb:
    usage: str
    does: str
    example: str


VERBS: dict[str, Verb] = {
    "help": Verb(
        usage="help [verb]", does="What can be typed, or one command with an example.", example="help rollback"
    ),
    "status": Verb(usage="status [id]", does="Where a rollout stands, and what comes next.", example="status R-118"),
    "list": Verb(
        usage="list [--mine|--surface S|--state S|--all]",
        does="Rollouts that are planned or under way; `--all` also those that ended.",
        example="list --surface support-assistant",
    ),
    "start": Verb(
        usage='start <id> [--at "Tue 10:00"]',
        does="Begin, once every approval is there and every notice has had its lead time.",
        example="start R-118",
    ),
    "approve": Verb(
        usage='approve <id> ["note"]',
        does="Agree to the open request, not for your own change.",
        example='approve R-118 "ok for Tuesday"',
    ),
    "reject": Verb(
        usage="reject <id> why",
        does="Say no to the open request, and why.",
        example="reject R-118 not before the sale",
    ),
    "advance": Verb(
        usage='advance <id> [to P%] [--skip-wait "why"]',
        does="Take the next step without waiting longer. Never skips an approval or a check.",
        example='advance R-118 to 25% --skip-wait "copy fix, seen by all of us"',
    ),
    "pause": Verb(
        usage="pause <id> [why]",
        does="Stop growing; the present share stays and limits are still watched. Every full member can. Also: hold.",
        example="pause R-118 support sees odd greetings",
    ),
    "resume": Verb(
        usage="resume <id> why",
        does="Go on after a pause or a hold; sets aside that one finding.",
        example="resume R-118 the greeting bug was unrelated",
    ),
    "rollback": Verb(
        usage="rollback [id|surface] [why]",
        does="Everyone gets the previous version again, in seconds. Every full member can, in any state and words.",
        example="rollback R-118 answers are wrong",
    ),
    "abandon": Verb(
        usage="abandon <id> [why]", does="Give up a plan before its start.", example="abandon R-118 no longer needed"
    ),
    "history": Verb(usage="history <id>", does="Everything that happened, with who and when.", example="history R-118"),
    "metrics": Verb(
        usage="metrics <id> [metric] [--segment k=v]",
        does="New version against the current one, measure by measure; one metric, or one segment.",
        example="metrics R-118 refusal_rate --segment language=de",
    ),
    "segments": Verb(
        usage="segments <id>",
        does="Whether some people fare worse than others: every cut of the traffic, worst first.",
        example="segments R-118",
    ),
    "explain": Verb(
        usage="explain <id> <metric>",
        does="One metric in words and numbers, what would make it fire, and how it developed.",
        example="explain R-118 refusal_rate",
    ),
    "whois": Verb(
        usage="whois <user> [surface]", does="Which version somebody gets, and why.", example="whois cust_8841"
    ),
    "notice": Verb(
        usage="notice <id> [preview|send|ack]",
        does="Who was told and who has read it; `preview` shows the texts, `ack` confirms that you have read yours.",
        example="notice R-118 preview",
    ),
    "feels-off": Verb(
        usage="feels-off <id> [why]",
        does="Say that the new version feels wrong. Two people hold it.",
        example="feels-off R-118 too short for refunds",
    ),
}

_GROUPS = (
    ("See", "status [id] · list · metrics <id> · segments <id> · history <id> · whois <user>"),
    ("Why", "explain <id> <metric>"),
    ("Start", "start <id>   (a plan comes from a file: rollout apply FILE)"),
    ("Steer", "approve · reject · advance · pause · resume · abandon"),
    ("Stop", "rollback <id>   (every full member can; takes seconds)"),
    ("Tell", "notice <id> · feels-off <id> [why]"),
)


def overview() -> Message:
    """One line per kind of thing that can be done."""
    width = max(len(name) for name, _ in _GROUPS)
    rows = [f"{name.ljust(width)}  {wording.escape(what)}" for name, what in _GROUPS]
    return blocks.message(
        "Rollouts: change prompts, models, tools or routing safely.",
        blocks.preformatted("\n".join(rows)),
        blocks.section("Type `/rollout help rollback` for one command with an example."),
        blocks.context("Every full member can pause, roll back and say that something feels off; guests can look."),
    )


def verb(name: str) -> Message:
    """One command: its form, what it does, an example."""
    found = VERBS[name]
    return blocks.message(
        f"/rollout {name}: {found.does}",
        blocks.lines(
            [f"Form: `/rollout {wording.escape(found.usage)}`", f"Example: `/rollout {wording.escape(found.example)}`"]
        ),
    )
