"""The digest of a week as a message: for engineers in full, for leaders in one line."""

from bot.rendering import wording
from bot.rendering.blocks import blocks
from bot.rendering.blocks.blocks import Message
from bot.rendering.markup import SLACK
from bot.rendering.numbers.reports import digest_words
from core.digests.digest import Digest

MAX_LINES = 10
"""Lines of one part; the rest is counted."""
THIS_WEEK_INSTEAD = "Nothing was shipped, rolled back or under way last week, so this is the current week so far."


def render(digest: Digest, zone: str) -> Message:
    """The whole digest."""
    so_far = (
        f" so far (until {wording.format_local_time(digest.until, zone)})" if digest.until < digest.week.ends else ""
    )
    return blocks.build_message(
        f"Week of {digest_words.format_days(digest.week)}{so_far}: {digest_words.summarize(digest)}",
        blocks.lines_section(
            [
                f"*Speed*  {digest_words.describe_speed(digest)}",
                f"*Safety*  {digest_words.describe_safety(digest)}",
            ]
        ),
        _build_part("Shortcuts", digest_words.list_shortcuts(digest, SLACK)),
        _build_part("Surprises", digest_words.list_surprises(digest, SLACK)),
        _build_part("To do", digest_words.list_to_do(digest, SLACK)),
        blocks.context(
            f"Every number follows from the log: `rollout audit why {digest.week.id}` lists them, "
            f"`rollout audit why {digest.week.id}.lead_time` shows the events behind one."
        ),
    )


def render_line(digest: Digest) -> Message:
    """The week in one line, without jargon."""
    parts = [f"AI changes in the week of {digest_words.format_days(digest.week)}: {digest_words.summarize(digest)}"]
    protected = digest.find("people_protected")
    if protected.value:
        people = digest_words.format_number(protected).capitalize()
        parts.append(f"{people} people used a feature and did not get a version that was rolled back (an estimate).")
    line = " ".join(parts)
    return blocks.build_message(line, blocks.section(line), show_first_line=False)


def _build_part(title: str, lines: list[str]) -> blocks.Block | None:
    if not lines:
        return None
    shown = lines[:MAX_LINES]
    left = [wording.format_remainder(len(lines) - MAX_LINES)] if len(lines) > MAX_LINES else []
    if len(shown) == 1:
        return blocks.section(f"*{title}*  {shown[0]}")
    return blocks.lines_section([f"*{title}*", *(f" • {line}" for line in shown), *left])
