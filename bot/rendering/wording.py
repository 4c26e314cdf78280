"""Formats every number, time, state and name that a person reads, safe inside Slack's mrkdwn."""

import html
import re
from datetime import datetime, timedelta
from typing import assert_never
from zoneinfo import ZoneInfo

from core import durations
from core.flags.flows import FLOW
from core.judging.model.verdict import (
    BrokenSource,
    Cleared,
    Continue,
    Hold,
    NoControl,
    NoData,
    RollBack,
    Skewed,
    TooEarly,
    Verdict,
)
from core.metrics.money import dollars
from core.rollout.plans.plan import Stage, StageKind
from core.rollout.state.model import Rollout, RolloutState

_AS_WRITTEN = "\N{ZERO WIDTH SPACE}"  # before it, Slack would make `today` a `Today`, also within a sentence
_DATE_TOKEN = re.compile(r"<!date\^\d+\^[^|>]*\|([^>]*)>")
_MENTION = re.compile(r"<@([UW][A-Z0-9]+)>")
_UNFINISHED = re.compile(r"(<[^>]*|&[a-z]*)$")
_LONGEST_WORD = 30  # characters of a word that is left out whole where a text is cut
_USER_ID = re.compile(r"[UW][A-Z0-9]{2,}")


def to_single_line(text: str, limit: int = 3000) -> str:
    """`text` as one line without control, bidi or zero-width characters; runs of white space become one space.

    Text far beyond `limit` is dropped before processing, so a huge input costs no more than a long one.
    """
    if len(text) > 4 * limit + 64:
        text = text[: 4 * limit + 64] + "…"
    if not text.isprintable():  # spaces but " ", controls, bidi and zero-width marks, halves of pairs
        text = text.translate({ord(c): " " if c.isspace() else None for c in set(text) if not c.isprintable()})
    return " ".join(text.split())


def escape(text: str, limit: int = 300) -> str:
    """User-written text made safe for mrkdwn: no mentions, links or reordering; at most `limit` characters."""
    return shorten(html.escape(to_single_line(text, limit).replace("```", "'''"), quote=False), limit)


def shorten(mrkdwn: str, limit: int) -> str:
    """Cut mrkdwn to `limit` characters with an ellipsis, never inside an entity or a `<…>` token, nor inside a word but
    one that is longer than `_LONGEST_WORD` or half of the limit."""
    if len(mrkdwn) <= limit:
        return mrkdwn
    kept = mrkdwn[: limit - 1]
    if mrkdwn[limit - 1] != " ":
        words, _, cut = kept.rpartition(" ")
        kept = words if len(cut) <= min(_LONGEST_WORD, limit // 2) else kept
    return _UNFINISHED.sub("", kept).rstrip() + "…"


def strip_markup(mrkdwn: str) -> str:
    """mrkdwn as plain words for notifications and screen readers: dates as plain text, no emphasis marks."""
    return _DATE_TOKEN.sub(r"\1", mrkdwn).replace("*", "")


def to_plain_text(mrkdwn: str) -> str:
    """mrkdwn as it is read, for pages and files: no marks, and dates, mentions and characters in plain."""
    return html.unescape(name_mentions(strip_markup(mrkdwn))).replace("`", "")


def name_mentions(text: str) -> str:
    """Text with `@U0DANA0001` for each mention of a person."""
    return _MENTION.sub(r"@\1", text)


def format_remainder(count: int) -> str:
    """`(+4 more)`: how many items were left out."""
    return f"(+{count} more)"


def join_limited(items: list[str], limit: int = 5, separator: str = ", ") -> str:
    """Join the first `limit` items and count the rest: `a, b, c (+4 more)`."""
    shown = separator.join(items[:limit])
    return f"{shown} {format_remainder(len(items) - limit)}" if len(items) > limit else shown


def join_phrases(phrases: list[str], limit: int) -> str:
    """`join_limited` for phrases, which may hold commas: `a · b (+4 more)`."""
    return join_limited(phrases, limit, " · ")


def format_count(number: float) -> str:
    """A whole number with thousands separators: `158,040`."""
    return f"{number:,.0f}"


def capitalize(text: str) -> str:
    """The text with its first letter in upper case, and the rest as it is."""
    return text[:1].upper() + text[1:]


def pluralize(number: int, one: str, many: str = "") -> str:
    """A count with its noun: `1 request`, `1,204 requests`; `many` is for irregular plurals."""
    return f"{format_count(number)} {one if number == 1 else many or one + 's'}"


def format_percent(percentage: float) -> str:
    """A percentage, given as 0 to 100: `5 %`, `0.5 %`."""
    return f"{percentage:g} %"


def format_per_thousand(share: float) -> str:
    """A share, given as 0 to 1, in everyday words: `about 19 in 1,000`."""
    return "about " + (f"{share * 1000:.0f}" if share >= 0.001 or share == 0 else f"{share * 1000:.1g}") + " in 1,000"


def format_per_hundred(percentage: float) -> str:
    """A percentage, given as 0 to 100, in everyday words: `5 in 100`."""
    return f"{percentage:g} in 100"


def format_level(number: float, unit: str) -> str:
    """A metric's value in everyday words: a share as `about 19 in 1,000`, anything else in its unit."""
    return format_per_thousand(number) if unit.startswith("%") else format_value(number, unit)


def format_segment(segment: str) -> str:
    """A segment in plain words, escaped: `language=de` becomes `language is de`, `flow=refunds` the flow itself."""
    key, _, value = segment.partition("=")
    if key == FLOW:
        return f"the flow is {escape(value, 60)}"
    return f"{escape(key, 40)} is {escape(value, 40)}" if value else escape(key, 80)


def format_segment_customers(segment: str) -> str:
    """The customers of a segment, escaped: `customers with language “de”`, `customers in the flow refunds`."""
    key, _, value = segment.partition("=")
    if key == FLOW:
        return f"customers in the flow {escape(value, 60)}"
    return f"customers with {escape(key, 40)} “{escape(value, 40)}”" if value else f"customers in {escape(key, 80)}"


def format_value(number: float | None, unit: str) -> str:
    """A metric's value in its catalogue unit; a dash when it is unknown."""
    if number is None:
        return "–"
    if unit.startswith("%"):
        return f"{number * 100:.2f} %" if abs(number) < 0.01 else f"{number * 100:.1f} %"
    if unit == "US$":
        return dollars(number)
    if unit == "ms":
        return f"{number / 1000:.2f} s" if abs(number) >= 1000 else f"{number:.0f} ms"
    if unit.startswith("per 1,000"):
        return f"{number * 1000:.2f} per 1,000"
    if abs(number) >= 100:
        return f"{number:,.0f}"
    decimals = 2 if abs(number) >= 1 or not number else 3
    return f"{number:.{decimals}f}" if abs(number) >= 0.01 or not number else f"{number:.3g}"


_ROUNDING_ERROR = 1e-9


def format_difference(number: float | None, unit: str, *, relative: bool) -> str:
    """A signed difference: in per cent if relative, in percentage points for shares, otherwise in the unit."""
    if number is None:
        return "–"
    if relative:
        return f"{_format_signed(number)} %"
    if unit.startswith("%"):
        return f"{_format_signed(number)} pp"
    if abs(number) < _ROUNDING_ERROR:  # two means of the same readings, summed in another order
        number = 0.0
    sign = "+" if number >= 0 else "-"
    return sign + format_value(abs(number), unit)


def _format_signed(share: float) -> str:
    """A hundredfold with its sign, `+2.1`; what rounds to nothing has none."""
    shown = f"{share * 100:+.1f}"
    return "0.0" if shown in {"+0.0", "-0.0"} else shown


def format_magnitude(number: float, unit: str, *, relative: bool) -> str:
    """The magnitude of a difference, without its sign: `2.4 pp`, `15 %`, `0.03`."""
    if not relative and not unit.startswith("%"):
        return format_value(abs(number), unit)
    size = abs(number) * 100
    shown = f"{size:.1f}".removesuffix(".0") if size >= 0.1 or size == 0 else f"{size:.1g}"
    return f"{shown} {'%' if relative else 'pp'}"


def format_interval(low: float | None, high: float | None, unit: str, *, relative: bool) -> str:
    """A 95 % range in the unit of its difference, with the unit left out: `(-0.4 … +2.1)`; empty if unknown."""
    if low is None or high is None:
        return ""
    ends = [format_bound(end, unit, relative=relative) for end in (low, high)]
    return f"({ends[0]} … {ends[1]})"


def format_bound(number: float, unit: str, *, relative: bool) -> str:
    """One end of a range in the unit of its difference, as `format_interval` writes it."""
    is_share = relative or unit.startswith("%")
    return _format_signed(number) if is_share else format_difference(number, unit, relative=False)


def format_duration(span: timedelta | float) -> str:
    """A measured or estimated duration: `4.1 s`, `18 min`, `6 h`, `3 days`; a number counts seconds."""
    return durations.format_rounded(span if isinstance(span, timedelta) else timedelta(seconds=span))


def format_local_time(at: datetime, zone: str) -> str:
    """A Slack date token that each reader sees in local time, as in `today at 10:00` or `Nov 24, 2026 at 10:00`; the
    fallback text uses the workspace's `zone`."""
    form = f"{_AS_WRITTEN}{{date_short_pretty}} at {{time}}"
    return f"<!date^{int(at.timestamp())}^{form}|{format_plain_time(at, zone)}>"


def format_plain_time(at: datetime, zone: str) -> str:
    """A time as plain text in `zone`: `Tue 24 Nov 10:00 CET`."""
    local = at.astimezone(ZoneInfo(zone))
    return f"{local:%a} {local.day} {local:%b %H:%M %Z}"


def format_clock_time(at: datetime, zone: str) -> str:
    """A Slack date token with the time of day only, for events within one day: `13:40:06` in local time."""
    return f"<!date^{int(at.timestamp())}^{{time_secs}}|{at.astimezone(ZoneInfo(zone)):%H:%M:%S %Z}>"


def format_time_of_day(at: datetime, zone: str) -> str:
    """A Slack date token with the time of day only, after another of the same day: `19:43` in local time."""
    return f"<!date^{int(at.timestamp())}^{{time}}|{at.astimezone(ZoneInfo(zone)):%H:%M %Z}>"


def format_actor(actor: str, handle: str = "") -> str:
    """An actor as people see it: a Slack mention, a handle, or the kind of caller.

    `actor` is an actor id (`slack:T…/U…`, `cli:…`, `token:…`, `system`), a bare Slack user id, or a handle.
    """
    kind, _, name = actor.partition(":")
    user = actor.rpartition("/")[2] if kind == "slack" else actor
    if _USER_ID.fullmatch(user):
        return f"<@{user}>"
    if handle:
        return escape(handle, 80)
    match kind:
        case "system":
            return "Rampart"
        case "cli":
            return f"{escape(name, 80)} (command line)"
        case "token":
            role, _, bound = name.partition("@")
            return f"the {escape(role, 80)} token{f' of <@{bound}>' if _USER_ID.fullmatch(bound) else ''}"
    return escape(user, 80) or "somebody"


def slack_user_id(actor: str) -> str | None:
    """The Slack user id in `U…` or `slack:T…/U…`; None for any other actor."""
    user = actor.rpartition("/")[2]
    return user if _USER_ID.fullmatch(user) else None


def format_owner(rollout: Rollout) -> str:
    """The owner's handle if known (which does not notify them), otherwise a mention."""
    return escape(rollout.plan.owner_handle, 80) or format_actor(rollout.plan.owner)


def format_subject(rollout: Rollout) -> str:
    """A rollout's id and name: `R-118 support-tone`."""
    return f"{rollout.id} {escape(rollout.plan.name, 40)}"


def title_in_sentence(title: str) -> str:
    """A title inside a sentence, escaped: `support assistant`; acronyms such as `FAQ` keep their capitals."""
    return escape(title[:1].lower() + title[1:] if title[1:2].islower() else title, 80)


def stage_word(stage: Stage, *, partial: bool) -> str:
    """The standard word for a stage, without its percentage: `Checking`, `Small test`, `Long comparison`, `Growing`.

    `partial`: some keep the old version even in a stage of 100 %.
    """
    match stage.kind:
        case StageKind.EVAL | StageKind.SAFETY | StageKind.COST_LATENCY | StageKind.ROLLBACK_DRILL:
            return "Checking"
        case StageKind.BAKE:
            return "Watching"
        case StageKind.RAMP:
            return "Everyone" if stage.percent >= 100 and not partial else "Growing"
        case StageKind.COHORT | StageKind.CANARY:
            return "Small test"
        case StageKind.AB:
            return "Long comparison"
        case _:
            assert_never(stage.kind)


_STATE_WORDS = {
    RolloutState.PLANNED: "Planned",
    RolloutState.WAITING: "Waiting",
    RolloutState.ON_HOLD: "On hold",
    RolloutState.PAUSED: "Paused",
    RolloutState.ROLLED_BACK: "Rolled back",
    RolloutState.DONE: "Done",
    RolloutState.ABANDONED: "Abandoned",
}


NEEDS_REVIEW = "Needs review"


def state_word(rollout: Rollout) -> str:
    """The standard word for a rollout's state, or for its current stage while it runs."""
    if rollout.state is RolloutState.DONE and rollout.needs_review:
        return NEEDS_REVIEW
    word = _STATE_WORDS.get(rollout.state)
    if word is not None:
        return word
    return stage_word(rollout.stage, partial=rollout.leaves_some_out) if rollout.stage else "Planned"


def verdict_word(verdict: Verdict) -> str:
    """The overall verdict in the same words that are used for a single metric."""
    match verdict:
        case Cleared():
            return "Fine, limits shown to hold"
        case Continue() | NoControl():
            return "Fine"
        case TooEarly():
            return "Not enough data"
        case NoData() | BrokenSource():
            return "No data"
        case Skewed():
            return "Cannot judge"
        case Hold():
            return "Changed unexpectedly"
        case RollBack():
            return "Worse"
        case _:
            assert_never(verdict)


def format_version_change(rollout: Rollout) -> str:
    """Both versions of a rollout: `v1 -> v2`, escaped."""
    return f"{escape(rollout.plan.from_version, 40)} -> {escape(rollout.plan.to_version, 40)}"
