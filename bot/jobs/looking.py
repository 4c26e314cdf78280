"""Looks at the evidence of every open rollout; each slot of a rollout is run by one worker only."""

from collections.abc import Callable
from datetime import datetime, timedelta
from uuid import uuid4

import structlog
from sqlalchemy.exc import SQLAlchemyError

from bot.jobs.look_slots import SlotTracker, find_slot_start
from core.rollout import commands as c
from core.rollout.refusal import Refused
from core.service import rollout_look
from core.service.service import RolloutService
from core.store.coordination import timers
from core.store.database.append_backend import TimerClaim
from core.store.errors import LeaseLost, StoreError
from core.store.observations import looks

log = structlog.get_logger()

_LEASE = timedelta(seconds=60)
# between machines; a look further in the future means that the clock was set back
_MAX_CLOCK_SKEW = timedelta(seconds=60)


def tick(
    service: RolloutService,
    now: datetime,
    every: timedelta,
    slots: SlotTracker | None = None,
    report_outage: Callable[[Exception], bool] = lambda _: False,
    unwatched_after: timedelta = timedelta.max,
) -> None:
    """Look once at each open rollout; each slot of a rollout is run by one worker only.

    Slots of different rollouts are staggered so that looks do not all run at once: call this `TICKS_PER_INTERVAL` times
    per `every`, always with the same `slots`. `report_outage` gets database errors and returns whether it logged them.
    If a rollout had no look for `unwatched_after`, its first new look does not let it grow.
    """
    slots = slots or SlotTracker()
    for rollout in service.load_world().open_rollouts:
        slot = find_slot_start(now, every, rollout.id)
        if slots.is_finished(rollout.id, slot):
            continue
        with service.database.reading() as connection:
            look_count, looked_at = looks.load_count_and_time(connection, rollout.id)
        overdue = slots.is_overdue(rollout.id, look_count)
        if not overdue and looked_at is not None and slot <= looked_at < now + _MAX_CLOCK_SKEW:
            slots.record_slot(rollout.id, slot, look_count, is_finished=True)
            continue
        # The look count in the name lets a slot that repeats, because the clock was set back, run again.
        timer_name = f"tick:{rollout.id}:{look_count}"
        if overdue:  # a fresh name, since a dead worker may hold this slot until a time that was set back
            timer_name = f"{timer_name}:{uuid4().hex}"
        token = timers.claim(service.database, timer_name, slot, now, _LEASE)
        slots.record_slot(rollout.id, slot, look_count, is_finished=token is not None, claimed_here=token is not None)
        if token is None:
            continue
        lease = rollout_look.LookLease(TimerClaim(timer_name, slot, token), _LEASE)
        try:
            outcome = rollout_look.evaluate_rollout(
                service, rollout.id, now, every=every, lease=lease, unwatched_after=unwatched_after
            )
        except LeaseLost as lost:
            log.info("tick claimed by another worker", rollout=rollout.id, why=str(lost))
            continue
        except Refused as refused:
            outcome = None
            log.warning("tick refused", rollout=rollout.id, why=refused.message)
        except (StoreError, SQLAlchemyError) as error:
            if not report_outage(error):
                log.warning(
                    "the database failed during a look; the next tick looks again", rollout=rollout.id, why=str(error)
                )
            continue
        except Exception as error:
            # One broken rollout must not stop the looks at the others, and must not grow without being judged.
            log.exception("tick failed", rollout=rollout.id)
            doubt = c.DoubtEvidence(text=f"the incoming data cannot be judged ({type(error).__name__}); see the log")
            command_id = f"broken:{rollout.id}:{slot.isoformat()}"
            service.handle_as_engine(doubt, command_id=command_id, at=now, rollout=rollout.id)
            continue
        if outcome is None:
            with service.database.writing_outside_log() as connection:
                timers.finish(connection, timer_name, slot, token)
