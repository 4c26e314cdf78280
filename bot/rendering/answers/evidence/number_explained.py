"""A number of a digest traced back to the log: its rule, and every event that it follows from."""

from collections.abc import Mapping, Sequence

from bot.rendering import wording
from bot.rendering.messages import event_lines
from bot.rendering.numbers.reports import digest_words
from core.digests.digest import Digest, DigestNumber
from core.rollout.state.evolve import evolve
from core.rollout.state.history import HistoryEntry
from core.rollout.state.model import Rollout


def list_numbers(digest: Digest) -> list[str]:
    """Every number of a digest, one line each: id, value, title."""
    width = max(len(number.id) for number in digest.numbers)
    return [
        f"{number.id.ljust(width)}  {digest_words.format_number(number):>12}  {number.title}"
        for number in digest.numbers
    ]


def explain_number(number: DigestNumber, histories: Mapping[str, Sequence[HistoryEntry]], zone: str) -> list[str]:
    """The number, how it is computed, and its events in order; `histories` are those of their rollouts."""
    computed = " (computed)" if number.is_computed else ""
    wanted = {event.position for event in number.events}
    sentences = {
        position: sentence
        for entries in histories.values()
        for position, sentence in _describe_events(entries, wanted, zone).items()
    }
    return [
        f"{number.id}: {digest_words.format_number(number)}{computed}",
        number.title,
        number.how,
        "",
        f"{wording.pluralize(len(number.events), 'event')} of the log:",
        *(
            f"  #{event.position}  {wording.format_plain_time(event.at, zone)}  "
            f"{sentences.get(event.position, event.rollout)}"
            for event in number.events
        ),
    ]


def _describe_events(entries: Sequence[HistoryEntry], wanted: set[int], zone: str) -> dict[int, str]:
    """A plain sentence for each wanted event of one rollout, as of its time."""
    found: dict[int, str] = {}
    rollout: Rollout | None = None
    for entry in entries:
        rollout = evolve(rollout, entry.event, entry.at)
        if entry.position in wanted:
            found[entry.position] = wording.to_plain_text(event_lines.format_line(rollout, entry.event, zone))
    return found
