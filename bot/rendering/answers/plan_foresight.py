"""What a plan's stages could detect: as text for the printed plan, and as JSON."""

from collections.abc import Sequence
from datetime import timedelta
from math import ceil, floor, log10
from typing import Any

from bot.rendering import wording
from bot.rendering.blocks import blocks
from core.files.foresight.foresight import Foreseen
from core.files.foresight.known_traffic import Known
from core.judging.model import limits
from core.judging.model.limits import Kind, Limit
from core.rollout.plan import Risk

PATIENCE = timedelta(days=90)
"""A longer hold is not suggested as a remedy."""


def lines(foreseen: Sequence[Foreseen], known: Known) -> list[str]:
    """A heading, a table with one row per limit of the stage, and what the figures are based on."""
    if not foreseen:
        return []
    first = foreseen[0]
    usual, longest = wording.duration(first.usual), wording.duration(first.within)
    table = [_head(first), *(_row(one) for one in foreseen)]
    rows = [f"  {row}" for row in blocks.aligned(table).splitlines()]
    goes_on = f"goes on after {usual} and " if usual != longest else ""
    sight = [one.seen for one in foreseen if one.needs_sight]
    known_times = [x for x in sight if x is not None]
    grows = []
    if sight and len(known_times) == len(sight):
        after = wording.duration(max(known_times))
        grows = [f"  It grows once harm of twice each rollback limit would have been seen: after about {after}."]
    return [
        f"What could be seen in {first.stage} at {first.percent:g} %, which {goes_on}lasts {longest} at the most:",
        *rows,
        f"  From {wording.count(known.daily_requests or 0)} requests a day ({known.pace_from}) and levels "
        f"{known.levels_from}. Expected times; a limit acts only while the estimate lies beyond it as well.",
        *grows,
    ]


def warnings(foreseen: Sequence[Foreseen], risk: Risk, later: Sequence[Sequence[Foreseen]] = ()) -> list[str]:
    """Warnings about one stage: limits detected too late (with remedies), undetectable harm, and limits that
    cannot be shown to hold. `later_stages` holds, per later stage, the same limits in the same order."""
    found = [late(one, [of[i] for of in later]) for i, one in enumerate(foreseen) if not one.in_time]
    found += [blind(one) for one in foreseen if one.blind]
    unshown = [one for one in foreseen if not one.kept_in_time]
    if names := _names([one for one in unshown if one.rare]):
        found.append(f"Watched, not cleared: {names}. {foreseen[0].stage} is too short to show that they are kept.")
    if (blocking := [one for one in unshown if not one.rare]) and risk is Risk.HIGH:
        found.append(
            f"High risk grows only once every limit is shown to be kept, and {_names(blocking)} cannot be within "
            f"{wording.duration(foreseen[0].within)}: {foreseen[0].stage} would stop undecided and ask. "
            f"It takes about {_longest(blocking)}."
        )
    return found


def blind(one: Foreseen) -> str:
    """Warn that harm of twice this limit could still go unnoticed when the stage ends."""
    when = "never at this traffic" if one.seen is None else f"after about {wording.duration(one.seen)}"
    return (
        f"Blind in {one.stage}: {_limit(one.limit)}. Harm of twice that is seen four times in five {when}, and "
        f"{one.stage} lasts {wording.duration(one.within)} at the most: it would stop and ask."
    )


def late(one: Foreseen, later: Sequence[Foreseen] = ()) -> str:
    """Warn that this limit is detected too late, list remedies, and name the later stage that would detect it."""
    what = f"{_limit(one.limit)}: {_noticed(one)}; {one.stage} lasts {wording.duration(one.within)} at the most"
    smallest = None if one.smallest is None else _up(one.smallest)
    enough = f", enough for {amount(one.limit, smallest)}." if smallest is not None else ", enough for nothing."
    ways = ways_out(one)
    would = f" Any of these would do: {'; '.join(ways)}." if ways else ""
    seen = next((other for other in later if other.in_time), None)
    then = f" Else it is noticed in {seen.stage}." if seen is not None else ""
    return what + enough + would + then


def ways_out(one: Foreseen) -> list[str]:
    """Changes to the plan that would each be enough, with numbers: traffic, judging, hold or limit.

    A stage without violations ends after its minimum hold, so unless it waits for evidence, `min_hold` must grow."""
    ways, limit, found = one.ways, one.limit, []
    if ways is None:
        return []
    if ways.percent is not None:
        found.append(f"a canary of {_up(ways.percent):g} %")
    if ways.judging is not None:
        found.append(f"checking {min(_up(ways.judging * 100), 100):g} % of the answers")
    if ways.hold is not None and ways.hold <= PATIENCE:
        found.append(f"a {'max_hold' if one.waits else 'min_hold'} of {wording.duration(ways.hold)}")
    if ways.amount is not None:
        found.append(f"a limit of {amount(limit, _up(ways.amount))}")
    return found


def amount(limit: Limit, size: float | None) -> str:
    """A size on the limit's scale; `nothing` if there is none."""
    return "nothing" if size is None else limits.rounded(limit, size)


def as_json(one: Foreseen) -> dict[str, Any]:
    """One limit's forecast as JSON: durations in seconds, amounts on the limit's scale, percentages 0 to 100."""
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
        "goes_on_after_seconds": one.usual.total_seconds(),
        "smallest_noticed_by_then": one.smallest_usual,
        "cleared_after_seconds": _seconds(one.cleared),
        "cleared_in_time": one.kept_in_time,
        "watched_only": one.rare,
        "twice_seen_after_seconds": _seconds(one.seen),
        "blind": one.blind,
        "ways": None
        if one.ways is None
        else {
            "percent": one.ways.percent,
            "judged_percent": None if one.ways.judging is None else one.ways.judging * 100,
            "hold_seconds": _seconds(one.ways.hold),
            "amount": one.ways.amount,
        },
    }


def _limit(limit: Limit) -> str:
    return f"{limit.metric} {limits.wording(limit)}"


def _noticed(one: Foreseen) -> str:
    fixed = one.limit.absolute or one.limit.per_category or one.limit.strict
    what = f"{amount(one.limit, one.size)} is noticed" if fixed else "noticed"
    if one.noticed is None:
        return "never noticed at this traffic"
    return f"{what} after about {wording.duration(one.noticed)}"


def _head(first: Foreseen) -> tuple[str, ...]:
    until = [first.usual] if first.usual != first.within else []
    return (
        "limit",
        "evidence of a change that large after",
        *(f"least noticed in {wording.duration(span)}" for span in (*until, first.within)),
        "shown to be kept after",
    )


def _row(one: Foreseen) -> tuple[str, ...]:
    fixed = one.limit.absolute or one.limit.per_category or one.limit.strict
    after = "never" if one.noticed is None else wording.duration(one.noticed)
    kept = "–" if not one.clearable else "never" if one.cleared is None else wording.duration(one.cleared)
    early = [_signed(one, one.smallest_usual)] if one.usual != one.within else []
    return (
        _limit(one.limit),
        f"{after} ({amount(one.limit, one.size)})" if fixed else after,
        *early,
        _signed(one, one.smallest),
        kept + (", only watched" if one.rare and one.clearable else ""),
    )


def _signed(one: Foreseen, size: float | None) -> str:
    """The smallest change that is noticed, never below the limit, because smaller changes trigger no action."""
    if size is None:
        return "nothing"
    if one.limit.absolute or one.limit.per_category:
        return amount(one.limit, _up(size))
    sign = {Kind.DROPS_BY: "-", Kind.CHANGES_BY: "±"}.get(one.limit.kind, "+")
    return sign + amount(one.limit, max(_up(size), one.limit.amount))


def _names(of: Sequence[Foreseen]) -> str:
    return ", ".join(dict.fromkeys(one.limit.metric for one in of))


def _longest(of: Sequence[Foreseen]) -> str:
    times = [one.cleared for one in of if one.cleared is not None]
    return wording.duration(max(times)) if len(times) == len(of) else "for ever"


def _up(number: float) -> float:
    """Round up to two significant digits; rounding down would give a number that is not enough."""
    if number <= 0:
        return number
    step = 10.0 ** (floor(log10(number)) - 1)
    return ceil(round(number / step, 6)) * step


def _seconds(span: timedelta | None) -> float | None:
    return None if span is None else round(span.total_seconds(), 1)
