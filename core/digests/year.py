"""A year of weeks as a table: what was shipped and taken back, and how long it took."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from math import isnan
from typing import Any

from core.digests.rollout_facts import RolloutFacts
from core.digests.week import Week, list_weeks, week_of

WEEKS_PER_YEAR = 52


@dataclass(frozen=True, slots=True, kw_only=True)
class WeekRow:
    """One week of the table. Medians are in seconds, the rate is 0 to 1; None if nothing can be said."""

    week: str
    shipped: int
    rolled_back: int
    failure_rate: float | None
    lead_time: float | None
    time_to_detect: float | None
    shortcuts: int


def build_year(last: Week, facts: Sequence[RolloutFacts]) -> tuple[WeekRow, ...]:
    """One row for each of the 52 weeks up to `last`, oldest first, from the facts of what was open in them."""
    import pandas as pd  # loaded late: it takes half a second

    weeks = [week.id for week in list_weeks(last, WEEKS_PER_YEAR)]
    table = pd.DataFrame(
        list(_list_happenings(facts, last.zone)),
        columns=["week", "rollout", "shipped", "rolled_back", "lead_time", "time_to_detect", "shortcuts"],
    )
    by_week = table.groupby("week")
    sums = by_week[["shipped", "rolled_back", "shortcuts"]].sum().reindex(weeks, fill_value=0)
    medians = by_week[["lead_time", "time_to_detect"]].median().reindex(weeks)
    ended = table[(table["shipped"] + table["rolled_back"]) > 0].groupby("week")["rollout"].nunique().reindex(weeks)
    joined = sums.join(medians).assign(failure_rate=sums["rolled_back"] / ended)
    return tuple(_build_row(str(week), values) for week, values in joined.to_dict("index").items())


def _build_row(week: str, values: Mapping[Any, Any]) -> WeekRow:
    return WeekRow(
        week=week,
        shipped=int(values["shipped"]),
        rolled_back=int(values["rolled_back"]),
        failure_rate=_known(values["failure_rate"]),
        lead_time=_known(values["lead_time"]),
        time_to_detect=_known(values["time_to_detect"]),
        shortcuts=int(values["shortcuts"]),
    )


def write_csv(rows: Iterable[WeekRow]) -> str:
    """The table as CSV, with a header; what is unknown is empty."""
    import pandas as pd

    return str(pd.DataFrame(list(rows)).to_csv(index=False))


def _list_happenings(
    facts: Iterable[RolloutFacts], zone: str
) -> Iterable[tuple[str, str, int, int, float | None, float | None, int]]:
    """One row per thing that happened: shipped, rolled back, or a shortcut; with the week that it happened in."""
    for one in facts:
        if one.completed is not None:
            lead = one.lead_time
            seconds = lead.total_seconds() if lead is not None else None
            yield week_of(one.completed.at, zone).id, one.rollout, 1, 0, seconds, None, 0
        if one.rollback is not None:
            detected = one.time_to_detect
            seconds = detected.total_seconds() if detected is not None else None
            yield week_of(one.rollback.decided.at, zone).id, one.rollout, 0, 1, None, seconds, 0
        for shortcut in one.shortcuts:
            yield week_of(shortcut.at, zone).id, one.rollout, 0, 0, None, None, 1


def _known(number: float) -> float | None:
    """The number; None for the NaN by which pandas says that nothing is known."""
    return None if isnan(number) else float(number)
