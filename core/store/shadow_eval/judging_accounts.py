"""What judging has cost by rollout. A lease is paid for when it is handed out, and settled by what the judge says."""

from typing import Any

from sqlalchemy import Connection, Row, select, update

from core.shadow_eval.spending import MICROS, JudgingAccount, JudgingSpend, to_micros
from core.store.models import insert_into, judging_account


def load_spend(connection: Connection, rollout: str, cap: float | None = None) -> JudgingSpend:
    """What judging this rollout has cost so far."""
    found = load_account(connection, rollout)
    return JudgingSpend(spent=found.spent / MICROS, judged=found.judged, cap=cap)


def load_account(connection: Connection, rollout: str) -> JudgingAccount:
    """The account of this rollout."""
    return _read(connection.execute(select(judging_account).where(judging_account.c.rollout == rollout)).first())


def lock_account(connection: Connection, rollout: str) -> JudgingAccount:
    """The account, which nobody else may charge until the end of the writing transaction that this needs."""
    fresh = {"rollout": rollout, "spent": 0, "judged": 0, "told": 0, "told_of": 0}
    connection.execute(insert_into(connection, judging_account).values(fresh).on_conflict_do_nothing())
    wanted = select(judging_account).where(judging_account.c.rollout == rollout)
    return _read(connection.execute(wanted.with_for_update()).one())


def charge_leases(connection: Connection, rollout: str, many: int, stated: float | None) -> int:
    """Charge what `many` tasks will probably cost, and return that of each, in millionths of a dollar."""
    each = lock_account(connection, rollout).expect_cost(stated)
    settle(connection, rollout, many * each)
    return each


def settle(connection: Connection, rollout: str, difference: int) -> None:
    """Add to what was spent, in millionths of a dollar; a negative `difference` gives it back."""
    if difference:
        spent = judging_account.c.spent + difference
        connection.execute(update(judging_account).where(judging_account.c.rollout == rollout).values(spent=spent))


def count_result(connection: Connection, rollout: str, charged: int, told: float | None) -> None:
    """Count a verdict whose lease was `charged`; what the judge says that it cost, in dollars, takes its place."""
    table = judging_account.c
    values: dict[str, Any] = {"judged": table.judged + 1}
    if told is not None:
        cost = to_micros(told)
        values |= {"spent": table.spent + cost - charged, "told": table.told + cost, "told_of": table.told_of + 1}
    changed = update(judging_account).where(table.rollout == rollout).values(values)
    if connection.execute(changed).rowcount == 0:  # it was leased before there were accounts
        lock_account(connection, rollout)
        connection.execute(changed)


def _read(row: Row[Any] | None) -> JudgingAccount:
    if row is None:
        return JudgingAccount()
    return JudgingAccount(spent=row.spent, judged=row.judged, told=row.told, told_of=row.told_of)
