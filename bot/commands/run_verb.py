"""Carry out what was typed, for Slack and the command line: answer with a message, or refuse."""

import re
from dataclasses import replace
from typing import assert_never

from bot.commands import (
    bundle_verbs,
    complaints,
    dry_runs,
    freeze_verbs,
    help_pages,
    json_answers,
    request,
    subscription_verbs,
)
from bot.commands.answers import (
    evidence_queries,
    metric_queries,
    plan_queries,
    review_queries,
    version_queries,
)
from bot.commands.answers import rollout_queries as queries
from bot.commands.parsing import grammar, resolve, rollback_intent, typed_stratum, typed_times, typed_vote
from bot.commands.parsing.parsed_command import Misunderstood, ParsedCommand, ParseResult
from bot.commands.request import AnswersByVerb, ClarificationNeeded, CommandContext
from bot.commands.verb import VerbArguments
from bot.commands.verbs import REVIEW_FLAGS, build_command, takes_rest_of_line
from bot.rendering import wording
from bot.rendering.blocks import blocks, buttons
from bot.rendering.blocks.blocks import Message
from bot.rendering.messages import event_lines, feedback
from bot.rendering.messages.alerts import rollback_alert
from bot.rendering.neighbours import queue_words
from bot.rendering.sentences import headline
from core.rollout import commands as c
from core.rollout.concurrency import start_queue
from core.rollout.decisions import approval_requests
from core.rollout.refusal import Refused
from core.rollout.serving import strata
from core.rollout.serving.after_done import find_after_done
from core.rollout.state import events as e
from core.rollout.state.model import Rollout
from core.rollout.votes.testers import find_voter
from core.service.service import CommandOutcome
from core.store.log.event_log import StoredEvent

_ENDS = re.compile(r"(?:for|until|till)\s", re.IGNORECASE)


def perform(parsed: ParseResult, context: CommandContext) -> Message:
    """Do what was typed. Raises `Refused`, or `ClarificationNeeded` with choices, if nothing was done."""
    match parsed:
        case Misunderstood():
            raise ClarificationNeeded(parsed.hint, choices=_suggest_choices(parsed, context))
        case ParsedCommand(flags=flags) if "json" in flags and not holds_answers(parsed):
            return json_answers.render_in_slack(parsed, context)
        case ParsedCommand() if (told := bundle_verbs.answer(parsed, context)) is not None:
            return told
        case ParsedCommand(verb=verb) if verb in _ANSWERS and not holds_answers(parsed):
            return _ANSWERS[verb](parsed, context)
        case ParsedCommand(verb=verb) if takes_rest_of_line(verb):
            return _run_free_text_verb(parsed, context)
        case ParsedCommand():
            return _run_verb(parsed, context)
        case _:
            assert_never(parsed)


def _suggest_choices(meant: Misunderstood, context: CommandContext) -> tuple[tuple[str, str], ...]:
    """What may have been meant. A rollback always names its rollout, so that one press is enough."""
    parsed = grammar.parse(meant.suggestion, context.service.cached_world().own_metric_names)
    if not isinstance(parsed, ParsedCommand) or parsed.verb != "rollback":
        return ((meant.suggestion, meant.suggestion),) if meant.suggestion else ()
    found = resolve.find_in_line(
        meant.about or parsed.rest_of_line, context.service.load_world(), thread_ts=context.thread_ts, only_running=True
    )
    if isinstance(found, resolve.Unclear):
        text = "" if meant.about else resolve.extract_text(parsed.rest_of_line)
        return request.build_choices(found.candidates, _retry_with_text("rollback", text))
    return request.build_choices((found.rollout,), _retry_with_text("rollback", "" if meant.about else found.text))


def _run_free_text_verb(parsed: ParsedCommand, context: CommandContext) -> Message:
    world = context.service.load_world()
    only_running = parsed.verb == "rollback"
    found = resolve.find_in_line(parsed.rest_of_line, world, thread_ts=context.thread_ts, only_running=only_running)
    if isinstance(found, resolve.Unclear):
        text = resolve.extract_text(parsed.rest_of_line)
        named = f'--stratum "{parsed.flags["stratum"]}" ' if "stratum" in parsed.flags else ""
        raise request.build_clarification(found, _retry_with_text(parsed.verb, f"{named}{text}".strip()))
    parsed = replace(parsed, rollout=found.rollout.id, text=found.text)
    if asked := parsed.flags.get("stratum"):
        known = (one.name for one in strata.list_strata(found.rollout.plan))
        parsed = replace(parsed, flags={**parsed.flags, "stratum": typed_stratum.join_names(asked, found.text, known)})
    if only_running:
        found = replace(found, others=found.others or resolve.others_still_running(found.rollout, world))
    command = _command_from_line(parsed, context, world.policy.timezone)
    if dry_runs.FLAG in parsed.flags:
        return dry_runs.try_command(command, found.rollout.id, f"{parsed.verb} {found.rollout.id}", context)
    answer = submit_command(command, found.rollout.id, context)
    return _add_remarks(answer, parsed, found)


def _add_remarks(answer: Message, parsed: ParsedCommand, found: resolve.RolloutMention) -> Message:
    """The answer with remarks on what else the line contained."""
    verb, others = parsed.verb, found.others if parsed.verb in {"rollback", "pause"} else ()
    remarks = [f"`{verb}` has no {wording.escape(flag, 40)}; it was ignored." for flag in parsed.unknown]
    if "stratum" in parsed.flags and (remark := _explain_stratum(found.rollout, parsed.flags["stratum"])):
        remarks.append(remark)
    remarks += [f"{other.id} {wording.escape(other.plan.name, 60)} continues." for other in others]
    offered = list(request.build_choices(others, f"{verb} {{id}}"))
    if verb == "pause":
        if _ENDS.match(found.text):
            remarks.append("A pause has no end date: it lasts until somebody resumes it.")
        if rollback_intent.may_mean_rollback(found.text):
            offered += request.build_choices((found.rollout,), "rollback {id}")
    pressed = [buttons.run_command(label, command, i) for i, (label, command) in enumerate(offered[:5])]
    return blocks.append_blocks(answer, blocks.lines_section(remarks), blocks.actions(*pressed))


def _explain_stratum(rollout: Rollout, name: str) -> str:
    """That a rollback went back as a whole because the plan does not know the stratum; empty if it does."""
    if strata.find_stratum(rollout.plan, name) is not None:
        return ""
    known = ", ".join(wording.escape(one.name, 100) for one in strata.list_strata(rollout.plan)) or "none"
    said = f"{rollout.id} has no stratum “{wording.escape(name, 80)}”" if name else "No stratum was named"
    return f"{said}, so everyone was rolled back. Its strata: {known}."


def _retry_with_text(verb: str, text: str) -> str:
    return f"{verb} {{id}} {text}".strip().replace("{", "{{").replace("}", "}}").replace("{{id}}", "{id}", 1)


def _run_verb(parsed: ParsedCommand, context: CommandContext) -> Message:
    world = context.service.load_world()
    rollout = request.require_rollout(parsed.rollout, context, world, parsed.again)
    zone = world.policy.timezone
    command = _command_from_line(parsed, context, zone)
    if dry_runs.FLAG in parsed.flags:
        return dry_runs.try_command(command, rollout.id, f"{parsed.verb} {rollout.id}", context)
    answer = submit_command(command, rollout.id, context)
    if parsed.verb == "start" and "queue" in parsed.flags and rollout.started_at is None:
        return blocks.append_blocks(answer, blocks.context(_describe_queue(rollout.id, context)))
    if parsed.verb == "start" and (at := parsed.flags.get("at")):
        return blocks.append_blocks(
            answer, blocks.context(typed_times.explain_reading(at, context.by, context.at, zone))
        )
    return answer


def _describe_queue(rollout_id: str, context: CommandContext) -> str:
    """What a rollout that was queued waits for."""
    world = context.service.load_world()
    rollout = world.get_rollout(rollout_id)
    place = start_queue.find_place(world, rollout, context.at)
    if place is None:
        return "It starts once nothing is missing."
    return f"It is {queue_words.describe_place(place)}. When its turn comes, what is live is checked again."


def holds_answers(parsed: ParsedCommand) -> bool:
    """Whether a `review` is to be written, not only shown."""
    return any(flag in parsed.flags for flag in (*REVIEW_FLAGS, "not-normal"))


def _command_from_line(parsed: ParsedCommand, context: CommandContext, zone: str) -> c.PersonCommand:
    at = parsed.flags.get("at")
    if parsed.verb == "vote":
        choice, words = typed_vote.split_answer(parsed.text)
        return build_command("vote", VerbArguments(choice=choice, reason=words))
    arguments = replace(
        parsed.arguments,
        reason=parsed.text or parsed.flags.get("skip-wait", ""),
        queue="queue" in parsed.flags,
        next_step="next" in parsed.flags,
        then=typed_times.parse_moment(at, context.at, context.by.find_zone(zone)) if at else None,
        answers={field: parsed.flags[flag] for flag, field in REVIEW_FLAGS.items() if flag in parsed.flags},
        keeps_baseline="not-normal" not in parsed.flags,
        stratum=parsed.flags.get("stratum", ""),
    )
    return build_command(parsed.verb, arguments)


def submit_command(command: c.Command, rollout: str, context: CommandContext) -> Message:
    """Carry out one command through the service and render what followed."""
    outcome = context.submit(command, rollout)
    if isinstance(command, c.CastVote):
        return _render_vote(outcome, context)
    return _render_outcome(command, outcome, context)


def _render_vote(outcome: CommandOutcome, context: CommandContext) -> Message:
    """What a tester reads after voting; never which version they get."""
    assert outcome.rollout is not None, "the service answers for what does not exist"
    voter = find_voter(outcome.rollout, context.by)
    given = outcome.rollout.votes.get(outcome.rollout.stage_index, {}).get(voter.person) if voter is not None else None
    return feedback.render_answer(outcome.rollout, given, is_new=bool(outcome.positions))


def _describe_no_change(command: c.Command, rollout: Rollout) -> str:
    """Why nothing followed from a command."""
    if isinstance(command, c.FeelsOff):
        return (
            f"You have already said that {rollout.id} feels off, and each person counts once. "
            "Write anything more in the thread of its card."
        )
    if isinstance(command, c.Approve):
        missing = approval_requests.describe_missing_approvals(rollout)
        left = "nothing more is needed" if approval_requests.is_approved(rollout) else f"still needed: {missing}"
        return f"You have already approved {rollout.id}, and each person counts once; {wording.escape(left)}."
    return f"No change needed: nothing to do for {rollout.id}."


def _render_outcome(command: c.Command, outcome: CommandOutcome, context: CommandContext) -> Message:
    rollout, zone = outcome.rollout, outcome.world.policy.timezone
    if rollout is None:
        raise Refused("There is no such rollout.", hint="See /rollout list.", code="not_found")
    lines = [
        event_lines.format_answer(_find_rollout_of(r, outcome, rollout), r.event, zone)
        for r in _load_recorded(outcome, rollout, context)
        if isinstance(r.event, e.RolloutEvent) and not isinstance(r.event, event_lines.UNANSWERED)
    ]
    if not lines:
        return blocks.build_message(
            _describe_no_change(command, rollout),
            blocks.section(
                headline.render(rollout, zone, at=context.at, after=find_after_done(outcome.world, rollout, context.at))
            ),
        )
    offered = blocks.actions(buttons.resume(rollout)) if rollout.paused_at is not None else None
    if any(isinstance(r.event, e.RolledBack) for r in outcome.recorded):
        offered = rollback_alert.build_cause_buttons(rollout)
    return blocks.build_message(lines[0], blocks.lines_section(lines[1:]), offered)


def _find_rollout_of(recorded: StoredEvent, outcome: CommandOutcome, rollout: Rollout) -> Rollout:
    """The rollout that an event is of: the one that was named, or another one of its bundle."""
    return outcome.world.find_rollout(recorded.stream.partition(":")[2]) or rollout


def _load_recorded(outcome: CommandOutcome, rollout: Rollout, context: CommandContext) -> tuple[StoredEvent, ...]:
    if not outcome.repeated:
        return outcome.recorded
    return tuple(r for r in context.service.load_history(rollout.id) if r.position in outcome.positions)


def _answer_help(parsed: ParsedCommand, context: CommandContext) -> Message:
    if parsed.args:
        return help_pages.render_page(parsed.args[0])
    return help_pages.render_overview(help_pages.find_rights(context))


def _run_complaint(parsed: ParsedCommand, context: CommandContext) -> Message:
    world = context.service.load_world()
    rollout = complaints.find_rollout(parsed, context, world)
    command = build_command("complaint", replace(parsed.arguments, reason=parsed.text))
    return submit_command(command, rollout.id, context)


def _run_notice(parsed: ParsedCommand, context: CommandContext) -> Message:
    if parsed.args != ("ack",):
        return queries.answer_notice(parsed, context)
    rollout = request.require_rollout(parsed.rollout, context, context.service.load_world(), parsed.again)
    return submit_command(c.AcknowledgeNotice(), rollout.id, context)


def render_refusal(refused: Refused, parsed: ParseResult | None, context: CommandContext) -> Message:
    """The message for a refusal: what was not done, why, and a button for what would work."""
    offered = []
    if isinstance(refused, ClarificationNeeded):
        offered = [buttons.run_command(label, command, i) for i, (label, command) in enumerate(refused.choices[:5])]
    elif refused.earliest is not None and isinstance(parsed, ParsedCommand) and parsed.verb == "start":
        world = context.service.cached_world()
        bundle = resolve.find_bundle_in_line(parsed.rollout, world)  # the date of its first one is that of all
        rollout = (
            bundle[0].members[0]
            if bundle is not None
            else request.require_rollout(parsed.rollout, context, world, "start {id}")
        )
        offered = [buttons.start_at(rollout.id, refused.earliest)]
    if refused.alternative is not None:
        offered.append(buttons.run_command(*refused.alternative, len(offered)))
    return blocks.build_refusal(refused.message, refused.hint, blocks.actions(*offered))


def execute(parsed: ParseResult, context: CommandContext) -> Message:
    """Do what was typed; a refusal becomes a message."""
    try:
        return perform(parsed, context)
    except Refused as refused:
        return render_refusal(refused, parsed, context)


_ANSWERS: AnswersByVerb = {
    **queries.ANSWERS,
    **metric_queries.ANSWERS,
    **plan_queries.ANSWERS,
    **evidence_queries.ANSWERS,
    **version_queries.ANSWERS,
    **review_queries.ANSWERS,
    **freeze_verbs.ANSWERS,
    **subscription_verbs.ANSWERS,
    "help": _answer_help,
    "complaint": _run_complaint,
    "notice": _run_notice,
}
"""What answers a verb that does more, or other, than give one command to one rollout."""
