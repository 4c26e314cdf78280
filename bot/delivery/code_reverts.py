"""Asks for code to be reverted once a rollback has switched the flag, and records what came of it."""

import random
from collections.abc import Callable
from datetime import datetime

import structlog

from bot.actuators.code_reverts.code_revert import OpenRevertSystem, RevertOrder
from bot.delivery.consumer import LeaseTakenOver, OutboxConsumer
from bot.outbound.errors import PermanentFailure, RetryLater
from bot.process.machine_clock import utc_now
from bot.process.outage import DATABASE_ERRORS
from core.rollout import commands as c
from core.rollout.serving import code_reverts
from core.rollout.state.events import RolledBack
from core.rollout.state.model import Rollout
from core.rollout.state.world import World
from core.service.outbox_tasks import REVERTS, RevertTask
from core.service.service import RolloutService
from core.store.coordination.outbox import OutboxRow

log = structlog.get_logger()

REPORT_TROUBLE_AFTER = 4  # failed attempts


def has_reverts(world: World) -> bool:
    """Whether any rollout has code to revert; without one, the outbox need not be read."""
    return any(rollout.plan.reverts for rollout in world.rollouts.values())


def deliver_due(
    service: RolloutService,
    open_system: OpenRevertSystem,
    now: Callable[[], datetime],
    *,
    real_now: Callable[[], datetime] = utc_now,
    random_fraction: Callable[[], float] = random.random,
    speed: float = 1.0,
) -> int:
    """Ask for every revert that is due; returns how many rows were handled.

    A request whose answer was lost is sent again, under the same id: each system acts once on it.
    """
    consumer = OutboxConsumer(service.database, REVERTS, now, speed=speed, random_fraction=random_fraction)
    handled = 0
    while (row := consumer.claim()) is not None:
        _handle_row(row, service, open_system, consumer, now, real_now)
        handled += 1
    return handled


def _handle_row(
    row: OutboxRow,
    service: RolloutService,
    open_system: OpenRevertSystem,
    consumer: OutboxConsumer,
    now: Callable[[], datetime],
    real_now: Callable[[], datetime],
) -> None:
    task = RevertTask.parse(row.request)
    rollout = service.load_world().get_rollout(task.rollout)

    def submit(command: c.Command, step: str) -> None:
        command_id = f"outbox:{row.id}:{row.lease_token}:{step}"
        service.handle_as_engine(command, command_id=command_id, at=now(), rollout=task.rollout)

    try:
        if task.index in code_reverts.list_open_reverts(rollout) and rollout.plan.reverts is not None:
            system = open_system(rollout.plan.reverts[task.index])
            order, recorded_at = _build_order(service, rollout, task)
            consumer.renew_lease(row)
            reference = system.request_revert(order)
            seconds = max(0.0, (real_now() - recorded_at).total_seconds())
            submit(c.RecordRevert(index=task.index, reference=reference, seconds=seconds), "requested")
        consumer.finish(row, {})
    except LeaseTakenOver:
        log.warning("taken over by another process", outbox=row.id, attempt=row.attempt)
    except PermanentFailure as never:
        log.error("code cannot be reverted", outbox=row.id, rollout=task.rollout, why=str(never))  # noqa: TRY400
        submit(c.RecordRevertTrouble(index=task.index, error=str(never), trying=False), "trouble")
        consumer.dead_letter(row, str(never))
    except RetryLater as later:
        if row.attempt >= REPORT_TROUBLE_AFTER:
            submit(c.RecordRevertTrouble(index=task.index, error=str(later), trying=True), "trouble")
        consumer.reschedule(row, later)
    except DATABASE_ERRORS as error:
        consumer.reschedule_after_outage(row, error)
    except Exception as error:
        log.exception("a revert failed", outbox=row.id)
        consumer.reschedule(row, RetryLater(f"{type(error).__name__}: see Rampart's log"))


def _build_order(service: RolloutService, rollout: Rollout, task: RevertTask) -> tuple[RevertOrder, datetime]:
    """The order, and when the rollback was recorded (real time). Words of people stay out of other systems."""
    recorded = next(x for x in reversed(service.load_history(rollout.id)) if isinstance(x.event, RolledBack))
    event = recorded.event
    assert isinstance(event, RolledBack)
    first = event.findings[0] if event.findings else None
    reason = f"{first.metric} {first.limit_text}" if first is not None else "a person rolled it back"
    order = RevertOrder(
        id=f"rampart_{rollout.id}_{recorded.position}_{task.index}",
        rollout=rollout.id,
        surface=rollout.plan.surface,
        version=event.version,
        code=str(rollout.to_content.get("code", "")),
        reason=reason,
        at=recorded.at,
    )
    return order, recorded.recorded_at
