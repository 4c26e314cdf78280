"""What other rollouts mean for one, in lines: its bundle, shared parts, the queue, what a plan that waited became."""

from bot.rendering import wording
from bot.rendering.neighbours import bundle_words, queue_words, shared_words
from core.rollout.concurrency.neighbours import Neighbours
from core.rollout.state.model import Rollout, RolloutState

MAX_SHARED = 5


def list_lines(rollout: Rollout, neighbours: Neighbours) -> list[str]:
    """One line for each thing that is the case; escaped mrkdwn."""
    lines = []
    if neighbours.bundle is not None:
        lines.append(bundle_words.describe_others(rollout, neighbours.bundle))
    lines += [wording.escape(said, 300) for said in neighbours.waits]
    lines += [shared_words.describe(one) for one in neighbours.shared[:MAX_SHARED]]
    if (place := neighbours.place) is not None:
        said = queue_words.describe_place(place)
        lines.append(f"Queue: {said}. When its turn comes, what is live is checked again.")
    if rollout.renewal is not None and rollout.state is RolloutState.PLANNED:
        lines.append(queue_words.describe_renewal(rollout.id, rollout.plan, rollout.renewal))
    return lines
