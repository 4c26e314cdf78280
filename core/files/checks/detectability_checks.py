"""Check that the limits of a file can detect anything in the time and traffic they have."""

from collections.abc import Iterator
from datetime import timedelta

from core.files.build_plan import limits, stages
from core.files.foresight import foresight
from core.files.foresight.foresight import SAID, Design, Foreseen
from core.files.foresight.known_traffic import assumed
from core.files.rollout_file import RolloutFile
from core.files.syntax.problems import Path, Problem
from core.files.syntax.times import ahead
from core.files.templates import TEMPLATES
from core.judging.model.limits import Kind, Role, rounded
from core.rollout.policy import BUILT_IN, Policy
from core.rollout.surface import Surface


def check(file: RolloutFile, surface: Surface | None, policy: Policy = BUILT_IN) -> Iterator[Problem]:
    """Warnings for rollback limits that cannot detect their own change in time.

    One for each limit for which no compared stage is long enough, with what its best stage can detect, and one for each
    that the first stage would still ask about as a blind spot. Levels are assumed to be typical here; the `plan`
    command uses measured ones.
    """
    if surface is None or surface.daily_requests is None:
        return
    design = Design(
        stages=stages(file),
        limits=limits(file),
        control=file.assignment.control,
        segments=bool(_segments(file)),
        risk=file.careful,
        grow_on=policy.grows_on(file.careful),
    )
    paths = {(terms.metric, terms.kind): number for number, terms in enumerate(file.rollback_when)}
    late = foresight.late(foresight.best(design, assumed(surface)))
    for one in late:
        number = paths.get((one.limit.metric, one.limit.kind))
        if one.limit.role is not Role.ROLLBACK or number is None:
            continue  # from the template, so it has no line in this file
        path: Path = ("rollback_when", number, one.limit.kind.value)
        yield file.source.problem(path, SAID + _told(one), severity="warning")
    first = foresight.foresee(design, design.compared[0], assumed(surface)) if design.compared else ()
    for one in first:
        number = paths.get((one.limit.metric, one.limit.kind))
        if one.blind and number is not None and one.limit not in {other.limit for other in late}:
            path = ("rollback_when", number, one.limit.kind.value)
            yield file.source.problem(path, SAID + _blind(one), severity="warning")


def _told(one: Foreseen) -> str:
    enough = "for nothing" if one.smallest is None else f"for {rounded(one.limit, one.smallest)}"
    when = "never" if one.noticed is None else f"only after about {_about(one.noticed)}"
    return (
        f"at this traffic you can notice {_what(one)} {when}; {one.stage} lasts at most {ahead(one.within)}, "
        f"enough {enough}. rollout plan says what would help"
    )


def _blind(one: Foreseen) -> str:
    when = "never" if one.seen is None else f"after about {_about(one.seen)}"
    return (
        f"at this traffic harm of twice that is seen {when} (four times in five); {one.stage} lasts at most "
        f"{ahead(one.within)}, and would stop and ask. rollout plan says what would help"
    )


def _what(one: Foreseen) -> str:
    size = rounded(one.limit, one.size)
    if one.limit.absolute or one.limit.per_category:
        return f"{one.limit.metric} at {size}"
    words = {Kind.DROPS_BY: "drop", Kind.CHANGES_BY: "change"}
    article = "an" if size[:1] == "8" or size.startswith(("11", "18")) else "a"
    return f"{article} {size} {words.get(one.limit.kind, 'rise')}"


def _about(span: timedelta) -> str:
    hours = span / timedelta(hours=1)
    if hours < 2:
        return f"{hours * 60:.0f} min"
    return f"{hours:.0f} h" if hours < 48 else f"{hours / 24:.1f} days" if hours < 240 else f"{hours / 24:,.0f} days"


def _segments(file: RolloutFile) -> tuple[str, ...]:
    return TEMPLATES[file.template].segments if file.assignment.segments is None else file.assignment.segments
