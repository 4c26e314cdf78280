"""What a tester's vote does: it is recorded or refused, and votes that are beyond chance stop growth."""

from core.rollout import commands as c
from core.rollout.context import Context
from core.rollout.plans.plan import Tester
from core.rollout.refusal import Conflict, Refused
from core.rollout.state import events as e
from core.rollout.state import holds
from core.rollout.state.evolve import evolve
from core.rollout.state.model import Rollout, RolloutState
from core.rollout.votes import tally, testers


def cast_vote(rollout: Rollout, command: c.CastVote, context: Context) -> list[e.RolloutEvent]:
    """The events of a vote; none if the same was said before. `Refused` for whoever may not vote, or not now."""
    tester = _require_tester(rollout, context)
    stage = _require_stage(rollout, command)
    before = rollout.votes.get(stage, {}).get(tester.person)
    if command.choice == c.WITHDRAW_VOTE:
        return [e.VoteWithdrawn(by=context.by.id, voter=tester.person, stage=stage)] if before is not None else []
    choice, text = _read_vote(command, before)
    if before is not None and (before.choice, before.text) == (choice, text):
        return []
    vote = e.VoteCast(
        by=context.by.id,
        handle=context.by.name if context.by.from_slack else tester.handle or context.by.name,
        voter=tester.person,
        stage=stage,
        arm=command.arm,
        choice=choice,
        text=text,
    )
    held = find_hold(evolve(rollout, vote, context.at))
    return [vote] if held is None else [vote, held]


def find_hold(rollout: Rollout) -> e.Held | None:
    """The hold that follows from what testers say in the current stage; None if none does, or a person overrode it."""
    key = f"{holds.VOTES}{rollout.stage_index}"
    if rollout.state not in {RolloutState.RUNNING, RolloutState.WAITING} or key in rollout.overridden:
        return None
    votes = tally.count_votes(rollout, rollout.stage_index)
    if not votes.is_worse_beyond_chance:
        return None
    new, now = votes.canary, votes.control
    text = (
        f"{new.worse} of {new.total} testers call the new version worse, {now.worse} of {now.total} the old one: "
        "more than chance"
    )
    return e.Held(key=key, text=text)


def _require_tester(rollout: Rollout, context: Context) -> Tester:
    found = testers.find_voter(rollout, context.by)
    if found is not None:
        return found
    if not rollout.plan.testers:
        raise Refused(
            f"{rollout.id} has no testers, so nobody votes on it.",
            hint=f"Anyone can say what is wrong: /rollout feels-off {rollout.id} why.",
            code="forbidden",
        )
    raise Refused(
        f"Only the testers of {rollout.id} can vote, and you are not one of them.",
        hint=f"Anyone can say what is wrong: /rollout feels-off {rollout.id} why.",
        code="forbidden",
    )


def _require_stage(rollout: Rollout, command: c.CastVote) -> int:
    """The index of the stage that the vote is about. Refused if nobody has the new version."""
    if rollout.state is RolloutState.PLANNED:
        raise Refused(f"{rollout.id} has not started, so there is nothing to compare yet.")
    if not rollout.is_under_way:
        raise Refused(
            f"{rollout.id} is {rollout.state.replace('_', ' ')}, so votes no longer count.",
            hint=f"What you noticed can go into its review: /rollout review {rollout.id}.",
        )
    if not rollout.current_stage.has_exposure:
        raise Refused(f"Nobody has the new version of {rollout.id} yet. You are asked when somebody does.")
    if command.stage is not None and command.stage != rollout.stage_index:
        raise Conflict(
            f"This asked about an earlier stage of {rollout.id}, which is over. Nothing was changed.",
            hint="Answer the newest message.",
        )
    return rollout.stage_index


def _read_vote(command: c.CastVote, before: e.VoteCast | None) -> tuple[str, str]:
    """(choice, text) of the vote; what was said earlier stays where nothing new is said."""
    text = command.text.strip()
    if not command.choice and before is not None and text:
        return before.choice, text
    if command.choice in c.VOTE_CHOICES:
        return command.choice, text or (before.text if before is not None and before.choice == command.choice else "")
    if command.choice:
        raise Refused(
            f'"{command.choice[:40]}" is not an answer.', hint="Say good, worse, cant-tell or withdraw.", code="invalid"
        )
    raise Refused("Is it good, worse, or can't you tell? Say that first, then say more.", code="invalid")
