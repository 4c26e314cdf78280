"""A week's digest in words: each number in its unit, and what is behind it by name."""

from collections.abc import Sequence
from datetime import timedelta

from bot.rendering import wording
from bot.rendering.markup import Markup
from bot.rendering.numbers.reports import review_words
from core.digests.digest import Digest, DigestNumber, ModelShutdown, NumberUnit, OwedReview, Retirement
from core.digests.rollout_facts import RolloutFacts
from core.digests.week import Week
from core.rollout.models.retirements import UPGRADE_DAYS

_DAY = timedelta(days=1)
_FEW_CASES = 2
"""Up to so many, times are told one by one; of more, their median."""


def format_number(number: DigestNumber) -> str:
    """A number of a digest in its unit: `3`, `66.7 %`, `1.5 h`, `about 19,000`; a dash if nothing can be said."""
    if number.value is None:
        return "–"
    match number.unit:
        case NumberUnit.COUNT:
            return f"{number.value:g}"
        case NumberUnit.PEOPLE:
            return f"about {wording.format_count(number.value)}" if number.value else "0"
        case NumberUnit.SHARE:
            return f"{number.value * 100:.1f} %"
        case NumberUnit.SECONDS:
            return wording.format_duration(number.value)


def summarize(digest: Digest) -> str:
    """The week in one sentence: shipped, rolled back, running, reviews owed."""
    shipped = wording.pluralize(len(digest.shipped), "change")
    owed = wording.pluralize(len(digest.owed), "review")
    return f"{shipped} shipped, {len(digest.rolled_back)} rolled back, {len(digest.running)} under way, {owed} owed."


def describe_speed(digest: Digest) -> str:
    """Shipped against a usual week, the lead time, and what growing step by step added."""
    shipped, usual = digest.find("shipped"), digest.find("shipped_usual")
    parts = [f"{format_number(shipped)} shipped (in a usual week {format_number(usual)})"]
    if digest.shipped:
        lead = [f.lead_time for f in digest.shipped if f.lead_time is not None]
        parts.append(f"from plan to everyone {_format_times(lead, digest.find('lead_time'))}")
        if len(lead) > _FEW_CASES:
            parts.append(f"fastest {format_number(digest.find('lead_time_fastest'))}")
        added = [f.careful_time for f in digest.shipped if f.careful_time is not None]
        parts.append(f"of that, growing step by step took {_format_times(added, digest.find('time_added'))} (computed)")
    return " · ".join(parts)


def _format_times(times: Sequence[timedelta], middle: DigestNumber) -> str:
    """One or two times as they are, of more of them their median: `2.1 days (median of 5)`; a dash without any."""
    if not times:
        return "–"
    if len(times) > _FEW_CASES:
        return f"{format_number(middle)} (median of {len(times)})"
    return " and ".join(wording.format_duration(time) for time in sorted(times))


def format_days(week: Week) -> str:
    """The first and the last day of a week: `23 to 29 November`, `30 November to 6 December`."""
    first, last = week.monday, week.monday + timedelta(days=6)
    month = "" if first.month == last.month else f" {first:%B}"
    return f"{first.day}{month} to {last.day} {last:%B}"


def _find_flip_time(facts: RolloutFacts) -> timedelta | None:
    seconds = facts.rollback.flip_seconds if facts.rollback is not None else None
    return timedelta(seconds=seconds) if seconds is not None else None


def _describe_who(digest: Digest) -> str:
    """Who took back what was rolled back: `automatically`, `by a person`, `2 automatically and 1 by a person`."""
    automatic = round(digest.find("rolled_back_automatically").value or 0)
    by_hand = len(digest.rolled_back) - automatic
    if not by_hand:
        return "automatically"
    people = "by a person" if by_hand == 1 else "by people"
    return f"{automatic} automatically and {by_hand} {people}" if automatic else people


def describe_safety(digest: Digest) -> str:
    """Rollbacks: how many by the engine, how soon noticed, how soon back, who had it, and who was spared it."""
    if not digest.rolled_back:
        return "nothing was rolled back"
    back, ended = digest.rolled_back, {f.rollout for f in (*digest.shipped, *digest.rolled_back)}
    detected = [time for f in back if (time := f.time_to_detect) is not None]
    taken = [time for f in back if (time := _find_flip_time(f)) is not None]
    restored = [time for f in back if (time := f.time_to_restore) is not None]
    parts = [
        f"{len(back)} rolled back, {_describe_who(digest)}",
        f"noticed after {_format_times(detected, digest.find('time_to_detect'))}",
        f"back in {_format_times(taken, digest.find('time_to_go_back'))}",
        f"restored after {_format_times(restored, digest.find('time_to_restore'))}",
        f"change failure rate {format_number(digest.find('change_failure_rate'))} ({len(back)} of {len(ended)} ended)",
        f"{format_number(digest.find('people_reached'))} people had it",
    ]
    if digest.find("people_protected").value:
        parts.append(f"{format_number(digest.find('people_protected'))} people protected (computed)")
    return " · ".join(parts)


def list_shortcuts(digest: Digest, markup: Markup) -> list[str]:
    """One line per shortcut; says so if there was none."""
    lines = [
        f"{one.rollout} ({one.risk} risk): {review_words.describe_shortcut(one.shortcut, markup)}"
        for one in digest.shortcuts
    ]
    return lines or ["none"]


def list_surprises(digest: Digest, markup: Markup) -> list[str]:
    """How many expectations were missed, then each of them."""
    stated = digest.find("expectations").value or 0
    if not stated:
        return ["no expectations were stated"]
    return [
        f"{len(digest.missed)} of {wording.pluralize(round(stated), 'expectation')} missed",
        *(f"{one.rollout}: {markup.escape(review_words.format_row(one.row))}" for one in digest.missed),
    ]


def list_to_do(digest: Digest, markup: Markup) -> list[str]:
    """Reviews that are owed, and dates ahead; empty if there is nothing to do."""
    return [
        *(_describe_owed(one, markup) for one in digest.owed),
        *(_describe_retirement(one, markup) for one in digest.retirements),
        *(_describe_shutdown(one, markup) for one in digest.shutdowns),
    ]


def list_shipped(digest: Digest, markup: Markup) -> list[str]:
    """One line per rollout that was shipped."""
    return [
        f"{facts.rollout} {markup.escape(facts.plan.name)}: {markup.escape(facts.plan.surface)} "
        f"{markup.escape(f'{facts.plan.from_version} -> {facts.plan.to_version}')}"
        for facts in digest.shipped
    ]


def list_rolled_back(digest: Digest, markup: Markup) -> list[str]:
    """One line per rollout that was rolled back: by what, after how long, and how many people had it."""
    lines = []
    for facts in digest.rolled_back:
        if facts.rollback is None:
            continue
        by = "automatically" if facts.rollback.is_automatic else "by a person"
        detected = facts.time_to_detect
        after = f" after {wording.format_duration(detected)}" if detected is not None else ""
        people = f"about {wording.pluralize(facts.rollback.exposed_units, 'person', 'people')}"
        lines.append(f"{facts.rollout} {markup.escape(facts.plan.name)}: {by}{after}, {people} had it")
    return lines


def _describe_owed(one: OwedReview, markup: Markup) -> str:
    owner = markup.escape(one.owner_handle) if one.owner_handle else markup.person(one.owner)
    if one.late >= _DAY:
        days = wording.pluralize(one.late // _DAY, "day")
        return f"The review of {one.rollout} is {days} late ({owner})"
    return f"The review of {one.rollout} is due ({owner})"


def _describe_retirement(one: Retirement, markup: Markup) -> str:
    in_days = f"{one.day.day} {one.day:%b %Y}, in {wording.pluralize(one.days_left, 'day')}"
    surface, version = markup.escape(one.surface), markup.escape(one.version)
    if one.is_deadline:
        return f"{one.rollout} has to be done by {in_days}: {version} of {surface}"
    return f"{version} of {surface} can be called until {in_days}; {one.rollout} cannot be rolled back after that"


def _describe_shutdown(one: ModelShutdown, markup: Markup) -> str:
    planned = "an upgrade is planned" if one.is_upgrade_planned else "no upgrade is planned"
    if not one.is_upgrade_planned and one.days_left < UPGRADE_DAYS:
        planned += ", and the usual four weeks for one are no longer left: plan it now, with shorter stages"
    day = f"{one.on.day} {one.on:%b %Y}"
    if one.days_left <= 0:
        when = "is switched off today" if one.days_left == 0 else f"has been switched off since {day}"
    else:
        when = f"is switched off on {day}, in {wording.pluralize(one.days_left, 'day')}"
    return f"{markup.escape(one.model)}, which {markup.escape(one.surface)} uses, {when}; {planned}"
