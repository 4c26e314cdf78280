"""What testers say, in words: by version, whether it is beyond chance, and what they wrote."""

from bot.rendering import wording
from core.rollout.state.model import Rollout
from core.rollout.votes.tally import ArmVotes, VoteTally, count_votes

MAX_QUOTES = 3
_ANSWERS = {"good": "good", "worse": "worse", "cant_tell": "can't tell"}


def describe_votes(rollout: Rollout, stage: int) -> str:
    """`new version 7 good, 2 worse · current version 6 good: could be chance`; empty if nobody said anything."""
    tally = count_votes(rollout, stage)
    if not tally.total:
        return ""
    arms = (
        ("new version", tally.canary),
        ("old version", tally.control),
        ("version not known", tally.unknown),
    )
    parts = [f"{name} {_format_arm(votes)}" for name, votes in arms if votes.total]
    return f"{' · '.join(parts)}{_describe_chance(tally)}"


def list_quotes(rollout: Rollout, stage: int) -> list[str]:
    """What testers wrote with their votes in a stage, `worse` first, without which version they get."""
    votes = [vote for vote in rollout.votes.get(stage, {}).values() if vote.text]
    ordered = sorted(votes, key=lambda vote: vote.choice != "worse")
    lines = [
        f"{wording.escape(vote.handle, 40)} ({answer_word(vote.choice)}): “{wording.escape(vote.text, 200)}”"
        for vote in ordered[:MAX_QUOTES]
    ]
    return [*lines, wording.format_remainder(len(ordered) - MAX_QUOTES)] if len(ordered) > MAX_QUOTES else lines


def answer_word(choice: str) -> str:
    """An answer as people read it within a sentence."""
    return _ANSWERS[choice]


def _format_arm(votes: ArmVotes) -> str:
    counts = {"good": votes.good, "worse": votes.worse, "can't tell": votes.cant_tell}
    return ", ".join(f"{count} {word}" for word, count in counts.items() if count)


def _describe_chance(tally: VoteTally) -> str:
    if not tally.canary.total or not tally.control.total:
        return ""  # there is nothing to compare
    return ": worse beyond chance" if tally.is_worse_beyond_chance else ": a difference could be chance"
