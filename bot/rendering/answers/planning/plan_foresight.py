"""What a plan's stages could detect: as text for the printed plan, and as JSON."""

from collections.abc import Sequence
from datetime import timedelta
from math import ceil, floor, log10
from typing import Any

from bot.rendering import wording
from bot.rendering.blocks import blocks
from core import durations
from core.files.foresight.detection import LimitForesight
from core.files.foresight.known_traffic import KnownTraffic
from core.judging.limits import limits
from core.judging.limits.limits import Limit, LimitKind
from core.rollout.plans.plan import Plan, Risk

MAX_SUGGESTED_HOLD = timedelta(days=90)
"""A longer hold is not suggested as a remedy."""


def render_lines(foreseen: Sequence[LimitForesight], known: KnownTraffic) -> list[str]:
    """A heading, a table with one row per limit of the stage, and what the figures are based on."""
    if not foreseen:
        return []
    first = foreseen[0]
    expected, longest = wording.format_duration(first.expected), wording.format_duration(first.within)
    table = [_build_header(first), *(_build_row(one) for one in foreseen)]
    rows = [f"  {row}" for row in blocks.align_columns(table).splitlines()]
    goes_on = f"continues after {expected} and " if expected != longest else ""
    detection_times = [one.seen for one in foreseen if one.needs_sight]
    known_times = [x for x in detection_times if x is not None]
    grows = []
    if detection_times and len(known_times) == len(detection_times):
        after = wording.format_duration(max(known_times))
        grows = [f"  It grows once harm of twice each rollback limit would have been detected: after about {after}."]
    return [
        f"What {first.stage} could detect at {first.percent:g} %; it {goes_on}lasts {longest} at most:",
        *rows,
        f"  Based on {wording.format_count(known.daily_requests or 0)} requests a day ({known.pace_from}) and levels "
        f"{known.levels_from}. Times are expected values; a limit acts only while the estimate is beyond it too.",
        *grows,
    ]


def describe_sample_sizes(plan: Plan, baseline: str) -> str:
    """The sample sizes that a baseline has filled in: `Sample sizes, baseline from R-118: canary 1,700 requests.`"""
    sizes = [f"{s.name} {wording.format_count(s.min_samples)} requests" for s in plan.stages if s.min_samples]
    return f"Sample sizes, baseline from {baseline}: {', '.join(sizes) or 'none asked for'}."


def render_warnings(
    foreseen: Sequence[LimitForesight], risk: Risk, later_stages: Sequence[Sequence[LimitForesight]] = ()
) -> list[str]:
    """Warnings about one stage: limits detected too late (with remedies), undetectable harm, and limits that
    cannot be shown to hold. `later_stages` holds, per later stage, the same limits in the same order."""
    found = [
        describe_late_detection(one, [of[i] for of in later_stages])
        for i, one in enumerate(foreseen)
        if not one.is_noticed_in_time
    ]
    found += [describe_undetectable_harm(one) for one in foreseen if one.is_blind]
    unshown = [one for one in foreseen if not one.is_cleared_in_time]
    if names := _join_metric_names([one for one in unshown if one.rare]):
        found.append(f"Only watched: {names}. {foreseen[0].stage} is too short to show that they hold.")
    if (blocking := [one for one in unshown if not one.rare]) and risk is Risk.HIGH:
        found.append(
            "A high-risk rollout grows only once every limit is shown to hold. "
            f"{_join_metric_names(blocking)} cannot be within {wording.format_duration(foreseen[0].within)}, so "
            f"{foreseen[0].stage} would stop undecided and ask. "
            f"It takes about {_format_longest_wait(blocking)}."
        )
    return found


def describe_undetectable_harm(one: LimitForesight) -> str:
    """Warn that harm of twice this limit could still go unnoticed when the stage ends."""
    when = (
        "is never detected at this traffic"
        if one.seen is None
        else f"takes about {wording.format_duration(one.seen)} to detect"
    )
    return (
        f"Blind in {one.stage}: {_format_limit(one.limit)}. Harm of twice that {when} (four times in five), and "
        f"{one.stage} lasts {wording.format_duration(one.within)} at most: it would stop and ask."
    )


def describe_late_detection(one: LimitForesight, later_stages: Sequence[LimitForesight]) -> str:
    """Warn that this limit is detected too late, list remedies, and name the later stage that would detect it."""
    what = (
        f"{_format_limit(one.limit)}: {_format_detection_time(one)}; {one.stage} lasts "
        f"{wording.format_duration(one.within)} at most"
    )
    smallest = None if one.smallest is None else _round_up(one.smallest)
    enough = (
        f"enough for {format_amount(one.limit, smallest)}" if smallest is not None else "too short to notice anything"
    )
    ways = list_remedies(one)
    would = f" Any of these would do: {'; '.join(ways)}." if ways else ""
    later_detection = next((other for other in later_stages if other.is_noticed_in_time), None)
    then = f" Otherwise it is noticed in {later_detection.stage}." if later_detection is not None else ""
    return f"{what}, {enough}.{would}{then}"


def list_remedies(one: LimitForesight) -> list[str]:
    """Changes to the plan that would each be enough, with numbers: traffic, judging, hold or limit.

    A stage without violations ends after its minimum hold, so unless it waits for evidence, `min_hold` must grow."""
    ways, limit, found = one.remedies, one.limit, []
    if ways is None:
        return []
    if ways.percent is not None:
        found.append(f"a canary of {_round_up(ways.percent):g} %")
    if ways.judging is not None:
        found.append(f"checking {min(_round_up(ways.judging * 100), 100):g} % of the answers")
    if ways.hold is not None and ways.hold <= MAX_SUGGESTED_HOLD:
        found.append(f"a {'max_hold' if one.waits else 'min_hold'} of {_format_enough_time(ways.hold)}")
    if ways.amount is not None:
        found.append(f"a limit of {format_amount(limit, _round_up(ways.amount))}")
    return found


def _format_enough_time(span: timedelta) -> str:
    """The span in full hours, or minutes below two hours, rounded up so that it is enough."""
    step = timedelta(hours=1) if span > timedelta(hours=2) else timedelta(minutes=1)
    return durations.format_exact(ceil(span / step) * step)


def format_amount(limit: Limit, size: float | None) -> str:
    """A size on the limit's scale; `nothing` if there is none."""
    return "nothing" if size is None else limits.format_rounded(limit, size)


def to_json(one: LimitForesight) -> dict[str, Any]:
    """One limit's forecast as JSON: durations in seconds, amounts on the limit's scale, percentages 0 to 100."""
    return {
        "stage": one.stage,
        "percent": one.percent,
        "within_seconds": one.within.total_seconds(),
        "metric": one.limit.metric,
        "limit": limits.format_limit(one.limit),
        "role": str(one.limit.role),
        "level": one.level.level,
        "readings_share": one.level.share,
        "change": one.size,
        "noticed_after_seconds": _to_seconds(one.noticed),
        "in_time": one.is_noticed_in_time,
        "smallest_noticed": one.smallest,
        "goes_on_after_seconds": one.expected.total_seconds(),
        "smallest_noticed_by_then": one.smallest_by_then,
        "cleared_after_seconds": _to_seconds(one.cleared),
        "cleared_in_time": one.is_cleared_in_time,
        "watched_only": one.rare,
        "twice_seen_after_seconds": _to_seconds(one.seen),
        "blind": one.is_blind,
        "ways": None
        if one.remedies is None
        else {
            "percent": one.remedies.percent,
            "judged_percent": None if one.remedies.judging is None else one.remedies.judging * 100,
            "hold_seconds": _to_seconds(one.remedies.hold),
            "amount": one.remedies.amount,
        },
    }


def _format_limit(limit: Limit) -> str:
    return f"{limit.metric} {limits.write_numbers(limits.format_limit(limit))}"


def _format_detection_time(one: LimitForesight) -> str:
    fixed = one.limit.is_absolute or one.limit.is_per_category or one.limit.strict
    what = f"{format_amount(one.limit, one.size)} is noticed" if fixed else "noticed"
    if one.noticed is None:
        return "never noticed at this traffic"
    return f"{what} after about {wording.format_duration(one.noticed)}"


def _build_header(first: LimitForesight) -> tuple[str, ...]:
    until = [first.expected] if first.expected != first.within else []
    return (
        "limit",
        "a change that large noticed after",
        *(f"smallest noticed in {wording.format_duration(span)}" for span in (*until, first.within)),
        "shown to hold after",
    )


def _build_row(one: LimitForesight) -> tuple[str, ...]:
    fixed = one.limit.is_absolute or one.limit.is_per_category or one.limit.strict
    after = "never" if one.noticed is None else wording.format_duration(one.noticed)
    kept = "–" if not one.clearable else "never" if one.cleared is None else wording.format_duration(one.cleared)
    early = [_format_signed_amount(one, one.smallest_by_then)] if one.expected != one.within else []
    return (
        _format_limit(one.limit),
        f"{after} ({format_amount(one.limit, one.size)})" if fixed else after,
        *early,
        _format_signed_amount(one, one.smallest),
        kept + (", only watched" if one.rare and one.clearable else ""),
    )


def _format_signed_amount(one: LimitForesight, size: float | None) -> str:
    """The smallest change that is noticed, never below the limit, because smaller changes trigger no action."""
    if size is None:
        return "nothing"
    if one.limit.is_absolute or one.limit.is_per_category:
        return format_amount(one.limit, _round_up(size))
    sign = {LimitKind.DROPS_BY: "-", LimitKind.CHANGES_BY: "±"}.get(one.limit.kind, "+")
    return sign + format_amount(one.limit, max(_round_up(size), one.limit.amount))


def _join_metric_names(foreseen: Sequence[LimitForesight]) -> str:
    return ", ".join(dict.fromkeys(one.limit.metric for one in foreseen))


def _format_longest_wait(foreseen: Sequence[LimitForesight]) -> str:
    times = [one.cleared for one in foreseen if one.cleared is not None]
    return wording.format_duration(max(times)) if len(times) == len(foreseen) else "for ever"


def _round_up(number: float) -> float:
    """Round up to two significant digits; rounding down would give a number that is not enough."""
    if number <= 0:
        return number
    step = 10.0 ** (floor(log10(number)) - 1)
    return ceil(round(number / step, 6)) * step


def _to_seconds(span: timedelta | None) -> float | None:
    return None if span is None else round(span.total_seconds(), 1)
