"""What others mean for a rollout: its bundle, shared parts, its place in the queue, what went live since."""

from dataclasses import dataclass
from datetime import date, datetime

from core.rollout.concurrency import bundles, readiness, shared_parts, start_queue
from core.rollout.concurrency.bundles import Bundle
from core.rollout.concurrency.shared_parts import SharedPart
from core.rollout.concurrency.start_queue import QueuePlace
from core.rollout.models import way_back
from core.rollout.serving.after_done import AfterDone, find_after_done
from core.rollout.state.model import Rollout
from core.rollout.state.world import World


@dataclass(frozen=True, slots=True, kw_only=True)
class Neighbours:
    """What other rollouts, and those who provide its models, mean for one."""

    place: QueuePlace | None = None
    bundle: Bundle | None = None
    shared: tuple[SharedPart, ...] = ()  # what rollouts under way elsewhere change as well
    waits: tuple[str, ...] = ()  # what its start waits for in its bundle, one sentence each
    last_day: date | None = None  # the last one on which its old version can be called, if known
    after: AfterDone | None = None  # of one that is done: what is live by now, and whether there is a way back


NO_NEIGHBOURS = Neighbours()


def find_neighbours(world: World, rollout: Rollout, at: datetime) -> Neighbours:
    """What other rollouts mean for this one at `at`."""
    last = way_back.find_last_day(rollout.plan, world.surfaces.get(rollout.plan.surface))
    return Neighbours(
        place=start_queue.find_place(world, rollout, at),
        bundle=bundles.find_bundle_of(world, rollout),
        shared=shared_parts.find_shared_with(world, rollout),
        waits=readiness.list_bundle_waits(world, rollout, at, by_itself=True),
        last_day=last.day if last is not None else None,
        after=find_after_done(world, rollout, at),
    )
