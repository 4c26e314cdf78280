"""Judges are given their anchors every few hours, and what comes of each round is recorded."""

from collections.abc import Iterator
from datetime import datetime

from core.rollout import commands as c
from core.rollout.judging.judging_limits import find_judging
from core.rollout.state.model import Rollout
from core.rollout.state.surface import JudgingTerms
from core.service.service import RolloutService
from core.shadow_eval.anchors import ANCHOR_ARM, EVERY, JudgeAnchor, build_task_id
from core.shadow_eval.samples import ShadowSample
from core.store.shadow_eval import judged_marks, judging_accounts, shadow_samples


def run_anchor_rounds(service: RolloutService, now: datetime) -> int:
    """Begin the rounds that are due, and record those that are over, and caps that are reached; how many there were.

    A round is over once every anchor was judged or given up, or when the next one is due.
    """
    world, changed = service.load_world(), 0
    for rollout in world.open_rollouts:
        terms = find_judging(world, rollout.id)
        if terms is None or not rollout.is_looked_at:
            continue
        if terms.anchors:
            changed += _run_round(service, rollout, terms, terms.anchors, now)
        if terms.cap is not None:
            changed += _record_cap(service, rollout, terms, terms.cap, now)
    return changed


def _run_round(
    service: RolloutService, rollout: Rollout, terms: JudgingTerms, anchors: tuple[JudgeAnchor, ...], now: datetime
) -> int:
    check, every = rollout.judge_check, terms.anchors_every or EVERY
    number = check.last_round + 1
    with service.database.reading() as connection:
        progress = shadow_samples.load_anchor_round(connection, rollout.id, number)
    if progress is None:
        if check.began_at is not None and now < check.began_at + every:
            return 0
        with service.database.writing_outside_log() as connection:
            shadow_samples.add_samples(connection, list(_build_tasks(rollout, terms, anchors, number, now)))
        return 1
    if progress.waiting and now < progress.began_at + every:
        return 0
    with service.database.writing_outside_log() as connection:
        shadow_samples.close_anchor_round(connection, rollout.id, number)
        # What was judged until the round was closed belongs to it.
        progress = shadow_samples.load_anchor_round(connection, rollout.id, number) or progress
        aside = judged_marks.count_since_mark(connection, rollout.id, "eval_pass_rate")
    command = c.RecordAnchors(
        round=number,
        began_at=progress.began_at,
        verdicts=progress.verdicts,
        anchors=len(anchors),
        labels={anchor.id: anchor.label == "pass" for anchor in anchors if anchor.label is not None},
        set_aside=aside,
    )
    _hand_in(service, rollout, command, f"anchors:{number}", now)
    return 1


def _build_tasks(
    rollout: Rollout, terms: JudgingTerms, anchors: tuple[JudgeAnchor, ...], number: int, now: datetime
) -> Iterator[ShadowSample]:
    lasting = max(terms.keep, 2 * (terms.anchors_every or EVERY))
    for anchor in anchors:
        task = build_task_id(rollout.id, number, anchor.id)
        yield ShadowSample(
            id=task,
            rollout=rollout.id,
            surface=rollout.plan.surface,
            stage=rollout.stage_index,
            arm=ANCHOR_ARM,
            judge=terms.judge,
            at=now,
            expires_at=now + lasting,
            is_judged_twice=False,
            unit=task,
            question=anchor.question,
            answer=anchor.answer,
            segments={},
            anchor=anchor.id,
            round=number,
        )


def _record_cap(service: RolloutService, rollout: Rollout, terms: JudgingTerms, cap: float, now: datetime) -> int:
    known = rollout.judging_cap_reached
    if known is not None and known.cap == cap:
        return 0
    with service.database.reading() as connection:
        account = judging_accounts.load_account(connection, rollout.id)
        if account.count_room(terms.cost, cap) != 0:
            return 0
        spend = judging_accounts.load_spend(connection, rollout.id, cap)
        judged = {arm: one.judged for arm, one in shadow_samples.load_progress(connection, rollout.id).arms.items()}
    _hand_in(service, rollout, c.RecordJudgingCap(spent=spend.spent, cap=cap, judged=judged), f"cap:{cap}", now)
    return 1


def _hand_in(service: RolloutService, rollout: Rollout, command: c.EngineCommand, key: str, now: datetime) -> None:
    service.handle_as_engine(command, command_id=f"judging:{rollout.id}:{key}", at=now, rollout=rollout.id)
