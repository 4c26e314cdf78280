"""A bundle in words: which others a rollout moves with, how, and where they stand."""

from bot.rendering import reach_words, wording
from core.rollout.concurrency.bundles import Bundle
from core.rollout.plans.bundle_order import BundleOrder
from core.rollout.state import events as e
from core.rollout.state.model import Rollout

MAX_NAMED = 6


def describe_bundled(rollout: str, event: e.Bundled) -> str:
    """With which others a rollout moves, as a sentence after a colon."""
    name = wording.escape(event.bundle, 100)
    index = event.members.index(rollout)
    if event.order is BundleOrder.TOGETHER:
        others = _join([one for one in event.members if one != rollout])
        return f"{rollout} starts, holds and goes back together with {others} (bundle {name})."
    before = f" once {event.members[index - 1]} is done" if index else " first"
    return f"{rollout} starts{before}, and goes back if one before it does (bundle {name})."


def describe_others(rollout: Rollout, bundle: Bundle) -> str:
    """The line of a card and a request: how the bundle moves, and where each of the others stands."""
    others = [describe_member(one) for one in bundle.list_others(rollout)]
    named = wording.escape(bundle.name, 100)
    return f"Bundle {named}, {describe_order(bundle)}: with {wording.join_phrases(others, MAX_NAMED)}."


def describe_order(bundle: Bundle) -> str:
    """How it moves, in two words."""
    return "together" if bundle.order is BundleOrder.TOGETHER else "in order"


def describe_member(rollout: Rollout) -> str:
    """One rollout of a bundle in a few words: `R-2 sales-tone (sales-assistant, planned, needs 1 approval)`."""
    state = rollout.state.replace("_", " ")
    share = f" at {reach_words.format_share(rollout)}" if rollout.is_under_way and rollout.percent else ""
    waits = f", needs {rollout.waiting_for}" if rollout.request is not None and rollout.waiting_for else ""
    name, surface = wording.escape(rollout.plan.name, 60), wording.escape(rollout.plan.surface, 60)
    return f"{rollout.id} {name} ({surface}, {state}{share}{waits})"


def _join(ids: list[str]) -> str:
    *some, last = ids or ["nothing"]
    return f"{', '.join(some)} and {last}" if some else last
