"""Carry out what was typed, for Slack and the command line: answer with a message, or refuse."""

import re
from dataclasses import replace

from bot.commands import going_back, grammar, help_pages, metric_queries, moments, queries, request, resolve
from bot.commands.grammar import Misunderstood, Parse, Parsed
from bot.commands.request import Asked, Unsure
from bot.commands.verbs import Arguments, build_command, takes_rest_of_line
from bot.rendering import headline, wording
from bot.rendering.blocks import blocks, buttons
from bot.rendering.blocks.blocks import Message
from bot.rendering.messages import event_lines
from core.rollout import commands as c
from core.rollout import events as e
from core.rollout.model import Rollout
from core.rollout.refusal import Refused
from core.service import Outcome, Request
from core.store.log.event_log import Recorded

_ENDS = re.compile(r"(?:for|until|till)\s", re.IGNORECASE)
_SILENT = (e.MessagePosted, e.ApprovalRequested, e.EvidenceRecorded)


def perform(parsed: Parse, asked: Asked) -> Message:
    """Do what was typed. Raises `Refused`, or `ClarificationNeeded` with choices, if nothing was done."""
    match parsed:
        case Misunderstood():
            raise Unsure(parsed.hint, choices=_choices(parsed, asked))
        case Parsed(verb="help"):
            return help_pages.page(parsed.args[0]) if parsed.args else help_pages.overview()
        case Parsed(verb=verb) if verb in queries.VERBS:
            return queries.VERBS[verb](parsed, asked)
        case Parsed(verb=verb) if verb in metric_queries.VERBS:
            return metric_queries.VERBS[verb](parsed, asked)
        case Parsed(verb="notice"):
            return _notice(parsed, asked)
        case Parsed(verb=verb) if takes_rest_of_line(verb):
            return _steer_with_text(parsed, asked)
        case _:
            return _steer(parsed, asked)


def _choices(meant: Misunderstood, asked: Asked) -> tuple[tuple[str, str], ...]:
    """What may have been meant. A rollback always names its rollout, so that one press is enough."""
    parsed = grammar.parse(meant.suggestion)
    if not isinstance(parsed, Parsed) or parsed.verb != "rollback":
        return ((meant.suggestion, meant.suggestion),) if meant.suggestion else ()
    found = resolve.find_in(
        meant.about or parsed.said, asked.service.world(), thread_ts=asked.thread_ts, only_running=True
    )
    if isinstance(found, resolve.Unclear):
        text = "" if meant.about else resolve.text_in(parsed.said)
        return request.choices(found.candidates, _again_with("rollback", text))
    return request.choices((found.rollout,), _again_with("rollback", "" if meant.about else found.text))


def _steer_with_text(parsed: Parsed, asked: Asked) -> Message:
    world = asked.service.world()
    only_running = parsed.verb == "rollback"
    found = resolve.find_in(parsed.said, world, thread_ts=asked.thread_ts, only_running=only_running)
    if isinstance(found, resolve.Unclear):
        raise request.unsure(found, _again_with(parsed.verb, resolve.text_in(parsed.said)))
    parsed = replace(parsed, rollout=found.rollout.id, text=found.text)
    if only_running:
        found = replace(found, others=found.others or resolve.running_beside(found.rollout, world))
    answer = hand_in(_command(parsed, asked, world.policy.timezone), found.rollout.id, asked)
    return _with_remarks(answer, parsed, found)


def _with_remarks(answer: Message, parsed: Parsed, found: resolve.Meant) -> Message:
    """The answer with remarks on what else the line contained."""
    verb, others = parsed.verb, found.others if parsed.verb in {"rollback", "pause"} else ()
    remarks = [f"`{verb}` has no {wording.escape(flag, 40)}; it was left aside." for flag in parsed.unknown]
    remarks += [f"{other.id} {wording.escape(other.plan.name, 60)} goes on." for other in others]
    offered = list(request.choices(others, f"{verb} {{id}}"))
    if verb == "pause":
        if _ENDS.match(found.text):
            remarks.append("It has no end of its own: it stays paused until somebody resumes it.")
        if going_back.may_be_meant(found.text):
            offered += request.choices((found.rollout,), "rollback {id}")
    pressed = [buttons.run(label, command, i) for i, (label, command) in enumerate(offered[:5])]
    return blocks.added(answer, blocks.lines(remarks), blocks.actions(*pressed))


def _again_with(verb: str, text: str) -> str:
    return f"{verb} {{id}} {text}".strip().replace("{", "{{").replace("}", "}}").replace("{{id}}", "{id}", 1)


def _steer(parsed: Parsed, asked: Asked) -> Message:
    world = asked.service.world()
    again = _again(parsed)
    rollout = request.rollout(parsed.rollout, asked, world, again)
    zone = world.policy.timezone
    answer = hand_in(_command(parsed, asked, zone), rollout.id, asked)
    if parsed.verb == "start" and (at := parsed.flags.get("at")):
        return blocks.added(answer, blocks.context(moments.repeated(at, asked.by, asked.at, zone)))
    return answer


def _again(parsed: Parsed) -> str:
    to = f" to {parsed.args[0]}%" if parsed.verb == "advance" and parsed.args else ""
    flags = "".join(f' --{name} "{value}"' for name, value in parsed.flags.items() if name != "public")
    text = f' "{parsed.text.replace(chr(34), chr(39))}"' if parsed.text else ""
    return f"{parsed.verb} {{id}}" + f"{to}{text}{flags}".replace("{", "{{").replace("}", "}}")


def _command(parsed: Parsed, asked: Asked, zone: str) -> c.PersonsCommand:
    at = parsed.flags.get("at")
    arguments = Arguments(
        reason=parsed.text or parsed.flags.get("skip-wait", ""),
        to_percent=float(parsed.args[0]) if parsed.verb == "advance" and parsed.args else None,
        then=moments.read(at, asked.at, moments.zone_of(asked.by, zone)) if at else None,
    )
    return build_command(parsed.verb, arguments)


def hand_in(command: c.Command, rollout: str, asked: Asked) -> Message:
    """Carry out one command through the service and render what followed."""
    outcome = asked.service.handle(
        Request(
            command=command, rollout=rollout, command_id=asked.command_id, by=asked.by, at=asked.at, source=asked.source
        )
    )
    return _told(outcome, asked)


def _told(outcome: Outcome, asked: Asked) -> Message:
    rollout, zone = outcome.rollout, outcome.world.policy.timezone
    if rollout is None:
        raise Refused("There is no such rollout.", hint="See /rollout list.", code="not_found")
    said = [
        event_lines.line(rollout, r.event, zone)
        for r in _recorded(outcome, rollout, asked)
        if isinstance(r.event, e.RolloutEvent) and not isinstance(r.event, _SILENT)
    ]
    if not said:
        return blocks.message(
            f"Already so: nothing had to be done for {rollout.id}.", blocks.section(headline.render(rollout, zone))
        )
    undo = blocks.actions(buttons.resume(rollout)) if rollout.paused_at is not None else None
    return blocks.message(said[0], blocks.lines(said[1:]), undo)


def _recorded(outcome: Outcome, rollout: Rollout, asked: Asked) -> tuple[Recorded, ...]:
    if not outcome.repeated:
        return outcome.recorded
    return tuple(r for r in asked.service.history(rollout.id) if r.position in outcome.positions)


def _notice(parsed: Parsed, asked: Asked) -> Message:
    if parsed.args != ("ack",):
        return queries.notice(parsed, asked)
    rollout = request.rollout(parsed.rollout, asked, asked.service.world(), "notice {id} ack")
    return hand_in(c.AcknowledgeNotice(), rollout.id, asked)


def refusal(refused: Refused, parsed: Parse | None, asked: Asked) -> Message:
    """The message for a refusal: what was not done, why, and a button for what would work."""
    offered = []
    if isinstance(refused, Unsure):
        offered = [buttons.run(label, command, i) for i, (label, command) in enumerate(refused.choices[:5])]
    elif refused.earliest is not None and isinstance(parsed, Parsed) and parsed.verb == "start":
        rollout = request.rollout(parsed.rollout, asked, asked.service.peek(), "start {id}")
        offered = [buttons.start_then(rollout.id, refused.earliest)]
    return blocks.refusal(refused.message, refused.hint, blocks.actions(*offered))


def answer(parsed: Parse, asked: Asked) -> Message:
    """Do what was typed; a refusal becomes a message."""
    try:
        return perform(parsed, asked)
    except Refused as refused:
        return refusal(refused, parsed, asked)
