"""Who is asked how a new version is, when, and who may answer."""

from collections.abc import Iterator

from core.flags.possible_answers import list_possible_answers
from core.flags.snapshot import Variant
from core.rollout.context import Actor, is_slack_user_id, slack_user_in
from core.rollout.plans.plan import Stage, StageKind, Tester
from core.rollout.serving import exposure
from core.rollout.state.model import Rollout
from core.rollout.state.world import World


def asks_testers(stage: Stage) -> bool:
    """Whether testers are asked when this stage begins: somebody gets the new version who did not have it before."""
    return stage.has_exposure and stage.kind is not StageKind.BAKE


def list_asked(world: World, rollout: Rollout) -> Iterator[Tester]:
    """The testers to ask in the current stage: not those who get the current version without being compared."""
    for tester in rollout.plan.testers or ():
        if not tester.channel and not is_slack_user_id(tester.person):
            continue  # nobody in Slack is known under this handle
        if not (tester.unit and _is_left_out(world, rollout, tester.unit)):
            yield tester


def find_voter(rollout: Rollout, by: Actor) -> Tester | None:
    """The tester that `by` is: named in the plan, or asking in a channel of testers. None for anybody else."""
    testers = rollout.plan.testers or ()
    person = slack_user_in(by.id)
    for tester in testers:
        if not tester.channel and (tester.person == person or (not person and _is_at_keyboard(tester, by))):
            return tester
    places = {by.channel, by.channel_id} - {""}
    for tester in testers:
        if person and tester.channel and places & {tester.channel, *_find_channel_ids(rollout, tester.channel)}:
            return Tester(person=person, handle=by.handle)
    return None


def request_key(stage: int, target: str) -> str:
    """The message key of the question to one person or channel in one stage."""
    return f"feedback:{stage}:{target}"


def _is_at_keyboard(tester: Tester, by: Actor) -> bool:
    """Whether a tester is logged in under their own handle on the machine of the command line."""
    return by.id.startswith("cli:") and by.matches_reference(tester.handle)


def _find_channel_ids(rollout: Rollout, channel: str) -> set[str]:
    """The ids under which questions were posted in this channel."""
    return {
        posted.channel
        for key, posted in rollout.messages.items()
        if key.startswith("feedback:") and key.endswith(f":{channel}")
    }


def _is_left_out(world: World, rollout: Rollout, unit: str) -> bool:
    """Whether it is certain that the unit is in neither arm in the current stage."""
    if rollout.plan.dividing:
        return False
    answers = list_possible_answers(exposure.build_surface_flags(world, rollout.plan.surface), unit, {})
    return all(one.answer.variant not in {Variant.CANARY, Variant.CONTROL} for one in answers)
