"""The question to a tester, or to a channel of them: what may feel different, and buttons to say how it is."""

from bot.rendering import wording
from bot.rendering.blocks import blocks, buttons
from bot.rendering.blocks.blocks import Message
from bot.rendering.numbers import tester_words
from bot.rendering.sentences import headline
from core.rollout.commands import VOTE_CHOICES, WITHDRAW_VOTE
from core.rollout.state.events import VoteCast
from core.rollout.state.model import Rollout

MAX_CHANGES = 8


def render(rollout: Rollout, stage: int, target: str, title: str) -> Message:
    """The question about the stage with this index to `target`, a person or a channel.

    It does not say which version anybody gets. Once the stage is over it has no buttons.
    """
    given = rollout.votes.get(stage, {}).get(target)
    name = wording.title_in_sentence(wording.escape(title, 80))
    stage_name = headline.stage_label(rollout.plan.stages[stage])
    if not rollout.is_under_way or rollout.stage_index != stage:
        said = f" {_describe_answer(given)}" if given is not None else ""
        return blocks.build_message(f"Closed: you are no longer asked about {rollout.id} at {stage_name}.{said}")
    withdraw = buttons.vote(rollout, WITHDRAW_VOTE, stage) if given is not None else None
    return blocks.build_message(
        f"How does the {name} feel to you? A new version is being tried ({stage_name}).",
        blocks.lines_section(["*What may feel different*", *_list_changes(rollout)]),
        blocks.section(_explain_blindness(rollout, stage)),
        blocks.lines_section([_describe_answer(given)] if given is not None else []),
        blocks.actions(
            *(buttons.vote(rollout, choice, stage) for choice in VOTE_CHOICES),
            buttons.say_more(rollout, stage),
            withdraw,
        ),
        blocks.context(
            f"{wording.format_subject(rollout)} · owner {wording.format_owner(rollout)} · You are asked once per "
            "stage, as a tester. Your last answer counts."
        ),
    )


def render_answer(rollout: Rollout, given: VoteCast | None, *, is_new: bool) -> Message:
    """What a tester reads after answering; `given` is None after the answer was withdrawn."""
    if given is None:
        first = (
            f"Withdrawn: you have no answer on {rollout.id} in this stage."
            if is_new
            else (f"Nothing to withdraw: you have no answer on {rollout.id} in this stage.")
        )
        return blocks.build_message(first)
    word = tester_words.answer_word(given.choice)
    first = f"Your vote on {rollout.id}: {word}." if is_new else f"You already voted “{word}” on {rollout.id}."
    return blocks.build_message(
        f"{first} You can change it until the stage is over.",
        blocks.lines_section([f"“{wording.escape(given.text, 500)}”"] if given.text else []),
        blocks.actions(buttons.say_more(rollout, given.stage), buttons.vote(rollout, WITHDRAW_VOTE, given.stage)),
        blocks.context(_explain_use(given)),
    )


def _explain_use(given: VoteCast) -> str:
    if given.arm:
        return "It counts for the version that you get. Which one that is stays hidden from you."
    return "We don't know which version you get, so your answer is shown and not compared."


def _explain_blindness(rollout: Rollout, stage: int) -> str:
    if rollout.plan.stages[stage].is_compared:
        return "You may get the new version or the old one. Which one is not shown, so that answers are fair."
    return "Everyone who takes part gets the new version now."


def _list_changes(rollout: Rollout) -> list[str]:
    """What people will notice, as the plan says."""
    told = [f" • {wording.escape(b.text, 300)}" for b in rollout.plan.behaviour_changes if not b.unchanged]
    if not told:
        return [" • Nothing, as far as we know. Say so if something does."]
    left = [wording.format_remainder(len(told) - MAX_CHANGES)] if len(told) > MAX_CHANGES else []
    return [*told[:MAX_CHANGES], *left]


def _describe_answer(given: VoteCast) -> str:
    words = f" “{wording.escape(given.text, 500)}”" if given.text else ""
    return f"Your answer: {tester_words.answer_word(given.choice)}.{words}"
