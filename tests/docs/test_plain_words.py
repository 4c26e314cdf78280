"""No text of the program, and no page of the documents, uses a turn of phrase that was once found odd or roundabout."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
SOURCES = sorted(path for folder in ("core", "bot") for path in (ROOT / folder).rglob("*.py"))
TEMPLATES = sorted((ROOT / "bot").rglob("*.html"))
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]

PLAIN_FOR_ODD = {
    "helps nobody": "Please give a reason for …",
    "nobody is surprised": "Notices must go out before the start.",
    "could never speak": "this limit could never be violated",
    "how-manieth": "the index of",
    "the dear ones": "the expensive ones",
    "does not stay at what it is set to": "it keeps changing back",
    "somebody else ticks": "tick claimed by another worker",
    "is another content": "… already stands for other content",
    "on another content of": "… was planned with other content of …",
    "and two would undo": "two rollouts would undo each other's changes",
    "would be kinder": "consider …",
    "is told as": "is notified as",
    "no channel is told": "no channel is notified",
    "takes nothing new": "cannot be written to",
    "disk takes nothing": "its disk cannot be written to",
    "takes what is written": "can be written to",
    "is no traffic": "is not an amount of traffic",
    "is no count": "is not a count",
    "is no address of": "is not a public internet address",
    "this is no rollout": "this is not a rollout",
    "names no change": "is not a change",
    "names no case": "has no case",
    "nothing skips": "… cannot be skipped",
    "is never skipped": "… cannot be skipped",
    "is on its way in the thread": "A new request will appear in the thread.",
    "why stands in the thread": "the reason is in the thread",
    "that stand in slack": "posted in Slack",
    "stands no slack user": "there is no Slack user id",
    "going back takes seconds": "Rolling back takes seconds",
    "rolling back works all along": "Rolling back still works.",
    "before that it goes neither": "Until then, …",
    "when the time comes nearer": "closer to the time",
    "which of the two counts": "Remove one of the two",
    "take another one": "use another one",
    "is not what it was": "has changed",
    "its content does not give its hash": "its hash does not match its content",
    "so that no history is mixed": "so that histories do not mix",
    "a sqlite file is for one": "a SQLite file allows only one",
    "memory forgets": "would be lost",
    "readies one": "prepares one",
    "a clock differs": "a clock is wrong",
    "which is still to come": "in the future",
    "was not looked at": "has had no look",
    "nobody has looked at": "… has had no look",
    "nobody looks at": "… has had no look",
    "is looked at again": "looks have resumed",
    "harm is not seen": "harm goes unnoticed",
    "not told by the database": "the database sends no notifications",
    "took no report": "could not report to the log",
    "nobody could be told": "the owner could not be notified",
    "has become pointless": "is no longer needed",
    "earlier try": "earlier attempt",
    "so left to it": "taken over by another process",
    "speaks something else than": "does not speak …",
    "and none is followed": "redirects are not followed",
    "one line of plain letters": "one line of plain characters",
    "is to be called by": "would be called over",
    "the system it should be": "that cannot be the right system",
    "is not read here": "is not supported here",
    "are being worked on": "are in progress",
    "so nothing of this one": "so this one was not …",
    "so it is not slack's": "so it is not from Slack",
    "as things stand": "in the current state",
    "one observation a line": "one observation per line",
    "the evaluation answered": "the evaluation returned",
    "an evaluation answers": "an evaluation returns",
    "what came in cannot": "the incoming data cannot",
    "holding nothing": "without holding the rollout",
    "new against now": "New version compared with the current one",
    "this page only shows": "This page is read-only.",
    "one flip away": "rolling back takes seconds",
    "a newer one made it": "a newer program made it",
    "damaged or cut": "damaged or truncated",
    "does not hold what": "is not a complete …",
    "nothing lifts": "There is no upgrade of …",
}


def find_texts(path: Path) -> Iterator[tuple[int, str]]:
    """Each string literal of a source file, or each paragraph of a page, with its line."""
    written = path.read_text(encoding="utf-8")
    if path.suffix != ".py":
        line = 1
        for paragraph in written.split("\n\n"):
            yield line, paragraph
            line += paragraph.count("\n") + 2
        return
    for node in ast.walk(ast.parse(written)):
        if isinstance(node, ast.Constant) and isinstance(node.value, str):
            yield node.lineno, node.value
        elif isinstance(node, ast.JoinedStr):
            yield node.lineno, "".join(str(x.value) if isinstance(x, ast.Constant) else "…" for x in node.values)


def find_odd_turns(text: str) -> list[str]:
    plain = re.sub(r"\s+", " ", text).lower()
    return [odd for odd in PLAIN_FOR_ODD if odd in plain]


@pytest.mark.parametrize("paths", [SOURCES, TEMPLATES, PAGES], ids=["sources", "templates", "pages"])
def test_no_text_uses_an_odd_turn_of_phrase(paths: list[Path]) -> None:
    assert paths
    found = [
        f"{path.relative_to(ROOT)}:{line}: “{odd}”; write: {PLAIN_FOR_ODD[odd]}"
        for path in paths
        for line, text in find_texts(path)
        for odd in find_odd_turns(text)
    ]
    assert not found, "\n".join(found)


def test_an_odd_turn_is_found_across_a_line_break_and_between_values() -> None:
    assert find_odd_turns("The rollback\nworks, and an evaluation\n  answers.") == ["an evaluation answers"]
    assert all(odd == odd.lower() for odd in PLAIN_FOR_ODD), "compared with texts in lower case"
