"""What could be seen, in plain words: for the plan that is printed, and for machines."""

from collections.abc import Sequence
from datetime import timedelta
from typing import Any

from bot.rendering import wording
from core.judging import limits
from core.judging.limits import Kind, Limit, Scale
from core.metrics.catalogue import CATALOGUE
from core.metrics.catalogue import Kind as MetricKind
from core.rollout.plan import Risk
from core.spec.foresight import Foreseen, Ways
from core.spec.known import Known


def lines(foreseen: Sequence[Foreseen], known: Known) -> list[str]:
    """A heading, and a line for each limit of a stage."""
    if not foreseen:
        return []
    first = foreseen[0]
    width = max(len(_limit(one.limit)) for one in foreseen)
    return [
        f"What {first.stage} would notice at {first.percent:g} %, in {wording.duration(first.within)} at the most:",
        *(f"  {_limit(one.limit):<{width}}  {_noticed(one)}; {_least(one)}" for one in foreseen),
        f"  {wording.count(known.daily_requests or 0)} requests a day ({known.pace_from}); levels {known.levels_from}. "
        "Expected times: half of all cases take longer.",
    ]


def warnings(foreseen: Sequence[Foreseen], risk: Risk) -> list[str]:
    """What deserves red: limits that come too late with what would help, and those that cannot be shown to be kept."""
    found = [late(one) for one in foreseen if not one.in_time]
    unshown = [one for one in foreseen if not one.kept_in_time]
    if names := _names([one for one in unshown if one.rare]):
        found.append(f"watched, not cleared: {names}. {foreseen[0].stage} is too short to show that these are kept.")
    blocking = [one for one in unshown if not one.rare]
    if risk is Risk.HIGH and (names := _names(blocking)):
        found.append(
            f"high risk grows only once every limit is shown to be kept, and {names} cannot be within "
            f"{wording.duration(foreseen[0].within)}: {foreseen[0].stage} would stop undecided and ask. "
            f"It takes about {_longest(blocking)}."
        )
    elif names:
        found.append(f"not cleared in time: {names}. At {risk} risk it grows all the same; at high risk it would stop.")
    return found


def late(one: Foreseen) -> str:
    """One limit that comes too late, and the ways out."""
    what = f"{_limit(one.limit)}: {_noticed(one)}, and {one.stage} lasts {wording.duration(one.within)} at the most"
    enough = f", enough for {amount(one.limit, one.smallest)}" if one.smallest is not None else ""
    ways = [] if one.ways is None else way_out(one.limit, one.ways)
    return what + enough + (f". Any of these would do: {'; '.join(ways)}" if ways else "") + "."


def way_out(limit: Limit, ways: Ways) -> list[str]:
    """Each with the number that would do."""
    found = []
    if ways.percent is not None:
        found.append(f"a canary of {_up(ways.percent)} %")
    if ways.judging is not None:
        found.append(f"checking {_up(ways.judging * 100)} % of the answers")
    if ways.hold is not None:
        found.append(f"a max_hold of {wording.duration(ways.hold)}")
    if ways.amount is not None:
        found.append(f"a limit of {amount(limit, ways.amount)}")
    return found


def amount(limit: Limit, size: float | None) -> str:
    """A size in the limit's scale: `2.4 pp`, `15 %`, `5,000 ms`."""
    if size is None:
        return "nothing"
    entry = CATALOGUE[limit.metric]
    if limit.scale is Scale.RELATIVE:
        return f"{size * 100:,.3g} %" if size < 10 else f"{size * 100:,.0f} %"
    if limit.scale is Scale.POINTS:
        return f"{size * 100:.2g} pp"
    if entry.binary or limit.per_category:
        return f"{size * 100:.2g} %"
    if entry.kind is MetricKind.COUNT:
        return f"{size * 1000:.3g} {entry.unit}"
    return f"{size:,.0f} {entry.unit}" if size >= 100 else f"{size:.3g} {entry.unit}"


def as_json(one: Foreseen) -> dict[str, Any]:
    """For machines: durations in seconds, amounts in the limit's own scale, percentages 0 to 100."""
    return {
        "stage": one.stage,
        "percent": one.percent,
        "within_seconds": one.within.total_seconds(),
        "metric": one.limit.metric,
        "limit": limits.wording(one.limit),
        "role": str(one.limit.role),
        "level": one.level.level,
        "readings_share": one.level.share,
        "change": one.size,
        "noticed_after_seconds": _seconds(one.noticed),
        "in_time": one.in_time,
        "smallest_noticed": one.smallest,
        "cleared_after_seconds": _seconds(one.cleared),
        "cleared_in_time": one.kept_in_time,
        "watched_only": one.rare,
        "ways": None
        if one.ways is None
        else {
            "percent": one.ways.percent,
            "judged_percent": None if one.ways.judging is None else one.ways.judging * 100,
            "max_hold_seconds": _seconds(one.ways.hold),
            "amount": one.ways.amount,
        },
    }


def _limit(limit: Limit) -> str:
    return f"{limit.metric} {limits.wording(limit)}"


def _noticed(one: Foreseen) -> str:
    what = {
        True: f"{amount(one.limit, one.size)} is noticed",
        False: "that is noticed",
    }[one.limit.absolute or one.limit.per_category or one.limit.strict]
    if one.noticed is None:
        return "never noticed at this traffic"
    return f"{what} after about {wording.duration(one.noticed)}"


def _least(one: Foreseen) -> str:
    if one.smallest is None:
        return "nothing is noticed in that time"
    if not one.limit.absolute and not one.limit.per_category and one.smallest < one.limit.amount:
        return f"even {amount(one.limit, one.smallest)} would show, but only more than the limit acts"
    sign = {Kind.DROPS_BY: "-", Kind.CHANGES_BY: "±"}.get(one.limit.kind, "+")
    sign = "" if one.limit.absolute or one.limit.per_category else sign
    return f"in that time {sign}{amount(one.limit, one.smallest)} is"


def _names(of: Sequence[Foreseen]) -> str:
    return ", ".join(dict.fromkeys(one.limit.metric for one in of))


def _longest(of: Sequence[Foreseen]) -> str:
    times = [one.cleared for one in of if one.cleared is not None]
    return wording.duration(max(times)) if len(times) == len(of) else "for ever"


def _up(percent: float) -> str:
    """Rounded up, as less would not do."""
    step = 0.1 if percent < 10 else 1.0
    return f"{-(-percent // step) * step:.3g}"


def _seconds(span: timedelta | None) -> float | None:
    return None if span is None else round(span.total_seconds(), 1)
