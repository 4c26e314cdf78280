"""Looks at the evidence of every open rollout; of each one that is due by one worker only."""

from collections.abc import Callable
from datetime import datetime, timedelta
from uuid import uuid4

import structlog
from sqlalchemy.exc import SQLAlchemyError

from bot.jobs.due_times import DueTimes, find_due_time
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
    progress: DueTimes | None = None,
    report_outage: Callable[[Exception], bool] = lambda _: False,
    unwatched_after: timedelta = timedelta.max,
) -> None:
    """Look once at each open rollout that is due; one worker alone does it.

    Rollouts are due at different times so that looks do not all run at once: call this `TICKS_PER_INTERVAL` times per
    `every`, always with the same `progress`. `report_outage` gets database errors and returns whether it logged them.
    If a rollout had no look for `unwatched_after`, its first new look does not let it grow.
    """
    progress = progress or DueTimes()
    for rollout in service.load_world().open_rollouts:
        due_at = find_due_time(now, every, rollout.id)
        if progress.is_finished(rollout.id, due_at):
            continue
        with service.database.reading() as connection:
            look_count, looked_at = looks.load_count_and_time(connection, rollout.id)
        overdue = progress.is_overdue(rollout.id, look_count)
        if not overdue and looked_at is not None and due_at <= looked_at < now + _MAX_CLOCK_SKEW:
            progress.record(rollout.id, due_at, look_count, is_finished=True)
            continue
        # The look count in the name lets a time that repeats, because the clock was set back, run again.
        timer_name = f"tick:{rollout.id}:{look_count}"
        if overdue:  # a fresh name, since a dead worker may hold this time until a time that was set back
            timer_name = f"{timer_name}:{uuid4().hex}"
        token = timers.claim(service.database, timer_name, due_at, now, _LEASE)
        progress.record(rollout.id, due_at, look_count, is_finished=token is not None, claimed_here=token is not None)
        if token is None:
            continue
        lease = rollout_look.LookLease(TimerClaim(timer_name, due_at, token), _LEASE)
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
            command_id = f"broken:{rollout.id}:{due_at.isoformat()}"
            service.handle_as_engine(doubt, command_id=command_id, at=now, rollout=rollout.id)
            continue
        if outcome is None:
            with service.database.writing_outside_log() as connection:
                timers.finish(connection, timer_name, due_at, token)
